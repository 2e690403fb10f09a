"""The client's side of the protocol, free of I/O: bytes and the time go in, bytes and what happened come out.

A face owns the transport and the clock. It dials when `dial_at` has come, tells `connected`, `receive`,
`lost` or `failed`, writes `to_send()`, calls `tick` at `next_tick()`, and closes the connection when
`hang_up` is set. All times are seconds of one steady clock. What happened is a list of views (PROTOCOL.md
section 5), of `News`, and of `Answered` and `Turned` for what was asked with `ask`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from chatd.client import happenings, wire
from chatd.client.backoff import Patience
from chatd.client.errors import CannotConnect, ChatError, Disconnected, Refused, WrongProtocol, refused
from chatd.client.happenings import Happening
from chatd.client.link import Link
from chatd.client.login import LATER, Login, Verdict
from chatd.client.manner import Manner
from chatd.client.msgids import MsgIds
from chatd.client.outbox import REPLY_TO, Asked, Outbox
from chatd.client.phase import Phase
from chatd.client.rooms import Rooms
from chatd.core import commands, replies, views
from chatd.core.codes import Code
from chatd.core.commands import Command
from chatd.core.replies import Failure, Reply, Welcome
from chatd.core.views import View

DEFAULT_FRAME = 65536
PAGE = 200

# After these the server does not want us back.
FINAL = frozenset({Code.KICKED, Code.REPLACED, Code.BANNED, Code.UNSUPPORTED_VERSION, Code.WRONG_PROTOCOL})


class Session:
    """One client's conversation with one server, over as many connections as it takes."""

    def __init__(
        self,
        login: Login,
        *,
        msg_ids: MsgIds,
        chance: Callable[[], float],
        now: float,
        wall: float = 0.0,
        manner: Manner | None = None,
    ) -> None:
        """`chance` gives numbers from 0 to 1; `wall` is the wall clock less the steady one."""
        self.login = login
        self.manner = manner or Manner()
        self.msg_ids = msg_ids
        self.phase = Phase.AWAY
        self.rooms = Rooms()
        self.server: Welcome | None = None
        self.dial_at: float | None = now
        self._wall = wall
        self._count = 0
        self.link = Link(now, wall, self._next)
        self._outbox = Outbox(chance)
        self._patience = Patience(chance, self.manner.places)
        self._patience.begin(now, self.manner.wait)
        self._away: commands.Set | None = None  # to be said again to a server that has forgotten it
        self._keys: dict[str, str] = {}
        self._quitting = False
        self._told_offline = False

    # -- what is known ---------------------------------------------------------------------------------------

    @property
    def nick(self) -> str:
        """What we are called, or want to be."""
        return self.login.nick

    @property
    def online(self) -> bool:
        """Whether the server knows us just now."""
        return self.phase is Phase.ONLINE

    @property
    def waiting(self) -> int:
        """How many requests have no answer yet."""
        return len(self._outbox)

    @property
    def is_full(self) -> bool:
        """Whether so many requests have no answer that one more would be refused."""
        return self._outbox.is_full

    @property
    def hang_up(self) -> bool:
        """Whether the connection is to be closed now."""
        return self.link.hang_up

    # -- asking ----------------------------------------------------------------------------------------------

    def ask(self, command: Command, now: float, *, elastic: bool = False) -> int:
        """Ask something; the answer comes as `Answered` or `Turned` with the ticket that is returned.

        Without a connection it waits for one. An `elastic` join begins with the room's first number if the
        server has no such number as `since`. ValueError for `data` that cannot be sent, `Refused` for what is
        too long or too much, `Disconnected` when the session is over.
        """
        if self.phase is Phase.ENDED:
            raise Disconnected("the session is over")
        ticket = self._next()
        command = replace(command, id=str(ticket))
        if isinstance(command, commands.Send | commands.Relate):
            command = replace(command, msg_id=self.msg_ids.take(command.msg_id, ticket))
        frame = wire.encode(command)
        self._check_size(frame)
        self._outbox.add(Asked(ticket, command, frame, elastic))
        self._quitting = self._quitting or isinstance(command, commands.Quit)
        self._pump(now)
        return ticket

    def make_room(self, now: float) -> None:
        """The reader can take events again."""
        self.rooms.full = False
        self._fill()

    def end(self, error: ChatError | None = None) -> list[Happening]:
        """It is over: everything that is still open is given up."""
        if self.phase is Phase.ENDED:
            return []
        self.phase = Phase.ENDED
        self.dial_at = None
        self.link.hang_up = True
        why = error or Disconnected("the session was ended before the server answered")
        return [*_turned(self._outbox.empty(), why), happenings.Ended(error=error)]

    # -- the connection --------------------------------------------------------------------------------------

    def dialling(self) -> None:
        """The face is about to connect."""
        self.phase, self.dial_at = Phase.DIALLING, None

    def connected(self, now: float) -> None:
        """There is a connection: greet, and say who we are."""
        if self.phase is Phase.ENDED:
            return
        self.phase = Phase.GREETING
        self.link = Link(now, self._wall, self._next)
        self.link.say(self.manner.hello())
        if not self.login.waits:
            self.link.say(self.login.request())

    def failed(self, reason: str, now: float) -> list[Happening]:
        """No connection came about."""
        return [] if self.phase is Phase.ENDED else self._go_away(reason, now)

    def lost(self, reason: str, now: float) -> list[Happening]:
        """The connection is gone, whoever closed it."""
        if self.phase is Phase.ENDED:
            return []
        if self._quitting:
            return self.end()
        if self.link.farewell is not None:
            code, words = self.link.farewell
            if code in FINAL:
                return self.end(Refused(code, words or "the server closed the connection"))
            reason = words or reason
        self.rooms.disconnected()
        why = Disconnected(f"the connection was lost before the answer came: {reason}")
        return _turned(self._outbox.disconnected(), why) + self._go_away(reason, now)

    def to_send(self) -> bytes:
        """The bytes to write now."""
        return self.link.to_send()

    def next_tick(self, now: float) -> float | None:
        """When `tick` is to be called at the latest, or None."""
        if self.phase not in (Phase.GREETING, Phase.ONLINE):
            return None
        times = [self.link.next_tick(self.online), self._outbox.next_write(now)]
        return min(time for time in times if time is not None)

    def tick(self, now: float) -> None:
        """Time has passed."""
        if self.phase in (Phase.GREETING, Phase.ONLINE):
            self.link.tick(now, self.online)
            self._pump(now)

    def receive(self, chunk: bytes, now: float) -> list[Happening]:
        """Bytes came: what happened."""
        happened: list[Happening] = []
        try:
            for incoming in self.link.receive(chunk, now):
                happened += self._open(incoming, now)
        except WrongProtocol as error:
            return happened + self.end(error)
        self._fill()
        self._pump(now)
        return happened

    # -- inside: events and answers --------------------------------------------------------------------------

    def _open(self, incoming: wire.Incoming, now: float) -> list[Happening]:
        re = incoming.envelope.re
        if re is None:
            return self._event(incoming, now)
        inner = self.link.answered(re)
        if inner is not None:
            kind = self.login.reply_kind(inner) if isinstance(inner, commands.Auth) else REPLY_TO[type(inner)]
            reply = wire.read_reply(incoming, kind)
            if isinstance(reply, Failure):
                return self._inner_refused(inner, refused(reply.error), now)
            return self._inner_done(inner, reply, now)
        asked = self._outbox.take(int(re)) if re.isascii() and re.isdigit() and len(re) < 16 else None
        if asked is None:
            return []
        reply = wire.read_reply(incoming, asked.reply_kind)
        if isinstance(reply, Failure):
            return self._refused(asked, refused(reply.error), now)
        self._outbox.went_well(now)
        self._done(asked.command, reply)
        return [happenings.Answered(asked.ticket, reply)]

    def _event(self, incoming: wire.Incoming, now: float) -> list[Happening]:
        view = wire.read_view(incoming)
        match view:
            case None:
                self.rooms.unreadable(incoming.envelope)
                return []
            case views.Ping():
                self.link.ping(now)
                return []
            case views.Closing():
                self.link.closing(view, now)
                return []
            case views.Error():
                self.link.farewell = (view.code, view.message)
            case views.Presence():
                self.login.others_changed(view)
                if lost := self.rooms.put_out(view, self.nick):
                    return [lost]
            case views.Member(change="kick" | "ban") if view.who == self.nick:
                shown = self._without_own(self.rooms.heard(view))
                self.rooms.left(view.room)
                return shown
        return self._without_own(self.rooms.heard(view))

    def _without_own(self, shown: Iterable[View]) -> list[Happening]:
        return [view for view in shown if self.manner.own or not self.msg_ids.is_own(view)]

    def _done(self, command: Command, reply: Reply) -> None:
        match command, reply:
            case commands.Join(), replies.Joined():
                self.rooms.entered(reply, command.since)
                if command.key is not None:
                    self._keys[reply.room] = command.key
            case commands.Part(), _:
                self.rooms.left(command.room)
            case commands.Nick(), replies.NickTaken():
                self.login.renamed(reply.nick)
            case commands.Set(myself=commands.SelfChanges() as changes), _:
                self._away = command if changes.away not in (None, False) else None

    def _refused(self, asked: Asked, refusal: Refused, now: float) -> list[Happening]:
        match asked.command:
            case commands.Join(since=int() as since) as join if asked.elastic and refusal.code == Code.INVALID_PARAMS:
                again = replace(join, since=0)
                self._outbox.add(Asked(asked.ticket, again, wire.encode(again)))
                return [happenings.Rewound(room=join.room, seen=since)]
        ticket, wait = asked.ticket, self._outbox.wait_after(asked, refusal, now)
        if wait is None:
            return [happenings.Turned(ticket, refusal)]
        return [happenings.Delayed(ticket=ticket, code=refusal.code, message=refusal.message, retry_in=wait)]

    # -- inside: our own requests ----------------------------------------------------------------------------

    def _inner_done(self, command: Command, reply: Reply, now: float) -> list[Happening]:
        match command, reply:
            case commands.Hello(), Welcome():
                self.server = reply
                self.link.clocks(reply.time, now)
                return self._log_in() if self.login.waits else []
            case commands.Auth(), replies.Challenged():
                self.link.say(self.login.challenged(reply))
            case commands.Auth(), replies.LoggedIn():
                return self._logged_in(reply, now)
            case commands.Resume(), replies.Resumed():
                for room in self.rooms.resumed(reply):
                    self._rejoin(room, command.rooms[room])
            case commands.Join(), replies.Joined():
                self.rooms.entered(reply, command.since)
            case commands.History(), replies.HistoryPage():
                return self._without_own(self.rooms.page(command.room, reply))
            case commands.Ping(), replies.Pong():
                self.link.pong(reply, now)
        return []

    def _inner_refused(self, command: Command, refusal: Refused, now: float) -> list[Happening]:
        if isinstance(command, commands.Hello):
            return self.end(refusal)
        if isinstance(command, commands.Auth):
            return self._not_let_in(refusal, now)
        if refusal.code in LATER and not isinstance(command, commands.Ping):
            self.link.say_later(command, now + (refusal.retry_after or 1.0))
            return []
        match command:
            case commands.Resume():  # one of the rooms is in the way: one by one
                for room, since in command.rooms.items():
                    self._rejoin(room, since)
            case commands.Join(since=int() as since) if since and refusal.code == Code.INVALID_PARAMS:
                self._rejoin(command.room, 0)  # its numbers do not go so far: the server went back, or lost it
                return [happenings.Rewound(room=command.room, seen=since)]
            case commands.Join() if refusal.code != Code.ALREADY_IN_ROOM:
                self.rooms.left(command.room)
                return [happenings.RoomLost(room=command.room, code=refusal.code, message=refusal.message)]
            case commands.History():
                return list(self.rooms.no_page(command.room))
        return []

    def _log_in(self) -> list[Happening]:
        try:
            self.link.say(self.login.request(() if self.server is None else self.server.auth))
        except Refused as refusal:
            return self.end(refusal)
        return []

    def _logged_in(self, reply: replies.LoggedIn, now: float) -> list[Happening]:
        if self.server is None:
            return self.end(WrongProtocol("the server let us in before it answered our hello"))
        login = self.login
        again, wanted = login.been_inside, login.wanted
        login.accepted(reply)
        self.phase = Phase.ONLINE
        self._told_offline = False
        self._outbox.pace.begin(self._limit("messages_burst"), self._limit("messages_per_second"), now)
        happened: list[Happening] = [happenings.Online(nick=login.nick, server=self.server, again=again)]
        if login.nick != wanted:
            happened.append(happenings.KnownAs(wanted=wanted, nick=login.nick, why=login.why))
        if rooms := self.rooms.to_resume():
            self.link.say(commands.Resume(rooms=rooms))
        for room in self.rooms.without_number():
            self._rejoin(room, "last")
        if self._away is not None:
            self.link.say(self._away)
        return happened

    def _not_let_in(self, refusal: Refused, now: float) -> list[Happening]:
        verdict = self.login.refused(refusal)
        if verdict is Verdict.NEVER:
            return self.end(refusal)
        if verdict is Verdict.AT_ONCE:
            return self._log_in()
        self.link.come_back_at = now + (refusal.retry_after or 0.0)
        self.link.close(refusal.message)
        return []

    def _rejoin(self, room: str, since: Any) -> None:
        self.link.say(commands.Join(room=room, since=since, key=self._keys.get(room)))

    # -- inside: what goes out, and when ---------------------------------------------------------------------

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _pump(self, now: float) -> None:
        if self.online and not self.hang_up and not self.link.is_returning:
            self.link.write(self._outbox.to_write(now))

    def _fill(self) -> None:
        if self.online:
            for track in self.rooms.behind():
                self.link.say(commands.History(room=track.name, after=track.seen or 0, limit=PAGE))

    def _check_size(self, frame: bytes) -> None:
        size, limit = len(frame) - 4, self._limit("frame") or DEFAULT_FRAME
        if size > limit:
            raise Refused(Code.MESSAGE_TOO_LONG, f"that makes {size} bytes; the server takes {limit:.0f} at once")

    def _limit(self, name: str) -> float:
        value = None if self.server is None else self.server.limits.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    def _go_away(self, reason: str, now: float) -> list[Happening]:
        been_inside, first = self.login.been_inside, not self._told_offline
        self.phase, self._told_offline = Phase.AWAY, True
        if been_inside and not self.manner.reconnect:
            return self.end(Disconnected(f"the connection was lost: {reason}"))
        if been_inside and first:
            self._patience.begin(now, self.manner.away, lasted=now - self.link.since)
        self.dial_at = self._patience.next(now, self.link.come_back_at)
        if self.dial_at is None:
            return self.end(CannotConnect(reason))
        return [happenings.Offline(reason=reason, retry_in=self.dial_at - now, first=first)]


def _turned(given_up: Iterable[Asked], why: ChatError) -> list[Happening]:
    return [happenings.Turned(asked.ticket, why) for asked in given_up]
