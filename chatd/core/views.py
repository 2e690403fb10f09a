"""Views: what people are shown. The events of PROTOCOL.md section 5, field for field.

Codecs encode these; the client decodes them. The first four are durable and carry their room's `seq`;
the others are seen only while they happen. `of_entry` makes the durable ones out of entries.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

from chatd.core.commands import Action, Kind, Rel

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1024)
def moment(microseconds: int) -> datetime:
    """The moment so many microseconds after 1970, in UTC."""
    return EPOCH + timedelta(microseconds=microseconds)


def microseconds(when: datetime) -> int:
    """The inverse of `moment`; a time without a zone is taken as UTC."""
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - EPOCH) // timedelta(microseconds=1)


class View(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event has: its type."""


class Author(Struct, frozen=True, kw_only=True):
    """Who said it; stamped by the server, never claimed by a client."""

    nick: str
    account: str | UnsetType = UNSET
    bot: bool | UnsetType = UNSET


class Message(View, frozen=True, tag="message", gc=False, rename={"author": "from"}):
    """Somebody said something. A redacted one has an empty body and `redacted` true."""

    room: str
    seq: int
    event_id: str
    time: datetime
    author: Author
    kind: Kind
    body: str
    data: Any = UNSET
    schema: str | UnsetType = UNSET
    reply_to: int | UnsetType = UNSET
    msg_id: str | UnsetType = UNSET
    redacted: bool | UnsetType = UNSET


class Relation(View, frozen=True, kw_only=True, tag="relation", rename={"author": "from"}):
    """Somebody edited, redacted, or reacted to the message numbered `target`."""

    room: str
    seq: int
    event_id: str
    time: datetime
    author: Author
    rel: Rel
    target: int
    body: str | UnsetType = UNSET
    key: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    msg_id: str | UnsetType = UNSET
    redacted: bool | UnsetType = UNSET


class Member(View, frozen=True, kw_only=True, tag="member"):
    """A moderator did something about somebody."""

    room: str
    seq: int
    event_id: str
    time: datetime
    who: str
    change: Action
    by: str
    reason: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    until: datetime | UnsetType = UNSET


class Room(View, frozen=True, kw_only=True, tag="room"):
    """Somebody changed the room itself, its topic for example."""

    room: str
    seq: int
    event_id: str
    time: datetime
    by: str
    changes: dict[str, Any]


Durable = Message | Relation | Member | Room


class CaughtUp(View, frozen=True, kw_only=True, tag="caught_up"):
    """Replay has met live: everything up to `seq` has been shown."""

    room: str
    seq: int


class Gap(View, frozen=True, kw_only=True, tag="gap"):
    """The numbers `from` to `to`, both included, will not come. `damaged`: the server cannot read them itself."""

    room: str
    first: int = field(name="from")
    last: int = field(name="to")
    reason: Literal["retention", "skipped", "permission"]
    damaged: bool | UnsetType = UNSET


class Left(Struct, frozen=True, kw_only=True):
    """One who left, and why."""

    nick: str
    reason: str


class Renamed(Struct, frozen=True, kw_only=True):
    """One who took another nick."""

    old: str = field(name="from")
    new: str = field(name="to")


class AwayNow(Struct, frozen=True, kw_only=True):
    """One who went away (`away` true, perhaps with a message) or came back."""

    nick: str
    away: bool
    message: str | UnsetType = UNSET


class Presence(View, frozen=True, kw_only=True, tag="presence"):
    """Who came and went since the last one, many in one event; in a large room only the `count`."""

    room: str | UnsetType = UNSET
    joined: list[str] | UnsetType = UNSET
    left: list[Left] | UnsetType = UNSET
    count: int | UnsetType = UNSET
    away: list[AwayNow] | UnsetType = UNSET
    renamed: list[Renamed] | UnsetType = UNSET


class Typing(View, frozen=True, kw_only=True, tag="typing"):
    """Somebody is typing, or stopped."""

    room: str
    who: str
    state: str


class Read(View, frozen=True, kw_only=True, tag="read"):
    """One's own read cursor moved, by another of one's sessions."""

    room: str
    seq: int


class Notice(View, frozen=True, kw_only=True, tag="notice"):
    """The server has something to say."""

    code: str
    message: str


class Invite(View, frozen=True, kw_only=True, tag="invite"):
    """Somebody asks one into a room."""

    room: str
    by: str
    token: str | UnsetType = UNSET


class Ping(View, frozen=True, kw_only=True, tag="ping"):
    """The server asks for a sign of life: any byte will do."""

    time: datetime


class Error(View, frozen=True, kw_only=True, tag="error"):
    """Something is wrong with the connection or with a request that had no `id`."""

    code: str
    message: str
    details: dict[str, Any] | UnsetType = UNSET


class Closing(View, frozen=True, kw_only=True, tag="closing"):
    """The connection will be closed, and why."""

    code: str
    reason: str
    reconnect_after: float | UnsetType = UNSET
    alternate: str | UnsetType = UNSET


ALL: tuple[type[View], ...] = (
    Message,
    Relation,
    Member,
    Room,
    CaughtUp,
    Gap,
    Presence,
    Typing,
    Read,
    Notice,
    Invite,
    Ping,
    Error,
    Closing,
)
