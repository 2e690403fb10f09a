"""The sender: a node's side of publishing. What was proposed goes out in bundles, several of them on their way at once.

A bundle is on its way until it has come back in the stream. What gets lost is published again, and all that was sent
after it, so that everything comes in the order in which it was proposed, or not at all. It knows of no connection: it
is told when there is one, and what comes back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct
from twisted.logger import Logger

from chatd.core.cluster_events import NodeCame, NodeGone
from chatd.core.codes import Code
from chatd.core.events import Entry, Event, LoggedOut, Parted, Proposal
from chatd.journal.bundles import pack, piece_of, seal
from chatd.journal.commits import GATHER_SECONDS
from chatd.journal.order import refused

WINDOW = 4
"""Bundles on their way at once. While they are, the next one fills."""

AGAIN_SECONDS = 1.0
"""What the stream has not taken by then is published again; each time it waits twice as long, up to eight times."""

SOON_SECONDS = 0.25
"""The same for what could not be taken, while the servers agree on who leads them."""

LASTING = (LoggedOut, Parted, NodeCame, NodeGone)
"""What comes true however long it takes: nobody waits for an answer, and who is gone does not come back."""


class Sent(Struct):
    """A bundle on its way. `since` is when the oldest of it was proposed, `at` when it was published last."""

    number: int
    proposals: list[Proposal]
    pieces: list[bytes]
    since: float
    at: float = 0.0
    is_taken: bool = False
    is_cut: bool = False


class Sender:
    """Publishes what is put, within the bounds of `hold_seconds` and of `most_bytes` a bundle.

    `publish(id, payload, number)` and `give_back(entries)` are its ways out; `later(seconds, call)` calls later. What
    is published for the first time is acknowledged by its coming back, and the `number` is None; only what seems lost
    is asked after. `after` says how far this node has come in each stream, if there are several; what was sent into
    that of names counts for nothing once its run is over, and in the others it does.
    """

    log = Logger()

    def __init__(
        self,
        publish: Callable[[str, bytes, int | None], None],
        give_back: Callable[[list[Entry]], None],
        *,
        hold_seconds: float,
        clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], object] = lambda _, call: call(),
        after: Callable[[], list[int]] = list,
        is_names: bool = True,
    ) -> None:
        self.node = ""
        self.most_bytes = 1 << 19
        self.is_failing = False
        self.is_connected = False
        self._publish = publish
        self._give_back = give_back
        self._hold = hold_seconds
        self._clock = clock
        self._later = later
        self._after = after
        self._is_names = is_names
        self._number = 0
        self._round = 0
        self._waiting: deque[tuple[float, list[Proposal]]] = deque()
        self._on_way: dict[int, Sent] = {}
        self._size = 0  # of the last bundle
        self._is_due = False
        self.last_since = 0.0  # when the oldest of what came back last was proposed
        self._patience = AGAIN_SECONDS

    @property
    def is_idle(self) -> bool:
        """Everything has come back."""
        return not self._waiting and not self._on_way

    def begin(self, node: str, came: Proposal | None) -> None:
        """A run begins; where it has to be known before anything counts, `came` is the first that is said."""
        self.node, self._number, self._round = node, 0, 0
        self._on_way.clear()
        if came is not None:
            self._waiting.appendleft((self._clock(), [came]))
        self.send_more()

    def put(self, proposals: Sequence[Proposal]) -> None:
        """Publish these after what was put before."""
        if self.is_failing:
            lasting = [one for one in proposals if _lasts(one)]
            self._give_back([refused(one, Code.STORE_UNAVAILABLE) for one in proposals if not _lasts(one)])
            if lasting:
                self._waiting.append((self._clock(), lasting))
        else:
            self._waiting.append((self._clock(), list(proposals)))
        if self._size < 2:
            self.send_more()
        elif not self._is_due:
            self._is_due = True
            self._later(GATHER_SECONDS, self._send_due)

    def _send_due(self) -> None:
        self._is_due = False
        self.send_more()

    def send_more(self) -> None:
        """Publish as much as may be on its way."""
        while self._waiting and self.is_connected and self.node and len(self._on_way) < WINDOW:
            since = self._waiting[0][0]
            waiting = [one for _, some in self._waiting for one in some]
            taken, pieces = pack(waiting, self.most_bytes)
            self._waiting.clear()
            if rest := waiting[len(taken) :]:
                self._waiting.append((since, rest))
            self._number += 1
            self._size = len(taken)
            sent = self._on_way[self._number] = Sent(self._number, taken, pieces, since)
            self._send(sent)

    def _send(self, sent: Sent) -> None:
        is_first = not sent.at
        sent.at, sent.is_taken = self._clock(), False
        payload = seal(self.node, sent.number, sent.pieces, self._after())
        self._publish(f"{self.node}.{sent.number}.{self._round}", payload, None if is_first else sent.number)

    # -- what comes back --------------------------------------------------------------------------------------

    def taken(self, number: int) -> None:
        """The stream has a bundle; it will come back."""
        sent = self._on_way.get(number)
        if sent is not None:
            sent.is_taken = True

    def not_taken(self, number: int) -> None:
        """The stream could not take a bundle just now."""
        sent = self._on_way.get(number)
        if sent is not None and not sent.is_taken:
            sent.at = min(sent.at, self._clock() - self._patience + SOON_SECONDS)

    def first_of(self, number: int) -> Event | None:
        """The first event of a bundle on its way, if that need not be read from it."""
        sent = self._on_way.get(number)
        return None if sent is None or sent.is_cut or not sent.proposals else sent.proposals[0].event

    def came_back(self, number: int) -> tuple[list[Proposal] | None, int]:
        """A bundle of this run counts: what was proposed in it, or None if that has to be read from it; and how many
        of them are still waited for."""
        self._patience = AGAIN_SECONDS
        if self.is_failing:
            self.is_failing = False
            self.log.info("the stream takes messages again")
        sent = self._on_way.pop(number, None)
        if sent is None:
            return None, 0
        self.last_since = sent.since
        return (None if sent.is_cut else sent.proposals), len(sent.proposals)

    def go_back(self, *, is_sure: bool = False) -> None:
        """Publish again what has not come back, in its order; what was taken before all the rest, only if `is_sure`."""
        self._round += 1
        is_behind = is_sure
        for sent in self._on_way.values():
            is_behind = is_behind or not sent.is_taken
            if is_behind:
                self._send(sent)

    def look(self) -> None:
        """Publish again what seems lost; give up what was held for too long."""
        now = self._clock()
        oldest = max((now - sent.at for sent in self._on_way.values() if not sent.is_taken), default=0.0)
        if oldest > self._patience and self.is_connected:
            self._patience = min(2 * self._patience, 8 * AGAIN_SECONDS)
            self.go_back()
        self._give_up(now - self._hold)
        self.send_more()
        if self.is_failing and self.is_connected and self.node and self.is_idle:
            self._number += 1  # without events: to see whether it comes back
            sent = self._on_way[self._number] = Sent(self._number, [], [], now)
            self._send(sent)

    def _give_up(self, before: float) -> None:
        """Answer those whose events were put before this; what may be in the stream is not said to be missing."""
        given_up: list[Entry] = []
        for sent in self._on_way.values():
            if sent.since <= before and any(not _lasts(one) for one in sent.proposals):
                given_up += [refused(one, Code.OUTCOME_UNKNOWN) for one in sent.proposals if not _lasts(one)]
                sent.proposals = [one for one in sent.proposals if _lasts(one)]
                sent.pieces = [piece_of(one) for one in sent.proposals]
                sent.is_cut = True
        kept: deque[tuple[float, list[Proposal]]] = deque()
        for since, some in self._waiting:
            if since <= before:
                given_up += [refused(one, Code.STORE_UNAVAILABLE) for one in some if not _lasts(one)]
                some = [one for one in some if _lasts(one)]
            if some:
                kept.append((since, some))
        self._waiting = kept
        if given_up:
            if not self.is_failing:
                self.is_failing = True
                self.log.error("{count} events were not stored: the stream does not take them", count=len(given_up))
            self._give_back(given_up)

    def end_run(self) -> None:
        """This run is over: what is not on its way by now will never come back."""
        self.node = ""
        code = Code.STORE_UNAVAILABLE if self._is_names else Code.OUTCOME_UNKNOWN
        lost = [refused(one, code) for sent in self._on_way.values() for one in sent.proposals]
        lost += [refused(one, Code.STORE_UNAVAILABLE) for _, some in self._waiting for one in some]
        self._on_way.clear()
        self._waiting.clear()
        self._give_back(lost)


def _lasts(proposal: Proposal) -> bool:
    return proposal.ticket is None and isinstance(proposal.event, LASTING)
