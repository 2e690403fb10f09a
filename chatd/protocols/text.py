"""Text for people: what is shown in rooms, as lines that a terminal can print. PROTOCOL.md section 7.4.

`LINES` has one entry for each view; an encoder puts the time, and the room if it is not the one the person is in,
before each line. Whatever others wrote is cleaned here, and a body of many lines gets its author's name before
every one of them, so nobody can make a line look like somebody else's. Who may see what is not decided here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from msgspec import UNSET
from zope.interface import implementer

from chatd.core import views
from chatd.core.names import fold
from chatd.core.text import clean_line
from chatd.core.views import View, moment
from chatd.interfaces import IEncoder

Clock = Callable[[], float]  # seconds since 1970

LINE_END = "\r\n"
NAMES_IN_A_LINE = 10
RECENT_SECONDS = 3600.0


def stamp(when: datetime, now: float) -> str:
    """`[14:02:33]` in the server's local time; with the date before it if that is not plain."""
    here = when.astimezone()
    if now - when.timestamp() > RECENT_SECONDS and here.date() != datetime.fromtimestamp(now).date():
        return here.strftime("[%Y-%m-%d %H:%M:%S]")
    return here.strftime("[%H:%M:%S]")


def blob_of(lines: Iterable[str]) -> bytes:
    """Lines as bytes for a terminal behind telnet."""
    return "".join([line + LINE_END for line in lines]).encode("utf-8", "replace")


def clean_lines(body: str) -> list[str]:
    """A body's lines, each safe to print; anything that a terminal could take for a line's end is one."""
    return [clean_line(line) for line in body.splitlines()] or [""]


# -- one function for each view: its lines, without time and room -----------------------------------------------------


def message_lines(view: views.Message) -> list[str]:
    nick = clean_line(view.author.nick)
    if view.redacted is True:
        return [f"*** message {view.seq} by {nick} was deleted"]
    direct = view.room.startswith("@")
    if direct and fold(nick) != fold(view.room[1:]):
        head = f"-> {clean_line(view.room[1:])}: " + (f"* {nick} " if view.kind == "action" else "")
    elif direct:
        head = f"-{nick}- " + (f"* {nick} " if view.kind == "action" else "")
    elif view.kind == "action":
        head = f"* {nick} "
    else:
        head = f"<{nick}> "
    return [head + line for line in clean_lines(view.body)]


def relation_lines(view: views.Relation) -> list[str]:
    nick, target = clean_line(view.author.nick), view.target
    reason = f" ({clean_line(view.reason)})" if view.reason else ""
    key = clean_line(view.key or "")
    if view.rel == "edit":
        if view.redacted is True:
            return [f"*** {nick} edited message {target}, which was deleted later"]
        return [f"*** {nick} edited message {target}: {line}" for line in clean_lines(view.body or "")]
    return [
        {
            "redact": f"*** {nick} deleted message {target}{reason}",
            "react": f"*** {nick} reacts to message {target} with {key}",
            "unreact": f"*** {nick} takes back {key} from message {target}",
            "pin": f"*** {nick} pinned message {target}",
            "unpin": f"*** {nick} unpinned message {target}",
        }[view.rel]
    ]


def member_lines(view: views.Member) -> list[str]:
    who, by = clean_line(view.who), clean_line(view.by)
    done = {
        "kick": f"{who} was kicked by {by}",
        "ban": f"{who} was banned by {by}",
        "unban": f"{who} is no longer banned, says {by}",
        "mute": f"{who} was muted by {by}",
        "unmute": f"{who} may speak again, says {by}",
        "role": f"{by} made {who} {clean_line(view.role or 'member')}",
        "invite": f"{by} invited {who}",
        "lockdown": f"{by} set the lockdown to {who}",
    }[view.change]
    until = f" until {view.until.astimezone():%Y-%m-%d %H:%M}" if view.until else ""
    reason = f" ({clean_line(view.reason)})" if view.reason else ""
    return [f"*** {done}{until}{reason}"]


def room_lines(view: views.Room) -> list[str]:
    by = clean_line(view.by)
    return [f"*** {by} {changed(name, value)}" for name, value in view.changes.items()]


def changed(name: str, value: Any) -> str:
    """What was done to a room, in words."""
    if name == "topic":
        return f"set the topic: {clean_line(value)}" if value else "cleared the topic"
    if name == "key":
        return "set a key, without which nobody comes in" if value else "took the key away: everybody can come in"
    if name == "slow":
        return f"made the room slow: everybody speaks every {value} s" if value else "made the room as fast as before"
    return f"changed {clean_line(name)} to {clean_line(str(value))}"


def presence_lines(view: views.Presence) -> list[str]:
    room = clean_line(view.room or "")
    where = f" {room}" if room else ""
    lines = []
    if view.joined:
        lines.append(f"*** {listed(view.joined)} joined{where}")
    for reason, nicks in by_reason(view.left or []).items():
        lines.append(f"*** {listed(nicks)} left{where}" + (f" ({clean_line(reason)})" if reason else ""))
    for renamed in view.renamed or []:
        lines.append(f"*** {clean_line(renamed.old)} is now called {clean_line(renamed.new)}")
    for away in view.away or []:
        why = f" ({clean_line(away.message)})" if away.message else ""
        lines.append(f"*** {clean_line(away.nick)} is " + (f"away{why}" if away.away else "back"))
    return lines  # a count alone is not shown: in a very large room it changes all the time, and /names tells it


def by_reason(left: list[views.Left]) -> dict[str, list[str]]:
    """The nicks of those who left, under their reasons."""
    reasons: dict[str, list[str]] = {}
    for one in left:
        reasons.setdefault(one.reason, []).append(one.nick)
    return reasons


def listed(nicks: list[str]) -> str:
    """`bob, carl and dora`; of very many, the first and how many others."""
    shown = [clean_line(nick) for nick in nicks[:NAMES_IN_A_LINE]]
    if len(nicks) > len(shown):
        return f"{', '.join(shown)} and {len(nicks) - len(shown):,} others"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def gap_lines(view: views.Gap) -> list[str]:
    if view.reason == "skipped" and view.damaged is not True:  # they can be had with /history: nothing is lost
        return []
    why = {
        "retention": "are no longer kept",
        "permission": "are not for you to see",
        "skipped": "cannot be read",
    }[view.reason]
    return [f"*** messages {view.first} to {view.last} of {clean_line(view.room)} {why}"]


def notice_lines(view: views.Notice) -> list[str]:
    return [f"*** {line}" for line in clean_lines(view.message)]


def invite_lines(view: views.Invite) -> list[str]:
    room = clean_line(view.room)
    return [f"*** {clean_line(view.by)} invites you to {room}: /join {room}"]


def error_lines(view: views.Error) -> list[str]:
    return [f"*** {line} ({view.code})" for line in clean_lines(view.message)]


def closing_lines(view: views.Closing) -> list[str]:
    lines = [f"*** {sentence(line)}" for line in clean_lines(view.reason or "Goodbye.")]
    if view.reconnect_after is not UNSET:
        wait = view.reconnect_after
        place = f", or at once at {view.alternate}" if view.alternate else ""
        lines.append(f"*** Come again in {wait:g} second{'' if wait == 1 else 's'}{place}.")
    return lines


def sentence(text: str) -> str:
    """A text with a capital first and a stop last."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def no_lines(view: View) -> list[str]:
    """For what a person has no use for."""
    return []


LINES: dict[type[View], Callable[[Any], list[str]]] = {
    views.Message: message_lines,
    views.Relation: relation_lines,
    views.Member: member_lines,
    views.Room: room_lines,
    views.CaughtUp: no_lines,
    views.Gap: gap_lines,
    views.Presence: presence_lines,
    views.Typing: no_lines,
    views.Read: no_lines,
    views.Notice: notice_lines,
    views.Invite: invite_lines,
    views.Ping: no_lines,
    views.Error: error_lines,
    views.Closing: closing_lines,
}

# What gets the room before it, if that is not the room one is looking at.
ROOM_FIRST = (views.Message, views.Relation, views.Member, views.Room, views.Presence)


def numbered_lines(view: views.Durable, now: float) -> list[str]:
    """A page's lines: `12 [14:02:33] <alice> hello`."""
    head = f"{view.seq} {stamp(view.time, now)} "
    return [head + line for line in LINES[type(view)](view)]


# -- encoders ---------------------------------------------------------------------------------------------------------


@implementer(IEncoder)
class LineEncoder:
    """Lines for everybody who has the same switches. `elsewhere`: this is for a room they are not looking at."""

    def __init__(self, *, elsewhere: bool = False, timestamps: bool = True, clock: Clock = time.time) -> None:
        self._elsewhere = elsewhere
        self._timestamps = timestamps
        self._clock = clock

    def encode(self, view: View) -> bytes:
        """The lines that show a view, perhaps none."""
        lines = LINES[type(view)](view)
        if not lines:
            return b""
        head = ""
        if self._timestamps:
            now = self._clock()
            head = stamp(getattr(view, "time", None) or moment(int(now * 1e6)), now) + " "
        if self._elsewhere and isinstance(view, ROOM_FIRST) and view.room and not view.room.startswith("@"):
            head += clean_line(view.room) + " "
        return blob_of(head + line for line in lines)


@implementer(IEncoder)
class IgnoringEncoder:
    """Another encoder's bytes, but for what certain people said. For one connection, never shared."""

    def __init__(self, encoder: IEncoder, ignored: frozenset[str]) -> None:
        self._encoder = encoder
        self._ignored = ignored

    def encode(self, view: View) -> bytes:
        if isinstance(view, views.Message | views.Relation) and fold(view.author.nick) in self._ignored:
            return b""
        return self._encoder.encode(view)


@implementer(IEncoder)
class JsonEncoder:
    """One JSON object of PROTOCOL.md section 5 a line, for scripts that have only nc."""

    def __init__(self, json_view: Callable[[View], bytes]) -> None:
        self._json_view = json_view

    def encode(self, view: View) -> bytes:
        return self._json_view(view) + b"\n"
