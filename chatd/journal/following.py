"""Following: what comes out of the stream goes into this node's copy, in order, and is told once it is there.

It decides nothing about what happened: whether a bundle counts follows from the bundles before it (`runs`), and what
becomes of each event from the events before it (`order`).
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
from twisted.logger import Logger

from chatd.core.cluster_events import NodeCame, NodeGone
from chatd.core.events import Entry, Event, Proposal
from chatd.errors import Exit, OperatorError
from chatd.journal.bundles import Bundle, proposals_of, unseal
from chatd.journal.commits import Commits
from chatd.journal.replica import Followed, Replica
from chatd.journal.sender import Sender
from chatd.journal.streams import NAMES, has_come

AT_ONCE = 5_000  # events that are written in one transaction
MOST_AHEAD = 2_000  # messages that were read and not written


class Following:
    """The streams, as far as they have come here. `told(entries, own)` hears what is in the copy; `own` is how many of
    them are still waited for here. `born(attempt)` and `buried()` hear of this run's own beginning and end.

    While it `is_held`, what comes in the stream of names waits. `stuck` says why the copy cannot be written.
    """

    log = Logger()

    def __init__(
        self,
        replica: Replica,
        senders: Sequence[Sender],
        commits: Commits,
        *,
        told: Callable[[list[Entry], int], None],
        born: Callable[[int], None],
        buried: Callable[[], None],
    ) -> None:
        self.is_held = False
        self.stuck = ""
        self._replica, self._senders, self._commits = replica, senders, commits
        self._told, self._born, self._buried = told, born, buried
        self._raw: list[deque[tuple[int, str, bytes]]] = [deque() for _ in senders]
        self._opened: list[Bundle | None] = [None for _ in senders]  # the first of each, if it has to wait
        self._reached: list[int] = []
        self._again: list[Followed] = []

    def has_room(self, stream: int) -> bool:
        """Whether more of a stream may be read ahead."""
        return len(self._raw[stream]) < MOST_AHEAD

    @property
    def is_idle(self) -> bool:
        """Everything that came has been told."""
        return not self._again and not any(self._raw)

    def heard(self, stream: int, position: int, mark: str, payload: bytes, _: bool = True) -> None:
        """The next message of a stream, as a consumer tells it."""
        self._raw[stream].append((position, mark, payload))

    def step(self) -> bool:
        """Write some of what came, and tell it; whether there was anything to do."""
        followed, self._again = self._again or self._next(), []
        if not followed:
            return False
        try:
            entries = self._replica.take(followed)
        except (sqlite3.Error, OSError, OperatorError) as error:
            # The streams have everything: wait until it can be written.
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
        self._reached = list(self._replica.positions)
        count, had = 0, -1
        while had < len(followed) and count < AT_ONCE:  # what comes in one stream may be waited for in another
            had = len(followed)
            for stream, raw in enumerate(self._raw):
                while raw and count < AT_ONCE and not (self.is_held and stream == NAMES):
                    one = self._read(stream, *raw[0])
                    if one is None:
                        break
                    raw.popleft()
                    self._reached[stream] = one.position
                    followed.append(one)
                    count += len(one.proposals)
                    if stream == NAMES and one.proposals:
                        self._see(one.proposals[0].event)
        return followed

    def _see(self, first: Event) -> None:
        """This run's own beginning and end are heard of."""
        if isinstance(first, NodeGone) and first.node == self._senders[NAMES].node:
            self._buried()
        elif isinstance(first, NodeCame) and first.node == self._senders[NAMES].node:
            self._born(first.attempt)

    def _read(self, stream: int, position: int, mark: str, payload: bytes) -> Followed | None:
        """What a message says, if it counts; None if it comes after something that is not here yet."""
        followed = Followed(position, mark, stream)
        sender, runs = self._senders[stream], self._replica.runs
        node, number = _parts(mark)
        is_own = node == sender.node
        proposals: list[Proposal] | None = None
        first: Event | None = sender.first_of(number) if is_own else None
        if first is None:
            try:
                bundle = self._opened[stream] or unseal(payload)
            except msgspec.MsgspecError as error:
                if runs.is_next(node, number, stream):
                    raise OperatorError(
                        f"stream message {position}",
                        f"it cannot be read ({error})",
                        "install the newer chatd that the other nodes have",
                        Exit.SOFTWARE,
                    ) from error
                self.log.error("message {position} of the stream is none of ours", position=position)
                return followed
            self._opened[stream] = bundle
            if not has_come(self._reached, bundle.after):
                return None
            self._opened[stream] = None
            node, number = bundle.node, bundle.number
            proposals = proposals_of(bundle)
            first = proposals[0].event if proposals else None
        if not runs.takes(node, number, first, stream):
            return followed
        if is_own:
            sent, followed.own = sender.came_back(number)
            if sent is not None:
                proposals = sent
                self._commits.count(len(sent), time.monotonic() - sender.last_since)
            sender.send_more()
        followed.proposals = proposals or ()
        if position == 1 and stream == NAMES and isinstance(first, NodeCame):
            followed.secret = first.secret
        return followed


def _parts(mark: str) -> tuple[str, int]:
    """The run and the number of a bundle, out of its id."""
    node, _, rest = mark.partition(".")
    number = rest.partition(".")[0]
    return node, int(number) if number.isdecimal() and len(number) < 16 else 0


class Waiters:
    """Who wants to hear when the streams have come to a place."""

    def __init__(self) -> None:
        self._waiting: list[tuple[list[int], Callable[[Exception | None], None]]] = []

    def add(self, positions: list[int], call: Callable[[Exception | None], None]) -> None:
        """Call this when all streams have come there."""
        self._waiting.append((positions, call))

    def come(self, positions: Sequence[int]) -> None:
        """They have come here."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if has_come(positions, one[0]):
                one[1](None)
            else:
                self._waiting.append(one)
