"""What is shown of an entry: the one place where a stored event becomes a view."""

from __future__ import annotations

from functools import lru_cache

from msgspec import UNSET, UnsetType

from chatd.core import views
from chatd.core.events import Entry, MessageSent, Moderated, Related, RoomChanged
from chatd.core.state import event_id


def view_of(entry: Entry, room: str, *, own: bool = False) -> views.Durable:
    """A numbered entry as it is shown in the room called so. `own`: to its author, who also sees `msg_id`."""
    event = entry.event
    if type(event) is MessageSent:
        return _message(entry, event, room, own)
    if type(event) is Related:
        return _relation(entry, event, room, own)
    if type(event) is Moderated:
        return _member(entry, event, room)
    assert type(event) is RoomChanged
    return views.Room(
        room=room,
        seq=entry.seq,
        event_id=event_id(event.room_id, entry.seq),
        time=views.moment(entry.time),
        by=event.nick,
        changes={**event.changes, "key": bool(event.changes["key"])} if "key" in event.changes else event.changes,
    )


def _member(entry: Entry, event: Moderated, room: str) -> views.Member:
    return views.Member(
        room=room,
        seq=entry.seq,
        event_id=event_id(event.room_id, entry.seq),
        time=views.moment(entry.time),
        who=event.who,
        change=event.change,
        by=event.nick,
        reason=event.reason or UNSET,
        role=event.role or UNSET,
        until=views.moment(event.until) if event.until else UNSET,
    )


def _message(entry: Entry, event: MessageSent, room: str, own: bool) -> views.Message:
    return views.Message(
        room,
        entry.seq,
        f"{event.room_id}:{entry.seq}",
        views.moment(entry.time),
        _author(event.nick, event.account, event.bot),
        event.kind,
        event.body,
        UNSET if event.data is None else event.data,
        UNSET if event.schema is None else event.schema,
        UNSET if event.reply_to is None else event.reply_to,
        event.msg_id if own and event.msg_id is not None else UNSET,
        event.redacted or UNSET,
    )


def _relation(entry: Entry, event: Related, room: str, own: bool) -> views.Relation:
    return views.Relation(
        room=room,
        seq=entry.seq,
        event_id=event_id(event.room_id, entry.seq),
        time=views.moment(entry.time),
        author=_author(event.nick, event.account, event.bot),
        rel=event.rel,
        target=event.target,
        body=_set(event.body),
        key=_set(event.key),
        reason=_set(event.reason),
        msg_id=_set(event.msg_id) if own else UNSET,
        redacted=event.redacted or UNSET,
    )


@lru_cache(maxsize=4096)
def _author(nick: str, account: str | None, bot: bool) -> views.Author:
    return views.Author(nick=nick, account=_set(account), bot=bot or UNSET)


def _set(value: str | None) -> str | UnsetType:
    return UNSET if value is None else value
