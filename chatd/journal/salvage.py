"""Salvage: what can still be read of a room in a damaged file, and which numbers cannot.

A page of the file that is broken takes some rows with it, and SQLite then answers with an error for every stretch
that touches it: so stretches are halved until only what is broken is left out. A row that can be read may still not
be what was written; the chain (`chatd.journal.chain`) tells. Who is told of the damage is for others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec import MsgspecError

from chatd.core.events import Numbered
from chatd.journal import schema
from chatd.journal.chain import digest_of, link
from chatd.journal.schema import SEQ_MASK, event_id
from chatd.journal.stored import cleared, decode

STEP = 200
"""Numbers in one look at a damaged room."""

HOPELESS = 20_000
"""After so many numbers without one that can be read, the rest of a room is given up."""

Stretch = tuple[int, int]
"""Numbers from one to another, both included."""

ROWS = "SELECT id, time, event, link, digest FROM events WHERE id BETWEEN ? AND ?"


class Damaged(Exception):
    """What was read is not what was written."""


class Kept(NamedTuple):
    """A stored row: number, time, the bytes of the event, its link, and the digest of what was redacted."""

    seq: int
    time: int
    blob: bytes
    link: bytes
    digest: bytes | None


class Room(NamedTuple):
    """A room's own number, its id, the first number that it still has, and the link before that."""

    no: int
    room_id: str
    first: int
    link_before: bytes


class Read(NamedTuple):
    """A row and what it says."""

    row: Kept
    event: Numbered


def read(room: Room, row: Kept) -> Read:
    """What a row says. Raises `Damaged` if that is nothing, or belongs elsewhere."""
    try:
        event = decode(row.blob)
    except (MsgspecError, TypeError, ValueError) as error:
        raise Damaged(row.seq) from error
    if event.room_id != room.room_id or (row.digest is not None and cleared(event) != event):
        raise Damaged(row.seq)
    return Read(row, event)


def follows(before: bytes, one: Read) -> bytes:
    """The link that an event must have after the one `before` it. Raises `Damaged` if it can have none."""
    row, event = one
    try:
        return link(before, event, row.seq, row.time, row.digest or digest_of(row.blob))
    except (TypeError, OverflowError, ValueError) as error:  # SQLite does not mind what stands in a column
        raise Damaged(row.seq) from error


def read_chain(room: Room, before: bytes, rows: Iterable[Kept]) -> list[Read]:
    """What rows that follow each other say. Raises `Damaged` if one of them is not as it was written."""
    found = []
    for row in rows:
        one = read(room, row)
        if follows(before, one) != row.link:
            raise Damaged(row.seq)
        before = row.link
        found.append(one)
    return found


def link_of(connection: sqlite3.Connection, room: Room, seq: int) -> bytes:
    """The link before the event with this number. Raises `Damaged` if it is not there."""
    if seq == room.first:
        return room.link_before
    found = connection.execute("SELECT link FROM events WHERE id = ?", (event_id(room.no, seq - 1),)).fetchone()
    if found is None or not isinstance(found[0], bytes):
        raise Damaged(seq)
    before: bytes = found[0]
    return before


def good(connection: sqlite3.Connection, room: Room, low: int, high: int) -> dict[int, Read]:
    """By number, what can be read from `low` to `high` and is, as far as the chain can tell, what was written."""
    rows, links = {}, {room.first - 1: room.link_before}
    for row in _rows(connection, room.no, max(low - 2, room.first), high + 1):
        if isinstance(row.link, bytes):
            links[row.seq] = row.link
        try:
            rows[row.seq] = read(room, row)
        except Damaged:
            continue
    torn = {last + 1 for _, last in known_of(connection, room.no)}
    return {seq: one for seq, one in rows.items() if low <= seq <= high and (seq in torn or _is_true(rows, links, seq))}


def _is_true(rows: Mapping[int, Read], links: Mapping[int, bytes], seq: int) -> bool:
    """Whether a row fits to the one before it; or, where a link itself is broken, to the one after it."""
    before = {links[seq - 1]} if seq - 1 in links else set()
    if seq - 1 in rows and seq - 2 in links:
        before |= _made({links[seq - 2]}, rows[seq - 1])
    # With nothing readable before it, its link counts if the next one fits to that.
    made = _made(before, rows[seq]) if before else {rows[seq].row.link}
    if before and rows[seq].row.link in made:
        return True
    after = rows.get(seq + 1)
    return after is not None and after.row.link in _made(made, after)


def _made(before: set[bytes], one: Read) -> set[bytes]:
    made = set()
    for link_before in before:
        try:
            made.add(follows(link_before, one))
        except Damaged:
            continue
    return made


def _rows(connection: sqlite3.Connection, no: int, low: int, high: int) -> Iterator[Kept]:
    """The rows in a stretch that can be read, ascending."""
    if low > high:
        return
    try:
        found = connection.execute(f"{ROWS} ORDER BY id", (event_id(no, low), event_id(no, high))).fetchall()
    except sqlite3.DatabaseError as error:
        if not damaged(error):
            raise
        if low < high:
            middle = (low + high) // 2
            yield from _rows(connection, no, low, middle)
            yield from _rows(connection, no, middle + 1, high)
        return
    for number, *rest in found:
        # A broken page may say anything about what lies on it.
        if event_id(no, low) <= number <= event_id(no, high) and isinstance(rest[0], int):
            yield Kept(number & SEQ_MASK, *rest)


def lost(readable: Iterable[int], low: int, high: int) -> tuple[Stretch, ...]:
    """The stretches between `low` and `high` that are not among the ascending `readable`."""
    found = []
    at = low
    for seq in [*readable, high + 1]:
        if seq > at:
            found.append((at, seq - 1))
        at = seq + 1
    return tuple(found)


def known_of(connection: sqlite3.Connection, no: int) -> list[Stretch]:
    """The stretches of a room that were lost when it was imported: they are not news."""
    head = schema.LOST.format(no=no, low="")
    statement = "SELECT key, value FROM meta WHERE key >= ?1 AND key < ?1 || '~'"
    return [(int(key.removeprefix(head)), last) for key, last in connection.execute(statement, (head,))]


def past(known: Iterable[Stretch], low: int) -> int:
    """The first number from `low` on that is not known to be lost: however long such a stretch is, nothing is there."""
    for first, last in sorted(known):
        if first <= low <= last:
            low = last + 1
    return low


def is_known(known: Iterable[Stretch], low: int, high: int) -> bool:
    """Whether all of a stretch is known to be lost."""
    return past(known, low) > high


def last_of(connection: sqlite3.Connection, room: Room) -> int:
    """The last number of a room; `first - 1` if it has none. Raises `sqlite3.DatabaseError`."""
    statement = "SELECT id FROM events WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
    found = connection.execute(statement, (event_id(room.no, room.first), event_id(room.no, SEQ_MASK))).fetchone()
    return found[0] & SEQ_MASK if found else room.first - 1


def walk(connection: sqlite3.Connection, room: Room) -> Iterator[Read | Stretch]:
    """Everything in a room, ascending: what can be read, and the stretches that cannot."""
    low, blank, hole = room.first, 0, 0
    known = known_of(connection, room.no)
    while blank < HOPELESS:
        if (behind := past(known, low)) > low:
            hole, low = hole or low, behind
        reach = _reach(connection, room, low)
        high = low + STEP - 1 if reach is None else min(low + STEP - 1, reach)
        if high < low:
            break
        found = good(connection, room, low, high)
        for seq in range(low, high + 1):
            if seq not in found:
                hole = hole or seq
                continue
            if hole:
                yield (hole, seq - 1)
            hole = 0
            yield found[seq]
        blank = 0 if found else blank + STEP
        low = high + 1
    if hole:
        yield (hole, low - 1)


def _reach(connection: sqlite3.Connection, room: Room, low: int) -> int | None:
    """The last number from `low` on, below `low` if there is none; None if that cannot be read."""
    try:
        return last_of(connection, room._replace(first=low))
    except sqlite3.DatabaseError as error:
        if not damaged(error):
            raise
        return None


def damaged(error: Exception) -> bool:
    """Whether an error tells of a file whose content is broken, rather than of a disk that fails."""
    if isinstance(error, sqlite3.Error):
        # The second: a column holds bytes in place of words.
        return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT or "decode" in str(error)
    return isinstance(error, Damaged)
