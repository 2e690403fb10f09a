"""Verifying: walks through a journal's file and tells everything that is not as it was written.

It only reads, a slice at a time, so that a server that runs on the file goes on as if nobody were looking. What is
found is for the operator to judge; nothing is mended here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from msgspec import MsgspecError, Struct

from chatd.core.events import Numbered, Related
from chatd.journal import accounts, rulings, schema
from chatd.journal.chain import digest_of, link
from chatd.journal.salvage import HOPELESS, STEP, is_known, known_of
from chatd.journal.schema import SEQ_BITS, SEQ_MASK, event_id
from chatd.journal.stored import cleared, decode, msg_key

SLICE = 5_000
"""Rows in one look at the file: while it lasts, the WAL cannot begin anew."""

_SLICE = f"""SELECT id, time, target, msg_key, link, event, digest FROM events
    WHERE id BETWEEN ? AND ? ORDER BY id LIMIT {SLICE}"""

Tell = Callable[[str], None]


class Verified(Struct):
    """What was looked at, and how many faults were told."""

    rooms: int = 0
    events: int = 0
    redacted: int = 0
    faults: int = 0
    accounts: int = 0


class _Room(Struct, frozen=True):
    no: int
    room_id: str
    name: str


def verify(connection: sqlite3.Connection, tell: Tell) -> Verified:
    """Walk through the whole file, and `tell` each fault in one line that names the room and the number.

    Found are: what SQLite itself takes for damage; events that are missing, left over, changed or swapped; a
    `msg_id` that its author has twice; what the lookups by `msg_id` and by target would miss. Not found is a missing
    end of a room that nobody has marked as read. Inside a transaction it sees what that has done.
    """
    walk = _Walk(connection, tell)
    walk.file()
    walk.rooms()
    walk.repeated()
    walk.accounts()
    return walk.found


class _Walk:
    """One walk through one file."""

    def __init__(self, connection: sqlite3.Connection, tell: Tell) -> None:
        self.found = Verified()
        self._connection = connection
        self._tell = tell

    def _fault(self, where: str, what: str) -> None:
        self.found.faults += 1
        self._tell(f"{where}: {what}")

    @contextmanager
    def _looking(self, where: str) -> Iterator[None]:
        """One look at the file, in which nothing changes. What cannot be read is a fault."""
        is_inside = self._connection.in_transaction  # the caller's: there is nothing to begin and to end
        try:
            if not is_inside:
                self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if not is_inside and self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self._fault(where, f"cannot be read ({error})")

    def file(self) -> None:
        """What SQLite can tell by itself: pages, indexes."""
        with self._looking("file"):
            for (line,) in self._connection.execute("PRAGMA integrity_check"):
                if line != "ok":
                    self._fault("file", " ".join(line.split()))

    def rooms(self) -> None:
        """Every event of every room."""
        rooms, read = [], {}
        with self._looking("rooms"):
            rooms = [_Room(*row) for row in self._connection.execute("SELECT no, room_id, name FROM rooms ORDER BY no")]
            # No cursor goes beyond what was there, so it shows when the end of a room is gone.
            read = dict(self._connection.execute("SELECT room_no, max(seq) FROM cursors GROUP BY room_no"))
        before = 0
        for room in rooms:
            self._strays(event_id(before + 1, 0), event_id(room.no, 0))
            last = self._room(room)
            if last < read.get(room.no, 0):
                self._fault(f"{_named(room)} {last + 1}", f"missing, and somebody has read up to {read[room.no]}")
            before = room.no
        self.found.rooms = len(rooms)

    def _strays(self, low: int, high: int) -> None:
        with self._looking("events"):
            row = self._connection.execute("SELECT id FROM events WHERE id >= ? AND id < ?", (low, high)).fetchone()
            if row is not None:
                self._fault(f"room number {row[0] >> SEQ_BITS}", "has events, but there is no such room")

    def _room(self, room: _Room) -> int:
        """Walk through a room; the number of its last event."""
        at, before, blank = -1, b"", 0
        while blank < HOPELESS:
            count, is_readable = 0, False
            with self._looking(f"{_named(room)} {max(at, 1)}"):
                [(first, link_before)] = self._connection.execute(
                    "SELECT first_seq, link_before FROM rooms WHERE no = ?", (room.no,)
                )
                if at < first:  # at the beginning, or the beginning has just been moved
                    at, before = first, link_before
                    self._below(room, first)
                stretch = (event_id(room.no, at), event_id(room.no, SEQ_MASK))
                for row in self._connection.execute(_SLICE, stretch):
                    count += 1
                    at, before = self._next(room, at, before, row)
                is_readable = True
            self.found.events += count
            if is_readable and count < SLICE:
                return self._end(room, at - 1)
            if not is_readable:
                rows = [row for row in map(self._one, self._ids(room, at)) if row is not None]
                for row in rows:
                    at, before = self._next(room, at, before, row)
                self.found.events += len(rows)
                blank = 0 if rows else blank + STEP
                at = max(at, 1) if rows else max(at, 1) + STEP
        self._fault(f"{_named(room)} {at}", "what is behind it cannot be read")
        return at - 1

    def _end(self, room: _Room, last: int) -> int:
        """The last number of a room, with what was lost at its end when it was imported."""
        known = []
        with self._looking(_named(room)):
            known = known_of(self._connection, room.no)
        return max([last, *(high for _, high in known)])

    def _ids(self, room: _Room, at: int) -> range:
        return range(event_id(room.no, max(at, 1)), event_id(room.no, max(at, 1) + STEP))

    def _one(self, number: int) -> tuple[Any, ...] | None:
        """One row of a stretch that cannot be read as a whole."""
        try:
            row: tuple[Any, ...] | None = self._connection.execute(_SLICE, (number, number)).fetchone()
        except sqlite3.Error:
            return None
        return row if row is not None and row[0] == number else None

    def _next(self, room: _Room, at: int, before: bytes, row: tuple[Any, ...]) -> tuple[int, bytes]:
        """Look at the event that should have the number `at`; what is to come after it, and its link."""
        seq = row[0] & SEQ_MASK
        if seq != at and not is_known(known_of(self._connection, room.no), at, seq - 1):
            self._fault(f"{_named(room)} {at}", "missing" if seq == at + 1 else f"missing, up to {seq - 1}")
        self._event(room, seq, before if seq == at else None, row)
        return seq + 1, row[4]

    def _below(self, room: _Room, first: int) -> None:
        stretch = (event_id(room.no, 0), event_id(room.no, first) - 1)
        row = self._connection.execute("SELECT id FROM events WHERE id BETWEEN ? AND ?", stretch).fetchone()
        if row is not None:
            self._fault(f"{_named(room)} {row[0] & SEQ_MASK}", f"left over: the room begins with {first}")

    def _event(self, room: _Room, seq: int, before: bytes | None, row: tuple[Any, ...]) -> None:
        _, time, target, key, linked, blob, digest = row
        where = f"{_named(room)} {seq}"
        try:
            event = decode(blob)
        except (MsgspecError, TypeError):
            self._fault(where, "changed: it is no event any more")
            return
        if digest is not None:
            self.found.redacted += 1
            if cleared(event) != event:
                self._fault(where, "it was redacted, but its content is there")
        if before is not None and linked != _link(before, event, seq, time, digest or digest_of(blob)):
            self._fault(where, "changed or swapped: it does not fit to the one before it")
        if event.room_id != room.room_id:
            self._fault(where, "it belongs to another room")
        if target != (event_id(room.no, event.target) if isinstance(event, Related) else None):
            self._fault(where, "it cannot be found by its target")
        if key != _key(event):
            self._fault(where, "it cannot be found by its msg_id")

    def repeated(self) -> None:
        """Every `msg_id` that its author has twice; in one room, if the rooms are or were in several streams."""
        keys = "SELECT msg_key FROM events WHERE msg_key IS NOT NULL GROUP BY msg_key HAVING count(*) > 1"
        names = {}
        with self._looking("msg_ids"):
            names = dict(self._connection.execute("SELECT no, name FROM rooms"))
            is_by_room = schema.is_by_room(self._connection)
            for (key,) in self._connection.execute(keys).fetchall():
                seen: dict[tuple[str, ...], str] = {}
                for number, blob in self._connection.execute("SELECT id, event FROM events WHERE msg_key = ?", (key,)):
                    where = f"{names.get(number >> SEQ_BITS) or number >> SEQ_BITS} {number & SEQ_MASK}"
                    self._is_repeated(where, blob, seen, is_by_room)

    def accounts(self) -> None:
        """Every account, and what is kept of its password."""
        with self._looking("accounts"):
            self.found.accounts = sum(1 for _ in accounts.stored(self._connection))
            for where, what in chain(accounts.faults(self._connection), rulings.faults(self._connection)):
                self._fault(where, what)

    def _is_repeated(self, where: str, blob: bytes, seen: dict[tuple[str, ...], str], is_by_room: bool) -> None:
        try:
            event: Any = decode(blob)
            who = (event.author, event.msg_id, event.room_id if is_by_room else "")
        except (MsgspecError, TypeError, AttributeError):
            return  # that was told before
        if who in seen:
            self._fault(where, f"its author has used its msg_id before, for {seen[who]}")
        seen.setdefault(who, where)


def _named(room: _Room) -> str:
    """The room as an operator knows it; a direct one has no name."""
    return room.name or room.room_id


def _link(before: bytes, event: Numbered, seq: int, time: int, digest: bytes) -> bytes | None:
    try:
        return link(before, event, seq, time, digest)
    except TypeError:  # SQLite does not mind what stands in a column
        return None


def _key(event: Numbered) -> int | None:
    msg_id: str | None = getattr(event, "msg_id", None)
    return None if msg_id is None else msg_key(event.author, msg_id)
