"""The searcher: a thread that answers `SearchWanted` out of the index, and reads rooms into it when they are asked for.

It has connections of its own: it waits for nobody, and nobody waits for it. A room that takes long to be read the first
time is read on behind, with pauses, and who asked is told to come again.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.core.codes import Code, Refusal
from chatd.core.events import Entry, Related
from chatd.core.names import fold
from chatd.core.questions import Found, SearchWanted, Side
from chatd.journal.faults import Faults
from chatd.journal.reader import place_of
from chatd.journal.salvage import last_of
from chatd.journal.schema import SEQ_MASK, connect_reader, event_id
from chatd.journal.search import Index, expression
from chatd.journal.stored import decode

SLICE = 500  # events that are read at once
PATIENCE_SECONDS = 3.0  # of who asks, while a room is read the first time
LOOK_UP_SECONDS = 1.0

Asked = tuple[SearchWanted, Deferred[Any]]


def index_path(path: Path) -> Path:
    """Where the index of a journal is."""
    return path.with_name(path.stem + "-search" + path.suffix)


class Searcher:
    """The thread; it begins with the first question."""

    log = Logger()

    def __init__(self, path: Path, reactor: IReactorFromThreads, faults: Faults) -> None:
        self._path = path
        self._reactor = reactor
        self._faults = faults
        self._queue: SimpleQueue[Asked | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._reader: sqlite3.Connection | None = None
        self._index: Index | None = None
        self._file: sqlite3.Connection | None = None
        self._unread: dict[str, None] = {}  # ids of rooms that are being read behind
        self._is_ending = False

    def ask(self, question: SearchWanted) -> Deferred[Any]:
        """`Found`; fails with `Refusal`, or if the file cannot be read."""
        answered: Deferred[Any] = Deferred()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="journal searcher")
            self._thread.start()
        self._queue.put((question, answered))
        return answered

    def end(self) -> None:
        """Answer what was asked, and end."""
        if self._thread is not None:
            self._is_ending = True
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    # -- on its own thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                try:
                    asked = self._queue.get(timeout=0.0 if self._unread else LOOK_UP_SECONDS)
                except Empty:
                    if not threading.main_thread().is_alive():
                        return
                    self._read_behind()
                    continue
                if asked is None:
                    return
                self._answer(*asked)
        finally:
            self._let_go()

    def _answer(self, question: SearchWanted, answered: Deferred[Any]) -> None:
        try:
            found = self._found(question)
        except Refusal as refusal:
            self._reactor.callFromThread(answered.errback, refusal)
        except Exception:
            failure = Failure()  # type: ignore[no-untyped-call]  # Twisted does not say
            self._let_go()
            self._reactor.callFromThread(answered.errback, failure)
        else:
            self._reactor.callFromThread(answered.callback, found)

    def _found(self, question: SearchWanted) -> Found:
        wanted = expression(question.query, question.author)
        deadline = time.monotonic() + PATIENCE_SECONDS
        for _ in range(2):
            try:
                while not self._read_on(question.room_id):
                    if time.monotonic() > deadline:
                        self._unread[question.room_id] = None
                        reason = "what was said there is being read for the first time; try again in a while"
                        raise Refusal(Code.STORE_UNAVAILABLE, reason, retry_after=5.0)
                return self._look(question, wanted)
            except sqlite3.DatabaseError as error:
                self._begin_anew(error)
        raise sqlite3.DatabaseError("the index cannot be made")

    def _look(self, question: SearchWanted, wanted: str) -> Found:
        reader, index = self._connections()
        place = place_of(reader, question.room_id, self._faults)
        if place is None:
            return Found([], 1, False)
        no, first = place.room.no, place.room.first
        last = question.last or last_of(reader, place.room)
        low, high = (question.place or 0) + 1 if question.side is Side.AFTER else first, last
        if question.side is Side.BEFORE and question.place is not None:
            high = min(high, question.place - 1)
        entries: list[Entry] = []
        is_before = question.side is Side.BEFORE
        author = fold(question.author)
        for key in index.find(wanted, event_id(no, max(low, first)), event_id(no, high), descending=is_before):
            one = place.one(key & SEQ_MASK)
            if one is None or (author and fold(one.event.nick) != author) or getattr(one.event, "redacted", False):
                continue
            if len(entries) == question.limit:
                return Found(sorted(entries, key=lambda entry: entry.seq), first, True)
            entries.append(Entry(one.event, one.row.time, one.row.seq))
        return Found(sorted(entries, key=lambda entry: entry.seq), first, False)

    # -- reading ------------------------------------------------------------------------------------------

    def _read_on(self, room_id: str) -> bool:
        """Read a slice of a room into the index; whether that was the last."""
        reader, index = self._connections()
        place = place_of(reader, room_id, self._faults)
        if place is None:
            return True
        no, first, last = place.room.no, place.room.first, last_of(reader, place.room)
        begun, done = index.progress(no)
        if done > last:  # the journal was set back
            index.forget(event_id(no, 0), event_id(no, SEQ_MASK))
            begun, done = 1, 0
        if begun < first:
            index.forget(event_id(no, 0), event_id(no, first - 1))
            done = max(done, first - 1)
        elif done >= last:
            return True
        end = min(last, done + SLICE)
        statement = "SELECT id, event FROM events WHERE id BETWEEN ? AND ? ORDER BY id"
        rows = reader.execute(statement, (event_id(no, done + 1), event_id(no, end))).fetchall()
        events = [(key, decode(blob)) for key, blob in rows]
        index.take(no, first, end, events, list(self._taken_back(reader, no, events)))
        return end >= last

    def _taken_back(self, reader: sqlite3.Connection, no: int, events: list[tuple[int, Any]]) -> Iterator[int]:
        """The keys of what these events take back."""
        for _, event in events:
            if isinstance(event, Related) and event.rel == "redact":
                target = event_id(no, event.target)
                yield target
                for (key,) in reader.execute("SELECT id FROM events WHERE target = ?", (target,)):
                    yield key

    def _read_behind(self) -> None:
        """A slice of the first room that waits, and a pause as long as that took: others have the processor, too."""
        for room_id in list(self._unread)[:1]:
            began = time.monotonic()
            try:
                if self._read_on(room_id):
                    del self._unread[room_id]
            except Exception:
                self.log.failure("cannot read a room into the index")
                self._unread.clear()
                self._let_go()
            time.sleep(0 if self._is_ending else time.monotonic() - began)

    # -- files --------------------------------------------------------------------------------------------

    def _connections(self) -> tuple[sqlite3.Connection, Index]:
        if self._reader is None or self._index is None:
            self._reader = connect_reader(self._path)
            [(secret,)] = self._reader.execute("SELECT value FROM meta WHERE key = 'secret'")
            path = index_path(self._path)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._file = sqlite3.connect(path, isolation_level=None)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")  # what is lost is read again
            self._index = Index(self._file, secret)
        return self._reader, self._index

    def _begin_anew(self, error: Exception) -> None:
        """The index is of something else, or damaged: make another."""
        self.log.warn("the index of the search is made anew: {reason}", reason=str(error))
        self._let_go()
        path = index_path(self._path)
        for one in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            one.unlink(missing_ok=True)

    def _let_go(self) -> None:
        for connection in (self._reader, self._file):
            if connection is not None:
                with closing(connection):
                    pass
        self._reader = self._file = self._index = None
