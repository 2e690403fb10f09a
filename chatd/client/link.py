"""One connection, as the session sees it: frames out and in, the session's own requests, signs of life,
clocks.

A link is made for a connection and thrown away with it. It knows no rooms and nothing of what users asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from msgspec import UNSET
from msgspec.structs import replace

from chatd.client import wire
from chatd.core.commands import Command, Join, Ping, Resume
from chatd.core.replies import Pong
from chatd.core.views import Closing

GREETING_SECONDS = 15.0
PING_SECONDS = 30.0
SILENCE_SECONDS = 75.0


class Link:
    """The state of one connection. `wall` is the wall clock less the steady one, `ticket` gives request numbers."""

    def __init__(self, now: float, wall: float, ticket: Callable[[], int]) -> None:
        self.hang_up = False
        self.farewell: tuple[str, str] | None = None  # the code and the words with which it ends
        self.come_back_at = 0.0
        self.alternate = ""  # where the server says that we should go
        self.lag: float | None = None
        self.skew: float | None = None
        self._wall = wall
        self._ticket = ticket
        self.since = self._heard = self._pinged = now
        self._splitter = wire.Splitter()
        self._out: list[bytes] = []
        self._inner: dict[str, Command] = {}
        self._later: list[tuple[float, Command]] = []

    # -- out -------------------------------------------------------------------------------------------------

    def say(self, command: Command) -> None:
        """Ask something on the session's own account, at once."""
        ticket = str(self._ticket())
        self._inner[ticket] = command
        self._out.append(wire.encode(replace(command, id=ticket)))

    def say_later(self, command: Command, at: float) -> None:
        """Ask it when its time has come."""
        self._later.append((at, command))

    def write(self, frames: Iterable[bytes]) -> None:
        """Send what is ready made."""
        self._out += frames

    def to_send(self) -> bytes:
        """The bytes to write now."""
        if not self._out:
            return b""
        joined = b"".join(self._out)
        self._out.clear()
        return joined

    def ping(self, now: float) -> None:
        """Show a sign of life, and measure."""
        self._pinged = now
        self.say(Ping())

    def closing(self, view: Closing, now: float) -> None:
        """The server takes its leave, and says when to come again, or where to go instead."""
        self.farewell = (view.code, view.reason)
        if view.alternate:
            self.alternate = view.alternate
        elif view.reconnect_after is not UNSET:
            self.come_back_at = now + view.reconnect_after

    def close(self, reason: str) -> None:
        """The connection is to be closed."""
        self.farewell = self.farewell or ("", reason)
        self.hang_up = True

    # -- in --------------------------------------------------------------------------------------------------

    def receive(self, chunk: bytes, now: float) -> Iterator[wire.Incoming]:
        """What has come, until the connection is to be closed."""
        self._heard = now
        for frame in self._splitter.feed(chunk):
            if self.hang_up:
                return
            yield wire.open_frame(frame)

    def answered(self, re: str) -> Command | None:
        """The session's own request that this reply is for."""
        return self._inner.pop(re, None)

    @property
    def is_returning(self) -> bool:
        """Whether rooms are still being taken up again: what is to be said there has to wait."""
        waiting = [*self._inner.values(), *(command for _, command in self._later)]
        return any(isinstance(command, Resume | Join) for command in waiting)

    def pong(self, reply: Pong, now: float) -> None:
        """The answer to our ping: how long it took, and how far the clocks are apart."""
        self.lag = now - self._pinged
        self.clocks(reply.time, now - self.lag / 2)

    def clocks(self, theirs: datetime, now: float) -> None:
        """The server's clock showed this at that moment of ours."""
        self.skew = theirs.timestamp() - (now + self._wall)

    # -- time ------------------------------------------------------------------------------------------------

    def next_tick(self, greeted: bool) -> float:
        """When `tick` is to be called at the latest."""
        if not greeted:
            return self.since + GREETING_SECONDS
        return min([self._pinged + PING_SECONDS, self._heard + SILENCE_SECONDS, *(at for at, _ in self._later)])

    def tick(self, now: float, greeted: bool) -> None:
        """Time has passed: ask for a sign of life, or give up waiting for one."""
        if not greeted:
            if now >= self.since + GREETING_SECONDS:
                self.close("no answer; is it a chatd server?")
            return
        if now >= self._heard + SILENCE_SECONDS:
            self.close("the server has fallen silent")
            return
        if now >= self._pinged + PING_SECONDS:
            self.ping(now)
        due = [command for at, command in self._later if at <= now]
        self._later = [(at, command) for at, command in self._later if at > now]
        for command in due:
            self.say(command)
