"""Lines out of pieces of text: every way to end a line, and lines that are too long or never end."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.protocols.lines import LineReader, Mark

TABLE: list[tuple[bytes, list[bytes | Mark]]] = [
    (b"", []),
    (b"half", []),
    (b"one\ntwo\n", [b"one", b"two"]),  # nc
    (b"one\r\ntwo\r\n", [b"one", b"two"]),  # telnet
    (b"one\r\0two\r\0", [b"one", b"two"]),  # a terminal that sends CR for the key
    (b"one\rtwo\r", [b"one", b"two"]),
    (b"one\r\n\r\n\n\rtwo\n", [b"one", b"", b"", b"", b"two"]),
    (b"a\0b\n", [b"a\0b"]),
    (b"12345678\n", [b"12345678"]),
    (b"123456789\nok\n", [Mark.TOO_LONG, b"ok"]),
    (b"123456789", [Mark.TOO_LONG]),  # told at once, its end may never come
    (b"123456789" * 3 + b"\r\nok\r\n", [Mark.TOO_LONG, b"ok"]),
    (b"\x04", [Mark.END]),
    (b"hi\n\x04", [b"hi", Mark.END]),
    (b"hi\x04\n", [b"hi\x04"]),  # in the middle of a line it is one of the control characters
]


@pytest.mark.parametrize(("sent", "lines"), TABLE)
def test_lines_end_in_every_usual_way(sent: bytes, lines: list[bytes | Mark]) -> None:
    assert LineReader(8).feed(sent) == lines


@pytest.mark.parametrize(("sent", "lines"), TABLE)
def test_and_so_they_do_one_byte_at_a_time(sent: bytes, lines: list[bytes | Mark]) -> None:
    reader = LineReader(8)
    assert [line for byte in sent for line in reader.feed(bytes((byte,)))] == lines


@given(st.lists(st.sampled_from([b"\r\n", b"\r\0", b"\n", b"a", b"bc", b"0123456789"])), st.data())
def test_where_it_is_cut_makes_no_difference(sent: list[bytes], chance: st.DataObject) -> None:
    whole = b"".join(sent)
    cuts = sorted(chance.draw(st.sets(st.integers(0, len(whole)))) | {0, len(whole)})
    reader, other = LineReader(8), LineReader(8)
    parts = [line for one, end in pairwise(cuts) for line in reader.feed(whole[one:end])]
    assert parts == other.feed(whole)
    assert reader.finish() == other.finish()


def test_a_last_line_without_end_is_a_line_when_nothing_more_comes() -> None:
    reader = LineReader(8)
    reader.feed(b"one\ntwo")
    assert reader.finish() == [b"two"]
    assert reader.finish() == []


def test_a_last_line_that_is_too_long_was_told_already() -> None:
    reader = LineReader(8)
    assert reader.feed(b"123456789") == [Mark.TOO_LONG]
    assert reader.finish() == []


@pytest.mark.parametrize(
    ("typed", "left"),
    [("ab", b"a"), ("aë", b"a"), ("a🎉", b"a"), ("你", b""), ("", b"")],
)
def test_erasing_takes_back_a_whole_character(typed: str, left: bytes) -> None:
    reader = LineReader(8)
    reader.feed(typed.encode())
    reader.erase_character()
    assert reader.feed(b"\n") == [left]


def test_erasing_the_line_begins_it_anew() -> None:
    reader = LineReader(8)
    reader.feed(b"123456789")
    assert not reader.is_empty
    reader.erase_line()
    assert reader.is_empty
    assert reader.feed(b"ok\n") == [b"ok"]


def test_a_line_without_end_takes_no_memory() -> None:
    reader, chunk = LineReader(8192), b"x" * 65_536
    tracemalloc.start()
    try:
        told = [mark for _ in range(160) for mark in reader.feed(chunk)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert told == [Mark.TOO_LONG]
    assert peak < 1_000_000
