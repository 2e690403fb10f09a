"""The JetStream journal: many nodes, one order. NATS orders and keeps; each node has a copy to look things up in.

This is its side on the reactor's thread. What is proposed goes to the node's thread and from there into the stream; the
follower is told what came out of the stream, from whatever node, once it is in this node's copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.core.codes import Code, Refusal
from chatd.core.events import Entry, Passing, Proposal
from chatd.core.questions import BookmarkWanted, Present, Question, SearchWanted, Snapshot, UpToDate
from chatd.errors import Exit, OperatorError
from chatd.interfaces import Follower, IJournal
from chatd.journal import NotOpen
from chatd.journal.faults import Faults
from chatd.journal.node import Node
from chatd.journal.order import not_stored
from chatd.journal.patrol import Patrol
from chatd.journal.reader import Readers
from chatd.journal.replica import Replica
from chatd.journal.searcher import Searcher
from chatd.journal.streams import names_of


@implementer(IJournal)
class JetstreamJournal:
    """A journal in the stream `settings.stream` of the NATS servers at `url`, or in several, with a copy at `path`."""

    log = Logger()

    def __init__(self, path: Path, *, url: str, reactor: Any, settings: Any) -> None:
        self._reactor = reactor
        self._follower: Follower | None = None
        self._opened: Deferred[Snapshot] = Deferred()
        self._closed: list[Deferred[None]] = []
        self.failed: Deferred[None] = Deferred()
        self._state = "new"
        self._readers = Readers(path, reactor, Faults())
        self._searcher = Searcher(path, reactor, Faults())
        self._patrol = Patrol(path)
        self.under_way = 0
        self.orders = len(names_of(settings.stream, settings.shards))
        call = reactor.callFromThread
        replica = Replica(path, names_of(settings.stream, settings.shards))
        replica.thinned = self._searcher.freshen
        self._node = Node(
            replica,
            path.parent,
            url=url,
            settings=settings,
            opened=lambda result: call(self._is_open, result),
            told=lambda entries, own: call(self._told, entries, own),
            ended=lambda: call(self._has_ended),
        )
        self.commits = self._node.commits

    @property
    def durability(self) -> str:
        return self._node.surety.durability

    @property
    def is_failing(self) -> bool:
        return self._node.is_failing

    @property
    def node(self) -> str:
        return self._node.run

    def open(self, follower: Follower) -> Deferred[Snapshot]:
        if self._state != "new":
            raise RuntimeError("the journal has been opened before")
        self._state, self._follower = "opening", follower
        self._node.start()
        return self._opened

    def _is_open(self, result: Snapshot | Failure) -> None:
        if isinstance(result, Failure):
            self._opened.errback(result)
            return
        if self._state == "opening":
            self._state = "open"
            self._readers.start()
            self._patrol.start(result.rooms)
        self._opened.callback(result)

    def append(self, proposals: Sequence[Proposal]) -> None:
        if self._state not in ("open", "failed"):
            raise NotOpen
        self.under_way += len(proposals)
        if self._state == "failed":
            entries = not_stored(proposals, Code.STORE_UNAVAILABLE)
            self._reactor.callLater(0, self._told, entries, len(entries))
        elif proposals:
            self._node.put(tuple(proposals))

    def _told(self, entries: list[Entry], own: int) -> None:
        self.under_way -= own
        if self._follower is None or not entries:
            return
        try:
            self._follower(entries)
        except Exception:
            self.log.failure("bug in the follower of the journal")

    def ask(self, question: Question) -> Deferred[Any]:
        if self._state != "open":
            return fail(NotOpen())
        if isinstance(question, UpToDate):
            return self._up_to_date(question.seconds)
        if isinstance(question, BookmarkWanted):  # perhaps it was left on another node, just now
            return self._up_to_date().addCallback(lambda _: self._readers.ask(question))
        if isinstance(question, SearchWanted):
            return self._searcher.ask(question)
        return self._readers.ask(question)

    def _up_to_date(self, seconds: float = 0.0) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()

        def fire(error: Exception | None) -> None:
            if error is None:
                waiting.callback(True)
            else:
                refusal = Refusal(Code.STORE_UNAVAILABLE, "the stream does not answer now; try again", retry_after=1.0)
                waiting.errback(refusal)

        self._node.when_up_to_date(seconds, lambda error: self._reactor.callFromThread(fire, error))
        return waiting

    def tell(self, event: Passing) -> None:
        self._node.tell(event)

    def welcome(self, node: str, attempt: int, present: Present) -> None:
        self._node.welcome(node, attempt, present)

    def close(self) -> Deferred[None]:
        if self._state == "new":
            self._state = "closed"
        if self._state == "closed":
            return succeed(None)
        was, self._state = self._state, "closing"
        if was in ("open", "failed"):
            self._patrol.end()
            self._searcher.end()
            end = self._node.end if was == "open" else self._is_closed
            self._readers.end().addCallback(lambda _: end())
        elif was == "opening":
            self._node.end()
        closed: Deferred[None] = Deferred()
        self._closed.append(closed)
        return closed

    def _has_ended(self) -> None:
        self._node.join()
        if self._state == "open":
            self._state = "failed"
            bug = OperatorError("node", "a bug of ours, see above", "please report it", Exit.SOFTWARE)
            self.failed.errback(self._node.failed or bug)
        else:
            self._is_closed()

    def _is_closed(self) -> None:
        self._state = "closed"
        closed, self._closed = self._closed, []
        for waiting in closed:
            waiting.callback(None)
