"""Bookmarks in every kind of journal: the last one of a key counts, and of the old ones only so many are kept."""

from __future__ import annotations

from typing import Any

import pytest_twisted

from chatd.core.events import Bookmark, BookmarksMoved, Event, Proposal, RoomMade, Shown
from chatd.core.questions import BookmarkWanted, KeptBookmark
from chatd.journal.stored import decode_bookmark, encode


def marked(key: str, seq: int = 0) -> Bookmark:
    return Bookmark(key, "u-tom", "tom", "r-lobby", (Shown("r-lobby", "#lobby", seq), Shown("d1", "", 2)), seq > 5)


async def found(followed: Any, key: str) -> Any:
    return await followed.journal.ask(BookmarkWanted(key))


@pytest_twisted.ensureDeferred
async def test_the_last_bookmark_of_a_key_is_found_with_its_time(followed: Any) -> None:
    await followed.happen(BookmarksMoved((marked("a"), marked("b", 1))), time=10)
    await followed.happen(BookmarksMoved((marked("b", 7),)), time=20)
    assert await found(followed, "a") == KeptBookmark(marked("a"), 10)
    assert await found(followed, "b") == KeptBookmark(marked("b", 7), 20)
    assert await found(followed, "c") is None


@pytest_twisted.ensureDeferred
async def test_several_in_one_batch_count_in_their_order(followed: Any) -> None:
    events: list[Event] = [BookmarksMoved((marked("a", n),)) for n in range(5)]
    await followed.happen(*events)
    assert (await found(followed, "a")).bookmark == marked("a", 4)


@pytest_twisted.ensureDeferred
async def test_the_old_ones_are_dropped_and_those_beyond_so_many(followed: Any) -> None:
    for n, key in enumerate("abcdef"):
        await followed.happen(BookmarksMoved((marked(key),)), time=10 * n)
    await followed.happen(BookmarksMoved((), 20, 0), time=100)
    assert [key for key in "abcdef" if await found(followed, key)] == list("cdef")
    await followed.happen(BookmarksMoved((marked("c"),), 1, 3), time=110)
    assert [key for key in "abcdef" if await found(followed, key)] == list("cef")


@pytest_twisted.ensureDeferred
async def test_bookmarks_are_there_again_after_reopening(opens: Any) -> None:
    before = await opens("sqlite:")
    await before.happen(RoomMade("r-lobby", "#lobby"), BookmarksMoved((marked("a", 9),)))
    await before.journal.close()
    again = await opens("sqlite:")
    assert (await found(again, "a")).bookmark == marked("a", 9)


@pytest_twisted.ensureDeferred
async def test_what_no_store_could_hold_is_refused_alone(followed: Any) -> None:
    followed.append(Proposal(BookmarksMoved((marked("\ud800"),)), 1), Proposal(BookmarksMoved((marked("a"),)), 1))
    await followed.all_told()
    assert await found(followed, "a") is not None


def test_the_stored_form_of_a_bookmark_is_read_for_ever() -> None:
    """Of schema 2."""
    kept = bytes.fromhex("96a16ba175a3746f6da1729193a172a6236c6f62627905c3")
    bookmark = Bookmark("k", "u", "tom", "r", (Shown("r", "#lobby", 5),), True)
    assert decode_bookmark(kept) == bookmark
    assert encode(bookmark) == kept
