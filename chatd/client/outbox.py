"""What was asked and is not answered yet, in order.

A request stays here, as the very bytes, until its reply has come. After a new connection those that are safe
to repeat are written again: messages, because their `msg_id` makes a repeat the same message, and questions.
A message that the server could not take now (`RATE_LIMITED`, `STORE_UNAVAILABLE`, `OUTCOME_UNKNOWN`, and
`SHUTTING_DOWN`, which the next connection will take) keeps its place and holds back what comes after it, so that
order is kept; from then on fewer are under way at once, until it goes well again.

Pure: time is an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chatd.client.backoff import Backoff
from chatd.client.errors import Refused
from chatd.core import commands, replies
from chatd.core.codes import Code
from chatd.core.commands import Command
from chatd.core.replies import Reply

MOST_WAITING = 1000
MOST_BYTES = 4 << 20
WINDOW = 64
MOST_REPEATS = 8
LONGEST_PATIENCE = 60.0  # a longer wait than this is told to the one who asked instead

REPLY_TO: dict[type[Command], type[Reply]] = {
    commands.Hello: replies.Welcome,
    commands.Auth: replies.LoggedIn,
    commands.Ping: replies.Pong,
    commands.Nick: replies.NickTaken,
    commands.Join: replies.Joined,
    commands.Part: replies.Done,
    commands.Send: replies.Sent,
    commands.Relate: replies.Sent,
    commands.History: replies.HistoryPage,
    commands.Resume: replies.Resumed,
    commands.MarkRead: replies.ReadMarked,
    commands.List: replies.Listed,
    commands.Set: replies.Changed,
    commands.Moderate: replies.Changed,
    commands.Presence: replies.Done,
    commands.Quit: replies.Done,
}

# Done twice, these are as done once. `set` and `moderate` would show everyone a second event.
_REPEATABLE = frozenset(REPLY_TO) - {commands.Set, commands.Moderate, commands.Presence, commands.Quit}
# Worth waiting for; somebody who wants another nick had better be told at once.
_PATIENT = frozenset(
    {commands.Send, commands.Relate, commands.Join, commands.Part, commands.History, commands.List, commands.MarkRead}
)
_NOT_NOW = frozenset({Code.RATE_LIMITED, Code.STORE_UNAVAILABLE, Code.OUTCOME_UNKNOWN, Code.SHUTTING_DOWN})


@dataclass(slots=True)
class Asked:
    """One request, as it is written."""

    ticket: int
    command: Command
    frame: bytes
    elastic: bool = False  # a join whose `since` may be too high: then from the beginning
    repeats: int = 0  # how often the server said: not now
    losses: int = 0  # how often a connection was lost before the reply came

    @property
    def reply_kind(self) -> type[Reply]:
        """What an ok reply to it looks like."""
        return REPLY_TO[type(self.command)]


class Pace:
    """How many requests may be under way at once, so that a refusal for haste cannot break their order.

    Where the server allows a burst and then a few messages a second, one message too many may be refused
    while the next is taken, its turn having come in between. So no more than the burst goes out at once, and
    then one by one, until more was taken than the limits allow: then they do not hold for us.
    """

    def __init__(self) -> None:
        self._burst = 0
        self._rate = 0.0
        self._since = 0.0
        self._written = 0
        self._taken = 0
        self._free = True

    def begin(self, burst: float, rate: float, now: float) -> None:
        """A new session, and its limits; zero means none."""
        self._burst, self._rate, self._since = int(burst), rate, now
        self._written = self._taken = 0
        self._free = not (burst and rate)

    def window(self) -> int:
        """How many may be under way now."""
        if self._free:
            return WINDOW
        return WINDOW if self._written < self._burst else 1

    def wrote(self) -> None:
        """One more is under way."""
        self._written += 1

    def went_well(self, now: float) -> None:
        """One was taken."""
        self._taken += 1
        if self._taken > self._burst + self._rate * (now - self._since) + 1:
            self._free = True

    def was_refused(self, code: str, now: float) -> None:
        """One was not taken. After one for haste: one by one. Otherwise: one by one until it goes well again."""
        self._free = False
        self._burst, self._taken, self._since = 0, 0, now
        self._rate = float("inf") if code == Code.RATE_LIMITED else 0.0


class Outbox:
    """The open requests, oldest first."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._written: dict[int, Asked] = {}
        self._waiting: dict[int, Asked] = {}  # always younger than what is written, but for one that was refused
        self._bytes = 0
        self._resting_until = 0.0
        self._backoff = Backoff(chance)
        self.pace = Pace()

    def __len__(self) -> int:
        return len(self._written) + len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether no more is taken."""
        return len(self) >= MOST_WAITING or self._bytes >= MOST_BYTES

    def add(self, asked: Asked) -> None:
        """Take a request; `Refused` with LIMIT_EXCEEDED if too many are waiting already."""
        if self.is_full:
            raise Refused(Code.LIMIT_EXCEEDED, f"{len(self)} requests are waiting for the server already")
        self._waiting[asked.ticket] = asked
        self._bytes += len(asked.frame)

    def take(self, ticket: int) -> Asked | None:
        """The request under this ticket, which is open no longer."""
        asked = self._written.pop(ticket, None) or self._waiting.pop(ticket, None)
        if asked is not None:
            self._bytes -= len(asked.frame)
        return asked

    def went_well(self, now: float) -> None:
        """A request was answered with ok."""
        self.pace.went_well(now)
        self._backoff.reset()

    def to_write(self, now: float) -> list[bytes]:
        """The frames to write now, in order. They count as written."""
        if now < self._resting_until:
            return []
        frames = []
        while self._waiting and len(self._written) < self.pace.window():
            ticket = next(iter(self._waiting))
            asked = self._written[ticket] = self._waiting.pop(ticket)
            self.pace.wrote()
            frames.append(asked.frame)
        return frames

    def next_write(self, now: float) -> float | None:
        """When what is held back may go on, or None if time holds nothing back."""
        return self._resting_until if self._waiting and now < self._resting_until else None

    def wait_after(self, asked: Asked, refusal: Refused, now: float) -> float | None:
        """Put a refused request back into its place if it is worth repeating: seconds to wait, or None if not."""
        if refusal.code not in _NOT_NOW or type(asked.command) not in _PATIENT:
            return None
        if refusal.code != Code.RATE_LIMITED and asked.repeats >= MOST_REPEATS:
            return None
        wait = self._backoff.next() if refusal.retry_after is None else max(refusal.retry_after, 0.01)
        if wait > LONGEST_PATIENCE:
            return None
        asked.repeats += 1
        self.pace.was_refused(refusal.code, now)
        self._waiting[asked.ticket] = asked
        self._waiting = dict(sorted(self._waiting.items()))
        self._bytes += len(asked.frame)
        self._resting_until = max(self._resting_until, now + wait)
        return wait

    def disconnected(self) -> list[Asked]:
        """Nothing written will be answered. The safe ones stay; those that are given up are returned."""
        self._resting_until = 0.0
        lost = []
        for asked in list(self._written.values()):
            asked.losses += 1
            if type(asked.command) not in _REPEATABLE or asked.losses > MOST_REPEATS:
                self.take(asked.ticket)
                lost.append(asked)
        self._waiting = dict(sorted({**self._written, **self._waiting}.items()))
        self._written = {}
        return lost

    def empty(self) -> list[Asked]:
        """Give up everything."""
        lost = sorted([*self._written.values(), *self._waiting.values()], key=lambda asked: asked.ticket)
        self._written, self._waiting, self._bytes = {}, {}, 0
        return lost
