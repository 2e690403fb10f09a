"""The line way in: somebody with telnet or nc. PROTOCOL.md section 7.

Bytes go through `telnet` and `lines`, what is typed through `line_commands`, what is shown through `text` and
`line_answers`; what the connection knows of its person is in `line_person`. Here is what is between them: the
conversation at the door, and in which order lines are taken. Messages are passed on one behind the other. A command
waits until what was typed before it has been answered, and what follows it waits for its answer, because the
answer may change what the next line means.
"""

from __future__ import annotations

import time
from contextlib import suppress

from msgspec import structs
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.core import commands, replies
from chatd.core.codes import Code, Refusal
from chatd.core.commands import Command
from chatd.core.replies import Reply
from chatd.core.text import clean_input, clean_line
from chatd.core.views import Error, Notice, View
from chatd.hub import Hub
from chatd.interfaces import IComesBack, IEncoder
from chatd.protocols.acknowledged import Counted
from chatd.protocols.connection import Connection, keep_alive, keep_urgent_in_place
from chatd.protocols.line_answers import answer_lines
from chatd.protocols.line_commands import is_command, read
from chatd.protocols.line_length import longest, too_long
from chatd.protocols.line_passwords import Asking, owned
from chatd.protocols.line_person import Encoders, Person, is_there_already
from chatd.protocols.line_queue import LOOKS, LineQueue, Stage
from chatd.protocols.line_words import Deed, Enquiry, Help, Misused, Place, Switch, TellWord
from chatd.protocols.lines import LineReader, Mark
from chatd.protocols.openings import HTTP_METHODS
from chatd.protocols.refused import Refused
from chatd.protocols.telnet import Answer, Signal, TelnetDecoder
from chatd.protocols.text import Clock, blob_of
from chatd.protocols.vanished import Watch
from chatd.protocols.wire import Format, fit, json_reply, json_view
from chatd.settings import LineSettings, Settings

PROMPT = "Choose a username..."
READ_BYTES = 4096  # at once: what a read brought is kept as lines, however short they are


@implementer(IHalfCloseableProtocol, IComesBack)
class LineProtocol(LineQueue, Counted, Connection, Protocol):
    """The connection of one person."""

    # Apart from the others, of which there would be more than 30: see `Connection.opened`.
    __slots__ = ("_asking", "_count", "_interrupted", "_reader", "_refused", "_telnet", "_tried", "person")
    protocol = "line"
    can_be_asked = False

    def __init__(self, shared: LineFactory) -> None:
        self.shared = shared
        self.person = Person(shared.hub.rules, shared.encoders)
        self.stage = Stage.NAMING
        self._telnet = TelnetDecoder()
        self._reader = LineReader(longest(shared.hub.limits))
        self._lines: list[bytes | Mark] = []
        self._open = 0
        self._alone = self._stopped = self._paused = self._due = False
        self._count = 0  # commands so far; a command's id is its number
        self._interrupted = False  # the last that was heard was Ctrl-C
        self._asking: Asking | None = None  # passwords: the next line is one
        self._tried: Asking | None = None  # with the password at the door that is being looked at

    # -- from the transport -------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        self.opened(self.shared.hub, greeted=True)
        self.transport.bufferSize = READ_BYTES
        self._refused = Refused(self.hub.reactor, self.say)
        keep_alive(self.transport, self.hub.limits)
        keep_urgent_in_place(self.transport)
        self.shared.watch.add(self)
        self.say(f"Welcome to {self.hub.rules.server}.", PROMPT)

    def dataReceived(self, data: bytes) -> None:
        if self.closing:
            return
        hint = False
        for piece in self._telnet.feed(data):
            if type(piece) is bytes:
                self._interrupted = False
                self._put(self._reader.feed(piece))
            elif type(piece) is Answer:
                self.write(piece.blob)
            elif type(piece) is Signal:
                hint = self._signal(piece) or hint
        if hint:  # behind the timing mark: telnet throws away what comes before it; and behind the ^C that it shows
            self.write(b"\r\n")
            self.say("*** To leave, type /quit")
        self._take_lines()

    def readConnectionLost(self) -> None:
        """The peer has said everything: take what is left, answer it, then go."""
        if self.closing:
            self.transport.loseConnection()
            return
        self.ended = True
        self._put([*self._reader.finish(), Mark.END])
        self._take_lines()

    def writeConnectionLost(self) -> None:
        """Our side is closed; the peer's end is awaited."""

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted gives a default
        self._lines.clear()
        self._refused.tell()
        self.shared.watch.remove(self)
        self.lost(reason)

    def vanished(self) -> None:
        """The peer's machine has not answered for long."""
        if self.link is not None:
            self.hub.log_out(self.link, "timed out")
            self.abort()

    def _signal(self, signal: Signal) -> bool:
        """Do what telnet asks; whether to tell how to leave."""
        if signal is Signal.ERASE_CHARACTER:
            self._reader.erase_character()
        elif signal is Signal.ERASE_LINE:
            self._reader.erase_line()
        elif signal is Signal.ARE_YOU_THERE and not self._outbox:  # one sign of life a turn is enough
            self.say(f"*** {self.hub.rules.server} is here.")
        elif signal is Signal.END_OF_FILE and self._reader.is_empty:
            self._put([Mark.END])
        elif signal is Signal.INTERRUPT:
            self._reader.erase_line()
            self._interrupted = True
            if self._asking is not None:
                self._put([b""])
            return True
        return signal is Signal.MARK and self._interrupted

    # -- one line after the other -------------------------------------------------------------------------

    def _take(self, item: bytes | Mark) -> None:
        if self.stage is Stage.LEAVING:
            return
        if item is Mark.END:
            self._ask(commands.Quit(reason="connection closed" if self.ended else None))
        elif item is Mark.TOO_LONG:
            self._unread(too_long(self.hub.limits.body_bytes))
        elif type(item) is bytes:
            try:
                line = clean_input(item.decode())
            except UnicodeDecodeError:
                self._unread(Refusal(Code.INVALID_UTF8, "that line is not UTF-8"))
                return
            if self._asking is not None:
                self._answered(self._asking, line)
            elif self.stage is Stage.NAMING:
                self._named(line.strip())
            elif line and not line.isspace():
                self._typed(line)

    def _named(self, line: str) -> None:
        """A line at the door: a name, or one of the few commands that need none."""
        if line.encode().startswith(HTTP_METHODS) and " HTTP/" in line:
            # A web page can make a browser post lines of its choice here; none of them is taken for a person's.
            self.finish(Error(code=Code.WRONG_PROTOCOL, message="this port is for people with telnet or nc"))
            return
        if line and not is_command(line):
            kind = commands.ComeIn if self.shared.line.resume_days else commands.Auth
            self._ask(kind(mechanism="guest", nick=line))
            return
        with suppress(Misused):
            meaning = read(line, Place()) if line else None
            if isinstance(meaning, commands.Quit | commands.ComeBack):
                self._ask(meaning)
                return
            if isinstance(meaning, Enquiry) and meaning.purpose == "login" and meaning.word:
                self._begin_asking(Asking("login", meaning.word))
                return
            if isinstance(meaning, Help | Switch | TellWord):
                self.say(*self.person.does(meaning))
        self.say(PROMPT)

    def _typed(self, line: str) -> None:
        """A line of somebody who has a name."""
        try:
            meaning = read(line, self.person.place())
        except Misused as misused:
            self.say(f"*** {misused}")
            return
        if isinstance(meaning, Enquiry):
            self._enquire(meaning)
            return
        if isinstance(meaning, Deed):
            self.say(*self.person.does(meaning))
            self._regroup()
            if (kept := self.person.to_keep(meaning)) is not None:
                self._ask(kept)
            return
        if isinstance(meaning, commands.Join):
            most = self.shared.line.history_lines
            meaning = structs.replace(meaning, since=0 if most else "now", replay_limit=most)
        if self.person.asks(meaning):
            self._regroup()
        self._alone = is_command(line)
        self._ask(meaning)

    # -- passwords ----------------------------------------------------------------------------------------

    def _enquire(self, enquiry: Enquiry) -> None:
        """A command that wants passwords, if it can be meant."""
        if told := self.person.why_not(enquiry):
            self.say(f"*** {told}")
        else:
            self._begin_asking(Asking(enquiry.purpose, enquiry.word, self.person.account))

    def _begin_asking(self, asking: Asking) -> None:
        """The next line is a password, which the terminal does not show if it can be told so."""
        self._asking = asking
        self.say(asking.prompt)
        self.write(self._telnet.hide())

    def _answered(self, asking: Asking, line: str) -> None:
        """A password, or an empty line from somebody who has thought better of it."""
        self._asking = None
        self.write(self._telnet.reveal())
        found = asking.answer(line)
        if found is None:
            self._begin_asking(asking)
        elif isinstance(found, Command):
            self._alone, self._tried = True, asking
            self._ask(found)
        elif asking.otherwise:
            self._come_in_as(asking)
        else:
            self.say(f"*** {found}", *([PROMPT] if self.stage is Stage.NAMING else []))

    def _come_in_as(self, asking: Asking) -> None:
        """Under another name than one that is somebody's: nobody is left at the door."""
        self.say(f"*** {asking.word} belongs to an account. If it is yours, type: /login {asking.word}")
        self._lines.append(asking.otherwise.encode())

    def _ask(self, command: Command) -> None:
        if isinstance(command, commands.Auth) and self.stage is Stage.NAMING:
            self.stage = Stage.ENTERING
        elif isinstance(command, commands.Quit):
            self.stage = Stage.LEAVING
        self.received(structs.replace(command, id=self._next_id()))

    def _unread(self, refusal: Refusal) -> None:
        if self._asking is not None:
            self._asking = None
            self.write(self._telnet.reveal())
        self.misread(self._next_id(), refusal)

    def _next_id(self) -> str:
        self._open += 1
        self._count += 1
        return str(self._count)

    def _regroup(self) -> None:
        """What the person is shown of rooms is written otherwise from now on."""
        if self.link is not None:
            self.hub.regroup(self.link)

    # -- from the hub -------------------------------------------------------------------------------------

    def encoder(self, room: str) -> IEncoder:
        return self.person.encoder(room)

    def show(self, view: View) -> None:
        self.write(self.encoder(self.person.room).encode(view))

    def reply(self, command: Command, reply: Reply) -> None:
        self._open -= 1
        self._alone = self._alone and self._open > 0
        self._answer(command, reply)
        before = (self.person.room, len(self.person.ignored))
        also = self.person.hears(command, reply)
        if not self.person.json:
            self.say(*also)
        if before != (self.person.room, len(self.person.ignored)):
            self.hub.reactor.callLater(0, self._regroup)
        if isinstance(reply, replies.LoggedIn) and self.stage is Stage.ENTERING:
            self._enter(is_back=isinstance(reply, replies.CameBack) and bool(self.person.rooms))
        elif isinstance(reply, replies.Failure) and self.stage in (Stage.NAMING, Stage.ENTERING):
            self.stage = Stage.NAMING
            self._refused_at_the_door(command, reply)
        if self._lines:
            self._take_later()

    def _refused_at_the_door(self, command: Command, reply: replies.Failure) -> None:
        """Ask for another name, or for the password of this one. What was typed before the question answers nothing."""
        tried, self._tried = self._tried, None
        asking = owned(command, reply)
        if asking is not None and not self._lines:
            self._begin_asking(asking)
        elif other := asking or (tried if tried is not None and tried.otherwise else None):
            self._come_in_as(other)
        else:
            self.say(PROMPT)

    def _answer(self, command: Command, reply: Reply) -> None:
        if not self.person.json:
            is_told = is_there_already(command, reply) or owned(command, reply) is not None
            if not is_told and not self._refused.takes(reply):
                now = self.shared.encoders.clock()
                self.say(*answer_lines(command, reply, now, timestamps=self.person.timestamps))
        elif isinstance(reply, replies.HistoryPage):
            self.write(fit(reply, command, Format.JSON, self.hub.limits.frame_bytes) + b"\n")
        else:
            self.write(json_reply(reply) + b"\n")

    def _enter(self, *, is_back: bool) -> None:
        """The person has a name: a word of the house, and into the lobby, before anything else that was typed."""
        self.stage = Stage.TALKING
        self.say(*(f"*** {line}" for line in self.hub.rules.motd.splitlines()))
        if not is_back:
            self._lines.append(f"/join {self.shared.line.lobby}".encode())

    def removed(self, room: str, reason: str) -> None:
        lines = self.person.removed(room, reason)
        if self.person.json:
            super().removed(room, reason)
        else:
            self.say(*lines)
        self.hub.reactor.callLater(0, self._regroup)

    def rules_changed(self) -> None:
        super().rules_changed()
        self.person.rules = self.hub.rules
        self._reader.limit = longest(self.hub.limits)
        keep_alive(self.transport, self.hub.limits)

    def say(self, *lines: str) -> None:
        """Words of our own to this person alone."""
        if self.person.json:
            notices = (Notice(code="LINE", message=line.removeprefix("*** ")) for line in lines)
            self.write(b"".join(json_view(notice) + b"\n" for notice in notices))
        else:
            self.write(blob_of(map(clean_line, lines)))  # some repeat what was typed

    @property
    def looked_at(self) -> str:
        return self.person.room

    def write(self, blob: bytes) -> None:
        if not self.closing:
            self.wrote(blob)
            self._patience = LOOKS  # with somebody who is still shown something
        super().write(blob)

    def throttled(self, stop: bool) -> None:
        self._stopped = stop
        self._regulate()
        if not stop:
            self._take_later()

    def close(self) -> None:
        self._refused.tell()
        super().close()
        self._lines.clear()
        self._regulate()


class LineFactory(Factory):
    """Makes line connections, and holds what they share."""

    noisy = False

    def __init__(self, hub: Hub, line: LineSettings, clock: Clock) -> None:
        self.hub = hub
        self.line = line
        self.encoders = Encoders(clock, json_view)
        self.watch = Watch(hub.reactor, hub.limits.dead_seconds)
        hub.on_change.append(self.settings_changed)

    def settings_changed(self, settings: Settings) -> None:
        """The next one who comes is received by these."""
        self.line = settings.line
        self.watch.change(settings.limits.dead_seconds)

    def buildProtocol(self, addr: IAddress | None) -> LineProtocol:
        return LineProtocol(self)


def factory(hub: Hub, settings: Settings | None = None, clock: Clock = time.time) -> LineFactory:
    """The factory of the line way in; `clock` gives seconds since 1970, for the time before each line."""
    return LineFactory(hub, (settings or Settings()).line, clock)


__all__ = ["LineFactory", "LineProtocol", "Stage", "factory"]
