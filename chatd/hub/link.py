"""Links: what the hub remembers of each connection, and of each command that is under way."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from chatd.core.commands import Command

if TYPE_CHECKING:
    from chatd.core.state import Session
    from chatd.hub.replay import Feed
    from chatd.hub.scram import Exchange
    from chatd.hub.visit import Visit


# What most links have none of, once for all of them: an empty set takes 216 bytes, and each `frozenset()` is another.
NO_FEEDS: Any = MappingProxyType({})
NO_NAMES: frozenset[str] = frozenset()


class Misread(Command, frozen=True, kw_only=True, tag="misread"):
    """Not a command: something that could not be read as one, to be answered in its turn."""

    refusal: Any  # a Refusal


class Link:
    """A connection and its session, seen from the hub.

    `rooms` maps the id of each named room it is in to its encoder there, or to None while a feed replays.
    `under_way` counts sends that are not answered yet; `blocked` is set while any other command is. `full`: its peer
    does not read what waits for it, since the tick `full_since`. `dropped` counts the passing views that it was not
    shown for that, and `missed` are the rooms in which they told who is there. `send` sends bytes to the peer there and
    then, as long as nothing waits to be sent before.
    """

    __slots__ = (
        "blocked",
        "caps",
        "connection",
        "dropped",
        "exchange",
        "feeds",
        "full",
        "full_since",
        "gone",
        "greeted",
        "id",
        "missed",
        "paused",
        "pinged",
        "rooms",
        "send",
        "session",
        "since",
        "trusted",
        "under_way",
        "visit",
        "waiting",
        "waiting_bytes",
    )

    def __init__(self, connection: Any, session_id: str, greeted: bool, since: float) -> None:
        self.connection = connection
        self.id = session_id
        self.greeted = greeted
        self.since = since  # the hub's tick at its beginning
        self.caps = NO_NAMES
        self.session: Session | None = None
        self.waiting: list[Command] = []  # few, and mostly none: an empty deque takes ten times as much
        self.waiting_bytes = 0  # what they took on the wire since the line was last empty
        self.rooms: dict[str, Any] = {}
        self.feeds: dict[str, Feed] = NO_FEEDS
        self.under_way = 0
        self.blocked = False
        self.paused = False
        self.full = False
        self.full_since = 0.0
        self.dropped = 0
        self.missed = NO_NAMES
        self.gone = False
        self.send: Callable[[bytes], int] | None = None
        self.pinged = False
        self.visit: Visit | None = None  # of somebody who was told a word to come back with
        self.exchange: Exchange | None = None  # a login by scram-sha-256 that is half done
        self.trusted = True  # rates and connection caps do not hold for it

    def is_busy(self) -> bool:
        """Is anything of what it asked not answered yet?"""
        return self.blocked or self.under_way > 0 or bool(self.waiting)


class Ticket(Struct, gc=False):
    """Whose command an event came from, and what its answer needs. It rides with the proposal."""

    link: Link
    command: Command
    known: Any


__all__ = ["Link", "Misread", "Ticket"]
