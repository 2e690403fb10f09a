"""What is purged is gone: from pages, from the file, and for ever; what stays, stays as it was. Asked of each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest_twisted

from chatd.core import retention
from chatd.core.codes import Code
from chatd.core.events import Event, Fate, MessageSent, Purged, Related, RoomMade
from chatd.core.questions import EntryWanted, PageWanted, Side
from chatd.journal import schema
from chatd.journal.purge import purge
from chatd.journal.verify import Verified, verify

LOBBY = RoomMade("r1", "#lobby")


def said(body: str, msg_id: str | None = None, room: str = "r1") -> Event:
    return MessageSent(room, "ann", "ann", "text", body, msg_id)


def purged(first_seq: int, room: str = "r1") -> Event:
    return Purged(room, first_seq)


def verified(folder: Path) -> Verified:
    faults: list[str] = []
    connection = schema.connect_known(folder / "chatd.db")
    found = verify(connection, faults.append)
    connection.close()
    assert faults == []
    return found


async def numbers(followed: Any, **more: Any) -> tuple[list[int], int, int]:
    page = await followed.page("r1", **more)
    return [entry.seq for entry in page.entries], page.first_seq, page.last_seq


@pytest_twisted.ensureDeferred
async def test_a_room_begins_where_it_is_told(followed: Any) -> None:
    await followed.happen(LOBBY, said("one", "1"), said("two", "2"), said("three"), said("four"))
    [entry] = await followed.happen(purged(3))
    assert (entry.fate, entry.seq, entry.code) == (Fate.COMMITTED, 0, None)
    assert await numbers(followed) == ([3, 4], 3, 4)
    assert await numbers(followed, side=Side.AFTER, place=0) == ([3, 4], 3, 4)
    assert await followed.journal.ask(EntryWanted("r1", 2)) is None
    await followed.happen(purged(2))  # it does not come back
    assert await numbers(followed) == ([3, 4], 3, 4)


@pytest_twisted.ensureDeferred
async def test_a_room_that_is_empty_goes_on_counting(followed: Any) -> None:
    await followed.happen(LOBBY, said("one"), said("two"), purged(3))
    assert await numbers(followed) == ([], 3, 2)
    assert (await followed.happen(said("three")))[0].seq == 3
    assert await numbers(followed) == ([3], 3, 3)


@pytest_twisted.ensureDeferred
async def test_what_is_gone_is_no_target_and_its_msg_id_is_free(followed: Any) -> None:
    """In the same batch, and in another one."""
    edit = Related("r1", "ann", "ann", "edit", 1, body="x")
    entries = await followed.happen(LOBBY, said("one", "1"), said("two"), purged(2), edit, said("new", "1"))
    assert [entry.code for entry in entries] == [None, None, None, None, Code.NO_SUCH_MESSAGE, None]
    assert [entry.code for entry in await followed.happen(purged(3), edit)] == [None, Code.NO_SUCH_MESSAGE]
    entries = await followed.happen(said("new", "1"), said("other", "1"), purged(4), said("newer", "1"))
    assert [(entry.fate, entry.seq) for entry in entries] == [
        (Fate.REPEATED, 3),
        (Fate.REFUSED, 0),
        (Fate.COMMITTED, 0),
        (Fate.COMMITTED, 4),
    ]


@pytest_twisted.ensureDeferred
async def test_nothing_is_purged_that_is_not_there(followed: Any) -> None:
    entries = await followed.happen(LOBBY, said("one"), purged(3), purged(0))
    assert [entry.code for entry in entries[2:]] == [Code.NO_SUCH_MESSAGE] * 2
    assert [entry.code for entry in await followed.happen(purged(1, "r9"))] == [Code.INTERNAL]
    assert await numbers(followed) == ([1], 1, 1)


@pytest_twisted.ensureDeferred
async def test_the_chain_holds_from_there_on_also_after_reopening(opens: Any, tmp_path: Path) -> None:
    followed = await opens("sqlite:")
    await followed.happen(LOBBY, *(said(f"word-{n}") for n in range(1, 7)))
    await followed.happen(purged(3), said("seven"), purged(5))
    assert verified(tmp_path) == Verified(rooms=1, events=3)
    await followed.happen(purged(8))
    await followed.journal.close()
    assert b"word-" not in (tmp_path / "chatd.db").read_bytes()
    again = await opens("sqlite:")
    assert (again.snapshot.rooms[0].first_seq, again.snapshot.rooms[0].last_seq) == (8, 7)
    await again.happen(said("eight"))
    assert verified(tmp_path) == Verified(rooms=1, events=1)


@pytest_twisted.ensureDeferred
async def test_the_file_is_purged_by_age_in_slices(opens: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """Only the beginning of a room goes, and nothing that is young enough."""
    monkeypatch.setattr(retention, "SLICE", 3)
    followed = await opens("sqlite:")
    await followed.happen(LOBBY, RoomMade("r2", "#ops"), RoomMade("r3", "#empty"))
    await followed.happen(*(said("old") for _ in range(10)), time=1_000)
    await followed.happen(*(said("new") for _ in range(5)), said("new", room="r2"), time=2_000)
    await followed.journal.close()
    path = tmp_path / "chatd.db"
    assert purge(path, 2_000, "ops") == []
    assert purge(path, 1_004) == [4]
    assert purge(path, 2_000, "#lobby") == [6]
    assert purge(path, 2_000) == []
    assert verified(tmp_path) == Verified(rooms=3, events=6)
    assert purge(path, 9_000) == [5, 1]
    assert verified(tmp_path) == Verified(rooms=3, events=0)


def test_a_step_asks_for_what_is_left(tmp_path: Path) -> None:
    assert retention.oldest_kept("r1", 7) == PageWanted("r1", Side.AFTER, 6, 1, by_time=True)
    assert [retention.age(text) for text in ("", "1h", "30d", "2w")] == [
        0,
        3_600_000_000,
        2_592_000_000_000,
        1_209_600_000_000,
    ]
