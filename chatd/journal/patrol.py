"""The patrol: walks once through all that the journal had at the start, beside the running server, and tells what is
damaged.

It is what makes up for a check at the start that has no time for a long history. It takes a small share of one
processor in slices of a few milliseconds, holds nobody up, and ends at once when it is told to.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from twisted.logger import Logger

from chatd.core.questions import StoredRoom
from chatd.journal import schema
from chatd.journal.salvage import HOPELESS, STEP, Room, damaged, good, is_known, known_of, last_of, lost, past
from chatd.journal.schema import event_id

SHARE = 0.05
"""Of one processor."""

FIRST_PAUSE = 2.0
"""Seconds; those who come back after a restart come first."""

END_SECONDS = 1.0
"""The most that its end is waited for: on a disk that stands still, a look takes as long as that."""

MOST_TOLD = 20
"""Places in the line that is told; `chatd verify` has all of them."""

# Nothing else shows that an index has lost a row; then a repetition would be taken for something new.
_UNFOUND = """SELECT count(*) FROM events e WHERE id BETWEEN ?1 AND ?2 AND (
    (msg_key IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM events f INDEXED BY events_by_msg_key WHERE f.msg_key = e.msg_key AND f.id = e.id))
    OR (target IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM events f INDEXED BY events_by_target WHERE f.target = e.target AND f.id = e.id)))"""


class Patrol:
    """One walk through a file, on a thread of its own."""

    log = Logger()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal patrol", daemon=True)
        self._places: list[tuple[str, int, int]] = []
        self._others: list[str] = []
        self._until: dict[str, int] = {}
        self.is_done = False

    @property
    def found(self) -> list[str]:
        """What is damaged: rooms and numbers, and what else."""
        places = [f"{name} {low}" if low == high else f"{name} {low} to {high}" for name, low, high in self._places]
        return places + self._others

    def start(self, rooms: Sequence[StoredRoom]) -> None:
        """Begin, after a while. Looked at is what these rooms have now; what is said from now on was just written."""
        self._until = {room.room_id: room.last_seq for room in rooms}
        self._thread.start()

    def end(self) -> None:
        """End, within a few milliseconds; who does not come back from the disk is left behind."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(END_SECONDS)

    def _run(self) -> None:
        try:
            if self._ended.wait(FIRST_PAUSE):
                return
            with closing(schema.connect_reader(self._path)) as connection:
                rooms = connection.execute("SELECT no, name, room_id FROM rooms ORDER BY no").fetchall()
                for no, name, room_id in rooms:
                    if room_id in self._until:
                        self._room(connection, no, name or room_id, self._until.pop(room_id))
            self.is_done = not self._ended.is_set()
        except sqlite3.Error as error:
            if damaged(error):
                self._others.append(f"the rest cannot be looked at ({error})")
            else:
                line = "the journal {path} was not looked through to its end: {error}; chatd verify does it"
                self.log.warn(line, path=str(self._path), error=str(error))
        except Exception:
            self.log.failure("bug in looking through the journal")
        self._tell()

    def _tell(self) -> None:
        found = self.found
        if not found:
            return
        places = ", ".join(found[:MOST_TOLD])
        more = f" and {len(found) - MOST_TOLD} more places" if len(found) > MOST_TOLD else ""
        self.log.error(
            "the journal {path} is damaged: {places}{more}; the rest is there; see chatd verify, and restore a backup",
            path=str(self._path),
            places=places,
            more=more,
        )

    def _room(self, connection: sqlite3.Connection, no: int, name: str, most: int) -> None:
        """Look at a room, a slice at a time, up to the number `most`."""
        low = blank = 0
        last = self._last(connection, no)
        until = None if last is None else min(last, most)
        while blank < HOPELESS and not self._ended.is_set():
            began = time.thread_time()
            low, high, missing = self._slice(connection, no, low, until, name)
            if high < low:
                return
            for first, last in missing:
                self._lost(name, first, last)
            blank = blank + STEP if missing == [(low, high)] else 0
            low = high + 1
            self._ended.wait(max(0.01, (time.thread_time() - began) * (1 / SHARE - 1)))

    def _last(self, connection: sqlite3.Connection, no: int) -> int | None:
        """The last number of a room; None if damage hides it."""
        try:
            return last_of(connection, _the_room(connection, no))
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
            return None

    def _slice(
        self, connection: sqlite3.Connection, no: int, low: int, until: int | None, name: str
    ) -> tuple[int, int, list[tuple[int, int]]]:
        """One look: from where to where, and what of it is lost. Nothing changes meanwhile."""
        connection.execute("BEGIN")
        try:
            room = _the_room(connection, no)
            known = known_of(connection, no)
            low = past(known, max(low, room.first))
            high = low + STEP - 1
            try:
                high = min(high, last_of(connection, room) if until is None else until)
                [(count,)] = connection.execute(_UNFOUND, (event_id(no, low), event_id(no, high)))
                if count:
                    self._others.append(f"{name} {low} to {high}: {count} of them cannot be looked up")
            except sqlite3.DatabaseError as error:
                if not damaged(error):
                    raise
            missing = lost(sorted(good(connection, room, low, high)), low, high)
            return low, high, [stretch for stretch in missing if not is_known(known, *stretch)]
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")  # after an error a COMMIT can fail once more

    def _lost(self, name: str, first: int, last: int) -> None:
        if self._places and self._places[-1][::2] == (name, first - 1):
            first = self._places.pop()[1]  # a slice ended in the middle of it
        self._places.append((name, first, last))


def _the_room(connection: sqlite3.Connection, no: int) -> Room:
    statement = "SELECT no, room_id, first_seq, link_before FROM rooms WHERE no = ?"
    return Room(*connection.execute(statement, (no,)).fetchone())
