"""The check before a start: what can be known of a journal's file in a short time, and before anything is written.

It reads only, so that a file which is refused stays as it is, its WAL included. A long history is not walked through
here: `chatd.journal.patrol` does that later, beside the running server.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import sqlite3
import struct
import time
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from msgspec import MsgspecError

from chatd.journal import schema
from chatd.journal.salvage import Room, good, is_known, known_of, last_of, past
from chatd.journal.schema import SEQ_BITS, event_id

SMALL = 32 << 20
"""Up to this size SQLite looks at every page of the file: at about 1 GB a second, if the kernel knows it."""

SECONDS = 0.3
"""The most that the look at the rooms takes; what is left then is left to the patrol."""

_WAL_HEADER = struct.Struct(">8I")
_WAL_FRAME = struct.Struct(">6I")


def check(path: Path) -> list[str]:
    """What of the journal at `path` is gone, in words; the start may go on without it.

    Raises `OperatorError` or `sqlite3.Error` for what nothing should be written to.
    """
    with closing(schema.connect_reader(path)) as connection:
        schema.recognise(connection, path)
        try:
            _tables(connection, path)
            if connection.execute("SELECT length(value) FROM meta WHERE key = 'secret'").fetchall() != [(32,)]:
                raise schema.damaged(path, "it has no secret")
            faults = _size(connection, path)
            if path.stat().st_size <= SMALL:
                [(line,)] = connection.execute("PRAGMA quick_check(1)")
                if line != "ok":
                    raise schema.damaged(path, " ".join(line.rpartition("***")[2].split()))
            return faults + _rooms(connection, path)
        except (MsgspecError, UnicodeDecodeError, TypeError, ValueError) as error:
            raise schema.damaged(path, "what it says cannot be read") from error


def _tables(connection: sqlite3.Connection, path: Path) -> None:
    """Whether the tables are those of the file's version."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as ours:
        ours.executescript(schema.tables_of(connection.execute("PRAGMA user_version").fetchone()[0]))
        columns = """SELECT m.type, m.name, m.tbl_name, c.name, c.type, c."notnull", c.pk
            FROM sqlite_master m LEFT JOIN pragma_table_info(m.name) c ORDER BY m.name, c.cid"""
        wanted = ours.execute(columns).fetchall()
    missing = {(row[1], row[3]) for row in wanted} - {(row[1], row[3]) for row in connection.execute(columns)}
    if missing:
        raise schema.damaged(path, f"it has no {' '.join(word for word in min(missing, key=str) if word)}")


def _size(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Whether every page is somewhere, in the file or in its WAL, and what of the WAL is gone."""
    [(page,)] = connection.execute("PRAGMA page_size")
    [(count,)] = connection.execute("PRAGMA page_count")
    there = path.stat().st_size // page
    wal = schema.beside(path, "-wal")
    in_wal, behind = _pages_of(wal, path, page) if wal.exists() else (set(), 0)
    if not in_wal.issuperset(range(there + 1, count + 1)):
        raise schema.damaged(path, "its end is missing")
    if not behind:
        return []
    kept = _keep(wal)
    return [f"the last {behind} commits in {wal.name} cannot be read; it is kept as {kept.name}"]


def _keep(wal: Path) -> Path:
    """A copy of a WAL that will be written over. That of an earlier start, which went no further, will do."""
    number = 1
    while (kept := wal.with_name(f"{wal.name}.damaged-{number}")).exists():
        if filecmp.cmp(wal, kept, shallow=False):
            return kept
        number += 1
    draft = wal.with_name(f"{wal.name}.damaged-new")
    try:
        shutil.copy(wal, draft)
        draft.rename(kept)
    finally:
        draft.unlink(missing_ok=True)
    return kept


def _pages_of(wal: Path, path: Path, page: int) -> tuple[set[int], int]:
    """The pages that SQLite takes from a WAL, and how many commits that count are behind the place where it stops.

    It stops where the WAL is damaged, and says nothing.
    """
    taken = _frames_taken(path)
    pages, behind, number = set(), [], 0
    with wal.open("rb") as opened:
        head = opened.read(_WAL_HEADER.size)
        if len(head) < _WAL_HEADER.size:
            return set(), 0
        magic, *_, salt, other, first, second = _WAL_HEADER.unpack(head)
        is_big = bool(magic & 1)
        is_whole = _checksum(head[:24], is_big) == (first, second)
        while len(frame := opened.read(_WAL_FRAME.size)) == _WAL_FRAME.size:
            number += 1
            at, _, one, two, *_ = _WAL_FRAME.unpack(frame)
            if number <= taken:
                pages.add(at)
            elif not is_whole or (one, two) == (salt, other):  # else it is from before the last checkpoint
                behind.append(opened.tell() - _WAL_FRAME.size)
            opened.seek(page, os.SEEK_CUR)
        return pages, _commits(opened, behind, page, is_big)


def _commits(wal: BinaryIO, frames: list[int], page: int, is_big: bool) -> int:
    """How many commits are in these frames of a WAL, each told by its place, that others were built upon.

    One that nothing follows may be what a crash has cut off, before anybody was told of it; or what is left of one
    that failed, and was not told either, under the shorter ones that took its place. Those before it were synced.
    """
    runs = [0]
    end, before = 0, (0, 0)
    for at in frames:
        wal.seek(at)
        frame = wal.read(_WAL_FRAME.size + page)
        if len(frame) < _WAL_FRAME.size + page:
            break
        _, commit, _, _, *sums = _WAL_FRAME.unpack(frame[: _WAL_FRAME.size])
        if at != end or _checksum(frame[:8] + frame[_WAL_FRAME.size :], is_big, before) != tuple(sums):
            runs.append(0)  # it does not follow the frame before it
        runs[-1] += commit > 0
        end, before = at + len(frame), (sums[0], sums[1])
    return sum(count for count in runs if count > 1)


def _frames_taken(path: Path) -> int:
    """How many frames of the WAL SQLite has found whole: in the index that it has just made of it."""
    with schema.beside(path, "-shm").open("rb") as opened:
        return int(struct.unpack("=5I", opened.read(20))[4])


def _checksum(words: bytes, is_big: bool, before: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Of these bytes and those `before` them: https://www.sqlite.org/fileformat2.html#checksum_algorithm."""
    one, two = before
    numbers = struct.unpack(f"{'>' if is_big else '<'}{len(words) // 4}I", words)
    for number, following in zip(numbers[::2], numbers[1::2], strict=True):
        one = (one + number + two) & 0xFFFFFFFF
        two = (two + following + one) & 0xFFFFFFFF
    return one, two


def _rooms(connection: sqlite3.Connection, path: Path) -> list[str]:
    """What of the rooms' ends is gone; all rooms must be there, and nothing without a room."""
    statement = "SELECT no, room_id, first_seq, link_before, name FROM rooms ORDER BY no"
    rooms = [(Room(*row[:4]), row[4] or row[1]) for row in connection.execute(statement)]
    if [room.no for room, _ in rooms] != list(range(1, len(rooms) + 1)):
        raise schema.damaged(path, "a room is gone")
    newest = connection.execute("SELECT max(id) FROM events").fetchone()[0] or 0
    if newest >> SEQ_BITS > len(rooms):
        raise schema.damaged(path, "a room is gone, and what was said there is not")
    faults = []
    deadline = time.monotonic() + SECONDS
    for room, name in rooms:
        if time.monotonic() > deadline:
            break
        last = last_of(connection, room)
        wanted = (event_id(room.no, 0), event_id(room.no + 1, 0))
        [(lowest,)] = connection.execute("SELECT min(id) FROM events WHERE id >= ? AND id < ?", wanted)
        known = known_of(connection, room.no)
        if lowest is not None and lowest != event_id(room.no, past(known, room.first)):
            faults.append(f"{name} {room.first}: the room's beginning is not there")
        end = {seq for seq in (last - 1, last) if seq >= room.first and not is_known(known, seq, seq)}
        if not end <= set(good(connection, room, last - 1, last)):
            faults.append(f"{name} {last}: the room's end is damaged")
    return faults
