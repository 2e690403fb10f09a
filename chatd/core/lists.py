"""Rules of looking up: rooms, members, users, one's sessions, bans, and who somebody is. A page at a time, by name."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from chatd.core.charge import RANKS, SERVER_ID, Charge, Ruling
from chatd.core.codes import Code, Refusal
from chatd.core.commands import List
from chatd.core.context import Context
from chatd.core.effects import Answer, Effect
from chatd.core.names import fold
from chatd.core.replies import Listed
from chatd.core.state import Room, Session, State, User
from chatd.core.views import moment

Item = dict[str, Any]


def look_up(context: Context, command: List) -> list[Effect]:
    """Answer with a page of what was asked for, in the order of names; `next` goes on behind it."""
    if command.what == "whois":
        return [Answer(Listed(re=command.id, items=[whois(context, command)], next=None))]
    return [Answer(page(context, command, NAMED[command.what](context, command)))]


def page(context: Context, command: List, named: Iterable[tuple[str, Callable[[], Item]]]) -> Listed:
    """The first items by folded name behind the cursor; only those that are told are made."""
    most = context.rules.limits.history_page
    limit = min(command.limit or most, most)
    prefix = fold(command.prefix or "")
    after = command.cursor or ""
    found = ((key, make) for key, make in named if key.startswith(prefix) and key > after)
    chosen = heapq.nsmallest(limit + 1, found, key=lambda pair: pair[0])
    items: list[Item] = []
    room = context.rules.limits.frame_bytes // 2  # bytes: what is left for the items of one frame
    for _, make in chosen[:limit]:
        item = make()
        room -= len(msgspec.json.encode(item))
        if room < 0 and items:
            break
        items.append(item)
    return Listed(re=command.id, items=items, next=chosen[len(items) - 1][0] if len(chosen) > len(items) else None)


def rooms(context: Context, command: List) -> Iterable[tuple[str, Callable[[], Item]]]:
    me, state = context.me, context.state
    for room in state.rooms.values():
        if room.parties is None and (room.charge is None or is_seen(state, room, me)):
            yield fold(room.name), partial(room_item, room)


def is_seen(state: State, room: Room, me: Session) -> bool:
    """Whether somebody sees that there is this room: a hidden one, only those who are in it, or in charge."""
    charge = room.charge
    if charge is None or charge.get("visibility") != "hidden":
        return True
    return room.id in me.rooms or state.is_operator(me.user.id)


def room_item(room: Room) -> Item:
    """What is told of a room; of how it is kept in order, what is not as everywhere."""
    return {
        "room": room.name,
        "room_id": room.id,
        "topic": room.topic,
        "members_count": len(room.members),
        "last_seq": room.last_seq,
        **({} if room.charge is None else settings_of(room.charge)),
    }


def settings_of(charge: Charge) -> Item:
    """What is set otherwise than it is everywhere. Of a key, that there is one."""
    words: Item = {name: charge.get(name) for name in ("visibility", "join", "speak") if name in charge.settings}
    return {**words, **({"key": True} if charge.key else {}), **({"slow": charge.slow} if charge.slow else {})}


def role_of(state: State, room: Room, user: User, now: int) -> str:
    """What somebody is in a room: `owner`, `operator`, `speaker`, `member` or `muted`."""
    charge = room.charge
    if charge is None:
        return "member"
    if charge.mutes and charge.mute_of(user.id, user.nick, now) is not None:
        return "muted"
    return charge.role(user.id)


def members(context: Context, command: List) -> Iterable[tuple[str, Callable[[], Item]]]:
    if command.room is None:
        raise Refusal(Code.INVALID_PARAMS, "members of which room? give room")
    room = context.my_room(command.room)
    present = room.members if room.parties is None else room.parties
    for user_id in present:
        user = context.state.users.get(user_id)
        if user is not None:
            yield fold(user.nick), partial(member_item, context, room, user)


def member_item(context: Context, room: Room, user: User) -> Item:
    return {**user_item(user), "role": role_of(context.state, room, user, context.now)}


def users(context: Context, command: List) -> Iterable[tuple[str, Callable[[], Item]]]:
    for user in context.state.users.values():
        yield fold(user.nick), partial(user_item, user)


def user_item(user: User) -> Item:
    item: Item = {"nick": user.nick, "away": user.away is not None}
    if user.away:
        item["message"] = user.away
    if user.account is not None:
        item["account"] = user.account
    if user.bot:
        item["bot"] = True
    return item


def sessions(context: Context, command: List) -> Iterable[tuple[str, Callable[[], Item]]]:
    """One's own sessions only: nobody sees where others come from."""
    for session_id in context.me.user.sessions:
        yield session_id, partial(session_item, context, session_id)


def session_item(context: Context, session_id: str) -> Item:
    state = context.state
    session = state.sessions[session_id]
    return {
        "session": session_id,
        "current": session_id == context.session_id,
        **({"device": session.device} if session.device else {}),
        "rooms": sorted(state.rooms[room].name for room in session.rooms),
    }


def whois(context: Context, command: List) -> Item:
    """Who somebody is: the rooms that one shares with them, never where they come from."""
    name = (command.name or "").removeprefix("@")
    if not name:
        raise Refusal(Code.INVALID_PARAMS, "whois of whom? give name")
    user = context.state.user_called(name)
    if user is None:
        raise Refusal(Code.NO_SUCH_USER, f"nobody here is called {name}", details={"name": name})
    state = context.state
    shared = set(state.rooms_of(user)) & set(state.rooms_of(context.me.user))
    return {
        **user_item(user),
        **({"operator": True} if state.is_operator(user.id) else {}),
        "rooms": sorted(state.rooms[room].name for room in shared),
        "sessions": len(user.sessions),
    }


def bans(context: Context, command: List) -> Iterable[tuple[str, Callable[[], Item]]]:
    """Who is banned or muted in a room, or without one on the server, for those who can end it."""
    state, user_id = context.state, context.me.user.id
    room = state.rooms.get(SERVER_ID) if command.room is None else context.find_room(command.room)
    may = state.is_operator(user_id) if room is None else state.rank(room, user_id) >= RANKS["operator"]
    if not may:
        where = "the server" if command.room is None else command.room
        raise Refusal(Code.FORBIDDEN, f"only an operator of {where} may see its bans")
    charge = None if room is None else room.charge
    if charge is not None:
        sees_addresses = state.is_operator(user_id)
        for ruling in [*charge.bans.values(), *charge.mutes.values()]:
            if ruling.holds(context.now):
                key = f"{fold(ruling.who)} {ruling.kind} {ruling.key}"
                yield key, partial(ban_item, ruling, sees_addresses=sees_addresses)


def ban_item(ruling: Ruling, *, sees_addresses: bool) -> Item:
    """A ban or a mute. Where people come from is the business of the server's operators."""
    item: Item = {"kind": ruling.kind, "target": ruling.who, "by": ruling.by, "time": moment(ruling.time)}
    if ruling.network and sees_addresses:
        item["network"] = ruling.network
    if ruling.until:
        item["until"] = moment(ruling.until)
    if ruling.reason:
        item["reason"] = ruling.reason
    return item


NAMED: dict[str, Callable[[Context, List], Iterable[tuple[str, Callable[[], Item]]]]] = {
    "rooms": rooms,
    "members": members,
    "users": users,
    "sessions": sessions,
    "bans": bans,
}
