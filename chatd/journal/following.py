"""Following: what comes out of the stream goes into this node's copy, in order, and is told once it is there.

It decides nothing about what happened: whether a bundle counts follows from the bundles before it (`runs`), and what
becomes of each event from the events before it (`order`).
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable

import msgspec
from twisted.logger import Logger

from chatd.core.cluster_events import NodeCame, NodeGone
from chatd.core.events import Entry, Event, Proposal
from chatd.errors import Exit, OperatorError
from chatd.journal.bundles import proposals_of, unseal
from chatd.journal.commits import Commits
from chatd.journal.replica import Followed, Replica
from chatd.journal.sender import Sender

AT_ONCE = 5_000  # events that are written in one transaction
MOST_AHEAD = 2_000  # messages that were read and not written


class Following:
    """The stream, as far as it has come here. `told(entries, own)` hears what is in the copy; `own` is how many of them
    are still waited for here. `born(attempt)` and `buried()` hear of this run's own beginning and end.

    While it `is_held`, what comes waits. `stuck` says why the copy cannot be written.
    """

    log = Logger()

    def __init__(
        self,
        replica: Replica,
        sender: Sender,
        commits: Commits,
        *,
        told: Callable[[list[Entry], int], None],
        born: Callable[[int], None],
        buried: Callable[[], None],
    ) -> None:
        self.is_held = False
        self.stuck = ""
        self._replica, self._sender, self._commits = replica, sender, commits
        self._told, self._born, self._buried = told, born, buried
        self._raw: deque[tuple[int, str, bytes]] = deque()
        self._again: list[Followed] = []

    @property
    def has_room(self) -> bool:
        """Whether more may be read ahead."""
        return len(self._raw) < MOST_AHEAD

    @property
    def is_idle(self) -> bool:
        """Everything that came has been told."""
        return not self._raw and not self._again

    def heard(self, position: int, mark: str, payload: bytes) -> None:
        """The next message of the stream."""
        self._raw.append((position, mark, payload))

    def step(self) -> bool:
        """Write some of what came, and tell it; whether there was anything to do."""
        if (self.is_held and not self._again) or self.is_idle:
            return False
        followed, self._again = self._again or self._next(), []
        try:
            entries = self._replica.take(followed)
        except (sqlite3.Error, OSError, OperatorError) as error:
            # The stream has everything: wait until it can be written.
            if not self.stuck:
                self.log.error("the copy of the stream cannot be written: {error}", error=str(error))
            self.stuck, self._again = str(error), followed
            return False
        if self.stuck:
            self.stuck = ""
            self.log.info("the copy of the stream can be written again")
        self._told(entries, sum(one.own for one in followed))
        return True

    def _next(self) -> list[Followed]:
        followed: list[Followed] = []
        count = 0
        while self._raw and count < AT_ONCE and not self.is_held:
            followed.append(one := self._read(*self._raw.popleft()))
            count += len(one.proposals)
            first = one.proposals[0].event if one.proposals else None
            if isinstance(first, NodeGone) and first.node == self._sender.node:
                self._buried()
            elif isinstance(first, NodeCame) and first.node == self._sender.node:
                self._born(first.attempt)
        return followed

    def _read(self, position: int, mark: str, payload: bytes) -> Followed:
        """What a message says, if it counts."""
        followed = Followed(position, mark)
        node, number = _parts(mark)
        is_own = node == self._sender.node
        proposals: list[Proposal] | None = None
        first: Event | None = self._sender.first_of(number) if is_own else None
        if first is None:
            try:
                bundle = unseal(payload)
            except msgspec.MsgspecError as error:
                if self._replica.runs.is_next(node, number):
                    raise OperatorError(
                        f"stream message {position}",
                        f"it cannot be read ({error})",
                        "install the newer chatd that the other nodes have",
                        Exit.SOFTWARE,
                    ) from error
                self.log.error("message {position} of the stream is none of ours", position=position)
                return followed
            node, number = bundle.node, bundle.number
            proposals = proposals_of(bundle)
            first = proposals[0].event if proposals else None
        if not self._replica.runs.takes(node, number, first):
            return followed
        if is_own:
            sent, followed.own = self._sender.came_back(number)
            if sent is not None:
                proposals = sent
                self._commits.count(len(sent), time.monotonic() - self._sender.last_since)
            self._sender.send_more()
        followed.proposals = proposals or ()
        if position == 1 and isinstance(first, NodeCame):
            followed.secret = first.secret
        return followed


def _parts(mark: str) -> tuple[str, int]:
    """The run and the number of a bundle, out of its id."""
    node, _, rest = mark.partition(".")
    number = rest.partition(".")[0]
    return node, int(number) if number.isdecimal() and len(number) < 16 else 0


class Waiters:
    """Who wants to hear when the stream has come to a place."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, Callable[[Exception | None], None]]] = []

    def add(self, position: int, call: Callable[[Exception | None], None]) -> None:
        """Call this when the stream has come there."""
        self._waiting.append((position, call))

    def come(self, position: int) -> None:
        """It has come here."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if one[0] <= position:
                one[1](None)
            else:
                self._waiting.append(one)
