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
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from msgspec import MsgspecError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from chatd.core.codes import Refusal
from chatd.core.events import Entry, Numbered
from chatd.core.questions import Found, SearchWanted
from chatd.journal.faults import Faults
from chatd.journal.reader import Place, looking, place_of
from chatd.journal.salvage import damaged, last_of
from chatd.journal.schema import SEQ_MASK, connect_reader, event_id
from chatd.journal.search import Index, being_read, expression, search
from chatd.journal.stored import decode

SLICE = 500  # events that are read at once
PATIENCE_SECONDS = 3.0  # of who asks, while a room is read the first time
LOOK_UP_SECONDS = 1.0

# What is no fault of the index: a disk that is full or fails, or somebody else who has the file.
OTHERS = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
    )
)

Asked = tuple[SearchWanted, Deferred[Any]]


def index_path(path: Path) -> Path:
    """Where the index of a journal is."""
    return path.with_name(path.stem + "-search" + path.suffix)


class StoredRoom:
    """A room in the journal's file, as the index reads it. What is damaged is left out, and told."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.no, self.first = place.room.no, place.room.first
        self.last = last_of(place.connection, place.room)

    def mark(self, seq: int) -> bytes:
        found = self._place.connection.execute("SELECT link FROM events WHERE id = ?", (event_id(self.no, seq),))
        row = found.fetchone()
        return b"" if row is None else bytes(row[0])

    def events(self, low: int, high: int) -> list[tuple[int, Numbered]]:
        try:
            return [(row.seq, decode(row.blob)) for row in self._place.rows(low, high, False)]
        except (MsgspecError, TypeError, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.Error) and not damaged(error):
                raise
            return [(seq, read.event) for seq, read in self._place.good(low, high).items()]

    def related(self, seq: int) -> list[int]:
        statement = "SELECT id FROM events WHERE target = ?"
        found = self._place.connection.execute(statement, (event_id(self.no, seq),))
        return [number & SEQ_MASK for (number,) in found]

    def entry(self, seq: int) -> Entry | None:
        """The event with a number, if it is there and as it was written."""
        one = self._place.one(seq)
        return None if one is None else Entry(one.event, one.row.time, one.row.seq)


class Searcher:
    """The thread; it begins with the first question."""

    log = Logger()

    def __init__(self, path: Path, reactor: IReactorFromThreads, faults: Faults) -> None:
        self._path = path
        self._reactor = reactor
        self._faults = faults
        self._queue: SimpleQueue[Asked | list[str] | None] = SimpleQueue()
        self._lock = threading.Lock()  # of the thread's beginning
        self._thread: threading.Thread | None = None
        self._reader: sqlite3.Connection | None = None
        self._index: Index | None = None
        self._file: sqlite3.Connection | None = None
        self._unread: dict[str, None] = {}  # ids of rooms that are being read behind
        self._is_ending = False

    def ask(self, question: SearchWanted) -> Deferred[Any]:
        """`Found`; fails with `Refusal`, or if the file cannot be read."""
        answered: Deferred[Any] = Deferred()
        self._put((question, answered))
        return answered

    def freshen(self, rooms: list[str]) -> None:
        """In these rooms something was taken back: let its words not stay in the index until somebody looks. Called by
        the thread that writes."""
        if index_path(self._path).exists():
            self._put(rooms)

    def _put(self, item: Asked | list[str]) -> None:
        with self._lock:
            if self._thread is None and not self._is_ending:
                self._thread = threading.Thread(target=self._run, name="journal searcher")
                self._thread.start()
        self._queue.put(item)

    def end(self) -> None:
        """Answer what was asked, and end."""
        with self._lock:
            self._is_ending = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

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
                if isinstance(asked, list):
                    self._unread |= dict.fromkeys(asked)
                else:
                    self._answer(*asked)
        finally:
            self._let_go()

    def _answer(self, question: SearchWanted, answered: Deferred[Any]) -> None:
        try:
            found = self._found(question)
        except Exception as error:
            if not isinstance(error, Refusal):
                self._let_go()
            self._reactor.callFromThread(answered.errback, error)
        else:
            self._reactor.callFromThread(answered.callback, found)

    def _found(self, question: SearchWanted) -> Found:
        """The answer. An index that cannot be used is made anew."""
        expression(question.query, question.author)  # what cannot be meant is refused at once
        try:
            return self._search(question)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in OTHERS:
                raise
            self._begin_anew(error)
        return self._search(question)

    def _search(self, question: SearchWanted) -> Found:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._read_on(question.room_id):
            if self._is_ending or time.monotonic() > deadline:
                self._unread[question.room_id] = None
                raise being_read()
        with self._room(question.room_id) as (index, room):
            return Found([], 1, False) if room is None else search(index, room, question, room.entry)

    def _read_on(self, room_id: str) -> bool:
        """Read a slice of a room into the index; whether that was the last."""
        with self._room(room_id) as (index, room):
            return room is None or index.read_on(room, SLICE)

    def _is_unknown(self, room_id: str) -> bool:
        """Whether nobody has looked for anything in a room so far."""
        with self._room(room_id) as (index, room):
            return room is None or not index.knows(room)

    @contextmanager
    def _room(self, room_id: str) -> Iterator[tuple[Index, StoredRoom | None]]:
        """The index, and a room at one look at the journal."""
        reader, index = self._connections()
        with looking(reader):
            place = place_of(reader, room_id, self._faults)
            yield index, None if place is None else StoredRoom(place)

    def _read_behind(self) -> None:
        """A slice of the first room that waits, and a pause as long as that took: others have the processor, too."""
        for room_id in list(self._unread)[:1]:
            began = time.monotonic()
            try:
                if self._is_unknown(room_id) or self._read_on(room_id):
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
                connection.close()
        self._reader = self._file = self._index = None
