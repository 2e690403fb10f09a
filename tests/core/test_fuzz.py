"""Whatever is written for a name, a text, a token or a value: an answer or the refusal that belongs to it.

With `--soak` each of these tries a million inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from unicodedata import category

import pytest
from hypothesis import strategies as st
from support.fuzz import damaged, explore, values, words

from chatd.core import tokens, typed
from chatd.core.names import NameRefused, check_nick, check_room, fold, skeleton, suggest
from chatd.core.text import clean_body, clean_input, clean_line, count_lines

Extent = Callable[[int, int], int]

pytestmark = pytest.mark.timeout(600)

FEW, MANY = 300, 1_000_000
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# Letters and signs of many scripts, which chance alone would hardly put beside each other.
letters = st.sampled_from("aIl10оаαΑІßẞİıﬁæ한ㅎ語あアक\u093f\u0301\u0307\u200d\u200c_-.٣๑𝐚𞤀 ")
texts = (
    words
    | st.text(alphabet=letters, max_size=40)
    | st.text(alphabet="\x1b[]0;m\x07\x9b\x90\\P\u202e\n\r\t x", max_size=20)
)


def test_names(extent: Extent) -> None:
    """A name is refused, or keeps its promises: the same once more, one line, and something else is suggested."""

    def check(text: str) -> None:
        fold(text)
        skeleton(text)
        offered = suggest(text, lambda name: True)
        assert check_nick(offered) == offered
        for ask, most in ((check_nick, 96), (check_room, 256)):
            try:
                name = ask(text)
            except NameRefused as refused:
                told = str(refused)
                assert clean_line(told) == told
                assert len(told) < 200
            else:
                assert ask(name) == name == clean_line(name)
                assert fold(fold(name)) == fold(name)
                assert len(name.encode()) <= most
                assert not any(category(sign) in ("Cc", "Cs", "Zl", "Zp", "Zs") for sign in name)

    explore(check, extent(FEW, MANY), text=texts | texts.map("#{}".format))


def test_texts(extent: Extent) -> None:
    """What was cleaned is clean, can be sent, and stays as it is."""

    def check(text: str) -> None:
        line, body, typed_line = clean_line(text), clean_body(text), clean_input(text)
        assert clean_line(line) == line
        assert clean_body(body) == body
        assert clean_input(typed_line) == typed_line
        for shown in (line, body.replace("\n", ""), typed_line):
            assert not any(category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in shown)
            assert len(shown.splitlines()) <= 1
        assert not BIDI & set(line + body)
        assert len((line + body).encode()) <= 8 * len(text)
        assert count_lines(text) >= 1

    explore(check, extent(FEW, MANY), text=texts)


def test_tokens(extent: Extent) -> None:
    """Only what was signed is believed."""
    identity = tokens.Identity("user", "tom", 100)
    good = tokens.sign(b"secret", identity)

    def check(text: str) -> None:
        found = tokens.read(b"secret", text, now=200, lifetime=1000)
        assert found is None or (found == identity and text.rstrip("=") == good)

    near = damaged(st.just(good.encode())).map(lambda blob: blob.decode("latin-1"))
    explore(check, extent(FEW, MANY), text=near | words)


def test_values(extent: Extent) -> None:
    """What may travel comes back equal out of JSON's tags; what may not is refused, and told in words."""

    def check(value: object) -> None:
        for read in (typed.check, typed.from_json):
            try:
                found = read(value, max_depth=6)
            except ValueError as error:
                if not str(error).startswith("data"):
                    raise
            else:
                again = typed.from_json(typed.to_json(found), max_depth=6)
                assert again == found

    explore(check, extent(FEW, MANY), value=values)
