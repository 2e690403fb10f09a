"""Rules of messages: saying, relating, reading back, and how far one has read."""

from __future__ import annotations

from hashlib import blake2b

from msgspec import UNSET, Struct, structs

from chatd.core.codes import Code, Refusal
from chatd.core.commands import History, MarkRead, Relate, Send
from chatd.core.context import UNASKED, Context
from chatd.core.doors import OPERATOR, check_speak, is_new, new_here, who_is
from chatd.core.effects import Answer, Append, Effect, Fetch
from chatd.core.events import Entry, MessageSent, ReadMarked, Related, RoomMade
from chatd.core.events import Event as AnyEvent
from chatd.core.places import keep
from chatd.core.questions import CursorsWanted, EntryWanted, Found, Page, PageWanted, SearchWanted, Side
from chatd.core.replies import HistoryPage
from chatd.core.shown import view_of
from chatd.core.sizes import check_body, check_size
from chatd.core.state import Room
from chatd.core.views import Durable, Gap, microseconds


def send(context: Context, command: Send) -> list[Effect]:
    """Say something, in a room that one is in, or to somebody who is here or has an account."""
    body = command.body
    check_body(context, body)
    check_msg_id(command.msg_id)
    if command.data is not None or command.schema is not None or len(body) > 4096:
        check_size(context, body, command.data, command.schema)
    before, room_id, room = addressed(context, command)
    paced = check_speak(context, room)
    user = context.me.user
    message = MessageSent(
        room_id,
        user.id,
        user.nick,
        command.kind,
        body,
        command.msg_id,
        command.reply_to,
        command.data,
        command.schema,
        user.account,
        user.bot,
    )
    said = Append((*before, message) if before else (message,))
    return [*paced, said] if paced else [said]


def addressed(context: Context, command: Send) -> tuple[tuple[AnyEvent, ...], str, Room | None]:
    """What has to be proposed before a message, the id of the room it goes to, and the room if there is one."""
    to, name = command.to, command.room
    if (to is None) == (name is None):
        raise Refusal(Code.INVALID_PARAMS, "to whom? send takes either room or to")
    if to is not None or name is None:
        return direct_room(context, to or "")
    if name[:1] == "@":
        return direct_room(context, name)
    room = context.my_room(name)
    return () if room.kept else keep(room), room.id, room


def direct_room(context: Context, to: str) -> tuple[tuple[AnyEvent, ...], str, Room | None]:
    """The same for the direct room with somebody."""
    me = context.me.user
    other = context.state.person_called(to.removeprefix("@"))
    if other is None:
        raise Refusal(Code.NO_SUCH_USER, f"nobody here is called {to.removeprefix('@')}", details={"to": to})
    room_id = direct_id(me.id, other[0])
    room = context.state.rooms.get(room_id)
    if room is not None and room.kept:
        return (), room_id, room
    if is_new(context, who_is(me)):
        raise new_here("write to people one by one, unless they wrote first")
    parties = tuple(sorted({me.id: me.nick, other[0]: other[1]}.items()))
    return (RoomMade(room_id, "", parties),), room_id, room


def direct_id(one: str, other: str) -> str:
    """The id of two users' direct room: the same whoever of them speaks first, and on whatever node."""
    return "d" + blake2b("\0".join(sorted((one, other))).encode(), digest_size=8).hexdigest()


def check_msg_id(msg_id: str | None) -> None:
    if msg_id is not None and len(msg_id) > 16 and len(msg_id.encode()) > 64:
        raise Refusal(Code.INVALID_PARAMS, "msg_id has more than 64 bytes")


class Need(Struct, frozen=True):
    """What a relation needs: a body or a key, and whether only the message's author may make it."""

    field: str | None
    own: bool


NEEDS = {
    "edit": Need("body", own=True),
    "redact": Need(None, own=True),
    "react": Need("key", own=False),
    "unreact": Need("key", own=False),
    "pin": Need(None, own=False),
    "unpin": Need(None, own=False),
}


def relate(context: Context, command: Relate) -> list[Effect]:
    """Edit or redact one's own message; react to or pin anybody's."""
    room = context.my_room(command.room)
    check_msg_id(command.msg_id)
    need = NEEDS[command.rel]
    if need.field is not None and not getattr(command, need.field):
        raise Refusal(Code.INVALID_PARAMS, f"{command.rel} needs {need.field}")
    if command.body is not None:
        check_body(context, command.body)
        check_size(context, command.body, None)
    if context.known is UNASKED:
        return [Fetch(EntryWanted(room.id, command.target))]
    user = context.me.user
    is_own = check_target(context, context.known, command, room)
    if not (is_own and command.rel == "redact"):  # what one said oneself can be taken back by who is muted, too
        check_speak(context, room)
    relation = Related(
        room.id,
        user.id,
        user.nick,
        command.rel,
        command.target,
        command.body if need.field == "body" else None,
        command.key if need.field == "key" else None,
        command.reason,
        command.msg_id,
        user.account,
        user.bot,
    )
    return [Append((relation,))]


def check_target(context: Context, target: Entry | None, command: Relate, room: Room) -> bool:
    """Refuse a relation to what is not there, is no message, or is somebody else's to change. Whether it is one's own.

    Who is in charge of a room may take back what others said there.
    """
    event = None if target is None else target.event
    user_id = context.me.user.id
    repeat = command.msg_id is not None  # the journal knows whether it is one, and answers as the first time
    if not isinstance(event, MessageSent) or (event.redacted and not repeat):
        raise Refusal(
            Code.NO_SUCH_MESSAGE,
            f"there is no message {command.target} in {command.room}",
            details={"room": command.room, "target": command.target},
        )
    may = command.rel == "redact" and room.parties is None and context.state.rank(room, user_id) >= OPERATOR
    if NEEDS[command.rel].own and event.author != user_id and not may:
        raise Refusal(Code.FORBIDDEN, f"only its author may {command.rel} message {command.target}")
    return event.author == user_id


def history(context: Context, command: History) -> list[Effect]:
    """A page of what was said in a room that one is in."""
    room = context.my_room(command.room)
    if command.query is not None or command.author is not None:
        if context.known is UNASKED:
            return [Fetch(search_wanted(context, command, room))]
        return [Answer(found_page(context, command, room, context.known))]
    if context.known is UNASKED:
        return [Fetch(page_wanted(context, command, room))]
    return [Answer(history_page(context, command, room, context.known))]


def search_wanted(context: Context, command: History, room: Room) -> SearchWanted:
    """What a command looks for."""
    side, place = (Side.BEFORE, command.before) if command.after is None else (Side.AFTER, command.after)
    if command.around is not None or not isinstance(place, int | None) or (command.before and command.after):
        raise Refusal(Code.INVALID_PARAMS, "a search takes before or after, as numbers")
    limits = context.rules.limits
    limit = min(command.limit or limits.history_page, limits.history_page)
    author = (command.author or "").removeprefix("@")
    return SearchWanted(room.id, command.query or "", author, side, place, limit, last=room.last_seq)


def found_page(context: Context, command: History, room: Room, found: Found) -> HistoryPage:
    """What was found, as this user sees it."""
    user_id = context.me.user.id
    name = room.shown_to(user_id)
    is_after = command.after is not None
    seqs = [entry.seq for entry in found.entries] if found.more else []
    return HistoryPage(
        re=command.id,
        room=name,
        events=shown(found.entries, room, name, user_id),
        prev=seqs[0] if seqs and not is_after else None,
        next=seqs[-1] if seqs and is_after else None,
        first_seq=found.first_seq,
        last_seq=room.last_seq,
    )


def page_wanted(context: Context, command: History, room: Room) -> PageWanted:
    """The page that a command asks for, within the limits."""
    places = {Side.BEFORE: command.before, Side.AFTER: command.after, Side.AROUND: command.around}
    given = {side: place for side, place in places.items() if place is not None}
    if len(given) > 1:
        raise Refusal(Code.INVALID_PARAMS, "history takes one of before, after, around")
    limits = context.rules.limits
    limit = min(command.limit or limits.history_page, limits.history_page)
    if not given:
        return PageWanted(room.id, Side.BEFORE, None, limit, last=room.last_seq)
    [(side, place)] = given.items()
    if isinstance(place, int):
        return PageWanted(room.id, side, place, limit, last=room.last_seq)
    return PageWanted(room.id, side, microseconds(place), limit, by_time=True, last=room.last_seq)


def history_page(context: Context, command: History, room: Room, page: Page) -> HistoryPage:
    """The page as this user sees it. It shows nothing that has not been shown live: `last_seq` is the room's."""
    user_id = context.me.user.id
    name = room.shown_to(user_id)
    first, last = page.span
    return HistoryPage(
        re=command.id,
        room=name,
        events=shown(page.entries, room, name, user_id),
        prev=first if first <= min(last, room.last_seq) and first > page.first_seq else None,
        next=last if first <= last < room.last_seq else None,
        first_seq=page.first_seq,
        last_seq=room.last_seq,
        gaps=gaps_of(page, name) or UNSET,
    )


def shown(entries: list[Entry], room: Room, name: str, user_id: str) -> list[Durable]:
    """Entries of a room that is called so, as this user sees them, as far as they have been shown live."""
    return [
        view_of(entry, name, own=entry.event.author == user_id)  # type: ignore[attr-defined]  # numbered events
        for entry in entries
        if entry.seq <= room.last_seq
    ]


def gaps_of(page: Page, name: str) -> list[Gap]:
    """What of a page is damaged, as it is told in the room called so."""
    return [Gap(room=name, first=low, last=high, reason="skipped", damaged=True) for low, high in page.lost]


def mark_read(context: Context, command: MarkRead) -> list[Effect]:
    """Move the cursor forward; it cannot be ahead of the room."""
    room = context.my_room(command.room)
    if command.seq > room.last_seq:
        raise Refusal(
            Code.INVALID_PARAMS,
            f"seq is {command.seq}, but the last number in {command.room} is {room.last_seq}",
            details={"room": command.room, "last_seq": room.last_seq},
        )
    if context.known is UNASKED:
        return [Fetch(CursorsWanted(context.me.reads_as))]
    command = structs.replace(command, seq=max(command.seq, context.known.get(room.id, 0)))
    events = (ReadMarked(context.me.reads_as, room.id, command.seq),) if room.kept else ()
    return [Append(events, command=command)]
