"""The readers: threads of their own that answer questions out of the file, and see what is committed.

They never wait for the writer (https://www.sqlite.org/wal.html) and it never waits for them. Everything they read is
compared with the chain; what is damaged is left out of the answer, named in it, and told to the operator once.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from chatd.core.events import Entry
from chatd.core.questions import (
    BookmarkWanted,
    CursorsWanted,
    EntryWanted,
    InviteWanted,
    KeptBookmark,
    Page,
    PageWanted,
    Question,
    VerifierWanted,
)
from chatd.journal import accounts
from chatd.journal.faults import Faults
from chatd.journal.pages import Span, fill, span
from chatd.journal.salvage import (
    ROWS,
    STEP,
    Damaged,
    Kept,
    Read,
    Room,
    damaged,
    good,
    is_known,
    known_of,
    last_of,
    link_of,
    lost,
    read_chain,
)
from chatd.journal.schema import SEQ_MASK, connect_reader, event_id
from chatd.journal.stored import decode_bookmark
from chatd.journal.writer import wait_for

Asked = tuple[Question, Deferred[Any]]


class Readers:
    """A few threads that answer whoever asks next."""

    def __init__(self, path: Path, reactor: IReactorFromThreads, faults: Faults, count: int = 2) -> None:
        self._path = path
        self._faults = faults
        self._reactor = reactor
        self._queue: SimpleQueue[Asked | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=f"journal reader {n}") for n in range(count)]
        self._running = count
        self._ended: Deferred[None] = Deferred()

    def start(self) -> None:
        """Begin; a connection is made when it is needed."""
        for thread in self._threads:
            thread.start()

    def ask(self, question: Question) -> Deferred[Any]:
        """The answer, as `chatd.core.questions` says for each question; fails if the file cannot be read."""
        answered: Deferred[Any] = Deferred()
        self._queue.put((question, answered))
        return answered

    def end(self) -> Deferred[None]:
        """Answer what was asked, and end."""
        for _ in self._threads:
            self._queue.put(None)
        return self._ended

    def _run(self) -> None:
        connection = None
        try:
            while asked := wait_for(self._queue):
                question, answered = asked
                try:
                    if connection is None:
                        connection = connect_reader(self._path)
                    answer = answer_from(connection, question, self._faults)
                except Exception:
                    failure = Failure()  # type: ignore[no-untyped-call]  # Twisted does not say
                    self._reactor.callFromThread(answered.errback, failure)
                    # The next one tries anew, with a connection that has not failed yet.
                    _close(connection)
                    connection = None
                else:
                    self._reactor.callFromThread(answered.callback, answer)
        finally:
            _close(connection)
            self._reactor.callFromThread(self._one_ended)

    def _one_ended(self) -> None:
        self._running -= 1
        if not self._running:
            for thread in self._threads:
                thread.join()
            self._ended.callback(None)


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()


def answer_from(connection: sqlite3.Connection, question: Question, faults: Faults | None = None) -> Any:
    """The answer to a question out of a file; `faults` hears of what is damaged. Raises `sqlite3.Error`."""
    answer = ANSWER.get(type(question))
    if answer is None:
        raise TypeError(f"no journal answers {type(question).__name__}")
    with looking(connection):
        return answer(connection, question, faults or Faults())


@contextmanager
def looking(connection: sqlite3.Connection) -> Iterator[None]:
    """One look at the file, in which nothing changes: what is missing then is not just being removed."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")  # after an error a COMMIT can fail once more


class Place:
    """A room in a file, at one look."""

    def __init__(self, connection: sqlite3.Connection, room: Room, name: str, faults: Faults) -> None:
        self.connection = connection
        self.room = room
        self._name = name
        self._faults = faults

    def rows(self, low: int, high: int, descending: bool) -> Iterator[Kept]:
        """The rows in a stretch, as they are stored."""
        if low > high:
            return
        stretch = (event_id(self.room.no, low), event_id(self.room.no, high))
        direction = "DESC" if descending else "ASC"
        with closing(self.connection.execute(f"{ROWS} ORDER BY id {direction}", stretch)) as found:
            for number, time, blob, link, digest in found:
                yield Kept(number & SEQ_MASK, time, blob, link, digest)

    def page(self, wanted: Span, max_bytes: int) -> tuple[list[Read], tuple[tuple[int, int], ...]]:
        """What the page holds, and which of its numbers are lost."""
        try:
            rows = fill(wanted, self.rows, max_bytes)
            if not rows and wanted.low <= wanted.high:
                raise Damaged(wanted.low)
            if not rows:
                return [], ()
            # Numbers without holes: then nothing but the byte limit has kept a row out.
            if rows[-1].seq - rows[0].seq != len(rows) - 1 or not _has_anchor(rows, wanted):
                raise Damaged(rows[0].seq)
            return read_chain(self.room, link_of(self.connection, self.room, rows[0].seq), rows), ()
        except (Damaged, TypeError, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.Error) and not damaged(error):
                raise
            return self._around(wanted, max_bytes)

    def _around(self, wanted: Span, max_bytes: int) -> tuple[list[Read], tuple[tuple[int, int], ...]]:
        readable = self.good(wanted.low, wanted.high)

        def rows(low: int, high: int, descending: bool) -> Iterator[Kept]:
            for seq in range(high, low - 1, -1) if descending else range(low, high + 1):
                if seq in readable:
                    yield readable[seq].row

        taken = [row.seq for row in fill(wanted, rows, max_bytes)]
        # Where the byte limit cut the page, what is lost beyond it belongs to the next page.
        low = wanted.low if not taken or taken[0] == min(readable) else taken[0]
        high = wanted.high if not taken or taken[-1] == max(readable) else taken[-1]
        return [readable[seq] for seq in taken], lost(taken, low, high)

    def good(self, low: int, high: int) -> dict[int, Read]:
        """What can be read in a stretch; the rest is told."""
        readable = good(self.connection, self.room, low, high)
        known = known_of(self.connection, self.room.no)
        for stretch in lost(sorted(readable), low, high):
            if not is_known(known, *stretch):
                self._faults.lost(self._name, *stretch)
        return readable

    def one(self, seq: int) -> Read | None:
        """One event, if it is as it was written."""
        found, _ = self.page(Span(seq, seq, seq), 1)
        return found[0] if found else None

    def time_of(self, seq: int) -> int:
        """The time of an event; where that is damaged, of the next that is not, and without one the end of time."""
        if (found := self.one(seq)) is not None:
            return found.row.time
        readable = self.good(seq, min(seq + STEP, last_of(self.connection, self.room)))
        return readable[min(readable)].row.time if readable else 1 << 63


def _has_anchor(rows: list[Kept], wanted: Span) -> bool:
    """Whether a page holds what it is filled from."""
    return rows[0].seq <= wanted.middle <= rows[-1].seq + 1


def _page(connection: sqlite3.Connection, question: PageWanted, faults: Faults) -> Page:
    place = place_of(connection, question.room_id, faults)
    if place is None:
        return Page([], 1, 0)
    first, last = place.room.first, last_of(connection, place.room)
    wanted = span(question, first, last, place.time_of)
    found, missing = place.page(wanted, question.max_bytes)
    return Page([Entry(one.event, one.row.time, one.row.seq) for one in found], first, last, missing)


def _entry(connection: sqlite3.Connection, question: EntryWanted, faults: Faults) -> Entry | None:
    place = place_of(connection, question.room_id, faults)
    if place is None or not place.room.first <= question.seq <= last_of(connection, place.room):
        return None
    one = place.one(question.seq)
    return None if one is None else Entry(one.event, one.row.time, one.row.seq)


def _cursors(connection: sqlite3.Connection, question: CursorsWanted, faults: Faults) -> dict[str, int]:
    statement = "SELECT room_id, seq FROM cursors JOIN rooms ON no = room_no WHERE user_id = ?"
    return dict(connection.execute(statement, (question.user_id,)))


def _bookmark(connection: sqlite3.Connection, question: BookmarkWanted, faults: Faults) -> KeptBookmark | None:
    statement = "SELECT bookmark, time FROM bookmarks WHERE key = ?"
    found = connection.execute(statement, (question.key,)).fetchone()
    return None if found is None else KeptBookmark(decode_bookmark(found[0]), found[1])


def place_of(connection: sqlite3.Connection, room_id: str, faults: Faults) -> Place | None:
    """The room, if there is one with this id."""
    statement = "SELECT no, room_id, first_seq, link_before, name FROM rooms WHERE room_id = ?"
    found = connection.execute(statement, (room_id,)).fetchone()
    return None if found is None else Place(connection, Room(*found[:4]), found[4] or room_id, faults)


ANSWER: dict[type[Question], Callable[[sqlite3.Connection, Any, Faults], Any]] = {
    PageWanted: _page,
    EntryWanted: _entry,
    CursorsWanted: _cursors,
    BookmarkWanted: _bookmark,
    VerifierWanted: accounts.verifier,
    InviteWanted: accounts.invite,
}
