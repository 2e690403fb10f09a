"""Words for keeping order: what those in charge of a room, or of the server, type on the line port, and are told.

As in `line_words`, each function takes the text behind a command's name and gives the command; who may do what is for
`chatd.core`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from chatd.core import commands
from chatd.core.charge import SETTINGS
from chatd.core.commands import Action, Changes
from chatd.core.text import clean_line
from chatd.protocols.line_words import Meaning, Misused, NeedsWords, Place, name_and_rest, need_room, room_name, words

_DURATION = re.compile(r"[1-9][0-9]*[smhdw]", re.IGNORECASE)

SERVER_ACTIONS: tuple[Action, ...] = ("kick", "ban", "unban", "mute", "unmute", "role")
SETTABLE = ("join", "speak", "visibility", "key", "slow")


def about(action: Action, text: str, room: str | None) -> commands.Moderate:
    """A command about somebody: the name, for a ban or a mute perhaps how long, and perhaps the reason."""
    target, rest = name_and_rest(text)
    duration = None
    if action in ("ban", "mute"):
        first, _, behind = rest.partition(" ")
        if _DURATION.fullmatch(first):
            duration, rest = first.lower(), behind.strip()
    return commands.Moderate(
        action=action, target=target, room=room, server=room is None, duration=duration, reason=rest or None
    )


def act(action: Action) -> Callable[[str, Place], Meaning]:
    """How a command is read that does this to somebody in the current room."""
    return lambda text, place: about(action, text, need_room(place))


def make(role: str) -> Callable[[str, Place], Meaning]:
    """How a command is read that makes somebody this in the current room."""

    def read(text: str, place: Place) -> Meaning:
        [target] = words(text, 1)
        return commands.Moderate(action="role", target=target, room=need_room(place), role=role)

    return read


def read_role(text: str, place: Place) -> Meaning:
    target, role = words(text, 2)
    return commands.Moderate(action="role", target=target, room=need_room(place), role=role.casefold())


def read_invite(text: str, place: Place) -> Meaning:
    target, room = name_and_rest(text)
    return commands.Moderate(action="invite", target=target, room=room_name(room) if room else need_room(place))


def read_bans(text: str, place: Place) -> Meaning:
    return commands.List(what="bans", room=room_name(text) if text else need_room(place))


def read_set(text: str, place: Place) -> Meaning:
    """A setting of the room; without a value, of a key, it is taken away."""
    room = need_room(place)
    name, value = name_and_rest(text)
    name = name.casefold()
    if name not in SETTABLE or (not value and name != "key"):
        raise NeedsWords
    if name == "slow":
        if not re.fullmatch("[0-9]{1,6}", value):
            raise Misused("It is written: /set slow SECONDS; 0 ends it.")
        return commands.Set(room=room, changes=Changes(slow=int(value)))
    if name in SETTINGS and value.casefold() not in SETTINGS[name]:
        raise Misused(f"It is written: /set {name} {'|'.join(SETTINGS[name])}")
    return commands.Set(
        room=room, changes=msgspec.convert({name: value if name == "key" else value.casefold()}, Changes)
    )


def read_server(text: str, place: Place) -> Meaning:
    """What is done on the whole server, by its operators."""
    action, rest = name_and_rest(text)
    action = action.casefold()
    if action == "bans":
        return commands.List(what="bans")
    if action == "lockdown":
        if rest not in SETTINGS["lockdown"]:
            raise Misused(f"It is written: /server lockdown {'|'.join(SETTINGS['lockdown'])}")
        return commands.Moderate(action="lockdown", target=rest, server=True)
    if action == "role":
        target, role = words(rest, 2)
        return commands.Moderate(action="role", target=target, server=True, role=role.casefold())
    for known in SERVER_ACTIONS:
        if action == known:
            return about(known, rest, None)
    raise NeedsWords


# -- what is told -----------------------------------------------------------------------------------------------------

DONE = {
    "kick": "{who} was put out{where}.",
    "ban": "{who} is banned{where}.",
    "unban": "{who} is no longer banned{where}.",
    "mute": "{who} may only listen{where}.",
    "unmute": "{who} may speak again{where}.",
    "role": "{who} is {role}{where}.",
    "invite": "{who} is invited{where}.",
    "lockdown": "The lockdown is now: {who}.",
}
PLACES = {
    "kick": " of {room}",
    "ban": " from {room}",
    "unban": " from {room}",
    "role": " of {room}",
    "invite": " to {room}",
}


def moderated_lines(command: commands.Moderate) -> list[str]:
    """What somebody in charge is told when it is done."""
    who = clean_line((command.target or "").removeprefix("@"))
    where = "" if command.action == "lockdown" else PLACES.get(command.action, " in {room}")
    where = where.format(room="the server" if command.room is None else clean_line(command.room))
    return ["*** " + DONE[command.action].format(who=who, where=where, role=clean_line(command.role or "member"))]


def set_lines(changes: Changes) -> list[str]:
    """What somebody is told who changed a room."""
    if changes.key is not None:
        return ["*** One needs the key to come in." if changes.key else "*** One needs no key to come in."]
    if changes.slow is not None:
        every = f"Everybody may speak every {changes.slow} s." if changes.slow else "Everybody may speak at any time."
        return [f"*** {every}"]
    named = (("join", changes.join), ("speak", changes.speak), ("visibility", changes.visibility))
    return [f"*** {name} is now: {clean_line(value)}" for name, value in named if value is not None]


def ban_list(command: commands.List, items: list[dict[str, Any]]) -> list[str]:
    """Who is banned or muted."""
    where = clean_line(command.room or "the server")
    lines = []
    for item in items:
        who = clean_line(item["target"])
        network = f" ({item['network']})" if item.get("network", who) != who else ""
        until = f" until {item['until'].astimezone():%Y-%m-%d %H:%M}" if "until" in item else ""
        reason = f": {clean_line(item['reason'])}" if "reason" in item else ""
        word = "banned" if item["kind"] == "ban" else "muted"
        lines.append(f"*** {who}{network} was {word} by {clean_line(item['by'])}{until}{reason}")
    return lines or [f"*** Nobody is banned from {where}."]
