"""Pages and single entries, asked of each kind of journal."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from chatd.core.events import (
    Entry,
    Event,
    Fate,
    MessageSent,
    RoomMade,
)
from chatd.core.questions import EntryWanted, Side

LOBBY = RoomMade("r-lobby", "#lobby")
OPS = RoomMade("r-ops", "#ops")


def said(body: str, msg_id: str | None = None, *, room: str = "r-lobby", author: str = "u-ann", **more: Any) -> Event:
    return MessageSent(room, author, author[2:], "text", body, msg_id, **more)


@pytest.mark.parametrize(
    ("side", "place", "limit", "wanted"),
    [
        (Side.BEFORE, None, 3, [8, 9, 10]),
        (Side.BEFORE, None, 50, [*range(1, 11)]),
        (Side.BEFORE, 5, 3, [2, 3, 4]),
        (Side.BEFORE, 3, 3, [1, 2]),
        (Side.BEFORE, 1, 3, []),
        (Side.BEFORE, 0, 3, []),
        (Side.BEFORE, 11, 1, [10]),
        (Side.BEFORE, 1 << 53, 2, [9, 10]),
        (Side.AFTER, 0, 3, [1, 2, 3]),
        (Side.AFTER, 4, 3, [5, 6, 7]),
        (Side.AFTER, 8, 3, [9, 10]),
        (Side.AFTER, 10, 3, []),
        (Side.AFTER, 1 << 53, 3, []),
        (Side.AFTER, None, 2, [1, 2]),
        (Side.AROUND, 5, 4, [3, 4, 5, 6]),
        (Side.AROUND, 5, 5, [3, 4, 5, 6, 7]),
        (Side.AROUND, 5, 1, [5]),
        (Side.AROUND, 1, 4, [1, 2, 3, 4]),
        (Side.AROUND, 10, 4, [7, 8, 9, 10]),
        (Side.AROUND, 99, 4, [7, 8, 9, 10]),
        (Side.AROUND, 5, 99, [*range(1, 11)]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_page_is_taken_from_any_side_of_a_number(
    followed: Any, side: Side, place: int | None, limit: int, wanted: list[int]
) -> None:
    """A53: always ascending, with the range of what there is."""
    events = [said(f"m{n}") for n in range(1, 11)]
    await followed.happen(LOBBY, OPS, said("not this", room="r-ops"), *events, said("nor this", room="r-ops"))
    page = await followed.page("r-lobby", side, place, limit)
    assert [entry.seq for entry in page.entries] == wanted
    assert [entry.event for entry in page.entries] == [events[seq - 1] for seq in wanted]
    assert (page.first_seq, page.last_seq) == (1, 10)
    assert all(entry.ticket is None and entry.fate is Fate.COMMITTED for entry in page.entries)


@pytest.mark.parametrize(
    ("side", "time", "wanted"),
    [
        (Side.BEFORE, 1002, [1, 2]),
        (Side.BEFORE, 1000, []),
        (Side.BEFORE, 9999, [8, 9, 10]),
        (Side.AFTER, 1002, [4, 5, 6]),
        (Side.AFTER, 999, [1, 2, 3]),
        (Side.AFTER, 1009, []),
        (Side.AROUND, 1004, [4, 5, 6]),
        (Side.AROUND, 0, [1, 2, 3]),
        (Side.AROUND, 9999, [8, 9, 10]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_page_is_taken_from_any_side_of_a_time(followed: Any, side: Side, time: int, wanted: list[int]) -> None:
    await followed.happen(LOBBY, time=0)
    await followed.happen(*(said(f"m{n}") for n in range(1, 11)), time=1000)
    page = await followed.page("r-lobby", side, time, 3, by_time=True)
    assert [entry.seq for entry in page.entries] == wanted


@pytest.mark.parametrize(
    ("side", "place", "most", "wanted"),
    [
        (Side.BEFORE, None, 1, [10]),
        (Side.BEFORE, None, 3, [8, 9, 10]),
        (Side.AFTER, 0, 1, [1]),
        (Side.AFTER, 0, 3, [1, 2, 3]),
        (Side.AROUND, 5, 1, [5]),
        (Side.AROUND, 5, 4, [3, 4, 5, 6]),
        (Side.AROUND, 10, 4, [7, 8, 9, 10]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_page_holds_as_many_bytes_as_allowed_but_at_least_one_entry(
    followed: Any, side: Side, place: int | None, most: int, wanted: list[int]
) -> None:
    await followed.happen(LOBBY, *(said(f"{n}" * 1000) for n in range(10)))
    page = await followed.page("r-lobby", side, place, 10, max_bytes=most * 1100)
    assert [entry.seq for entry in page.entries] == wanted
    [smallest] = (await followed.page("r-lobby", side, place, 10, max_bytes=1)).entries
    assert smallest.seq == {Side.BEFORE: 10, Side.AFTER: 1, Side.AROUND: place}[side]


@pytest_twisted.ensureDeferred
async def test_rooms_without_events_and_rooms_that_are_not_there_have_empty_pages(followed: Any) -> None:
    await followed.happen(LOBBY)
    for room in ("r-lobby", "r-no"):
        for side in Side:
            for by_time in (True, False):
                page = await followed.page(room, side, 5, by_time=by_time)
                assert (page.entries, page.first_seq, page.last_seq) == ([], 1, 0)
        assert await followed.journal.ask(EntryWanted(room, 1)) is None


@pytest_twisted.ensureDeferred
async def test_one_entry_is_found_by_its_number(followed: Any) -> None:
    when = {"at": [1.5, b"bytes", None, {"deep": "value"}]}
    await followed.happen(LOBBY, said("one"), said("two", "2", data=when, schema="s"), time=70)
    entry = await followed.journal.ask(EntryWanted("r-lobby", 2))
    assert entry == Entry(said("two", "2", data=when, schema="s"), 72, 2)
    for seq in (-1, 0, 3, 1 << 60):
        assert await followed.journal.ask(EntryWanted("r-lobby", seq)) is None


@pytest_twisted.ensureDeferred
async def test_many_questions_may_be_under_way_at_once(followed: Any) -> None:
    await followed.happen(LOBBY, *(said(f"m{n}") for n in range(50)))
    asked = [followed.journal.ask(EntryWanted("r-lobby", seq)) for seq in range(1, 51)]
    assert not any(answer.called for answer in asked)
    assert [(await answer).seq for answer in asked] == list(range(1, 51))


@pytest.mark.parametrize(
    ("side", "place", "limit", "wanted"),
    [
        (Side.BEFORE, None, 3, [2, 3, 4]),
        (Side.BEFORE, 99, 3, [2, 3, 4]),
        (Side.AFTER, 2, 9, [3, 4]),
        (Side.AROUND, 4, 3, [2, 3, 4]),
        (Side.AROUND, 9, 3, [2, 3, 4]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_nobody_was_shown_yet_is_taken_as_not_there(
    followed: Any, side: Side, place: int | None, limit: int, wanted: list[int]
) -> None:
    """Otherwise the newest page would be empty while more is being committed than a page holds."""
    await followed.happen(LOBBY, *(said(f"m{n}") for n in range(1, 11)))
    page = await followed.page("r-lobby", side, place, limit, last=4)
    assert [entry.seq for entry in page.entries] == wanted
