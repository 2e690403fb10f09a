"""Rules of keeping order: what those in charge of a room, or of the server, may do, and to whom.

Owner, operator, speaker, member: who is more may act on who is less. The server's operators may do everything in every
room. What is done becomes an event of the room that everybody there is shown, so that it can be looked up later who did
what; what is done on the server, one of the operators' own room.
"""

from __future__ import annotations

import ipaddress
from typing import Any, NamedTuple

from msgspec import structs

from chatd.core import names
from chatd.core.addresses import network_of
from chatd.core.charge import MOST_SLOW, RANKS, SERVER_ID, SERVER_ROOM, SETTINGS, Charge, Ruling, duration
from chatd.core.codes import Code, Refusal
from chatd.core.commands import Moderate, Set
from chatd.core.context import Context
from chatd.core.doors import OPERATOR, admitted_until, check_speak, kept_of_key
from chatd.core.effects import Answer, Append, Effect
from chatd.core.events import Admitted, Event, Moderated, RoomChanged
from chatd.core.names import fold
from chatd.core.places import change_self, keep, limit_topic
from chatd.core.replies import Changed
from chatd.core.state import Room, State
from chatd.core.text import clean_line

WIDEST = {4: 8, 6: 16}  # bits of a network: a wider one would be the whole world


class Target(NamedTuple):
    """Whom it is about: somebody here or with an account (`user_id`), a name (`folded`), or addresses (`network`)."""

    who: str
    key: str
    user_id: str = ""
    folded: str = ""
    network: str = ""


def moderate(context: Context, command: Moderate) -> list[Effect]:
    """Do something about somebody."""
    events = ordered(context, command)
    return [Append(events)] if events else [Answer(Changed(re=command.id))]


def ordered(context: Context, command: Moderate) -> tuple[Event, ...]:
    """The events of what is done; none if it is so already."""
    room = charged_room(context, command)
    mine = context.state.rank(room, context.me.user.id)
    if command.action == "lockdown":
        event: Moderated | None = lock(context, command, room)
    elif command.action == "invite":
        event = invite(context, command, room, mine)
    elif mine < OPERATOR:
        where = "the server" if room.id == SERVER_ID else room.name
        what = "give roles" if command.action == "role" else command.action
        raise Refusal(Code.FORBIDDEN, f"only an operator of {where} may {what}", details={"room": room.name})
    else:
        event = act(context, command, room, mine)
    return () if event is None else (*keep(room), event)


def charged_room(context: Context, command: Moderate) -> Room:
    """The room in which it is done; for the server, the room of its operators."""
    if command.server == (command.room is not None):
        raise Refusal(Code.INVALID_PARAMS, "where? moderate takes either room or server: true")
    if command.room is None:
        return context.state.rooms.get(SERVER_ID) or Room(SERVER_ID, SERVER_ROOM)
    room = context.find_room(command.room)
    if room.parties is not None:
        raise Refusal(Code.FORBIDDEN, "nobody is in charge of a room of two; /ignore hides what somebody says")
    if room.id not in context.me.rooms and not context.state.is_operator(context.me.user.id):
        raise Refusal(Code.NOT_IN_ROOM, f"you are not in {room.name}; join it first", details={"room": room.name})
    return room


def act(context: Context, command: Moderate, room: Room, mine: int) -> Moderated | None:
    """The event of what is done; None if it is so already."""
    state, action = context.state, command.action
    charge = room.charge or Charge()
    if action in ("unban", "unmute"):
        shelf = charge.bans if action == "unban" else charge.mutes
        ruling = ruling_about(state, shelf, command.target or "")
        if ruling is None:
            word = "banned" if action == "unban" else "muted"
            raise Refusal(Code.NO_SUCH_USER, f"nobody called {told(command.target)} is {word} there")
        target = Target(ruling.who, ruling.key, ruling.user_id, ruling.nick, ruling.network)
    else:
        target = find_target(context, command, room)
    check_rank(state, room, target, mine, context.me.user.id)
    role, until = "", 0
    if action == "role":
        role = new_role(context, command, room, target, mine)
        if charge.role(target.user_id) == role:
            return None
        target = target._replace(key=target.user_id)
    elif action in ("ban", "mute"):
        until = end_of(context, command)
        check_room_for(context, charge.shelf(action), target)
    elif action == "kick":
        is_there = target.user_id in (state.users if room.id == SERVER_ID else room.members)
        if not is_there:
            where = "here" if room.id == SERVER_ID else f"in {room.name}"
            raise Refusal(Code.NO_SUCH_USER, f"{target.who} is not {where}")
    return made(context, command, room, target, role, until)


def made(context: Context, command: Moderate, room: Room, target: Target, role: str, until: int) -> Moderated:
    """The event."""
    me = context.me.user
    reason = clean_line(command.reason or "")
    limit_topic(context, reason, "reason")
    who, key, user_id, folded, stretch = target
    return Moderated(room.id, me.id, me.nick, command.action, who, key, user_id, folded, stretch, role, until, reason)


# -- whom -------------------------------------------------------------------------------------------------------------


def find_target(context: Context, command: Moderate, room: Room) -> Target:
    """Whom a command is about: a nick, `account:NAME`, or `address:…` with an address or a network."""
    word = (command.target or "").strip()
    if not word:
        raise Refusal(Code.INVALID_PARAMS, f"whom? {command.action} takes target")
    sort, _, rest = word.partition(":")
    if sort == "address" or (network_of(word) and command.action == "ban"):
        return address_target(context, command, room, rest if sort == "address" else word)
    state = context.state
    if sort == "account":
        account = state.accounts.called(rest)
        if account is None:
            raise Refusal(Code.NO_SUCH_USER, f"there is no account {told(rest)}")
        return Target(account.name, account.id, account.id)
    name = word.removeprefix("@")
    person = state.person_called(name)
    if person is not None and person[0] in state.accounts.by_id:
        return Target(person[1], person[0], person[0])
    if person is not None:
        return Target(person[1], fold(person[1]), person[0], fold(person[1]))
    if command.action not in ("ban", "mute"):
        raise Refusal(Code.NO_SUCH_USER, f"nobody is called {told(name)}", details={"target": word})
    try:
        name = names.check_nick(name)
    except names.NameRefused as fault:
        raise Refusal(Code.INVALID_PARAMS, f"nobody can be called {told(name)}: {fault.reason}") from None
    return Target(name, fold(name), folded=fold(name))


def address_target(context: Context, command: Moderate, room: Room, word: str) -> Target:
    """Those who come from a stretch of addresses, which only the server's operators may know of."""
    if command.action != "ban" or not context.state.is_operator(context.me.user.id):
        raise Refusal(
            Code.FORBIDDEN, "only the server's operators may ban addresses, and ban is all they may do to them"
        )
    stretch = wide_enough(word)
    return Target(stretch if room.id == SERVER_ID else "an address", stretch, network=stretch)


def wide_enough(word: str) -> str:
    """The stretch of addresses that is written so; refuses what is none, and half the world."""
    stretch = network_of(word)
    if not stretch:
        raise Refusal(Code.INVALID_PARAMS, f"{told(word)} is no address, and no network such as 203.0.113.0/24")
    around = ipaddress.ip_network(stretch)
    if around.prefixlen < WIDEST[around.version]:
        raise Refusal(Code.INVALID_PARAMS, f"{stretch} is too wide: at least {WIDEST[around.version]} bits are needed")
    return stretch


def ruling_about(state: State, shelf: dict[str, Ruling], word: str) -> Ruling | None:
    """The ruling that is meant by a word: the name as it was then or is now, or the addresses."""
    sort, _, rest = word.strip().partition(":")
    name = (rest if sort in ("account", "address") else word.strip()).removeprefix("@")
    person = state.person_called(name)
    stretch = network_of(name)
    for ruling in shelf.values():
        if stretch and ruling.network == stretch:
            return ruling
        if fold(ruling.who) == fold(name) or (person is not None and ruling.user_id == person[0]):
            return ruling
    return None


def check_rank(state: State, room: Room, target: Target, mine: int, me: str) -> None:
    """Refuse to act on somebody who is as much."""
    if not target.user_id or target.user_id == me:
        return
    theirs = state.rank(room, target.user_id)
    if theirs >= OPERATOR and theirs >= mine:
        raise Refusal(Code.FORBIDDEN, f"{target.who} is in charge as you are", details={"room": room.name})


def told(word: str | None) -> str:
    """A word of somebody, for an error."""
    return repr(clean_line(word or "")[:40])


# -- how --------------------------------------------------------------------------------------------------------------


def new_role(context: Context, command: Moderate, room: Room, target: Target, mine: int) -> str:
    """The role that is given; nobody gives one that is as much as their own, but for owners."""
    role = command.role or ""
    known = [one for one in RANKS if room.id != SERVER_ID or one != "speaker"]
    if role not in known:
        raise Refusal(Code.INVALID_PARAMS, f"there is no role {told(role)}: {', '.join(known)}")
    if RANKS[role] >= mine and mine < RANKS["owner"] and target.user_id != context.me.user.id:
        raise Refusal(Code.FORBIDDEN, f"only an owner may make somebody {role}")
    if target.user_id == context.me.user.id and RANKS[role] > mine:
        raise Refusal(Code.FORBIDDEN, "nobody raises oneself")
    if room.id == SERVER_ID and role != "member" and target.user_id not in context.state.accounts.by_id:
        raise Refusal(Code.ACCOUNT_REQUIRED, f"{target.who} has no account, and operators of the server need one")
    return role


def end_of(context: Context, command: Moderate) -> int:
    """Until when it holds; 0 for ever."""
    length = duration(command.duration)
    if length is None:
        raise Refusal(
            Code.INVALID_PARAMS, f"{told(str(command.duration))} is no duration: 90 (seconds), 10m, 2h, 7d, 4w"
        )
    return context.now + length if length else 0


def check_room_for(context: Context, shelf: dict[str, Ruling], target: Target) -> None:
    """Refuse more rulings than a room may have."""
    most = context.rules.limits.bans_per_room
    if target.key not in shelf and sum(one.holds(context.now) for one in shelf.values()) >= most:
        raise Refusal(
            Code.LIMIT_EXCEEDED,
            f"a room has at most {most} bans, and as many who are muted (bans_per_room)",
            details={"limit": "bans_per_room", "value": most},
        )


def invite(context: Context, command: Moderate, room: Room, mine: int) -> Moderated:
    """Ask somebody in; where an invitation is needed, only operators may."""
    charge = room.charge or Charge()
    if room.id == SERVER_ID:
        raise Refusal(Code.INVALID_PARAMS, "one is invited into a room; chatd invite makes invites to the server")
    if mine < OPERATOR and (charge.get("join") != "open" or charge.key):
        raise Refusal(Code.FORBIDDEN, f"only an operator of {room.name} may invite", details={"room": room.name})
    target = find_target(context, command, room)
    if target.user_id in room.members:
        raise Refusal(Code.ALREADY_IN_ROOM, f"{target.who} is in {room.name} already", details={"room": room.name})
    if charge.ban_of(target.user_id, target.who, "", context.now) is not None:
        raise Refusal(Code.BANNED, f"{target.who} is banned from {room.name}; lift the ban first")
    account = context.state.accounts.by_id.get(target.user_id)
    until = admitted_until(context, None if account is None else account.name)
    return made(context, command, room, target._replace(key=target.user_id), "", until)


def lock(context: Context, command: Moderate, room: Room) -> Moderated:
    """Let fewer people in and speak, on the whole server."""
    levels = SETTINGS["lockdown"]
    if room.id != SERVER_ID:
        raise Refusal(Code.INVALID_PARAMS, "lockdown is for the server: true; a room has join and speak, see set")
    if not context.state.is_operator(context.me.user.id):
        raise Refusal(Code.FORBIDDEN, "only the server's operators may lock it")
    level = command.target or ""
    if level not in levels:
        raise Refusal(Code.INVALID_PARAMS, f"there is no level {told(level)}: {', '.join(levels)}")
    return made(context, command, room, Target(level, "lockdown"), level, 0)


# -- the room itself --------------------------------------------------------------------------------------------------


def change(context: Context, command: Set) -> list[Effect]:
    """Change a room, or oneself."""
    if (command.changes is None) == (command.myself is None):
        raise Refusal(Code.INVALID_PARAMS, "set takes either room and changes, or self")
    if command.myself is not None:
        return change_self(context, command, command.myself)
    if command.room is None or command.changes is None:
        raise Refusal(Code.INVALID_PARAMS, "which room? set takes room with changes")
    room = context.my_room(command.room)
    wanted = {name: value for name, value in structs.asdict(command.changes).items() if value is not None}
    if not wanted:
        raise Refusal(Code.INVALID_PARAMS, "changes is empty")
    paced: tuple[Effect, ...] = ()
    if room.id == SERVER_ID and set(wanted) != {"topic"}:
        raise Refusal(Code.FORBIDDEN, f"{room.name} is for the server's operators, and stays as it is")
    if set(wanted) == {"topic"}:
        paced = check_speak(context, room)
    elif room.parties is not None or context.state.rank(room, context.me.user.id) < OPERATOR:
        others = ", ".join(sorted(set(wanted) - {"topic"}))
        raise Refusal(
            Code.FORBIDDEN, f"only an operator of {room.name} may change {others}", details={"room": room.name}
        )
    changes = {name: CHANGES[name](context, room, name, value) for name, value in wanted.items()}
    user = context.me.user
    return [
        *paced,
        Append((*keep(room), *stay(context, room, changes), RoomChanged(room.id, user.id, user.nick, changes))),
    ]


def stay(context: Context, room: Room, changes: dict[str, Any]) -> tuple[Event, ...]:
    """Who is in the room when its door is shut may come back to it."""
    is_shut = changes.get("join", "open") != "open" or bool(changes.get("key"))
    users = [context.state.users[one] for one in room.members if one in context.state.users] if is_shut else []
    guests = tuple((user.id, user.nick) for user in users if user.account is None)
    owners = tuple((user.id, user.nick) for user in users if user.account is not None)
    found = [Admitted(room.id, owners)] if owners else []
    return (*found, *([Admitted(room.id, guests, admitted_until(context, None))] if guests else []))


def _topic(context: Context, room: Room, name: str, value: Any) -> str:
    topic = clean_line(value)
    limit_topic(context, topic, "topic")
    return topic


def _word(context: Context, room: Room, name: str, value: Any) -> str:
    if value not in SETTINGS[name]:
        raise Refusal(Code.INVALID_PARAMS, f"{name} is one of: {', '.join(SETTINGS[name])}", details={"changes": name})
    return str(value)


def _slow(context: Context, room: Room, name: str, value: Any) -> int:
    if not 0 <= value <= MOST_SLOW:
        raise Refusal(
            Code.INVALID_PARAMS, f"slow is a number of seconds from 0 to {MOST_SLOW}", details={"changes": name}
        )
    return int(value)


def _key(context: Context, room: Room, name: str, value: Any) -> str:
    key = str(value).strip()
    if key.split() not in ([], [key]):
        raise Refusal(Code.INVALID_PARAMS, "a key has no spaces", details={"changes": name})
    return kept_of_key(context.rules.secret, room.id, key) if key else ""


def _never(context: Context, room: Room, name: str, value: Any) -> str:
    why = {"name": "a room keeps its name", "retention": "the server's settings say how long rooms are kept"}
    raise Refusal(Code.FORBIDDEN, f"{why[name]} on this server", details={"changes": name})


CHANGES = {
    "topic": _topic,
    "visibility": _word,
    "join": _word,
    "speak": _word,
    "key": _key,
    "slow": _slow,
    "name": _never,
    "retention": _never,
}
