"""Rules of places: entering and leaving rooms, and being seen in them. Who is in charge of them is in `moderation`."""

from __future__ import annotations

from msgspec import UNSET, structs

from chatd.core import names
from chatd.core.cluster_events import Typed
from chatd.core.codes import Behind, Code, Refusal
from chatd.core.commands import Join, Part, Presence, Resume, SelfChanges, Set
from chatd.core.context import UNASKED, Context
from chatd.core.doors import Who, check_enter, who_comes, who_is
from chatd.core.effects import Answer, Append, Effect, Fetch, Show, Subscribe
from chatd.core.entrance import enter_by_token
from chatd.core.events import AwayChanged, Event, IgnoredSet, Parted, ReadMarked, RoomMade
from chatd.core.events import Joined as JoinedRoom
from chatd.core.questions import CursorsWanted
from chatd.core.replies import Changed, Done, Problem, Resumed, problem_of
from chatd.core.state import Room
from chatd.core.text import clean_line


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
    events = enter(context, command.room, 1, who_is(context.me.user), command.key)
    return [Append(events, command=command, known=is_first)]


def first_cursor(context: Context, room: Room) -> tuple[Event, ...]:
    """Where the next `since: "last"` goes on, for somebody who has read nothing of the room so far.

    A room in which nothing was ever said has no place for a cursor: joining must not keep rooms for ever.
    """
    return (ReadMarked(context.me.reads_as, room.id, room.last_seq),) if room.kept else ()


def resume(context: Context, command: Resume) -> list[Effect]:
    """Be in all these rooms, and be shown what came since; with a token, also without having logged in.

    A room whose door is shut to who comes back is left out, and told: the others are not lost for it.
    """
    events: list[Event] = []
    expired, entering = False, 0
    if context.session is None:
        login = enter_by_token(context, command.token, None)
        who = who_comes(login)
        events.append(login)
    else:
        who = who_is(context.me.user)
        if command.token is not None:
            expired = not is_token_of(context, command.token, who)
    refused: dict[str, Problem] = {}
    for name, since in command.rooms.items():
        if name.startswith("@"):  # one is in one's direct rooms by being here
            continue
        room = context.state.room_called(name)
        check_since(room, name, since)
        if room is None or context.session is None or room.id not in context.session.rooms:
            try:
                events += enter(context, name, entering + 1, who)
                entering += 1
            except Refusal as refusal:
                if refusal.code not in AT_THE_DOOR:
                    raise
                refused[name] = problem_of(refusal)
    rooms = {name: since for name, since in command.rooms.items() if name not in refused}
    if not rooms and not events:
        return [Answer(Resumed(re=command.id, rooms={}, expired=expired, refused=refused or UNSET))]
    return [Append(tuple(events), structs.replace(command, rooms=rooms), known=(expired, refused))]


AT_THE_DOOR = frozenset({Code.BANNED, Code.INVITE_ONLY, Code.BAD_KEY, Code.ACCOUNT_REQUIRED, Code.FORBIDDEN})


def is_token_of(context: Context, token: str, who: Who) -> bool:
    """Whether a token is one's own, and good."""
    try:
        return enter_by_token(context, token, None).user_id == who.id
    except Refusal:
        return False


def find(context: Context, name: str) -> Room | None:
    """The room called so if there is one; a direct room must be there."""
    return context.find_room(name) if name.startswith("@") else context.state.room_called(name)


def enter(context: Context, name: str, nth: int, who: Who, key: str | None = None) -> tuple[Event, ...]:
    """The events of entering a room; checks the name, how many rooms one may be in, and whether one may be in this."""
    try:
        name = names.check_room(name)
    except names.NameRefused as fault:
        raise Refusal(Code.INVALID_PARAMS, fault.reason, details={"room": name}) from None
    room = context.state.room_called(name)
    before = check_enter(context, room, name, who, key)
    most = context.rules.limits.rooms_per_session
    there = 0 if context.session is None else len(context.session.rooms)
    if there + nth > most:
        raise Refusal(
            Code.LIMIT_EXCEEDED,
            f"one can be in {most} rooms at once (rooms_per_session)",
            details={"limit": "rooms_per_session", "value": most},
        )
    return (*before, joined(context, name))


def joined(context: Context, name: str) -> JoinedRoom:
    """The event of being in a room. Who makes it is its owner, but nobody owns the room that everybody comes to."""
    return JoinedRoom(context.session_id, context.ids(), name, names.fold(name) != names.fold(context.rules.lobby))


def check_since(room: Room | None, name: str, since: int | str | None) -> None:
    """Refuse a number that the room has not reached: whoever has it was in another room, or another server."""
    last = 0 if room is None else room.last_seq
    if isinstance(since, int) and since > last:
        raise Behind(
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


def change_self(context: Context, command: Set, changes: SelfChanges) -> list[Effect]:
    """Change whether one is away, or whom one does not want to hear."""
    if changes.ignored is not None:
        return ignore(context, changes.ignored)
    away = changes.away
    message = None if away is None or away is False else "" if away is True else clean_line(away)
    limit_topic(context, message or "", "away message")
    if message is None and changes.status is not None:
        raise Refusal(Code.FORBIDDEN, "this server keeps no status texts yet; away does")
    if message == context.me.user.away:
        return [Answer(Changed(re=command.id))]
    return [Append((AwayChanged(context.me.user.id, message),))]


def ignore(context: Context, wanted: list[str]) -> list[Effect]:
    """Keep with one's account whom one does not want to hear. Ways in for people hide what they say."""
    user = context.me.user
    if user.account is None:
        raise Refusal(Code.ACCOUNT_REQUIRED, "without an account nothing is kept of whom you ignore")
    if any(not name or len(name) > names.NICK_CHARACTERS * 2 or name.split() != [name] for name in wanted):
        raise Refusal(Code.INVALID_PARAMS, "ignored is a list of names", details={"self": "ignored"})
    return [Append((IgnoredSet(user.id, tuple(dict.fromkeys(map(clean_line, wanted)))),))]


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
    return (RoomMade(room.id, room.name, tuple((room.parties or {}).items()), *room.maker),)


def presence(context: Context, command: Presence) -> list[Effect]:
    """Tell that one is typing, come back or go away, or ask for comings and goings."""
    effects: list[Effect] = []
    user = context.me.user
    if command.typing is not None:
        room = context.my_room(command.typing.room)
        state = command.typing.state
        word = ("active" if state else "done") if isinstance(state, bool) else state
        effects.append(Show(Typed(room.id, user.id, user.nick, word)))
    if command.subscribe is not None:
        effects.append(Subscribe(command.subscribe))
    message = None if command.state == "online" else ""
    if command.state is not None and message != user.away:
        return [*effects, Append((AwayChanged(user.id, message),))]
    return [*effects, Answer(Done(re=command.id))]
