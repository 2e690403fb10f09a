"""What others wrote does nothing to the reader's terminal, and is otherwise left as it was."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.core.text import clean_body, clean_input, clean_line, count_lines

SEQUENCES = [
    ("nothing to do", "hello, Zoë: 你好 🎉", "hello, Zoë: 你好 🎉"),
    ("nothing at all", "", ""),
    ("colour", "a\x1b[31mred\x1b[0mb", "aredb"),
    ("colour, 8-bit", "a\x9b31mred\x9bmb", "aredb"),
    ("many parameters", "\x1b[38;2;255;0;0;48:5:1mx", "x"),
    ("private mode", "\x1b[?1049h\x1b[?25lx", "x"),
    ("an intermediate", "\x1b[4 qx\x1b[!px", "xx"),
    ("clear the screen", "\x1b[2J\x1b[Hgone", "gone"),
    ("CSI without its end", "\x1b[31", ""),
    ("CSI broken off by a letter of no ASCII", "\x1b[31éa", "éa"),
    ("CSI broken off by another", "\x1b[3\x1b[1mx", "x"),
    ("OSC 0, the title, BEL", "\x1b]0;pwned\x07x", "x"),
    ("OSC 0, the title, ST", "\x1b]0;pwned\x1b\\x", "x"),
    ("OSC 8, a link", "\x1b]8;;http://evil/\x1b\\bank\x1b]8;;\x1b\\", "bank"),
    ("OSC 52, the clipboard", "\x1b]52;c;cm0gLXJmIH4=\x07x", "x"),
    ("OSC 52, 8-bit", "\x9d52;c;cm0gLXJmIH4=\x9cx", "x"),
    ("OSC without its end", "a\x1b]52;c;rest of it", "a52;c;rest of it"),
    ("OSC broken off", "a\x1b]0;b\x00c\x07d", "a0;bcd"),
    ("OSC with Unicode in it", "\x1b]0;é🎉\x07x", "x"),
    ("DCS", "a\x1bP1$r0m\x1b\\b\x90q#0\x9cc", "abc"),
    ("DCS of tmux with OSC inside", "\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\x", "tmux;x"),
    ("APC, PM, SOS", "\x1b_a\x1b\\1\x1b^b\x1b\\2\x1bXc\x1b\\3\x9fd\x9c4\x9ee\x9c5\x98f\x9c6", "123456"),
    ("SS3, an arrow key", "\x1bOAx\x8fBy", "xy"),
    ("SS2", "\x1bNax\x8eby", "xy"),
    ("a key of the Linux console", "\x1b[[Ax", "x"),
    ("reset", "\x1bcx", "x"),
    ("other character sets", "\x1b(0qqq\x1b(B\x0eqq\x0f\x1b%Gx", "qqqqqx"),
    ("ESC alone", "a\x1b", "a"),
    ("ESC before no ASCII", "a\x1bé", "aé"),
    ("a sequence made by taking one out", "\x1b\x1b[0m[31mx", "[31mx"),
    ("an 8-bit one made likewise", "\x9b\x1b[0m31mx", "31mx"),
    ("bell, null, backspace, delete", "a\x07\x00\x08\x7fb", "ab"),
    ("all of C1", "a" + "".join(map(chr, range(0x80, 0x85))) + "\x86\x8d\x91\x97\x99\x9ab", "ab"),
    ("a tab", "a\tb", "a b"),
    ("half a surrogate pair", "a\ud83db", "a\ufffdb"),
    ("a family of joined emoji", "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f", None),
    ("a flag of tags", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", None),
    ("Persian with a non-joiner", "می\u200cخواهم", None),
    ("no-break space, soft hyphen", "a\u00a0b\u00adc", None),
    ("Hebrew as it is", "שלום world", None),
]
BIDI = [
    ("embeddings", "a\u202ab\u202bc\u202cd"),
    ("overrides", "a\u202db\u202ec\u202cd"),
    ("isolates", "a\u2066b\u2067c\u2068\u2069d"),
    ("marks", "a\u200eb\u200fc\u061cd"),
]
BREAKS = ["\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]

ids = [case[0] for case in SEQUENCES]
noise = st.text(
    st.sampled_from("\x1b\x1b[]P^_XNO\\\x07\x9b\x9c\x9d\x90\x8f0;1?m (\t\r\n\x85\u2028\x00\x7f\u202e\u200d\ufe0fé🎉ab")
    | st.characters(),
    max_size=60,
)


@pytest.mark.parametrize("clean", [clean_line, clean_body, clean_input])
@pytest.mark.parametrize(("what", "said", "shown"), SEQUENCES, ids=ids)
def test_sequences_are_taken_out_whole(what: str, said: str, shown: str | None, clean: object) -> None:
    """A7: escape sequences and control characters of others do not reach the terminal."""
    assert callable(clean)
    assert clean(said) == (said if shown is None else shown)


@pytest.mark.parametrize(("what", "said"), BIDI, ids=[case[0] for case in BIDI])
def test_bidirectional_controls_are_not_shown_but_kept_when_typed(what: str, said: str) -> None:
    assert clean_line(said) == clean_body(said) == "abcd"
    assert clean_input(said) == said


@pytest.mark.parametrize("br", BREAKS, ids=ascii)
def test_a_line_break_is_a_space_in_a_line_and_a_newline_in_a_body(br: str) -> None:
    assert clean_line(f"a{br}b") == clean_input(f"a{br}b") == "a b"
    assert clean_body(f"a{br}b{br}") == "a\nb\n"
    assert count_lines(f"a{br}b") == count_lines(f"a{br}b{br}") == 2


def test_nobody_can_speak_under_another_name() -> None:
    """A41: alice writes a line that looks like one of bob's; it stays inside hers."""
    for br in BREAKS:
        said = f"hi{br}[14:02:33] <bob> I owe alice 5 €"
        line = f"[14:02:33] <alice> {clean_line(said)}"
        assert line.splitlines() == ["[14:02:33] <alice> hi [14:02:33] <bob> I owe alice 5 €"]
    assert clean_line("<bob> hello") == "<bob> hello"
    assert clean_line("\x1b[2K\x1b[1G[14:02:33] <bob> hello") == "[14:02:33] <bob> hello"
    assert clean_line("\r[14:02:33] <bob> hello\x1b[K") == " [14:02:33] <bob> hello"


def test_an_unfinished_string_swallows_nothing_that_follows_it() -> None:
    assert clean_body("one\x1b]0;two\nthree\x07four") == "one0;two\nthreefour"
    assert clean_line("a\x1bPb\tc\x1b\\d") == "ab cd"


def test_many_beginnings_of_strings_take_no_more_time_than_their_length() -> None:
    assert clean_line("\x1b]" * 30_000) == ""
    assert clean_line("\x1b[" + "0" * 60_000) == ""
    assert clean_line("\x9d" * 30_000 + "a" * 30_000) == "a" * 30_000


def test_lines_are_counted_as_they_are_shown() -> None:
    bodies = ("", "a", "a\n", "a\nb", "\n\n", "a\r\n\r\nb")
    assert [count_lines(body) for body in bodies] == [1, 1, 1, 2, 2, 3]


@given(noise)
def test_a_clean_line_is_one_line_without_anything_a_terminal_obeys(said: str) -> None:
    shown = clean_line(said)
    assert clean_line(shown) == clean_body(shown) == shown
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not any(unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF") for c in shown)


@given(noise)
def test_a_clean_body_has_no_more_lines_than_were_counted(said: str) -> None:
    shown = clean_body(said)
    assert clean_body(shown) == shown
    assert count_lines(shown) <= count_lines(said)  # fewer if the last one had nothing to show
    assert all(unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in shown if c != "\n")


@given(noise)
def test_clean_input_is_one_line_and_stays_as_it_is(said: str) -> None:
    typed = clean_input(said)
    assert clean_input(typed) == typed
    assert len(typed.splitlines()) <= 1


@given(st.text(st.characters(exclude_categories=("C", "Z"))))
def test_plain_text_is_not_touched(said: str) -> None:
    assert clean_line(said) is clean_body(said) is clean_input(said) is said
