"""Words to come back with: many, easy to write, and nothing of them is kept."""

from __future__ import annotations

import re
import secrets

from chatd.core.comeback import key_of, lists, word_of


def test_there_are_too_many_words_to_guess() -> None:
    """Two lists of 512 words and more, without repetition, and four digits: 2.4 thousand million at the least."""
    for words in lists():
        assert len(set(words)) == len(words) >= 512
        assert all(re.fullmatch("[a-z]{2,10}", word) for word in words)
    words = {word_of(secrets.token_hex(8)) for _ in range(10_000)}
    assert len(words) >= 9_998
    assert {len(word.split("-")[2]) for word in words} == {4}


def test_a_word_comes_of_chance_alone() -> None:
    assert word_of("0" * 16) == f"{lists()[0][0]}-{lists()[1][0]}-1000"
    assert word_of("f" * 16) == word_of("f" * 16) != word_of("f" * 15 + "e")


def test_the_key_needs_the_secret_and_takes_the_word_as_it_is_typed() -> None:
    key = key_of(b"secret", "bold-otter-4127")
    assert key == key_of(b"secret", " Bold-OTTER-4127 ")
    assert key != key_of(b"other", "bold-otter-4127")
    assert key != key_of(b"secret", "bold-otter-4128")
    assert len(key) == 32
    assert key_of(b"secret", "\ud800")
