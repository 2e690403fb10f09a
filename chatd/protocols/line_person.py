"""A person on the line port: what this one connection knows of itself, and what that makes of what it is shown.

The name, the rooms and which of them the person is looking at, one's own last messages, and the switches. Commands
and replies change it; it sends nothing. Who is in which room is the hub's to know: this is what the person was told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UnsetType

from chatd.core import commands, replies
from chatd.core.codes import Code
from chatd.core.commands import Command
from chatd.core.identity import INVITE
from chatd.core.limits import Rules
from chatd.core.names import fold
from chatd.core.replies import Reply
from chatd.core.text import clean_line
from chatd.core.views import View
from chatd.interfaces import IEncoder
from chatd.protocols.line_commands import help_lines
from chatd.protocols.line_words import ASKED_FOR, Deed, Enquiry, Help, Ignore, Place, Status, Switch, TellWord
from chatd.protocols.text import Clock, IgnoringEncoder, JsonEncoder, LineEncoder

MOST_IGNORED = 100

# How surely it is kept what people say, in their words: `durability`.
KEPT = {
    "fsync": "What is said is on its disk before anyone sees it.",
    "normal": "What is said is kept; a power cut may take the last moments.",
    "memory": "What was said may be gone once the server or its machine has stopped.",
}


class Encoders:
    """The encoders that all people share: one for each combination of switches."""

    def __init__(self, clock: Clock, json_view: Callable[[View], bytes]) -> None:
        self.clock = clock
        self.json = JsonEncoder(json_view)
        self._made: dict[tuple[bool, bool], LineEncoder] = {}

    def lines(self, *, elsewhere: bool, timestamps: bool) -> LineEncoder:
        """The one for these switches, the same each time."""
        key = (elsewhere, timestamps)
        if key not in self._made:
            self._made[key] = LineEncoder(elsewhere=elsewhere, timestamps=timestamps, clock=self.clock)
        return self._made[key]


class Person:
    """Who sits at a line connection."""

    def __init__(self, rules: Rules, encoders: Encoders) -> None:
        self.rules = rules
        self.encoders = encoders
        self.nick = ""
        self.account = ""  # empty for a guest
        self.room = ""  # what is typed goes there
        self.rooms: list[str] = []  # all that the person is in, the one turned to last at the end
        self.timestamps = True
        self.json = False
        self.ignored: dict[str, str] = {}  # folded nick: the nick as it was typed
        self.word = ""  # what the person can come back with
        self._said: dict[str, int] = {}  # room: the number of one's own last message there

    def place(self) -> Place:
        """Where the person is, for the meaning of a line."""
        return Place(self.room, self._said.get(fold(self.room)))

    def encoder(self, room: str) -> IEncoder:
        """How a room is shown to this person. It is one's own only while one ignores somebody."""
        elsewhere = not room.startswith("@") and fold(room) != fold(self.room)
        shared: Any = self.encoders.json
        if not self.json:
            shared = self.encoders.lines(elsewhere=elsewhere, timestamps=self.timestamps)
        return IgnoringEncoder(shared, frozenset(self.ignored)) if self.ignored else shared

    # -- what was asked, and what came of it ----------------------------------------------------------------------

    def asks(self, command: Command) -> bool:
        """A command is on its way; whether the person turns to another room with it."""
        before = self.room
        if isinstance(command, commands.Join):
            self.room = self.known(command.room)
        elif isinstance(command, commands.Part) and fold(command.room) == fold(self.room):
            self.room = next((room for room in reversed(self.rooms) if fold(room) != fold(command.room)), "")
        return fold(before) != fold(self.room)

    def hears(self, command: Command, reply: Reply) -> list[str]:
        """A reply came; what else than itself is to be told."""
        if isinstance(reply, replies.LoggedIn | replies.NickTaken):
            self.nick = reply.nick
            if isinstance(reply, replies.LoggedIn) and isinstance(reply.account, str):
                self.account, self.word = reply.account, ""
                if not isinstance(reply.ignored, UnsetType):
                    self.ignored |= {fold(name): name for name in reply.ignored}
            elif isinstance(reply, replies.CameIn):
                self.word = reply.word
            if isinstance(reply, replies.CameBack):
                self.rooms = [room for room in reply.since if not room.startswith("@") or room == reply.current]
                self.room = self.rooms[-1] if self.rooms else ""
                if reply.current:
                    self.arrive(reply.current)
        elif isinstance(reply, replies.Joined):
            self.arrive(reply.room)
        elif isinstance(reply, replies.Sent) and isinstance(command, commands.Send) and command.room:
            self._said[fold(command.room)] = reply.seq
        elif isinstance(reply, replies.Done) and isinstance(command, commands.Part):
            self.rooms = [room for room in self.rooms if fold(room) != fold(command.room)]
            return [f"*** What you type goes to {self.room} now."] if self.room else []
        elif isinstance(reply, replies.Failure) and isinstance(command, commands.Join):
            if is_there_already(command, reply):
                self.arrive(self.known(command.room))
                return [f"*** What you type goes to {self.room} now."]
            self.room = self.rooms[-1] if self.rooms else ""
        elif isinstance(reply, replies.Failure) and isinstance(command, commands.Part):
            self.room = self.rooms[-1] if self.rooms else ""
        return []

    def arrive(self, room: str) -> None:
        """The person is in this room now, and looks at it."""
        self.room = room
        self.rooms = [*(other for other in self.rooms if fold(other) != fold(room)), room]

    def removed(self, room: str, reason: str) -> list[str]:
        """The person is in this room no longer, and is told so."""
        self.rooms = [other for other in self.rooms if fold(other) != fold(room)]
        lines = [f"*** You are in {clean_line(room)} no longer ({clean_line(reason)})."]
        if fold(room) != fold(self.room):
            return lines
        self.room = self.rooms[-1] if self.rooms else ""
        return [
            *lines,
            f"*** What you type goes to {self.room} now." if self.room else "*** Enter another: /join #room",
        ]

    def to_keep(self, deed: Deed) -> Command | None:
        """What of this is kept with the person's account."""
        if not isinstance(deed, Ignore) or not deed.name or not self.account:
            return None
        return commands.Set(myself=commands.SelfChanges(ignored=list(self.ignored.values())))

    def known(self, room: str) -> str:
        """A room's name as the server writes it, if the person is in it."""
        return next((mine for mine in self.rooms if fold(mine) == fold(room)), room)

    # -- what concerns this connection only -----------------------------------------------------------------------

    def does(self, deed: Deed) -> list[str]:
        """Do it, and tell what came of it."""
        deeds: dict[type[Deed], Callable[[Any], list[str]]] = {
            Help: self.help,
            Ignore: self.ignore,
            Switch: self.switch,
            Status: self.status,
            TellWord: self.tell_word,
        }
        return [f"*** {line}" for line in deeds[type(deed)](deed)]

    def help(self, deed: Help) -> list[str]:
        return help_lines(deed.name)

    def ignore(self, deed: Ignore) -> list[str]:
        name, typed = fold(deed.name), clean_line(deed.name)
        if not name:
            return [f"You ignore {self.told_ignored()}."]
        if name == fold(self.nick):
            return ["That is you."]
        if name in self.ignored:
            return [f"You see again what {self.ignored.pop(name)} says."]
        if len(self.ignored) >= MOST_IGNORED or len(name) > 64:
            return [f"This cannot be ignored: names have at most 32 characters, and {MOST_IGNORED} can be ignored."]
        self.ignored[name] = typed
        return [f"You no longer see what {typed} says; the same again ends it."]

    def told_ignored(self) -> str:
        return ", ".join(self.ignored.values()) or "nobody"

    def switch(self, deed: Switch) -> list[str]:
        on = not self.timestamps if deed.on is None else deed.on
        if deed.name == "json":
            self.json = on
            return [f"One JSON object a line: {told(on)}."]
        self.timestamps = on
        return [f"The time before each line: {told(on)}."]

    def status(self, deed: Status) -> list[str]:
        others = [room for room in self.rooms if fold(room) != fold(self.room)]
        also = f", and also in {', '.join(others)}" if others else ""
        rules = self.rules
        return [
            f"You are {self.nick}, in {self.room or 'no room'}{also}.",
            f"The time before each line: {told(self.timestamps)}. You ignore {self.told_ignored()}.",
            f"The server is {rules.server}, version {rules.server_version}.",
            KEPT.get(rules.durability, KEPT["memory"]),
        ]

    def why_not(self, enquiry: Enquiry) -> str:
        """Why no password is asked for; empty if one is."""
        if enquiry.purpose == "passwd":
            return "" if self.account else "You have no account. /register makes one of your name."
        if self.account:
            return f"You are logged in to your account, {self.account}."
        if enquiry.purpose == "login":
            return "" if enquiry.word else "It is written: /login NAME"
        if self.rules.registration == "closed":
            return "This server makes no accounts by itself; ask its operator for one."
        if self.rules.registration == "invite":
            return "" if enquiry.word else "An account takes an invite here. It is written: /register INVITE"
        is_password = enquiry.word and not INVITE.fullmatch(enquiry.word.casefold())
        return f"{ASKED_FOR} /register" if is_password else ""

    def tell_word(self, deed: TellWord) -> list[str]:
        if self.account:
            return [f"You have an account: next time type {self.account}, and then your password."]
        if self.word:
            return [f"Instead of a name, type: /resume {self.word}"]
        if self.nick:
            return ["This server tells no words to come back with."]
        return ["It is written: /resume WORD, with the word that you were told at the welcome."]


def is_there_already(command: Command, reply: Reply) -> bool:
    """Whether somebody asked to enter a room and is in it: that is how one turns to another room."""
    is_refused = isinstance(reply, replies.Failure) and reply.error.code == Code.ALREADY_IN_ROOM
    return is_refused and isinstance(command, commands.Join)


def told(on: bool) -> str:
    return "on" if on else "off"
