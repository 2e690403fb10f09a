"""The SQLite journal: everything in one file, committed before anybody is told.

This is its side on the reactor's thread: it hands proposals to the writer and questions to the readers, and tells
the follower what comes back. It knows no SQL and does not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.core.events import Entry, Passing, Proposal
from chatd.core.questions import Question, SearchWanted, Snapshot
from chatd.interfaces import Follower, IJournal
from chatd.journal import Alone, NotOpen
from chatd.journal.faults import Faults
from chatd.journal.order import passed
from chatd.journal.patrol import Patrol
from chatd.journal.reader import Readers
from chatd.journal.searcher import Searcher
from chatd.journal.store import Store
from chatd.journal.writer import Writer


class State(Enum):
    """How far the journal is. Proposals and questions are taken only while it is OPEN."""

    NEW = auto()
    OPENING = auto()
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


@implementer(IJournal)
class SqliteJournal(Alone):
    """A journal in the file `path`. `durability` is `fsync`, `normal` or `memory`: when a commit counts as done."""

    log = Logger()

    def __init__(
        self, path: Path, *, reactor: Any, durability: str, store: Callable[[Path, str], Store] = Store
    ) -> None:
        self.durability = durability
        self._reactor = reactor
        self._state = State.NEW
        self._follower: Follower = _nobody
        self._opened: Deferred[Snapshot] = Deferred()
        self._closed: list[Deferred[None]] = []
        self._readers = Readers(path, reactor, Faults())
        self._searcher = Searcher(path, reactor, Faults())
        self._patrol = Patrol(path)
        call = reactor.callFromThread
        self._store = store(path, durability)
        self._store.thinned = self._searcher.freshen
        self._writer = Writer(
            self._store,
            opened=lambda result: call(self._is_open, result),
            written=lambda entries: call(self._written, entries),
            ended=lambda: call(self._has_ended),
        )
        self.commits = self._writer.commits
        self._under_way = 0
        self._passing: list[Entry] = []

    @property
    def is_failing(self) -> bool:
        """Whether what was proposed last could not be stored."""
        return self._store.is_failing

    @property
    def under_way(self) -> int:
        return self._under_way + len(self._passing)

    def open(self, follower: Follower) -> Deferred[Snapshot]:
        if self._state is not State.NEW:
            raise RuntimeError("the journal has been opened before")
        self._state = State.OPENING
        self._follower = follower
        self._writer.start()
        return self._opened

    def _is_open(self, result: Snapshot | Failure) -> None:
        if isinstance(result, Failure):
            self._opened.errback(result)
            return
        if self._state is State.OPENING:
            self._state = State.OPEN
            self._readers.start()
            self._patrol.start(result.rooms)
        self._opened.callback(result)

    def append(self, proposals: Sequence[Proposal]) -> None:
        if self._state is not State.OPEN:
            raise NotOpen
        if not proposals:
            return
        if not self._under_way and all(isinstance(proposal.event, Passing) for proposal in proposals):
            # Nothing is before them, and nothing has to be written: they need not go through the thread.
            if not self._passing:
                self._reactor.callLater(0, self._pass_on)
            self._passing.extend(map(passed, proposals))
            return
        self._under_way += len(proposals)
        self._writer.put(tuple(proposals))

    def _pass_on(self) -> None:
        passing, self._passing = self._passing, []
        if passing:
            self._tell(passing)

    def _written(self, entries: list[Entry]) -> None:
        # What took the short way was proposed before these, and may still be waiting for the reactor's next turn.
        self._pass_on()
        self._under_way -= len(entries)
        self._tell(entries)

    def _tell(self, entries: list[Entry]) -> None:
        try:
            self._follower(entries)
        except Exception:
            self.log.failure("bug in the follower of the journal")

    def ask(self, question: Question) -> Deferred[Any]:
        if self._state is not State.OPEN:
            return fail(NotOpen())
        if isinstance(question, SearchWanted):
            return self._searcher.ask(question)
        return self._readers.ask(question)

    def close(self) -> Deferred[None]:
        if self._state is State.NEW:
            self._state = State.CLOSED
        if self._state is State.CLOSED:
            return succeed(None)
        was, self._state = self._state, State.CLOSING
        if was is State.OPEN:
            self._patrol.end()
            self._searcher.end()
            # The writer leaves last: with the file's last connection SQLite takes the WAL away.
            self._readers.end().addCallback(lambda _: self._writer.end())
        elif was is State.OPENING:
            self._writer.end()
        closed: Deferred[None] = Deferred()
        self._closed.append(closed)
        return closed

    def _has_ended(self) -> None:
        self._writer.join()
        self._state = State.CLOSED
        self._pass_on()
        closed, self._closed = self._closed, []
        for waiting in closed:
            waiting.callback(None)


def _nobody(entries: Sequence[Entry]) -> None:
    """The follower of a journal that has not been opened."""
