"""What those in charge of a room, or of the server, can type after a slash. See `slash`."""

from __future__ import annotations

import re

from chatd.client.slash_table import Misused, Run, Slash, Table, here, needs, room_name
from chatd.client.talk import Talk
from chatd.client.verbs import RoomChanges
from chatd.core.commands import Action

ORDERS = Table()
slash = ORDERS.command

_DURATION = re.compile(r"[1-9][0-9]*[smhdw]", re.IGNORECASE)
_SERVER: tuple[Action, ...] = ("kick", "ban", "unban", "mute", "unmute", "role", "lockdown")


async def _do(talk: Talk, action: Action, room: str | None, words: str, usage: str) -> None:
    """Do something about somebody: a name, for a ban or a mute perhaps how long, and perhaps why."""
    target, _, rest = needs(words, usage).partition(" ")
    duration = role = None
    first, _, behind = rest.strip().partition(" ")
    if action in ("ban", "mute") and _DURATION.fullmatch(first):
        duration, rest = first.lower(), behind
    if action == "role":
        role, rest = needs(first.lower(), usage), behind
    await talk.chat.moderate(room, action, target, role=role, duration=duration, reason=rest.strip() or None)
    talk.tell("done")


@slash("/invite NICK [#ROOM]")
async def invite(talk: Talk, words: str) -> None:
    """ask somebody into this room, or another"""
    nick, _, room = needs(words, "/invite NICK [#ROOM]").partition(" ")
    await _do(talk, "invite", room_name(room.strip()) if room.strip() else here(talk).name, nick, "/invite NICK")


ACTS: tuple[tuple[Action, str, str], ...] = (
    ("kick", "/kick NICK [WHY]", "put somebody out of this room (operators)"),
    (
        "ban",
        "/ban NICK [TIME] [WHY]",
        "keep somebody out, for a time (10m, 2h, 7d) or for good (operators)",
    ),
    ("unban", "/unban NICK", "end a ban (operators)"),
    ("mute", "/mute NICK [TIME] [WHY]", "let somebody only listen, for a time or for good (operators)"),
    ("unmute", "/unmute NICK", "let somebody speak again (operators)"),
    ("role", "/role NICK ROLE", "make somebody member, speaker, operator or owner (operators)"),
)


def _act(action: Action, usage: str) -> Run:
    """What is done about somebody in the room that is looked at."""

    async def run(talk: Talk, words: str) -> None:
        await _do(talk, action, here(talk).name, words, usage)

    return run


for _action, _usage, _about in ACTS:
    ORDERS[_action] = Slash(_usage, _about, _act(_action, _usage))


@slash("/bans")
async def bans(talk: Talk, words: str) -> None:
    """list who is banned or muted here (operators)"""
    await _tell_bans(talk, here(talk).name)


async def _tell_bans(talk: Talk, room: str | None) -> None:
    found = await talk.chat.bans(room)
    for item in found:
        word = "banned" if item["kind"] == "ban" else "muted"
        until = f" until {item['until']}" if "until" in item else ""
        reason = f": {item['reason']}" if "reason" in item else ""
        talk.tell(f"{item['target']} was {word} by {item['by']}{until}{reason}")
    if not found:
        talk.tell("nobody is banned or muted")


@slash("/set SETTING [VALUE]")
async def set_(talk: Talk, words: str) -> None:
    """set join, key, speak, slow or visibility of this room (operators)"""
    name, _, value = needs(words, "/set SETTING [VALUE]").partition(" ")
    name, value = name.lower(), value.strip()
    changes: RoomChanges
    if name == "slow":
        if not re.fullmatch("[0-9]{1,6}", value):
            raise Misused("it is written: /set slow SECONDS")
        changes = {"slow": int(value)}
    elif name == "key":
        changes = {"key": value}
    elif name == "join":
        changes = {"join": needs(value, "/set join open, accounts or invite")}
    elif name == "speak":
        changes = {"speak": needs(value, "/set speak everyone, accounts, speakers or operators")}
    elif name == "visibility":
        changes = {"visibility": needs(value, "/set visibility public, hidden or published")}
    else:
        raise Misused("what can be set: join, key, speak, slow, visibility")
    await talk.chat.set_room(here(talk).name, **changes)
    talk.tell("done")


@slash("/server ACTION NICK …")
async def server(talk: Talk, words: str) -> None:
    """kick, ban, unban, mute, unmute, role, bans or lockdown on the whole server (its operators)"""
    usage = "/server ACTION NICK …"
    action, _, rest = needs(words, usage).partition(" ")
    if action == "bans":
        await _tell_bans(talk, None)
        return
    for known in _SERVER:
        if action == known:
            await _do(talk, known, None, rest.strip(), usage)
            return
    raise Misused(f"it is written: {usage}, with {', '.join(_SERVER)} or bans")
