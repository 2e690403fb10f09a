"""Letters: what Unicode says of the characters that names are made of.

Knows which characters are letters, marks and digits, which script each belongs to, and what looks like what
(Unicode TR 39), from the table `letters.txt` that `tools/make_confusables.py` writes. The table is read when
the first name outside ASCII comes in, and is the same on every node whatever Python it runs on. What a name
may look like is left to `chatd.core.names`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from enum import Enum
from functools import cache
from typing import NamedTuple
from unicodedata import normalize


class Kind(Enum):
    """What a character is to a name."""

    LETTER = "L"
    MARK = "M"  # a sign of its own script, such as a vowel of Devanagari
    ACCENT = "A"  # a sign that scripts share
    DIGIT = "D"
    JOINER = "J"  # what may stand between letters and has no script; not in the table


class Sort(NamedTuple):
    """What a character is, and the scripts it belongs to, one bit each."""

    kind: Kind
    scripts: int


EVERY_SCRIPT = -1
# Scripts that are written together count as one: Japanese, Korean, Chinese with its phonetic letters.
_WRITTEN_WITH = {
    "Hani": ("Jpan", "Kore", "Hanb"),
    "Hira": ("Jpan",),
    "Kana": ("Jpan",),
    "Hang": ("Kore",),
    "Bopo": ("Hanb",),
}


class Table:
    """The table in the form in which it is asked."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._bits: dict[str, int] = {}
        spans: list[tuple[int, int, Sort]] = []
        seen: dict[str, str] = {}
        section = ""
        for line in lines:
            if line.startswith("["):
                section = line.strip()
            elif section == "[letters]":
                kind, scripts, *ranges = line.split()
                sort = Sort(Kind(kind), self._mask(scripts))
                for span in ranges:
                    first, _, last = span.partition("-")
                    spans.append((int(first, 16), int(last or first, 16), sort))
            elif section == "[looks]":
                prototype, *codes = line.split()
                shape = "".join(chr(int(code, 16)) for code in prototype.split("+"))
                seen.update((chr(int(code, 16)), shape) for code in codes)
        self._spans = sorted(spans, key=lambda span: span[0])
        self._first = [span[0] for span in self._spans]
        self.latin = self._mask("Latn")
        self.prototypes = seen
        self._shapes = {ord(c): _settled(shape, seen) for c, shape in seen.items()}
        like_capital_i = ["l", *(c for c, shape in seen.items() if shape == "l")]
        self._upright = str.maketrans(dict.fromkeys(like_capital_i, "i"))
        self._without_i = str.maketrans(dict.fromkeys(like_capital_i))

    def _mask(self, scripts: str) -> int:
        if scripts == "*":
            return EVERY_SCRIPT
        mask = 0
        for script in scripts.split("+"):
            for name in (script, *_WRITTEN_WITH.get(script, ())):
                mask |= self._bits.setdefault(name, 1 << len(self._bits))
        return mask

    def sort(self, char: str) -> Sort | None:
        """What a character is; None for one that no name may have."""
        code = ord(char)
        place = bisect_right(self._first, code) - 1
        if place < 0:
            return None
        _, last, sort = self._spans[place]
        return sort if code <= last else None

    def shape(self, name: str) -> str:
        """What a name looks like, in small letters; see `chatd.core.names.skeleton`.

        The prototypes are looked up before the case is folded, because capitals look like other letters than
        their small ones do: Cyrillic `ТОМ` is Latin `TOM` to the eye, `том` is not `tom`.
        """
        form = normalize("NFD", normalize("NFKC", name))
        # A dot above an i changes nothing that one can see, and the Turkish capital has it.
        form = form.replace("I\u0307", "i").replace("i\u0307", "i").replace("j\u0307", "j")
        if are_capitals(form.translate(self._without_i)):
            form = form.translate(self._upright)
        form = form.translate(self._shapes).casefold().translate(self._shapes)
        return normalize("NFD", form)


def are_capitals(rest: str) -> bool:
    """Whether a name is written in capitals, going by two or more letters other than I and its likes.

    Among capitals a small l, a 1 and the I are one; elsewhere a capital I is a small l. Without this either
    `TlM` would pass for `TIM`, or nobody could be called `ALI` because of the reserved `all`.
    """
    return rest.isupper() and sum(map(str.isupper, rest)) > 1


def _settled(shape: str, seen: dict[str, str]) -> str:
    """A prototype in small letters, after looking up and folding until nothing changes: `M`, `m`, `rn`."""
    for _ in range(8):
        settled = "".join(seen.get(c, c) for c in normalize("NFD", shape.casefold()))
        if settled == shape:
            break
        shape = settled
    return shape.casefold()


@cache
def table() -> Table:
    """The table, read once."""
    from importlib.resources import files  # slow to import, and most servers never get here

    text = files("chatd.core").joinpath("letters.txt").read_text(encoding="utf-8")
    return Table(text.splitlines())
