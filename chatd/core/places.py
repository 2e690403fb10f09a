"""Rules of places: entering and leaving rooms, changing them, and being seen in them."""

from __future__ import annotations

from msgspec import structs

from chatd.core import names
from chatd.core.codes import Code, Refusal
from chatd.core.commands import Join, Moderate, Part, Presence, Resume, Set
from chatd.core.context import UNASKED, Context
from chatd.core.effects import Answer, Append, Effect, Fetch, Show, Subscribe
from chatd.core.entrance import enter_by_token
from chatd.core.events import AwayChanged, Event, Parted, ReadMarked, RoomChanged, RoomMade
from chatd.core.events import Joined as JoinedRoom
from chatd.core.questions import CursorsWanted
from chatd.core.replies import Changed, Done, Resumed
from chatd.core.state import Room
from chatd.core.text import clean_line
from chatd.core.views import Typing


def join(context: Context, command: Join) -> list[Effect]:
    """Enter a room, which is made by entering it."""
    is_first = False
    if command.since == "last":
        if context.known is UNASKED:
            return [Fetch(CursorsWanted(context.me.reads_as))]
        room = find(context, command.room)
        cursor = context.known.get(room.id) if room is not None else None
        is_first = cursor is None
        command = structs.replace(command, since="now" if cursor is None else cursor)
    room = find(context, command.room)
    if room is not None and room.id in context.me.rooms:
        raise Refusal(Code.ALREADY_IN_ROOM, f"you are in {room.name} already", details={"room": room.name})
    check_since(room, command.room, command.since)
    if room is not None and room.parties is not None:
        return [Append((), command=command, known=is_first)]
    return [Append((enter(context, command.room, 1),), command=command, known=is_first)]


def first_cursor(context: Context, room: Room) -> tuple[Event, ...]:
    """Where the next `since: "last"` goes on, for somebody who has read nothing of the room so far.

    A room in which nothing was ever said has no place for a cursor: joining must not keep rooms for ever.
    """
    return (ReadMarked(context.me.reads_as, room.id, room.last_seq),) if room.kept else ()


def resume(context: Context, command: Resume) -> list[Effect]:
    """Be in all these rooms, and be shown what came since; with a token, also without having logged in."""
    events: list[Event] = []
    expired, entering = False, 0
    if context.session is None:
        events.append(enter_by_token(context, command.token, None))
    elif command.token is not None:
        try:
            expired = enter_by_token(context, command.token, None).user_id != context.me.user.id
        except Refusal:
            expired = True
    for name, since in command.rooms.items():
        if name.startswith("@"):  # one is in one's direct rooms by being here
            continue
        room = context.state.room_called(name)
        check_since(room, name, since)
        if room is None or context.session is None or room.id not in context.session.rooms:
            entering += 1
            events.append(enter(context, name, entering))
    if not command.rooms and not events:
        return [Answer(Resumed(re=command.id, rooms={}, expired=expired))]
    return [Append(tuple(events), known=expired)]


def find(context: Context, name: str) -> Room | None:
    """The room called so if there is one; a direct room must be there."""
    return context.find_room(name) if name.startswith("@") else context.state.room_called(name)


def enter(context: Context, name: str, nth: int) -> JoinedRoom:
    """The event of entering a room; checks the name and how many rooms one may be in."""
    try:
        name = names.check_room(name)
    except names.NameRefused as fault:
        raise Refusal(Code.INVALID_PARAMS, fault.reason, details={"room": name}) from None
    most = context.rules.limits.rooms_per_session
    there = 0 if context.session is None else len(context.session.rooms)
    if there + nth > most:
        raise Refusal(
            Code.LIMIT_EXCEEDED,
            f"one can be in {most} rooms at once (rooms_per_session)",
            details={"limit": "rooms_per_session", "value": most},
        )
    return JoinedRoom(context.session_id, context.ids(), name)


def check_since(room: Room | None, name: str, since: int | str | None) -> None:
    """Refuse a number that the room has not reached: whoever has it was in another room, or another server."""
    last = 0 if room is None else room.last_seq
    if isinstance(since, int) and since > last:
        raise Refusal(
            Code.INVALID_PARAMS,
            f"since is {since}, but the last number in {name} is {last}",
            details={"room": name, "last_seq": last},
        )


def part(context: Context, command: Part) -> list[Effect]:
    """Leave a room."""
    room = context.find_room(command.room)
    if room.id not in context.me.rooms:
        raise Refusal(Code.NOT_IN_ROOM, f"you are not in {command.room}", details={"room": command.room})
    return [Append((Parted(context.session_id, room.id, clean_line(command.reason or "")),))]


def change(context: Context, command: Set) -> list[Effect]:
    """Change a room's topic, or whether one is away."""
    if (command.changes is None) == (command.myself is None):
        raise Refusal(Code.INVALID_PARAMS, "set takes either room and changes, or self")
    if command.myself is not None:
        away = command.myself.away
        message = None if away is None or away is False else "" if away is True else clean_line(away)
        limit_topic(context, message or "", "away message")
        if message is None and command.myself.status is not None:
            raise Refusal(Code.FORBIDDEN, "this server keeps no status texts yet; away does")
        if message == context.me.user.away:
            return [Answer(Changed(re=command.id))]
        return [Append((AwayChanged(context.me.user.id, message),))]
    if command.room is None or command.changes is None:
        raise Refusal(Code.INVALID_PARAMS, "which room? set takes room with changes")
    room = context.my_room(command.room)
    changes = {name: value for name, value in structs.asdict(command.changes).items() if value is not None}
    others = sorted(set(changes) - {"topic"})
    if others:
        raise Refusal(Code.FORBIDDEN, f"nobody may change {', '.join(others)} on this server yet")
    if not changes:
        raise Refusal(Code.INVALID_PARAMS, "changes is empty")
    changes["topic"] = clean_line(changes["topic"])
    limit_topic(context, changes["topic"], "topic")
    user = context.me.user
    return [Append((*keep(room), RoomChanged(room.id, user.id, user.nick, changes)))]


def limit_topic(context: Context, text: str, what: str) -> None:
    """Refuse a text longer than a topic may be."""
    most = context.rules.limits.topic_chars
    if len(text) > most:
        raise Refusal(
            Code.LIMIT_EXCEEDED,
            f"the {what} has {len(text)} characters, {most} are allowed (topic_chars)",
            details={"limit": "topic_chars", "value": most},
        )


def keep(room: Room) -> tuple[Event, ...]:
    """What has to be proposed before a room's first numbered event."""
    if room.kept:
        return ()
    return (RoomMade(room.id, room.name, tuple((room.parties or {}).items())),)


def presence(context: Context, command: Presence) -> list[Effect]:
    """Tell that one is typing, come back or go away, or ask for comings and goings."""
    effects: list[Effect] = []
    user = context.me.user
    if command.typing is not None:
        room = context.my_room(command.typing.room)
        state = command.typing.state
        word = ("active" if state else "done") if isinstance(state, bool) else state
        effects.append(Show(room.id, Typing(room=room.name, who=user.nick, state=word), "typing"))
    if command.subscribe is not None:
        effects.append(Subscribe(command.subscribe))
    message = None if command.state == "online" else ""
    if command.state is not None and message != user.away:
        return [*effects, Append((AwayChanged(user.id, message),))]
    return [*effects, Answer(Done(re=command.id))]


def moderate(context: Context, command: Moderate) -> list[Effect]:
    """Nobody is an operator yet."""
    raise Refusal(Code.FORBIDDEN, f"only an operator may {command.action}, and this server has no operators yet")
