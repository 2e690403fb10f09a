"""Rules of looking up: rooms, members, users, one's sessions, and who somebody is. A page at a time, by name."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from chatd.core.codes import Code, Refusal
from chatd.core.commands import List
from chatd.core.context import Context
from chatd.core.effects import Answer, Effect
from chatd.core.names import fold
from chatd.core.replies import Listed
from chatd.core.state import Room, User

Item = dict[str, Any]


def look_up(context: Context, command: List) -> list[Effect]:
    """Answer with a page of what was asked for, in the order of names; `next` goes on behind it."""
    if command.what == "bans":
        raise Refusal(Code.FORBIDDEN, "only an operator may see bans, and this server has no operators yet")
    if command.what == "whois":
        return [Answer(Listed(re=command.id, items=[whois(context, command)], next=None))]
    named = {"rooms": rooms, "members": members, "users": users, "sessions": sessions}[command.what](context, command)
    return [Answer(page(context, command, named))]


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
    for room in context.state.rooms.values():
        if room.parties is None:
            yield fold(room.name), lambda room=room: room_item(room)  # type: ignore[misc]  # bound at once


def room_item(room: Room) -> Item:
    return {
        "room": room.name,
        "room_id": room.id,
        "topic": room.topic,
        "members_count": len(room.members),
        "last_seq": room.last_seq,
    }


def members(context: Context, command: List) -> Iterable[tuple[str, Callable[[], Item]]]:
    if command.room is None:
        raise Refusal(Code.INVALID_PARAMS, "members of which room? give room")
    room = context.my_room(command.room)
    present = room.members if room.parties is None else room.parties
    for user_id in present:
        user = context.state.users.get(user_id)
        if user is not None:
            yield fold(user.nick), lambda user=user: {**user_item(user), "role": "member"}  # type: ignore[misc]


def users(context: Context, command: List) -> Iterable[tuple[str, Callable[[], Item]]]:
    for user in context.state.users.values():
        yield fold(user.nick), lambda user=user: user_item(user)  # type: ignore[misc]


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
    state = context.state
    for session_id in context.me.user.sessions:
        yield (
            session_id,
            lambda one=session_id: {  # type: ignore[misc]
                "session": one,
                "current": one == context.session_id,
                **({"device": state.sessions[one].device} if state.sessions[one].device else {}),
                "rooms": sorted(state.rooms[room].name for room in state.sessions[one].rooms),
            },
        )


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
        "rooms": sorted(state.rooms[room].name for room in shared),
        "sessions": len(user.sessions),
    }
