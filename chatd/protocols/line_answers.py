"""Answers: replies as lines for the person who asked. What is shown to rooms is in `text`.

`ANSWERS` has one function for each reply. The command says what was asked, so nothing has to be remembered in
between. Names, texts and topics that others chose are cleaned, as everything that goes to a terminal.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from typing import Any

from msgspec import UNSET, UnsetType

from chatd.core import commands, replies
from chatd.core.codes import Code
from chatd.core.commands import Command
from chatd.core.replies import Reply
from chatd.core.text import clean_line
from chatd.hub.link import Misread
from chatd.protocols.line_order import ban_list, moderated_lines, set_lines
from chatd.protocols.text import gap_lines, numbered_lines, sentence, stamp

CONNECTED = "You are connected to the server!"
HINTS = "Type to talk. /help lists commands, /join #room enters a room, /quit leaves."

COME_BACK = "If you are cut off, come back with: /resume {word}"

LIST_WIDTH = 72

# In the words of a refusal, what only an operator or a program needs: the name of a limit, and what `retry_after` says.
FOR_OTHERS = re.compile(r" \([a-z]+(_[a-z]+)+\)|; try again in [0-9.]+ s$")

# Where the words for programs would not help a person.
WORDS = {
    Code.STORE_UNAVAILABLE: "it could not be stored; please try again later",
    Code.OUTCOME_UNKNOWN: "it is not known whether it was stored; look at /history before you say it again",
}


def answer_lines(command: Command, reply: Reply, now: float, *, timestamps: bool = True) -> list[str]:
    """What a person is told for a reply, perhaps nothing: who says something sees it already."""
    lines = ANSWERS[type(reply)](command, reply, now)
    if timestamps and isinstance(reply, replies.Sent) and isinstance(command, commands.Send):
        return [f"{stamp(reply.time, now)} {line}" for line in lines]
    return lines


def failure_lines(command: Command, reply: replies.Failure, now: float) -> list[str]:
    problem = reply.error
    said = "Not sent: " if isinstance(command, commands.Send | Misread) else ""
    text = WORDS.get(Code(problem.code), "") or FOR_OTHERS.sub("", clean_line(problem.message))
    words = [sentence(said + text)]
    suggestion = (problem.details or {}).get("suggestion")
    if suggestion:
        words.append(f"Try {clean_line(suggestion)}")
    if problem.retry_after is not UNSET:
        words.append(f"Try again in {problem.retry_after:g} s.")
    lines = [f"*** {' '.join(words)} ({problem.code})"]
    if problem.code == Code.NICK_IN_USE and isinstance(command, commands.ComeIn):
        lines.append("*** If it is you, come back with /resume and the word that you were told.")
    return lines


def welcome_lines(command: Command, reply: replies.Welcome, now: float) -> list[str]:
    return []  # people say no hello


def logged_in_lines(command: Command, reply: replies.LoggedIn, now: float) -> list[str]:
    if isinstance(command, commands.Auth) and command.mechanism in ("register", "invite"):
        return [f"*** The name {reply.nick} is yours now. Next time type it, and then your password."]
    if isinstance(command, commands.Auth) and command.data is not None:
        return ["*** Your password is changed. Everything else that was logged in to your account is logged out."]
    if isinstance(command, commands.LogIn):
        return [f"*** You are {reply.nick} now, logged in to your account."]
    return greeting(reply)


def greeting(reply: replies.LoggedIn) -> list[str]:
    return [CONNECTED, f"Your name is {reply.nick}.", HINTS]


def came_in_lines(command: Command, reply: replies.CameIn, now: float) -> list[str]:
    return [*greeting(reply), *([COME_BACK.format(word=reply.word)] if reply.word else [])]


def came_back_lines(command: Command, reply: replies.CameBack, now: float) -> list[str]:
    lines = came_in_lines(command, reply, now)
    if reply.nick_before is not UNSET:
        lines.append(f"*** Somebody else is called {clean_line(reply.nick_before)} now, so you are {reply.nick}.")
    rooms = [clean_line(room) for room in reply.since if not room.startswith("@")]
    if rooms:
        missed = f"you missed {people(reply.missed, 'message', 'messages')}" if reply.missed else "you missed nothing"
        lines.append(f"*** You are back in {', '.join(rooms)}; {missed}.")
    elif reply.missed:
        lines.append(f"*** While you were away you were sent {people(reply.missed, 'message', 'messages')}.")
    if len(rooms) > 1:
        lines.append(f"*** What you type goes to {clean_line(reply.current or rooms[-1])}.")
    if reply.missed and not reply.exact:
        lines.append("*** The server was cut off while you were here: the first of them may come twice.")
    return lines


def pong_lines(command: Command, reply: replies.Pong, now: float) -> list[str]:
    here = reply.time.astimezone()
    if reply.data == "time":
        return [f"*** It is {here:%Y-%m-%d %H:%M:%S %Z} here, {reply.time:%H:%M:%S} UTC."]
    return [f"*** Pong: the server is there. {here:%H:%M:%S}"]


def nick_lines(command: Command, reply: replies.NickTaken, now: float) -> list[str]:
    return [f"*** You are now called {reply.nick}."]


ROLES = {
    "owner": " The room is yours.",
    "operator": " You are one of its operators.",
    "speaker": " You are one of its speakers.",
    "muted": " You may only listen here.",
}


def joined_lines(command: Command, reply: replies.Joined, now: float) -> list[str]:
    room = clean_line(reply.room)
    others = reply.members_count - 1
    company = "nobody else is here yet" if others < 1 else f"{people(others, 'other', 'others')} here"
    lines = [f"*** You are in {room}; {company}.{ROLES.get(reply.role, '')}"]
    if reply.topic:
        lines.append(f"*** Topic: {clean_line(reply.topic)}")
    return lines


def people(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def done_lines(command: Command, reply: replies.Done, now: float) -> list[str]:
    if isinstance(command, commands.Part):
        return [f"*** You left {clean_line(command.room)}."]
    if isinstance(command, commands.Quit):
        return ["*** Goodbye."]
    return ["*** Done."]


RELATED = {
    "edit": "Message {target} is changed.",
    "redact": "Message {target} is deleted.",
    "react": "You react to message {target} with {key}",
    "unreact": "You take back {key} from message {target}.",
    "pin": "Message {target} is pinned.",
    "unpin": "Message {target} is no longer pinned.",
}


def sent_lines(command: Command, reply: replies.Sent, now: float) -> list[str]:
    if isinstance(command, commands.Relate):
        return ["*** " + RELATED[command.rel].format(target=command.target, key=clean_line(command.key or ""))]
    if isinstance(command, commands.Send) and command.to is not None:
        return [f"-> {clean_line(reply.room.removeprefix('@'))}: {clean_line(command.body)}"]
    return []


def history_lines(command: Command, reply: replies.HistoryPage, now: float) -> list[str]:
    room = clean_line(reply.room)
    gaps = [] if isinstance(reply.gaps, UnsetType) else reply.gaps
    is_search = isinstance(command, commands.History) and command.query is not None
    if is_search and not reply.events:
        return [f"*** Nothing like that was said in {room}."]
    if not reply.events and not gaps:
        return [f"*** Nothing was said in {room}{' before that' if reply.last_seq else ' yet'}."]
    told = [(view.seq, numbered_lines(view, now)) for view in reply.events] + [
        (gap.first, gap_lines(gap)) for gap in gaps
    ]
    lines = [line for _, group in sorted(told) for line in group]
    if reply.prev is not None and is_search:
        lines.append("*** There is more; with more words there is less of it.")
    elif reply.prev is not None and isinstance(command, commands.History):
        direct = f"{room} " if room.startswith("@") else ""
        lines.append(f"*** What was said before: /history {direct}{len(reply.events)} #{reply.prev}")
    return lines


def listed_lines(command: Command, reply: replies.Listed, now: float) -> list[str]:
    assert isinstance(command, commands.List)
    lines = LISTS[command.what](command, reply.items)
    if reply.next is not None and command.limit is None:
        lines.append("*** There are more; give the beginning of a name to see fewer.")
    return lines


def room_list(command: commands.List, items: list[dict[str, Any]]) -> list[str]:
    if command.room is not None:  # /topic asks for one room
        topics = [clean_line(item["topic"]) for item in items if item["room"] == command.room]
        topic = topics[0] if topics else ""
        return [f"*** The topic of {clean_line(command.room)}: {topic}" if topic else "*** There is no topic."]
    lines = []
    for item in items:
        topic = f"  {clean_line(item['topic'])}" if item["topic"] else ""
        lines.append(f"*** {clean_line(item['room'])}  {people(item['members_count'], 'person', 'people')}{topic}")
    return lines or ["*** There is no such room." if command.prefix else "*** There are no rooms yet."]


def member_list(command: commands.List, items: list[dict[str, Any]]) -> list[str]:
    return [f"*** In {clean_line(command.room or '')}, {people(len(items), 'person', 'people')}:", *names(items)]


def user_list(command: commands.List, items: list[dict[str, Any]]) -> list[str]:
    return [f"*** On the server, {people(len(items), 'person', 'people')}:", *names(items)]


def names(items: list[dict[str, Any]]) -> list[str]:
    """Nicks in lines of a readable width."""
    text = ", ".join(clean_line(item["nick"]) + noted(item) for item in items)
    wrapped = textwrap.wrap(text, LIST_WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f"*** {line}" for line in wrapped]


def noted(item: dict[str, Any]) -> str:
    """What is to be known of somebody in a list: a role that is more or less than others', and being away."""
    role = item.get("role", "member")
    notes = [*([] if role == "member" else [role]), *(["away"] if item["away"] else [])]
    return f" ({', '.join(notes)})" if notes else ""


def whois_list(command: commands.List, items: list[dict[str, Any]]) -> list[str]:
    [item] = items
    nick = clean_line(item["nick"])
    why = f": {clean_line(item['message'])}" if item.get("message") else "."
    lines = [f"*** {nick} is away{why}" if item["away"] else f"*** {nick} is here."]
    rooms = ", ".join(map(clean_line, item["rooms"]))
    if rooms:
        lines.append(f"*** {nick} is, as you are, in {rooms}.")
    if item.get("operator"):
        lines.append(f"*** {nick} is an operator of the server.")
    if item["sessions"] > 1:
        lines.append(f"*** {nick} is connected {item['sessions']} times.")
    return lines


def session_list(command: commands.List, items: list[dict[str, Any]]) -> list[str]:
    lines = [f"*** You are logged in {len(items)} times:" if len(items) > 1 else "*** You are logged in once:"]
    for item in items:
        rooms = ", ".join(map(clean_line, item["rooms"])) or "no room"
        device = f"{clean_line(item['device'])}: " if item.get("device") else ""
        lines.append(f"***   {device}in {rooms}{' (this connection)' if item['current'] else ''}")
    return lines


LISTS: dict[str, Callable[[commands.List, list[dict[str, Any]]], list[str]]] = {
    "rooms": room_list,
    "members": member_list,
    "users": user_list,
    "whois": whois_list,
    "sessions": session_list,
    "bans": ban_list,
}


def changed_lines(command: Command, reply: replies.Changed, now: float) -> list[str]:
    if isinstance(command, commands.Set) and command.changes is not None:
        if command.changes.topic is None:
            return set_lines(command.changes)
        topic = clean_line(command.changes.topic or "")
        return [f"*** The topic is now: {topic}" if topic else "*** The topic is cleared."]
    if isinstance(command, commands.Set) and command.myself is not None:
        away = command.myself.away
        if command.myself.ignored is not None:  # told already, when it was typed
            return []
        if away is None or away is False:
            return ["*** You are back."]
        return [f"*** You are away: {clean_line(away)}" if isinstance(away, str) else "*** You are away."]
    if isinstance(command, commands.Moderate):
        return moderated_lines(command)
    return ["*** Done."]


def plain_lines(command: Command, reply: Reply, now: float) -> list[str]:
    return ["*** Done."]


ANSWERS: dict[type[Reply], Callable[[Any, Any, float], list[str]]] = {
    replies.Failure: failure_lines,
    replies.Done: done_lines,
    replies.Welcome: welcome_lines,
    replies.LoggedIn: logged_in_lines,
    replies.Challenged: plain_lines,
    replies.CameIn: came_in_lines,
    replies.CameBack: came_back_lines,
    replies.Pong: pong_lines,
    replies.NickTaken: nick_lines,
    replies.Joined: joined_lines,
    replies.Sent: sent_lines,
    replies.HistoryPage: history_lines,
    replies.Resumed: plain_lines,
    replies.ReadMarked: plain_lines,
    replies.Listed: listed_lines,
    replies.Changed: changed_lines,
}
