"""Names: what people and rooms may be called, and which names are too much alike.

The rules of PROTOCOL.md section 8: which characters, how many, one script. `fold` says which names are the
same name, `skeleton` which ones look the same. Knows nothing of who is here: whether a name is taken is the
registry's to say, by comparing folds (`NICK_IN_USE`) and then skeletons (`NICK_CONFUSABLE`). What Unicode
says of a character is in `chatd.core.letters`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from unicodedata import category, normalize

from chatd.core.codes import Code, Refusal
from chatd.core.letters import EVERY_SCRIPT, Kind, Sort, are_capitals, table

RESERVED = frozenset({"server", "system", "admin", "root", "operator", "chatd", "everyone", "here", "all"})

NICK_CHARACTERS = 32
NICK_BYTES = 96
ROOM_CHARACTERS = 63  # after the #

_PLAIN_NICK = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,30}[A-Za-z0-9_-])?")
_PLAIN_ROOM = re.compile(r"#[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_-]")
_WITHOUT_I = str.maketrans("", "", "Il1")
_UPRIGHT = str.maketrans("Il1", "iii")
_JOINERS = "_-."
_JOINER = Sort(Kind.JOINER, EVERY_SCRIPT)
# Two of the accents that scripts share are enough for every language; vowel signs of Burmese come in fours.
_MOST_MARKS = {Kind.ACCENT: 2, Kind.MARK: 4}
_MOST_NUMBER = 2**30


class NameRefused(Refusal):
    """A name is against the rules; `reason` is a sentence for the one who wished it."""

    @property
    def reason(self) -> str:
        return self.message


def fold(name: str) -> str:
    """The form in which names are compared, equal for spellings of one name. Folding again does nothing."""
    if name.isascii():
        return name.lower()
    folded = normalize("NFKC", normalize("NFKC", name).casefold())
    return normalize("NFKC", normalize("NFKC", folded).casefold())


def skeleton(name: str) -> str:
    """What a name looks like: equal for names that a reader takes for one another. Never to be shown.

    Unicode TR 39's skeleton in small letters: `rn` is `m`, `0` is `o`, `1` and `I` are `l`. Give it the name
    as it is shown, not its fold: `BilI` looks like `Bill`, and `bili` does not. Names that differ in ASCII
    digits alone never look alike. Two names of one fold may have two skeletons, so compare folds as well.
    """
    if not name.isascii():
        return table().shape(name)
    if not name.islower():
        if are_capitals(name.translate(_WITHOUT_I)):
            name = name.translate(_UPRIGHT)
        name = name.replace("I", "l").lower()
    return name.replace("m", "rn").replace("1", "l").replace("0", "o")


# A 1 for the i of `admin` is no look-alike by TR 39, and everyone reads it as one.
_RESERVED_LOOKS = frozenset(skeleton(name.replace("i", vowel)) for name in RESERVED for vowel in "i1")
_COUNTED = "a11"  # looks like `all`, but comes after `a10`


def check_nick(nick: str) -> str:
    """The nick in NFC, if it may be one; else NameRefused with NICK_INVALID or NICK_RESERVED."""
    if _PLAIN_NICK.fullmatch(nick) is None:
        nick = _checked(nick, Code.NICK_INVALID, "A name", NICK_CHARACTERS)
        if nick[0] in _JOINERS:
            raise NameRefused(Code.NICK_INVALID, "A name begins with a letter or a digit.")
        if len(nick.encode()) > NICK_BYTES:
            raise NameRefused(Code.NICK_INVALID, f"A name has at most {NICK_BYTES} bytes in UTF-8.")
    if skeleton(nick) in _RESERVED_LOOKS and fold(nick) != _COUNTED:
        raise NameRefused(Code.NICK_RESERVED, "This name is kept for the server, or looks like one that is.")
    if not nick.isascii():
        _check_script(nick, Code.NICK_INVALID, "A name")
    return nick


def check_room(name: str) -> str:
    """The room's name in NFC with its #, if it may be one; else NameRefused with INVALID_PARAMS."""
    if _PLAIN_ROOM.fullmatch(name) is not None:
        return name
    what = "A room's name"
    if not name.startswith("#"):
        raise NameRefused(Code.INVALID_PARAMS, f"{what} begins with #.")
    rest = _checked(name[1:], Code.INVALID_PARAMS, f"{what} after the #", ROOM_CHARACTERS)
    _check_script(rest, Code.INVALID_PARAMS, what)
    return "#" + rest


def suggest(nick: str, is_free: Callable[[str], bool]) -> str:
    """A valid name near the wish that `is_free`: `alice_`, `alice2`; `guest2` when nothing of it can be kept.

    Asks `is_free` some 150 times at most. Should all of those be taken, the last one is returned though it is
    not free, and whoever tries it is refused again.
    """

    def is_fit(name: str) -> bool:
        return _refusal(name) is None and is_free(name)

    wish = _mended(nick)
    stem = wish.rstrip(_JOINERS)
    for near in (wish, _cut(stem, 1) + "_"):
        if is_fit(near):
            return near
    return _numbered(stem, is_fit) or _numbered("guest", is_fit) or f"guest{_MOST_NUMBER}"


# -- the rules -------------------------------------------------------------------------------------------


def _checked(text: str, code: Code, what: str, most: int) -> str:
    """The text in NFC, if its characters may be in a name and stand where they may."""
    if not text:
        raise NameRefused(code, f"{what} has at least one character.")
    if len(text) <= 4 * most:  # longer ones are not worth the work of normalising
        text = normalize("NFC", text)
    if len(text) > most:
        raise NameRefused(code, f"{what} has at most {most} characters; this one has {len(text)}.")
    before, on_letter, marks = "", False, 0
    for char in text:
        sort = _sort(char)
        if sort is None:
            raise NameRefused(code, f"{what} {_why_not(char)}.")
        if sort.kind in _MOST_MARKS:
            marks += 1
            if not on_letter:
                raise NameRefused(code, f"{what} has accents only after a letter.")
            if marks > _MOST_MARKS[sort.kind] or char == before:
                raise NameRefused(code, f"{what} cannot pile up accents.")
        else:
            on_letter, marks = sort.kind is Kind.LETTER, 0
        before = char
    if text.endswith("."):
        raise NameRefused(code, f"{what} does not end with a dot.")
    return text


def _check_script(name: str, code: Code, what: str) -> None:
    scripts = EVERY_SCRIPT
    for char in name:
        sort = _sort(char)
        scripts &= sort.scripts if sort else 0
        if not scripts:
            raise NameRefused(code, f"{what} keeps to one script; {_described(char)} is of another.")


def _sort(char: str) -> Sort | None:
    return _JOINER if char in _JOINERS else table().sort(char)


def _why_not(char: str) -> str:
    """The rest of the sentence: why a name cannot have this character. What may do harm is not shown."""
    sort = category(char)
    if char in "\r\n\v\f\x85\u2028\u2029":
        return "cannot have line breaks"
    if sort == "Zs" or char == "\t":
        return "cannot have spaces"
    if sort == "Cc":
        return f"cannot have control characters (U+{ord(char):04X})"
    if sort == "Cf" or 0xFE00 <= ord(char) <= 0xFE0F:
        return f"cannot have invisible characters (U+{ord(char):04X})"
    if sort in ("So", "Sk", "Me"):
        return f"cannot have emoji or other pictures (U+{ord(char):04X})"
    shown = f'"{char}"' if char.isascii() else _described(char)
    return f'has letters, digits, "_", "-" and ".", not {shown}'


def _described(char: str) -> str:
    return unicodedata.name(char, "").lower() or f"U+{ord(char):04X}"


def _refusal(nick: str) -> Code | None:
    """The code with which a nick is refused; None for a valid one."""
    try:
        check_nick(nick)
    except NameRefused as refused:
        return refused.code
    return None


# -- what is near ----------------------------------------------------------------------------------------


def _mended(wish: str) -> str:
    """The wish without what no name can have, cut to length; `guest` when nothing is left."""
    text = normalize("NFKC", wish[: 4 * NICK_CHARACTERS].strip())
    kept = "".join("_" if c.isspace() else c for c in text if c.isspace() or _sort(c))
    form = normalize("NFC", _of_one_script(kept))
    for mended in (form, _without_marks(form)):
        name = _cut(mended.lstrip(_JOINERS), 0).rstrip(".")
        if _refusal(name) in (None, Code.NICK_RESERVED):
            return name
    return "guest"


def _of_one_script(name: str) -> str:
    """The name in the script of most of its letters; among Latin ones, what looks Latin becomes it."""
    letters = [sort.scripts for c in name if (sort := _sort(c)) and sort.kind is Kind.LETTER]
    if not letters:
        return name
    main = Counter(letters).most_common(1)[0][0]
    is_latin = bool(main & table().latin)
    turned = []
    for c in name:
        sort = _sort(c)
        like = table().prototypes.get(c, "")
        if sort and sort.scripts & main:
            turned.append(c)
        elif is_latin and like.isascii() and like.isalnum():
            turned.append(like)
    return "".join(turned)


def _without_marks(name: str) -> str:
    return "".join(c for c in name if (sort := _sort(c)) and sort.kind in (Kind.LETTER, Kind.DIGIT))


def _cut(name: str, spare: int) -> str:
    """The beginning of a name that leaves so many characters to spare."""
    return name[: NICK_CHARACTERS - spare].encode()[: NICK_BYTES - spare].decode(errors="ignore")


def _numbered(stem: str, is_fit: Callable[[str], bool]) -> str | None:
    """The stem with a small number, by doubling it until it fits and then halving the way back."""
    joint = "_" if stem[-1:].isdigit() else ""

    def numbered(number: int) -> str:
        return _cut(stem, len(joint) + len(str(number))) + joint + str(number)

    for number in range(2, 10):
        if is_fit(numbered(number)):
            return numbered(number)
    low, high = 9, 16
    while not is_fit(numbered(high)):
        low, high = high, high * 2
        if high > _MOST_NUMBER:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_fit(numbered(middle)) else (middle, high)
    return numbered(high)
