"""Pages: which of a room's entries a question asks for. The same for every kind of journal.

It counts in numbers alone. Rows are fetched by whoever asks, and only as many as the bytes allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, TypeVar

from chatd.core.questions import PageWanted, Side


class Row(NamedTuple):
    """A stored entry: its number, its time, and the bytes of its event."""

    seq: int
    time: int
    blob: bytes


class Stored(Protocol):
    """What of a row counts here: the bytes of its event."""

    @property
    def blob(self) -> bytes: ...


R = TypeVar("R", bound=Stored)


class Span(NamedTuple):
    """The numbers from `low` to `high`, both included. `middle` is where filling begins: upwards from it, and
    downwards from the one below it."""

    low: int
    middle: int
    high: int


def span(question: PageWanted, first: int, last: int, time_of: Callable[[int], int]) -> Span:
    """The numbers that a question asks for, of those from `first` to `last` that the room has.

    `time_of` tells the time of the entry with a number; it is asked 24 times among ten million.
    """
    side, limit = question.side, question.limit
    if question.last is not None:
        last = min(last, question.last)
    place = _place(question, first, last, time_of)
    if side is Side.BEFORE:
        high = min(place - 1, last)
        return Span(max(high - limit + 1, first), high + 1, high)
    if side is Side.AFTER:
        low = max(place + 1, first)
        return Span(low, low, min(low + limit - 1, last))
    # Near an edge the page is moved, not shortened.
    low = max(min(place - limit // 2, last - limit + 1), first)
    high = min(low + limit - 1, last)
    return Span(low, max(low, min(place, high)), high)


def _place(question: PageWanted, first: int, last: int, time_of: Callable[[int], int]) -> int:
    side, place = question.side, question.place
    if place is None:
        return {Side.BEFORE: last + 1, Side.AFTER: first - 1, Side.AROUND: last}[side]
    if not question.by_time:
        return place
    # After a time means later than it: the first that is not older than the next microsecond, and those above.
    if side is Side.AFTER:
        return _seq_at(place + 1, first, last, time_of) - 1
    return _seq_at(place, first, last, time_of)


def _seq_at(time: int, first: int, last: int, time_of: Callable[[int], int]) -> int:
    """The lowest number whose entry is not older than `time`; `last + 1` if all are.

    Where a clock went back there are several such places, and this is one of them: clocks order nothing.
    """
    low, high = first, last + 1
    while low < high:
        middle = (low + high) // 2
        if time_of(middle) < time:
            low = middle + 1
        else:
            high = middle
    return low


def fill(span: Span, rows: Callable[[int, int, bool], Iterable[R]], max_bytes: int) -> list[R]:
    """The rows of a span, ascending, as far as `max_bytes` go but at least one.

    `rows` gives those from one number to another, both included, ascending or (if true) descending.
    """
    low, middle, high = span
    # Where both sides are asked for, each gets half, and the lower one what the upper one has left.
    after = _take(rows(middle, high, False), max_bytes if low == middle else max_bytes // 2, True)
    rest = max_bytes - sum(len(row.blob) for row in after)
    before = _take(rows(low, middle - 1, True), rest, not after)
    return before[::-1] + after


def _take(rows: Iterable[R], max_bytes: int, one: bool) -> list[R]:
    """As many as fit; if `one`, the first whatever its size."""
    taken: list[R] = []
    for row in rows:
        max_bytes -= len(row.blob)
        if max_bytes < 0 and (taken or not one):
            break
        taken.append(row)
    return taken
