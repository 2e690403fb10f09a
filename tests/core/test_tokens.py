"""A token names who it is for, and only ours do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatd.core import tokens

SECRET = b"s" * 32
TOM = tokens.Identity("u1", "tom", 1000)


def test_a_token_is_good_until_it_is_too_old() -> None:
    token = tokens.sign(SECRET, TOM)
    assert tokens.read(SECRET, token, now=1500, lifetime=500) == TOM
    assert tokens.read(SECRET, token, now=1501, lifetime=500) is None


def test_another_servers_token_is_not_ours() -> None:
    assert tokens.read(b"t" * 32, tokens.sign(SECRET, TOM), now=1000, lifetime=1) is None


@given(st.text())
def test_no_text_is_a_token_by_chance(text: str) -> None:
    assert tokens.read(SECRET, text, now=1000, lifetime=1e9) is None


@given(st.integers(0, 60), st.characters())
def test_a_changed_token_is_none(place: int, char: str) -> None:
    token = tokens.sign(SECRET, TOM)
    changed = token[:place] + char + token[place + 1 :]
    assert changed == token or tokens.read(SECRET, changed, now=1000, lifetime=1e9) is None


def test_another_spelling_of_the_same_signature_is_none() -> None:
    token = tokens.sign(SECRET, TOM)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    again = token[:-1] + alphabet[alphabet.index(token[-1]) + 1]  # the last two bits mean nothing
    assert again != token
    assert tokens.read(SECRET, again, now=1000, lifetime=10) is None
