"""What one can ask of a server, as functions that make the command: the verbs that all three faces share.

Nothing here is sent. Conversations of several requests, such as reading all pages of a list, are generators
that give a command and are sent its reply.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import Any, Literal, Protocol, TypedDict, Unpack

from chatd.client.rooms import Since
from chatd.core import commands
from chatd.core.commands import Action, Command, Kind, Rel
from chatd.core.replies import Listed

Place = int | datetime
Item = dict[str, Any]
TypingState = Literal["active", "paused", "done"]


class Saying(TypedDict, total=False):
    """How something is said. `data` is any value of None, bool, int, float, str, bytes, datetime, list and dict."""

    kind: Kind
    reply_to: int | None
    data: Any
    schema: str | None
    msg_id: str | None


class Relating(TypedDict, total=False):
    """What is said about a message: the new `body` of an edit, the `key` of a reaction."""

    body: str | None
    key: str | None
    reason: str | None
    msg_id: str | None


class Looking(TypedDict, total=False):
    """Where to look in a room's history: before, after or around a number or a time; without any, the latest."""

    before: Place | None
    after: Place | None
    around: Place | None
    limit: int | None
    query: str | None
    author: str | None


class RoomChanges(TypedDict, total=False):
    """How a room is: who comes in (`join`: open, accounts, invite), a `key` for it ("": none), who speaks (`speak`:
    everyone, accounts, speakers, operators), how many seconds apart (`slow`), and who sees it (`visibility`: public,
    hidden, published).
    """

    topic: str
    join: str
    key: str
    speak: str
    slow: int
    visibility: str


class Moderating(TypedDict, total=False):
    """The `role` that is given, how long it holds (seconds, or "10m", "2h", "7d"), and why."""

    role: str | None
    duration: int | str | None
    reason: str | None


class Spot(Protocol):
    """Something that was said: a `Message`, or the `Sent` that answered a send."""

    @property
    def room(self) -> str:
        """Where."""

    @property
    def seq(self) -> int:
        """Its number there."""


def join(room: str, key: str | None, since: Since, replay_limit: int | None) -> commands.Join:
    return commands.Join(room=room, key=key, since=since, replay_limit=replay_limit)


def part(room: str, reason: str | None) -> commands.Part:
    return commands.Part(room=room, reason=reason)


def send(room: str, body: str, **saying: Unpack[Saying]) -> commands.Send:
    """A message to a room, or to one person if `room` is written `@nick`."""
    if room.startswith("@"):
        return commands.Send(to=room, body=body, **saying)
    return commands.Send(room=room, body=body, **saying)


def direct(nick: str, body: str, **saying: Unpack[Saying]) -> commands.Send:
    return send("@" + nick.removeprefix("@"), body, **saying)


def relate(room: str, target: int, rel: Rel, **relating: Unpack[Relating]) -> commands.Relate:
    return commands.Relate(room=room, target=target, rel=rel, **relating)


def history(room: str, **looking: Unpack[Looking]) -> commands.History:
    return commands.History(room=room, **looking)


def topic(room: str, text: str) -> commands.Set:
    return commands.Set(room=room, changes=commands.Changes(topic=text))


def set_room(room: str, **changes: Unpack[RoomChanges]) -> commands.Set:
    """Change how a room may be entered and spoken in; for its operators."""
    return commands.Set(room=room, changes=commands.Changes(**changes))


def moderate(room: str | None, action: Action, target: str, **how: Unpack[Moderating]) -> commands.Moderate:
    """Do something about somebody in a room, or with None on the whole server."""
    return commands.Moderate(room=room, server=room is None, action=action, target=target, **how)


def away(message: str | bool) -> commands.Set:
    """Away with a message, or with True without one; back with False."""
    return commands.Set(myself=commands.SelfChanges(away=message))


def mark_read(room: str, seq: int) -> commands.MarkRead:
    return commands.MarkRead(room=room, seq=seq)


def typing(room: str, state: TypingState) -> commands.Presence:
    return commands.Presence(typing=commands.TypingNow(room=room, state=state))


def listing(
    what: Literal["rooms", "members", "users", "sessions", "bans"], room: str | None = None, prefix: str | None = None
) -> Generator[Command, Listed, list[Item]]:
    """All pages of a list, one after the other."""
    items: list[Item] = []
    cursor: str | None = None
    while True:
        page = yield commands.List(what=what, room=room, prefix=prefix, cursor=cursor)
        items += page.items
        if page.next is None or page.next == cursor:
            return items
        cursor = page.next


def whois(nick: str) -> Generator[Command, Listed, Item]:
    page = yield commands.List(what="whois", name=nick)
    return page.items[0] if page.items else {}
