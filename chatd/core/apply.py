"""`apply` takes entries in their order and is the only thing that changes a room.

It never refuses to run, never raises, and gives the same result on every node. When two entries want the same
thing, the earlier wins and the later one's owner is told (`Rejected`). It returns effects and does nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chatd.core import effects, membership, nodes, orders
from chatd.core.charge import Ruling
from chatd.core.cluster_events import AccountBrought, Brought, NodeCame, NodeGone, RoomBrought, Typed
from chatd.core.codes import Code
from chatd.core.effects import Effect
from chatd.core.events import (
    AccountDisabled,
    AccountMade,
    Admitted,
    AwayChanged,
    Became,
    BookmarksMoved,
    Entry,
    Event,
    IgnoredSet,
    InviteMade,
    Joined,
    LoggedIn,
    LoggedOut,
    MessageSent,
    Moderated,
    NickChanged,
    Numbered,
    Parted,
    PasswordChanged,
    PasswordRehashed,
    Purged,
    ReadMarked,
    Related,
    RoomChanged,
    RoomMade,
)
from chatd.core.questions import StoredRoom
from chatd.core.state import Session, State, User

NOTHING: list[Effect] = []


def apply(state: State, entry: Entry) -> list[Effect]:
    """Take a committed entry into the state; the effects are for the hub to run."""
    return APPLY[type(entry.event)](state, entry, entry.event)


def deliver(state: State, entry: Entry, event: Numbered) -> list[Effect]:
    """What all numbered events have in common: the room has come one further, and everyone there is shown."""
    room = state.rooms.get(event.room_id)
    if room is None:
        return NOTHING
    room.last_seq = entry.seq
    if room.parties is not None and event.author in room.parties and event.author not in state.users:
        room.parties[event.author] = event.nick  # who is here is called as they are called now
    return [effects.Deliver(event.room_id, entry)]


def room_changed(state: State, entry: Entry, event: RoomChanged) -> list[Effect]:
    room = state.rooms.get(event.room_id)
    if room is not None:
        room.topic = event.changes.get("topic", room.topic)
        orders.order(room, event, entry.time)
    return deliver(state, entry, event)


def room_made(state: State, entry: Entry, event: RoomMade) -> list[Effect]:
    room = state.rooms.get(event.room_id)
    if room is None:
        room = state.add_room(event.room_id, event.name, event.parties)
    if not room.kept:
        room.kept = True
        orders.order(room, event, entry.time)
    return NOTHING


def room_brought(state: State, entry: Entry, event: RoomBrought) -> list[Effect]:
    if event.room_id not in state.rooms:
        last = event.first_seq - 1
        state.load(StoredRoom(event.room_id, event.name, event.parties, event.first_seq, last, event.topic))
        for ruling in event.rulings:
            state.rooms[event.room_id].rule(ruling)
    return NOTHING


def brought(state: State, entry: Entry, event: Brought) -> list[Effect]:
    room = state.rooms.get(event.room_id)
    if room is not None and event.events:
        room.last_seq = max(room.last_seq, event.events[-1].seq)
    return NOTHING


def read_marked(state: State, entry: Entry, event: ReadMarked) -> list[Effect]:
    return [effects.CursorMoved(event.user_id.partition(".")[0], event.room_id, event.seq)]


def purged(state: State, entry: Entry, event: Purged) -> list[Effect]:
    room = state.rooms.get(event.room_id)
    if room is not None:
        room.first_seq = max(room.first_seq, event.first_seq)
    return NOTHING


def bookmarks_moved(state: State, entry: Entry, event: BookmarksMoved) -> list[Effect]:
    return [effects.BookmarksKept(event.bookmarks)]


def logged_in(state: State, entry: Entry, event: LoggedIn) -> list[Effect]:
    if event.session_id in state.sessions:
        return NOTHING
    if event.node and event.node not in state.nodes:  # it was given up meanwhile, with all its sessions
        return [effects.Rejected(Code.SHUTTING_DOWN, "this node was cut off from the others; come again")]
    if lost := membership.unfit(state, event.user_id, event.account):
        return [lost]
    user = state.users.get(event.user_id)
    if user is None:
        taken = state.nick_taken(event.nick, event.user_id)
        if taken:
            return [_lost(taken)]
        user = state.users[event.user_id] = User(event.user_id, event.nick, event.account, event.bot)
        state.call(user, event.nick)
    user.sessions += (event.session_id,)
    state.sessions[event.session_id] = Session(event.session_id, user, device=event.device, node=event.node)
    return NOTHING


def logged_out(state: State, entry: Entry, event: LoggedOut) -> list[Effect]:
    session = state.sessions.get(event.session_id)
    return NOTHING if session is None else nodes.end_session(state, session, event.reason)


def nick_changed(state: State, entry: Entry, event: NickChanged) -> list[Effect]:
    user = state.users.get(event.user_id)
    if user is None:
        return NOTHING
    taken = state.nick_taken(event.nick, event.user_id)
    if taken:
        return [_lost(taken)]
    old = user.nick
    state.call(user, event.nick)
    return [effects.Renamed(state.rooms_of(user), old, event.nick)]


def joined(state: State, entry: Entry, event: Joined) -> list[Effect]:
    session = state.sessions.get(event.session_id)
    if session is None:
        return NOTHING
    user = session.user
    room = state.room_called(event.name) or state.rooms.get(event.room_id)
    if room is None:
        room = state.add_room(event.room_id, event.name)
        if event.owns:
            room.maker = (user.id, user.nick)
            room.rule(Ruling("role", user.id, user.nick, user.id, value="owner", time=entry.time))
    if room.id in session.rooms:
        return NOTHING
    is_banned = orders.is_banned(state, room, user, entry.time)  # while the wish to enter was on its way
    if is_banned and state.orders == 1:
        return [effects.Rejected(Code.BANNED, f"you are banned from {room.name}")]
    session.enter(room.id)
    room.members[user.id] = room.members.get(user.id, 0) + 1
    entered = effects.Entered(room.id, session.id, user.nick, room.members[user.id] == 1)
    # Where rooms have orders of their own, not all nodes know of the ban by now: the one where the session is ends it.
    return [entered, effects.SentAway(room.id, (session.id,), "banned")] if is_banned else [entered]


def parted(state: State, entry: Entry, event: Parted) -> list[Effect]:
    session = state.sessions.get(event.session_id)
    if session is None or event.room_id not in session.rooms:
        return NOTHING
    return [orders.leave(state, session, event.room_id, event.reason, forced=event.forced)]


def away_changed(state: State, entry: Entry, event: AwayChanged) -> list[Effect]:
    user = state.users.get(event.user_id)
    if user is None or user.away == event.message:
        return NOTHING
    user.away = event.message
    return [effects.AwayChanged(state.rooms_of(user), user.nick, event.message)]


def typed(state: State, entry: Entry, event: Typed) -> list[Effect]:
    return [effects.Show(event)] if event.room_id in state.rooms else NOTHING


def _lost(taken: str) -> effects.Rejected:
    return effects.Rejected(*LOST[taken])


LOST = {
    "same": (Code.NICK_IN_USE, "this name is in use"),
    "alike": (Code.NICK_CONFUSABLE, "this name looks like another that is in use"),
    "owned": (Code.NICK_RESERVED, "this name belongs to an account"),
}


APPLY: dict[type[Event], Callable[[State, Entry, Any], list[Effect]]] = {
    MessageSent: deliver,
    Related: deliver,
    RoomChanged: room_changed,
    Moderated: orders.moderated,
    RoomMade: room_made,
    Admitted: orders.admitted,
    ReadMarked: read_marked,
    Purged: purged,
    BookmarksMoved: bookmarks_moved,
    LoggedIn: logged_in,
    LoggedOut: logged_out,
    NickChanged: nick_changed,
    Joined: joined,
    Parted: parted,
    AwayChanged: away_changed,
    RoomBrought: room_brought,
    Brought: brought,
    AccountBrought: membership.account_brought,
    NodeCame: nodes.node_came,
    NodeGone: nodes.node_gone,
    Typed: typed,
    AccountMade: membership.account_made,
    PasswordChanged: membership.password_changed,
    PasswordRehashed: membership.password_rehashed,
    IgnoredSet: orders.ignored_set,
    AccountDisabled: membership.account_disabled,
    InviteMade: membership.invite_made,
    Became: membership.became,
}
