"""The readers: threads of their own that answer questions out of the file, and see what is committed.

They never wait for the writer (https://www.sqlite.org/wal.html) and it never waits for them.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from chatd.core.events import Entry
from chatd.core.questions import CursorsWanted, EntryWanted, Page, PageWanted, Question
from chatd.journal.pages import Row, fill, span
from chatd.journal.schema import SEQ_MASK, connect_reader, event_id
from chatd.journal.stored import decode
from chatd.journal.writer import wait_for

Asked = tuple[Question, Deferred[Any]]


class Readers:
    """A few threads that answer whoever asks next."""

    def __init__(self, path: Path, reactor: IReactorFromThreads, count: int = 2) -> None:
        self._path = path
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
                    answer = answer_from(connection, question)
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


def answer_from(connection: sqlite3.Connection, question: Question) -> Any:
    """The answer to a question out of a file. Raises `sqlite3.Error`."""
    answer = ANSWER.get(type(question))
    if answer is None:
        raise TypeError(f"no journal answers {type(question).__name__}")
    return answer(connection, question)


def _page(connection: sqlite3.Connection, question: PageWanted) -> Page:
    no, first = _room(connection, question.room_id)
    # Taken first: what is committed from now on belongs to the next page.
    last = _last(connection, no, first)

    def time_of(seq: int) -> int:
        [(time,)] = connection.execute("SELECT time FROM events WHERE id = ?", (event_id(no, seq),))
        return int(time)

    def rows(low: int, high: int, descending: bool) -> Iterator[Row]:
        direction = "DESC" if descending else "ASC"
        statement = f"SELECT id, time, event FROM events WHERE id BETWEEN ? AND ? ORDER BY id {direction}"
        if low > high:
            return
        with closing(connection.execute(statement, (event_id(no, low), event_id(no, high)))) as found:
            for number, time, blob in found:
                yield Row(number & SEQ_MASK, time, blob)

    page = fill(span(question, first, last, time_of), rows, question.max_bytes)
    return Page([Entry(decode(blob), time, seq) for seq, time, blob in page], first, last)


def _entry(connection: sqlite3.Connection, question: EntryWanted) -> Entry | None:
    no, first = _room(connection, question.room_id)
    if not first <= question.seq <= SEQ_MASK:
        return None
    wanted = (event_id(no, question.seq),)
    found = connection.execute("SELECT time, event FROM events WHERE id = ?", wanted).fetchone()
    return None if found is None else Entry(decode(found[1]), found[0], question.seq)


def _cursors(connection: sqlite3.Connection, question: CursorsWanted) -> dict[str, int]:
    statement = "SELECT room_id, seq FROM cursors JOIN rooms ON no = room_no WHERE user_id = ?"
    return dict(connection.execute(statement, (question.user_id,)))


def _room(connection: sqlite3.Connection, room_id: str) -> tuple[int, int]:
    """The room's own number and the first that it still has. No room has the number 0, and it has no events."""
    found = connection.execute("SELECT no, first_seq FROM rooms WHERE room_id = ?", (room_id,)).fetchone()
    return found or (0, 1)


def _last(connection: sqlite3.Connection, no: int, first: int) -> int:
    statement = "SELECT id FROM events WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
    found = connection.execute(statement, (event_id(no, first), event_id(no, SEQ_MASK))).fetchone()
    return found[0] & SEQ_MASK if found else first - 1


ANSWER: dict[type[Question], Callable[[sqlite3.Connection, Any], Any]] = {
    PageWanted: _page,
    EntryWanted: _entry,
    CursorsWanted: _cursors,
}
