"""The commands that a person can type on the line port: the table of them, and what a line means. PROTOCOL.md 7.5.

`VERBS` says how each command is written and what it is for; /help is made from it. `read` gives a line's meaning,
or raises `Misused` with a sentence for the person; then nothing is sent. The words are read in `line_words`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher

import msgspec

from chatd.core.commands import Command, Send
from chatd.protocols import line_order, line_words
from chatd.protocols.line_words import Meaning, Misused, NeedsWords, Place, need_room


@dataclass(frozen=True)
class Verb:
    """A command as people see it. `usage` is what follows the name; `more` is told by `/help NAME`."""

    usage: str
    about: str
    read: Callable[[str, Place], Meaning]
    more: str = ""


VERBS: dict[str, Verb] = {
    "help": Verb("[command]", "this list, or more about one command", line_words.read_help),
    "nick": Verb("NAME", "take another name", line_words.read_nick),
    "join": Verb(
        "#room [key]",
        "enter a room, or turn to one you are in",
        line_words.read_join,
        "A room is made by entering it, and is then yours. What you type goes to the room you turned to last.",
    ),
    "part": Verb("[#room] [reason]", "leave a room", line_words.read_part),
    "rooms": Verb("[beginning]", "the rooms there are", line_words.read_rooms),
    "names": Verb("[#room] [beginning]", "who is in the room", line_words.read_names),
    "who": Verb("[beginning]", "who is on the server", line_words.read_who),
    "whois": Verb("NAME", "who somebody is", line_words.read_whois),
    "msg": Verb("NAME text", "say something to one person only", line_words.read_msg, "/m is the same."),
    "me": Verb("text", "say what you do: * alice waves", line_words.read_me),
    "topic": Verb("[text]", "see or set the room's topic", line_words.read_topic, "/topic - clears it."),
    "away": Verb("[text]", "say that you are away", line_words.read_away),
    "back": Verb("", "say that you are back", line_words.read_back),
    "history": Verb(
        "[n] [#before]",
        "what was said, with the numbers of messages",
        line_words.read_history,
        "/history 50 shows the last 50, /history 50 #120 the 50 before number 120, /history @bob what bob and you"
        " said to each other. The number stands first in each line; /edit, /delete and /react take it.",
    ),
    "search": Verb("words", "find messages", line_words.read_search),
    "edit": Verb(
        "[#N] text",
        "change your last message, or your message N",
        line_words.read_edit,
        "/edit #12 hello: with its # before it, so that a text can begin with a number. /history shows the numbers.",
    ),
    "delete": Verb(
        "[N]",
        "take back your last message, or your message N",
        line_words.read_delete,
        "/history shows the numbers. Operators can take back what others said.",
    ),
    "react": Verb("N emoji", "react to message N", line_words.read_react, "/react 12 👍; /history shows the numbers."),
    "ignore": Verb(
        "[NAME]",
        "no longer see what somebody says; again: see it",
        line_words.read_ignore,
        "It is kept with your account if you have one; else it holds for this connection. Without a name it tells whom"
        " you ignore.",
    ),
    "kick": Verb("NAME [why]", "put somebody out of the room (operators)", line_order.act("kick")),
    "ban": Verb(
        "NAME [time] [why]",
        "keep somebody out of the room (operators)",
        line_order.act("ban"),
        "The time is written 10m, 2h, 7d or 4w; without one it is for good. /unban ends it, /bans shows all.",
    ),
    "mute": Verb(
        "NAME [time] [why]",
        "let somebody only listen (operators)",
        line_order.act("mute"),
        "The time is written 10m, 2h, 7d or 4w; without one it is for good. /unmute ends it.",
    ),
    "op": Verb("NAME", "make somebody an operator (owners)", line_order.make("operator")),
    "invite": Verb("NAME [#room]", "ask somebody into the room", line_order.read_invite),
    "unban": Verb("NAME", "end a ban (operators)", line_order.act("unban")),
    "unmute": Verb("NAME", "let somebody speak again (operators)", line_order.act("unmute")),
    "bans": Verb("[#room]", "who is banned or muted (operators)", line_order.read_bans),
    "deop": Verb("NAME", "make somebody a member again (owners)", line_order.make("member")),
    "role": Verb(
        "NAME ROLE",
        "give somebody a role (operators)",
        line_order.read_role,
        "Roles are member, speaker, operator and owner. Speakers may speak where that is for speakers only.",
    ),
    "set": Verb(
        "SETTING [value]",
        "who may come in and speak here (operators)",
        line_order.read_set,
        "/set join open|accounts|invite, /set key WORD (and /set key: none), /set speak"
        " everyone|accounts|speakers|operators, /set slow SECONDS, /set visibility public|hidden|published.",
    ),
    "server": Verb(
        "ACTION NAME …",
        "keep order on the whole server (operators)",
        line_order.read_server,
        "/server kick, ban, unban, mute, unmute and role are as in a room; ban takes an address such as 203.0.113.0/24,"
        " too. /server bans shows all. /server lockdown registration|guests|everyone|off lets fewer people in.",
    ),
    "register": Verb(
        "[INVITE]",
        "keep your name: an account with a password",
        line_words.read_register,
        "Nobody else can take your name then, or one that looks like it. Next time type the name, and then the"
        " password.",
    ),
    "login": Verb(
        "[NAME]",
        "come back to your account",
        line_words.read_login,
        "For somebody who came in under another name. The password is asked for.",
    ),
    "passwd": Verb(
        "",
        "change your password",
        line_words.read_passwd,
        "Everything else that is logged in to your account is logged out by it.",
    ),
    "sessions": Verb("", "where you are logged in", line_words.read_sessions),
    "resume": Verb(
        "[WORD]",
        "tell your word; instead of a name: come back",
        line_words.read_resume,
        "Typed instead of a name, /resume WORD makes you again who you were, in the same rooms, and shows what you"
        " missed. Alone it tells your word. Programs can say after which number each room goes on: /resume WORD"
        " #lobby 123.",
    ),
    "time": Verb("", "the server's time", line_words.read_time),
    "ping": Verb("", "whether the server is there", line_words.read_ping),
    "status": Verb("", "who and where you are, and what is switched on", line_words.read_status),
    "json": Verb("on|off", "one JSON object a line, for scripts", line_words.read_json),
    "timestamps": Verb("[on|off]", "the time before each line", line_words.read_timestamps),
    "quit": Verb("[reason]", "leave", line_words.read_quit),
}

ALIASES = {"?": "help", "h": "help", "j": "join", "leave": "part", "m": "msg", "q": "quit", "exit": "quit"}


def read(line: str, place: Place) -> Meaning:
    """What a line means; it is not empty. A message is a `Send`."""
    if not is_command(line):
        return Send(room=need_room(place), body=line[1:] if line.startswith("//") else line)
    typed, _, text = line[1:].partition(" ")
    name = ALIASES.get(typed.casefold(), typed.casefold())
    verb = VERBS.get(name)
    if verb is None:
        raise Misused(unknown(typed))
    try:
        meaning = verb.read(text.strip(), place)
        return checked(meaning) if isinstance(meaning, Command) else meaning
    except NeedsWords:
        raise Misused(f"It is written: {written(name, verb)}") from None


def is_command(line: str) -> bool:
    """Whether a line is a command, and not a message."""
    return line.startswith("/") and not line.startswith("//")


def checked(command: Command) -> Command:
    """The same command, if everything in it is as long as it may be: as strict as for programs."""
    try:
        return msgspec.convert(msgspec.to_builtins(command), type(command))
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        name = where.strip("`$.") or "it"
        most = what.rpartition("<= ")[2]
        raise Misused(f"The {name} is too long: {most} characters are allowed. Nothing was sent.") from None


def unknown(name: str) -> str:
    """What to say about a command that there is not, with the nearest that there is."""
    near = nearest(name.casefold()[:32])
    hint = f" Did you mean /{near}?" if near else ""
    return f"There is no command /{name[:32]}.{hint} Nothing was sent. /help lists all."


def nearest(name: str) -> str:
    """The command that was perhaps meant; two letters in the wrong order are the likeliest slip."""

    letters, matcher = sorted(name), SequenceMatcher(None, "", name)

    def likeness(other: str) -> float:
        if sorted(other) == letters:
            return 2.0
        matcher.set_seq1(other)
        if matcher.real_quick_ratio() < 0.5 or matcher.quick_ratio() < 0.5:  # most: the whole look is dear
            return 0.0
        return matcher.ratio()

    best = max(VERBS, key=likeness)
    return best if likeness(best) >= 0.5 else ""


def help_lines(name: str) -> list[str]:
    """What /help says: all commands, a line each, or all there is to know of one."""
    name = ALIASES.get(name, name)
    if not name:
        width = max(len(written(name, verb)) for name, verb in VERBS.items())
        table = [f"{written(name, verb):{width}}  {verb.about}" for name, verb in VERBS.items()]
        return ["What you type is said in the room; // begins a message with /. Commands:", *table]
    if name not in VERBS:
        return [unknown(name)]
    verb = VERBS[name]
    return [f"{written(name, verb)}: {verb.about}.", *([verb.more] if verb.more else [])]


def written(name: str, verb: Verb) -> str:
    """How a command is written."""
    return f"/{name} {verb.usage}".rstrip()
