"""What a person can type after a slash. One function for each command; its docstring's first line is its
help.

Everything else that is typed is said in the current room; `//` begins a line with a slash.
"""

from __future__ import annotations

import difflib
import time

from chatd.client import show
from chatd.client.errors import ChatError
from chatd.client.slash_order import ORDERS
from chatd.client.slash_table import Misused, Slash, Table, here, needs, room_name
from chatd.client.talk import RoomView, Talk

SLASHES = Table()
slash = SLASHES.command

# As on the line port.
ALIASES = {"?": "help", "h": "help", "j": "join", "leave": "part", "m": "msg", "q": "quit", "exit": "quit"}


async def typed(talk: Talk, line: str) -> None:
    """Carry out a line that a person typed. What goes wrong is told, and never raised."""
    if not line.strip():
        return
    try:
        if line.startswith("/") and not line.startswith("//"):
            name, _, rest = line[1:].partition(" ")
            await _find(name).run(talk, rest.strip())
        else:
            await talk.say(here(talk).name, line[1:] if line.startswith("//") else line)
    except Misused as misused:
        talk.tell(str(misused))
    except (ChatError, ValueError) as error:
        talk.tell(str(error))


def _find(name: str) -> Slash:
    name = name.lower()
    found = SLASHES.get(ALIASES.get(name, name))
    if found is None:
        near = difflib.get_close_matches(name, SLASHES, n=1)
        hint = f"did you mean /{near[0]}?" if near else "/help lists the commands"
        raise Misused(f"there is no command /{name[:40]}; {hint} (begin with // to say it)")
    return found


# -- rooms -------------------------------------------------------------------------------------------------------


@slash("/join #ROOM [KEY]")
async def join(talk: Talk, words: str) -> None:
    """enter a room, or go to one where you are already"""
    name, *more = needs(words, "/join #ROOM [KEY]").split()
    if len(more) > 1:
        raise Misused("the name of a room has no spaces, nor has its key: /join #ROOM [KEY]")
    await talk.enter(room_name(name), key=more[0] if more else None)


@slash("/part [#ROOM] [REASON]")
async def part(talk: Talk, words: str) -> None:
    """leave a room, this one if you name none"""
    name, _, reason = words.partition(" ") if words[:1] in ("#", "@") else (here(talk).name, "", words)
    room = talk.find(name)
    if room is None:
        raise Misused(f"you are not in {name}")
    await talk.leave(room.name, reason or None)
    talk.tell(f"you left {room.name}")


@slash("/go N")
async def go(talk: Talk, words: str) -> None:
    """go to a room by its number in the status bar (or Alt and the number)"""
    rooms = list(talk.rooms.values())
    if not words.isdigit() or not 0 < int(words) <= len(rooms):
        raise Misused(f"it is written: /go N, with N from 1 to {len(rooms)}")
    talk.look_at(rooms[int(words) - 1])


@slash("/rooms [PREFIX]")
async def rooms(talk: Talk, words: str) -> None:
    """list the rooms there are"""
    found = await talk.chat.rooms(room_name(words) if words else None)
    talk.known_rooms |= {item["room"] for item in found}
    for item in found:
        topic = f": {item['topic']}" if item["topic"] else ""
        talk.tell(f"{item['room']} ({item['members_count']}){topic}")
    if not found:
        talk.tell("there are no rooms")


@slash("/names")
async def names(talk: Talk, words: str) -> None:
    """list who is in this room"""
    room = here(talk)
    found = await talk.chat.members(room.name)
    room.members = {item["nick"] for item in found}
    listed = [item["nick"] + (" (away)" if item["away"] else "") for item in found]
    talk.tell(f"in {room.name}: {', '.join(listed)}")


@slash("/topic [TEXT]")
async def topic(talk: Talk, words: str) -> None:
    """show the room's topic, or change it"""
    room = here(talk)
    if words:
        await talk.chat.topic(room.name, words)
    else:
        talk.tell(f"the topic of {room.name}: {room.topic or 'none'}")


@slash("/history [N]")
async def history(talk: Talk, words: str) -> None:
    """show the last N messages, with their numbers (20)"""
    number = _number(words) or 20
    page = await talk.chat.history(here(talk).name, limit=max(1, min(number, 200)))
    lines = [line for event in page.events for line in show.lines(event, talk.chat.nick)]
    talk.show(line if talk.numbers else _with_number(line) for line in lines)


@slash("/search WORDS")
async def search(talk: Talk, words: str) -> None:
    """look for words in what was said in this room"""
    page = await talk.chat.history(here(talk).name, query=needs(words, "/search WORDS"), limit=50)
    talk.show(_with_number(line) for event in page.events for line in show.lines(event, talk.chat.nick))
    if not page.events:
        talk.tell("nothing found")


def _with_number(line: show.Line) -> show.Line:
    if not line.seq:
        return line
    return show.Line([("time", f"{line.seq} "), *line.pieces], line.when, line.room, line.loud, line.seq)


# -- saying ------------------------------------------------------------------------------------------------------


@slash("/msg NICK TEXT")
async def msg(talk: Talk, words: str) -> None:
    """say something to one person alone"""
    nick, _, text = words.partition(" ")
    await talk.say("@" + nick.removeprefix("@"), needs(text.strip(), "/msg NICK TEXT"))


@slash("/me ACTION")
async def me(talk: Talk, words: str) -> None:
    """do something: /me waves"""
    await talk.say(here(talk).name, needs(words, "/me ACTION"), "action")


@slash("/edit [#N] TEXT")
async def edit(talk: Talk, words: str) -> None:
    """give your last message here another text, or your message N"""
    room = here(talk)
    first, _, rest = words.partition(" ")
    target = _number(first) if first.startswith("#") else None
    text = needs(words if target is None else rest.strip(), "/edit [#N] TEXT")
    await talk.chat.relate(room.name, target or _last_own(room), "edit", body=text)


@slash("/delete [N]")
async def delete(talk: Talk, words: str) -> None:
    """take your last message here back, or the one numbered N"""
    room = here(talk)
    await talk.chat.relate(room.name, _number(words) or _last_own(room), "redact")


@slash("/react [N] EMOJI")
async def react(talk: Talk, words: str) -> None:
    """react to the last message here, or to the one numbered N"""
    room = here(talk)
    one, _, other = needs(words, "/react [N] EMOJI").partition(" ")
    if _number(one) and not other.strip():
        raise Misused(f"with what? /react {one} EMOJI")
    key, number = (other.strip(), one) if other and _number(one) else (one, other)
    target = _number(number.strip()) or room.last_seq
    if not target:
        raise Misused("there is nothing to react to")
    await talk.chat.relate(room.name, target, "react", key=key)


def _number(word: str) -> int | None:
    """The number of a message, written `12` or `#12`."""
    digits = word.removeprefix("#")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None


def _last_own(room: RoomView) -> int:
    if room.last_own is None:
        raise Misused("you have said nothing here yet")
    return room.last_own


# -- oneself and others ------------------------------------------------------------------------------------------


@slash("/nick NAME")
async def nick(talk: Talk, words: str) -> None:
    """call yourself otherwise"""
    taken = await talk.chat.change_nick(needs(words, "/nick NAME").split()[0])
    talk.tell(f"you are called {taken.nick} now")


@slash("/away [WHY]")
async def away(talk: Talk, words: str) -> None:
    """be away, perhaps with a reason"""
    await talk.chat.away(words or True)
    talk.tell("you are away")


@slash("/back")
async def back(talk: Talk, words: str) -> None:
    """be here again"""
    await talk.chat.away(False)
    talk.tell("you are back")


@slash("/who [PREFIX]")
async def who(talk: Talk, words: str) -> None:
    """list everybody who is on the server"""
    found = await talk.chat.users(words or None)
    listed = [item["nick"] + (" (away)" if item["away"] else "") for item in found]
    talk.tell(f"{len(found)} here: {', '.join(listed)}")


@slash("/whois NICK")
async def whois(talk: Talk, words: str) -> None:
    """tell what is known of somebody"""
    found = await talk.chat.whois(needs(words, "/whois NICK").split()[0])
    for name, value in found.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        talk.tell(f"{name}: {shown}")


SLASHES.update(ORDERS)


@slash("/time")
async def clock(talk: Talk, words: str) -> None:
    """tell the server's time"""
    told = await talk.chat.ping()
    skew = talk.chat.skew
    apart = f"; your clock is {abs(skew):.1f} s {'slow' if skew > 0 else 'fast'}" if skew and abs(skew) > 0.5 else ""
    talk.tell(f"the server's time is {told.time.astimezone():%Y-%m-%d %H:%M:%S %Z}{apart}")


@slash("/ping")
async def ping(talk: Talk, words: str) -> None:
    """measure how long a message takes to the server and back"""
    begun = time.monotonic()
    await talk.chat.ping()
    talk.tell(f"there and back in {(time.monotonic() - begun) * 1000:.1f} ms")


@slash("/status")
async def status(talk: Talk, words: str) -> None:
    """tell how things stand"""
    chat, server = talk.chat, talk.chat.server
    about = ""
    if server is not None:
        about = f"{server.network} ({server.server} {server.server_version}), durability {server.durability}"
    state = "connected to" if chat.online else "waiting for"
    talk.tell(f"you are {chat.nick}, {state} {chat.address}: {about}; {chat.unanswered} unanswered")


@slash("/numbers")
async def numbers(talk: Talk, words: str) -> None:
    """show the numbers of messages, or hide them"""
    talk.numbers = not talk.numbers
    talk.tell(f"numbers are {'shown' if talk.numbers else 'hidden'}")


@slash("/quit [REASON]")
async def leave(talk: Talk, words: str) -> None:
    """leave the server"""
    talk.leaving = True
    await talk.chat.quit(words or None)


@slash("/help [COMMAND]")
async def help_(talk: Talk, words: str) -> None:
    """tell about the commands, or one of them"""
    if words:
        found = _find(words.split()[0].removeprefix("/"))
        talk.tell(f"{found.usage}: {found.about}")
        return
    width = max(len(one.usage) for one in SLASHES.values())
    for one in SLASHES.values():
        talk.tell(f"{one.usage:<{width}}  {one.about}")
    talk.tell("anything else is said in the room; Tab completes, Alt and a number goes to another room")
