"""Which names there may be, which are the same, which look the same, and what is offered instead."""

from __future__ import annotations

import string
import unicodedata
from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chatd.core.codes import Code, Refusal
from chatd.core.letters import table
from chatd.core.names import RESERVED, NameRefused, check_nick, check_room, fold, skeleton, suggest


def refused(nick: str) -> NameRefused:
    with pytest.raises(NameRefused) as caught:
        check_nick(nick)
    return caught.value


def is_kept_out(wish: str, present: str) -> bool:
    """What the registry does with a wish while somebody is present."""
    try:
        wish = check_nick(wish)
    except NameRefused:
        return True
    return fold(wish) == fold(present) or skeleton(wish) == skeleton(present)


# Present, and the wish of one who wants to be taken for them.
LOOK_ALIKES = [
    ("alice", "Alice"),
    ("alice", "ALICE"),
    ("alice", "ａｌｉｃｅ"),
    ("alice", "ＡＬＩＣＥ"),
    ("alice", "аlice"),  # Cyrillic а
    ("alice", "alicе"),  # Cyrillic е
    ("alice", "αlice"),  # Greek alpha
    ("alice", "al\u200bice"),  # zero width space
    ("alice", "alice\u200d"),  # zero width joiner
    ("alice", "\ufeffalice"),
    ("alice", "alice\ufe0f"),  # variation selector
    ("alice", "\u202ealice"),  # right to left override
    ("alice", "al\u00adice"),  # soft hyphen
    ("alice", "ali\u034fce"),  # combining grapheme joiner
    ("alice", "alice."),
    ("alice", "alice "),
    ("alice", "alıce"),  # dotless i
    ("alice", "a1ice"),
    ("alice", "aIice"),
    ("alice", "𝐚𝐥𝐢𝐜𝐞"),
    ("alice", "ⓐlice"),
    ("alice", "ali\u0307ce"),  # a second dot on the i
    ("Bill", "BilI"),
    ("bill", "BiII"),
    ("TIM", "TlM"),
    ("tim", "TlM"),
    ("TIM", "T1M"),
    ("tom", "torn"),
    ("TOM", "ТОМ"),  # all of it Cyrillic
    ("tom", "ТОМ"),
    ("tom", "ΤΟΜ"),  # all of it Greek
    ("tom", "ꓔꓳꓟ"),  # all of it Lisu
    ("bob", "b0b"),
    ("o", "ο"),  # Greek omicron
    ("caso", "саѕо"),  # all of it Cyrillic
    ("zoë", "zoe\u0308"),  # NFD
    ("Zoë", "ZOË"),
    ("Việt", "Vie\u0323\u0302t"),
    ("strasse", "Straße"),
    ("σοφος", "ΣΟΦΟΣ"),
    ("istanbul", "İstanbul"),
    ("ﬁnn", "finn"),
    ("ｶﾀｶﾅ", "カタカナ"),
    ("エロ", "工口"),  # two kana, two ideographs
    ("محمد", "محـمد"),  # stretched
]


@pytest.mark.parametrize(("present", "wish"), LOOK_ALIKES, ids=ascii)
def test_a_look_alike_of_somebody_present_is_kept_out(present: str, wish: str) -> None:
    """A33: `Alice`, `alice`, full-width and Cyrillic ones collide, and so do their relations."""
    assert check_nick(present) == unicodedata.normalize("NFC", present)
    assert is_kept_out(wish, present)


# People who are not to be kept out because of each other.
STRANGERS = [
    ("jerry1", "jerry2"),
    ("u1", "u11"),
    ("u10", "u11"),
    ("bot-1", "bot-11"),
    ("BOT1", "BOT7"),
    ("ali", "alla"),
    ("kai", "kal"),
    ("mei", "mel"),
    ("ian", "lan"),
    ("neil", "nell"),
    ("ALI", "al"),
    ("jose", "josé"),
    ("alice", "alice_"),
    ("alice", "alice2"),
    ("a.b", "a_b"),
    ("a-b", "a_b"),
    ("tom", "том"),
    ("wanja", "ваня"),
]


@pytest.mark.parametrize(("one", "other"), STRANGERS)
def test_names_that_people_can_tell_apart_go_together(one: str, other: str) -> None:
    assert not is_kept_out(one, other)
    assert not is_kept_out(other, one)


def test_a_thousand_numbered_names_are_a_thousand_names() -> None:
    for prefix in ("u", "n", "a", "bot-", "BOT-", "user", "l", "O"):
        names = [f"{prefix}{number}" for number in range(1000)]
        assert len({skeleton(check_nick(name)) for name in names}) == 1000


@given(st.from_regex(r"[A-Za-z_.é-]{0,6}#{1,4}[A-Za-z_.é-]{0,6}#{0,4}", fullmatch=True), st.data())
def test_names_that_differ_in_digits_alone_never_look_alike(pattern: str, data: st.DataObject) -> None:
    digit = st.sampled_from(string.digits)
    one, other = ("".join(data.draw(digit) if c == "#" else c for c in pattern) for _ in range(2))
    assume(one != other)
    assert skeleton(one) != skeleton(other)


VALID = [
    "a", "7", "x" * 32, "tom_", "t.o-m", "a__b", "0x", "Zoë", "O_o",
    "ａｌｉｃｅ",
    "алиса", "Ярослав2", "Ґанна", "София",
    "σοφία", "Αθηνά",
    "山田", "やまだ", "ヤマダ", "山田たろう", "ラーメン", "ﾔﾏﾀﾞ",
    "김철수", "金철수", "ㄅㄆㄇ", "王ㄨㄤ",
    "محمد", "مُحَمَّد", "علی", "دیدار۲",
    "שלום", "שָׁלוֹם",
    "ज़िंदगी", "क्षत्रिय", "हिन्दी२", "বাংলা", "தமிழ்", "മലയാളം",
    "น้ำ", "ที่นี่", "ກ່ອນ", "ភាសាខ្មែរ", "မြို့", "བོད་ཡིག".replace("་", ""),
    "ქართული", "Հայկ", "አማርኛ", "ᏣᎳᎩ", "ⵜⴰⵎⴰ",
    "Nguyễn", "ʻIolani", "ą́žuolas",
]  # fmt: skip


@pytest.mark.parametrize("nick", VALID)
def test_people_of_the_world_can_have_their_names(nick: str) -> None:
    assert check_nick(nick) == unicodedata.normalize("NFC", nick)
    assert check_room(f"#{nick}") == "#" + unicodedata.normalize("NFC", nick)


INVALID = [
    ("", "at least one"),
    ("x" * 33, "at most 32 characters; this one has 33"),
    ("x" * 1_000_000, "at most 32"),
    ("é" * 33, "at most 32"),
    ("𞤀" * 32, "at most 96 bytes"),
    ("two words", "spaces"),
    (" tom", "spaces"),
    ("tom\u00a0x", "spaces"),
    ("tom\u3000x", "spaces"),
    ("tom\tx", "spaces"),
    ("tom\n", "line breaks"),
    ("tom\r\nQUIT", "line breaks"),
    ("tom\u2028x", "line breaks"),
    ("tom\x00", "control characters (U+0000)"),
    ("\x1b[31mtom", "control characters (U+001B)"),
    ("tom\x9b", "control characters (U+009B)"),
    ("to\u200bm", "invisible characters (U+200B)"),
    ("to\u202em", "invisible characters (U+202E)"),
    ("tom\ufe0f", "invisible characters (U+FE0F)"),
    ("tom🎉", "emoji"),
    ("❤️", "emoji"),
    ("👍🏽", "emoji"),
    ("tom!", 'not "!"'),
    ("@tom", 'not "@"'),
    ("<tom>", 'not "<"'),
    ("#tom", 'not "#"'),
    ("tom/x", 'not "/"'),
    ("tom’s", "not right single quotation mark"),
    ("x²", "not superscript two"),
    ("\u3164", "hangul filler"),
    ("\u2800", "emoji or other pictures"),
    ("\U00013000", "egyptian hieroglyph"),
    ("\ud800", "U+D800"),
    ("\ue000", "U+E000"),
    ("_tom", "begins with"),
    (".tom", "begins with"),
    ("-", "begins with"),
    ("tom.", "end with a dot"),
    ("\u0301tom", "only after a letter"),
    ("7\u0301", "only after a letter"),
    ("t_\u0301", "only after a letter"),
    ("a\u0316\u0317\u0318", "pile up"),
    ("ก็็", "pile up"),
    ("аlice", "one script; latin small letter l"),
    ("tomж", "one script; cyrillic small letter zhe"),
    ("toмa", "one script"),
    ("aか", "one script"),
    ("カж", "one script"),
    ("aー", "one script"),
    ("か한", "one script"),
    ("aि", "one script"),
]


@pytest.mark.parametrize(("nick", "why"), INVALID, ids=lambda text: ascii(text[:12]))
def test_a_bad_name_is_refused_with_its_reason(nick: str, why: str) -> None:
    """A33: empty, spaces, newlines, 1 MB names: each is refused with a reason."""
    refusal = refused(nick)
    assert refusal.code is Code.NICK_INVALID
    assert why in refusal.reason
    assert refusal.reason.isprintable()
    assert refusal.reason.startswith("A name ")


@pytest.mark.parametrize(
    "nick",
    [
        *sorted(RESERVED),
        *("Server", "ADMIN", "AdMiN", "ａｄｍｉｎ", "adm1n", "ADM1N", "ADMlN", "adrnin", "admın", "аdmin"),
        *("r00t", "R0OT", "Ѕystem", "aIl", "AlI", "al1", "0perator", "ΗΕRΕ", "αll", "cһatd", "everyοne"),
    ],
)  # fmt: skip
def test_the_names_of_the_house_and_their_look_alikes_are_reserved(nick: str) -> None:
    assert refused(nick).code is Code.NICK_RESERVED


@pytest.mark.parametrize("nick", ["ali", "Ali", "ALI", "alls", "a11", "admin2", "herr", "rooty", "hal"])
def test_names_near_the_reserved_ones_are_not(nick: str) -> None:
    assert check_nick(nick) == nick


def test_a_refusal_is_one_that_every_protocol_can_tell() -> None:
    refusal = refused("two words")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.message) == (Code.NICK_INVALID, refusal.reason)


@pytest.mark.parametrize("room", ["#lobby", "#1", "#_x-y.z", "#-", "#" + "x" * 63, "#Кухня", "#台所のはなし"])
def test_a_room_has_a_name(room: str) -> None:
    assert check_room(room) == room
    assert check_room(unicodedata.normalize("NFD", room)) == room


@pytest.mark.parametrize(
    ("room", "why"),
    [
        ("", "begins with #"),
        ("lobby", "begins with #"),
        ("＃lobby", "begins with #"),
        ("#", "at least one"),
        ("#" + "x" * 64, "at most 63"),
        ("##x", 'not "#"'),
        ("#a b", "spaces"),
        ("#a\n", "line breaks"),
        ("#lobby.", "end with a dot"),
        ("#lоbby", "one script"),
        ("#\u0301", "only after a letter"),
        ("#a\u200b", "invisible"),
    ],
)
def test_a_bad_room_is_refused_with_its_reason(room: str, why: str) -> None:
    with pytest.raises(NameRefused) as caught:
        check_room(room)
    assert caught.value.reason.startswith("A room's name ")
    assert caught.value.code is Code.INVALID_PARAMS
    assert why in caught.value.reason


def test_a_plain_name_does_without_the_table() -> None:
    table.cache_clear()
    assert skeleton(fold(check_nick("Jerry.2"))) == "jerry.2"
    assert check_room("#Lobby") == "#Lobby"
    assert table.cache_info().misses == 0


# -- what is offered instead ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "offered"),
    [
        ("alice", "alice_"),
        ("alice_", "alice2"),
        ("jerry1", "jerry1_"),
        ("x" * 32, "x" * 31 + "_"),
        ("Tom Smith", "Tom_Smith"),
        ("  tom  ", "tom"),
        ("@tom!", "tom"),
        ("tom.", "tom"),
        ("_tom", "tom"),
        ("al\u200bice\x1b", "alice"),
        ("аlice", "alice"),
        ("Ярослав_x", "Ярослав_"),
        ("𝐚𝐥𝐢𝐜𝐞", "alice"),
        ("z" * 40, "z" * 32),
        ("𞤀" * 32, "𞤀" * 24),
        ("admin", "admin_"),
        ("аdmin", "admin_"),
        ("a\u0316\u0317\u0318b", "ab"),
        ("🎉", "guest"),
        ("", "guest"),
        ("...", "guest"),
        ("\ud800", "guest"),
    ],
)
def test_a_name_near_the_wish_is_offered(wish: str, offered: str) -> None:
    """A33: the suggestion is `alice_` or `alice2`."""
    assert suggest(wish, lambda name: name != wish) == offered


def test_the_offers_go_on_while_they_are_taken() -> None:
    present: set[str] = set()
    for _ in range(300):
        offer = suggest("alice", lambda name: skeleton(name) not in present)
        assert check_nick(offer) == offer
        assert skeleton(offer) not in present
        present.add(skeleton(offer))
    assert {"alice", "alice_", *(f"alice{number}" for number in range(2, 10))} <= present
    assert max(map(len, present)) <= len("alice1000")


def test_a_number_after_a_number_stands_apart() -> None:
    assert suggest("jerry1", lambda name: name not in ("jerry1", "jerry1_")) == "jerry1_2"


def test_nobody_is_asked_for_ever() -> None:
    asked: list[str] = []

    def is_free(name: str) -> bool:
        asked.append(name)
        return False

    offer = suggest("alice", is_free)
    assert check_nick(offer) == offer
    assert len(asked) < 150


some_wish = st.text(max_size=50) | st.text(st.sampled_from("alice_.-1 Iаα\u0301\u200bか한ﬃß"), max_size=50)


@given(some_wish, st.data())
def test_an_offer_is_valid_and_free_whatever_the_wish(wish: str, data: st.DataObject) -> None:
    taken: set[str] = set()
    for _ in range(data.draw(st.integers(1, 4))):
        offer = suggest(wish, lambda name: fold(name) not in taken)
        assert check_nick(offer) == offer
        assert fold(offer) not in taken
        taken.add(fold(offer))


# -- what holds for every text -------------------------------------------------------------------------------

some_name = st.text(max_size=40) | st.sampled_from([*VALID, *(name for pair in LOOK_ALIKES for name in pair)])


@given(some_name)
def test_folding_again_does_nothing(name: str) -> None:
    assert fold(fold(name)) == fold(name)
    assert fold(unicodedata.normalize("NFD", name)) == fold(name)
    assert fold(name.upper()) == fold(fold(name).upper())


@given(some_name)
def test_a_skeleton_is_its_own(name: str) -> None:
    shape = skeleton(name)
    assert skeleton(unicodedata.normalize("NFD", name)) == shape
    assert "%" in fold(name) or skeleton(shape) == shape


@given(some_name)
def test_checking_gives_the_name_or_a_refusal(name: str) -> None:
    for check, wish in ((check_nick, name), (check_room, name), (check_room, f"#{name}")):
        with suppress(NameRefused):
            checked = check(wish)
            assert checked == unicodedata.normalize("NFC", wish)
            assert check(checked) == checked
            assert skeleton(checked)


@given(st.text(string.ascii_letters + string.digits + "_.-", max_size=40))
def test_the_short_way_for_plain_names_agrees_with_the_long_one(name: str) -> None:
    assert skeleton(name) == table().shape(name)


def test_no_kept_character_disappears_when_folded() -> None:
    for char in map(chr, range(0x30000)):
        sort = table().sort(char)
        if sort is not None:
            folded = fold(char)
            assert folded
            assert fold(folded) == folded
            assert all(table().sort(c) for c in folded), ascii(char)
