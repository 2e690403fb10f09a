"""Orders: what becomes of what somebody in charge did, when its entry comes. The part of `apply` that is about it.

`rulings_of` says what an event orders; the journal keeps the same, so that a server finds it again when it starts. As
all of `apply` this never refuses to run, never raises, and gives the same result on every node.
"""

from __future__ import annotations

from msgspec import Struct

from chatd.core import effects
from chatd.core.charge import RANKS, SERVER_ID, SETTINGS, Ruling
from chatd.core.codes import Code
from chatd.core.effects import Effect
from chatd.core.events import Admitted, Entry, Event, IgnoredSet, Moderated, RoomChanged, RoomMade
from chatd.core.state import Room, Session, State, User

NOTHING: list[Effect] = []
IN_FORCE = RANKS["operator"]  # bans of addresses and names do not touch those who are in charge


class Orders(Struct, frozen=True):
    """Rulings that hold from now on, and (kind, key) of those that do no longer."""

    kept: tuple[Ruling, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()


def rulings_of(event: Event, time: int) -> Orders:
    """What an event orders in its room."""
    if isinstance(event, Moderated):
        return _of_moderated(event, time)
    if isinstance(event, RoomChanged):
        return _of_changes(event, time)
    if isinstance(event, Admitted):
        return Orders(
            tuple(Ruling("invite", user, nick, user, until=event.until, time=time) for user, nick in event.users)
        )
    if isinstance(event, RoomMade) and event.owner:
        return Orders((Ruling("role", event.owner, event.owner_nick, event.owner, value="owner", time=time),))
    return Orders()


def _of_moderated(event: Moderated, time: int) -> Orders:
    change = event.change
    about = (event.who, event.user_id, event.folded, event.network)
    rest = (event.until, time, event.nick, event.reason)
    if change == "ban":
        return Orders((Ruling("ban", event.key, *about, "", *rest),), (("invite", event.user_id),))
    if change == "mute":
        return Orders((Ruling("mute", event.key, *about, "", *rest),))
    if change == "role":
        if event.role == "member":
            return Orders((), (("role", event.key),))
        return Orders((Ruling("role", event.key, *about, event.role, *rest),))
    if change == "invite":
        return Orders((Ruling("invite", event.key, *about, "", *rest),))
    if change == "lockdown":
        return _set("lockdown", event.role, event.nick, time)
    if change == "kick":
        return Orders((), (("invite", event.user_id),))
    return Orders((), (("ban" if change == "unban" else "mute", event.key),))


def _of_changes(event: RoomChanged, time: int) -> Orders:
    kept: list[Ruling] = []
    dropped: list[tuple[str, str]] = []
    for name, value in event.changes.items():
        if name != "topic":
            found = _set(name, str(value), event.nick, time)
            kept += found.kept
            dropped += found.dropped
    return Orders(tuple(kept), tuple(dropped))


def _set(name: str, value: str, by: str, time: int) -> Orders:
    """A setting that is set to what holds anyway is none."""
    if value in ("", "0", SETTINGS.get(name, ("",))[0]):
        return Orders((), (("set", name),))
    return Orders((Ruling("set", name, value=value, time=time, by=by),))


def order(room: Room, event: Event, time: int) -> None:
    """Let what an event orders hold in its room."""
    found = rulings_of(event, time)
    for ruling in found.kept:
        room.rule(ruling)
    if room.charge is not None:
        for kind, key in found.dropped:
            room.charge.drop(kind, key)


# -- entries ----------------------------------------------------------------------------------------------------------


def moderated(state: State, entry: Entry, event: Moderated) -> list[Effect]:
    """It is shown to the room; then those whom it sends away go, and whom it invites is told."""
    room = state.rooms.get(event.room_id)
    if room is None:
        return NOTHING
    room.last_seq = entry.seq
    order(room, event, entry.time)
    found: list[Effect] = [effects.Deliver(room.id, entry), effects.Ordered(event)]
    if event.change in ("kick", "ban"):
        found += expelled(state, room, event)
    elif event.change == "invite":
        found.append(effects.Invited(event.user_id, room.id, event.nick))
    return found


def expelled(state: State, room: Room, event: Moderated) -> list[Effect]:
    """Those who have to go, out of the room or off the server."""
    word, code = {"kick": ("kicked", Code.KICKED), "ban": ("banned", Code.BANNED)}[event.change]
    reason = f"{word} by {event.nick}" + (f": {event.reason}" if event.reason else "")
    if event.network:  # which node knows who is there
        return [effects.Expelled(room.id, event.network, code, reason)]
    about = Ruling("ban", event.key, event.who, event.user_id, event.folded)
    gone: list[Effect] = []
    if room.id == SERVER_ID:
        users = [user for user in list(state.users.values()) if is_meant(state, room, about, user)]
        sessions = tuple(session for user in users for session in sorted(user.sessions))
        return [effects.Ended(sessions, code, reason)] if sessions else []
    for user in [state.users[one] for one in room.members if one in state.users]:
        if is_meant(state, room, about, user):
            there = [state.sessions[one] for one in sorted(user.sessions) if room.id in state.sessions[one].rooms]
            if state.orders > 1:  # who is there is not the same on all nodes now
                gone.append(effects.SentAway(room.id, tuple(session.id for session in there), reason))
            else:
                gone += [leave(state, session, room.id, reason, forced=True) for session in there]
    return gone


def is_meant(state: State, room: Room, about: Ruling, user: User) -> bool:
    """Whether a ruling sends somebody away."""
    if about.user_id:
        return about.user_id == user.id or (about.is_about(user.id, user.nick) and user.account is None)
    is_in_charge = state.rank(room, user.id) >= IN_FORCE or state.is_operator(user.id)
    return about.is_about(user.id, user.nick) and not is_in_charge


def is_banned(state: State, room: Room, user: User, now: int) -> bool:
    """Whether a ban by name keeps somebody out of a room."""
    charge = room.charge
    if charge is None or not charge.bans or state.rank(room, user.id) >= IN_FORCE:
        return False
    return charge.ban_of(user.id, user.nick, "", now) is not None


def leave(state: State, session: Session, room_id: str, reason: str, *, forced: bool = False) -> effects.Gone:
    """A session is in a room no longer."""
    room: Room = state.rooms[room_id]
    session.leave(room_id)
    user = session.user
    room.members[user.id] -= 1
    last = room.members[user.id] == 0
    if last:
        del room.members[user.id]
    if not room.members and not room.kept:
        state.drop_room(room)
    return effects.Gone(room_id, session.id, user.nick, reason, last, forced)


def admitted(state: State, entry: Entry, event: Admitted) -> list[Effect]:
    room = state.rooms.get(event.room_id)
    if room is not None:
        order(room, event, entry.time)
    return NOTHING


def ignored_set(state: State, entry: Entry, event: IgnoredSet) -> list[Effect]:
    account = state.accounts.by_id.get(event.user_id)
    if account is not None:
        account.ignored = event.names
    return NOTHING
