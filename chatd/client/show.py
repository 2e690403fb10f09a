"""Events as lines for a person: words with the part they play, so that a screen can colour them or leave it.

What others wrote is cleaned here. A body of many lines gets its author's name before the first and an indent
before the others, so that nobody can make a line look like somebody else's. The words are those of the line
port.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET, Struct

from chatd.client import happenings
from chatd.client.face import Event
from chatd.core import views
from chatd.core.text import clean_line

NAMES_IN_A_LINE = 10
NICK_COLOURS = 12  # how many styles `nick0` … there are

Piece = tuple[str, str]  # the part it plays, and the text


class Line(Struct, frozen=True):
    """One line to show. `loud`: it is about the reader, or for the reader alone."""

    pieces: list[Piece]
    when: datetime
    room: str = ""
    loud: bool = False
    seq: int = 0

    def text(self, *, with_room: bool = False, with_number: bool = False) -> str:
        """The line without colours: `[14:02:33] <alice> hello`."""
        return "".join(text for _, text in self.with_head(with_room=with_room, with_number=with_number))

    def with_head(self, *, with_room: bool = False, with_number: bool = False) -> list[Piece]:
        """The pieces, after the time, and the number and the room if they are wanted."""
        head: list[Piece] = [("time", stamp(self.when) + " ")]
        if with_number and self.seq:
            head.append(("time", f"{self.seq} "))
        if with_room and self.room and not self.room.startswith("@"):
            head.append(("room", clean_line(self.room) + " "))
        return head + self.pieces


def stamp(when: datetime) -> str:
    """`[14:02:33]` in local time, with the date if it is not today's."""
    try:
        local = when.astimezone()
    except (OverflowError, ValueError):  # a server may say any time: the year 0 here is the year 1 elsewhere
        local = when
    today = datetime.now(UTC).astimezone().date()
    return local.strftime("[%H:%M:%S]" if local.date() == today else "[%Y-%m-%d %H:%M:%S]")


def nick_style(nick: str) -> str:
    """The style of a nick: the same one every time, and for everybody."""
    return f"nick{zlib.crc32(nick.encode('utf-8', 'replace')) % NICK_COLOURS}"


def lines(event: Event, own_nick: str) -> list[Line]:
    """The lines that show an event, perhaps none."""
    make = _MAKERS.get(type(event))
    return [] if make is None else make(event, own_nick)


def notice(text: str, *, room: str = "", when: datetime | None = None) -> Line:
    """A line of our own. Whatever is in it is cleaned."""
    return Line([("notice", f"*** {clean_line(text)}")], when or datetime.now(UTC), room)


def waiting(nick: str, text: str) -> Line:
    """What one said while the server is away."""
    return Line([("time", f"(waiting) <{nick}> {clean_line(text)}")], datetime.now(UTC))


# -- one function for each kind ----------------------------------------------------------------------------------


def _message(view: views.Message, own_nick: str) -> list[Line]:
    nick = clean_line(view.author.nick)
    if view.redacted is True:
        return [_durable(view, [("notice", f"*** message {view.seq} by {nick} was deleted")])]
    mine = nick == own_nick
    name = ("own" if mine else nick_style(nick), nick)
    direct = view.room.startswith("@")
    if direct and mine:
        head: list[Piece] = [("time", f"-> {clean_line(view.room[1:])}: ")]
    elif direct:
        head = [("time", "-"), name, ("time", "- ")]
    elif view.kind == "action":
        head = [("time", "* "), name, ("text", " ")]
    else:
        head = [("time", "<"), name, ("time", "> ")]
    if direct and view.kind == "action":
        head = [*head, ("time", "* "), name, ("text", " ")]
    if view.reply_to is not UNSET:
        head.append(("time", f"[to {view.reply_to}] "))
    mentioned = own_nick.casefold() in view.body.casefold() and not mine
    body = "loud" if mentioned else "action" if view.kind == "action" else "text"
    first, *others = [clean_line(line) for line in view.body.splitlines()] or [""]
    loud = mentioned or (direct and not mine)
    return [
        _durable(view, [*head, (body, first)], loud),
        *(Line([("time", "           "), (body, other)], view.time, view.room, loud) for other in others),
    ]


def _relation(view: views.Relation, own_nick: str) -> list[Line]:
    nick, target = view.author.nick, view.target
    reason = f" ({view.reason})" if view.reason else ""
    key = view.key or ""
    words = {
        "redact": f"deleted message {target}{reason}",
        "react": f"reacts to message {target} with {key}",
        "unreact": f"takes back {key} from message {target}",
        "pin": f"pinned message {target}",
        "unpin": f"unpinned message {target}",
    }.get(view.rel)
    if words is None:
        gone = view.redacted is True
        words = f"edited message {target}" + (", which was deleted later" if gone else ":")
        text = "" if gone else f" {view.body or ''}"
        return [_durable(view, [("notice", clean_line(f"*** {nick} {words}")), ("text", clean_line(text))])]
    return [_told(view, f"{nick} {words}")]


def _member(view: views.Member, own_nick: str) -> list[Line]:
    who, by = view.who, view.by
    words = {
        "kick": f"{who} was kicked by {by}",
        "ban": f"{who} was banned by {by}",
        "unban": f"{who} is no longer banned, says {by}",
        "mute": f"{who} was muted by {by}",
        "unmute": f"{who} may speak again, says {by}",
        "role": f"{by} made {who} {view.role or 'member'}",
        "invite": f"{by} invited {who}",
        "lockdown": f"{by} set the lockdown to {who}",
    }[view.change]
    until = f" until {stamp(view.until).strip('[]')}" if view.until else ""
    reason = f" ({view.reason})" if view.reason else ""
    return [_told(view, f"{words}{until}{reason}", view.who == own_nick)]


def _room(view: views.Room, own_nick: str) -> list[Line]:
    found = []
    for name, value in view.changes.items():
        words = f"changed {name} to {value}"
        if name == "topic":
            words = f"set the topic: {value}" if value else "cleared the topic"
        elif name == "key":
            words = "set a key, without which nobody comes in" if value else "took the key away"
        found.append(_told(view, f"{view.by} {words}"))
    return found


def _presence(view: views.Presence, own_nick: str) -> list[Line]:
    """Comings and goings of others; what one does oneself, one knows."""
    room = view.room or ""
    where = f" {room}" if room else ""
    found = []
    joined = [nick for nick in view.joined or [] if nick != own_nick]
    if joined:
        found.append(f"{listed(joined)} joined{where}")
    for reason, nicks in _by_reason(view.left or []).items():
        found.append(f"{listed(nicks)} left{where}" + (f" ({reason})" if reason else ""))
    for renamed in view.renamed or []:
        if own_nick not in (renamed.old, renamed.new):
            found.append(f"{renamed.old} is now called {renamed.new}")
    for away in view.away or []:
        if away.nick != own_nick:
            why = f" ({away.message})" if away.message else ""
            found.append(f"{away.nick} is " + (f"away{why}" if away.away else "back"))
    return [notice(words, room=room) for words in found]


def _by_reason(left: Iterable[views.Left]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for one in left:
        reasons.setdefault(one.reason, []).append(one.nick)
    return reasons


def listed(nicks: list[str]) -> str:
    """`bob, carl and dora`; of very many, the first and how many others."""
    shown = nicks[:NAMES_IN_A_LINE]
    if len(nicks) > len(shown):
        return f"{', '.join(shown)} and {len(nicks) - len(shown):,} others"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _gap(view: views.Gap, own_nick: str) -> list[Line]:
    why = {
        "retention": "are no longer kept",
        "skipped": "cannot be read" if view.damaged is True else "are left out; /history has them",
        "permission": "are not for you to see",
    }[view.reason]
    return [notice(f"messages {view.first} to {view.last} {why}", room=view.room)]


def _notice(view: views.Notice, own_nick: str) -> list[Line]:
    return [notice(line) for line in view.message.splitlines()]


def _invite(view: views.Invite, own_nick: str) -> list[Line]:
    return [notice(f"{view.by} invites you to {view.room}: /join {view.room}")]


def _error(view: views.Error, own_nick: str) -> list[Line]:
    return [notice(f"{view.message} ({view.code})")]


def _known_as(news: happenings.KnownAs, own_nick: str) -> list[Line]:
    why = f" ({news.why})" if news.why else ""
    return [notice(f"you are called {news.nick} here, not {news.wanted}{why}")]


def _delayed(news: happenings.Delayed, own_nick: str) -> list[Line]:
    if news.retry_in < 1:
        return []
    return [notice(f"{news.message}; trying again in {news.retry_in:.0f} s")]


def _room_lost(news: happenings.RoomLost, own_nick: str) -> list[Line]:
    return [notice(f"you are no longer in {news.room}: {news.message}")]


def _rewound(news: happenings.Rewound, own_nick: str) -> list[Line]:
    return [notice(f"the server has no message {news.seen} in {news.room} any more; it begins anew", room=news.room)]


def _told(view: views.Durable, words: str, loud: bool = False) -> Line:
    return _durable(view, [("notice", clean_line(f"*** {words}"))], loud)


def _durable(view: views.Durable, pieces: list[Piece], loud: bool = False) -> Line:
    return Line(pieces, view.time, view.room, loud, view.seq)


_MAKERS: dict[type, Callable[[Any, str], list[Line]]] = {
    views.Message: _message,
    views.Relation: _relation,
    views.Member: _member,
    views.Room: _room,
    views.Presence: _presence,
    views.Gap: _gap,
    views.Notice: _notice,
    views.Invite: _invite,
    views.Error: _error,
    happenings.KnownAs: _known_as,
    happenings.Delayed: _delayed,
    happenings.RoomLost: _room_lost,
    happenings.Rewound: _rewound,
}
