"""Puts a server under load as many clients would: members of one room, some of whom speak.

It speaks the framed protocol over plain sockets and one selector, and asks `verdict` whether the server kept what it
promises. It is Python, so it says how busy it was itself: a server may be able to do more than it can ask for.
"""

from __future__ import annotations

import secrets
import selectors
import socket
import time
from collections import deque
from typing import Any

import msgspec
from msgspec import Struct

from chatd.client import wire
from chatd.client.address import Address
from chatd.client.errors import CannotConnect, Disconnected, TimedOut, WrongProtocol, refused
from chatd.client.processor import seconds_of
from chatd.client.reasons import why_lost, why_not
from chatd.client.verdict import Account, Times, Verdict
from chatd.core import commands
from chatd.core.codes import Code
from chatd.core.replies import Problem

COMING = 64  # on their way in at a time
WINDOW = 16  # messages of a speaker that wait for their answers, as fast as it goes
MOST_OPEN = 200  # the same at a rate; the server need not take in more than so many requests at once
MOST_SAID = 2_000_000
PATIENCE = 15.0  # seconds without a byte while something is still to come
MOST_SECONDS = 120.0  # for coming in, and for what is still to come
CHUNK = 1 << 18

_HELLO = wire.encode(commands.Hello(versions=[1], client="chatd bench", id="h"))
_PING = wire.encode(commands.Ping())
_CODES = frozenset(code.value for code in Code)


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be done: at the `place` of a socket, whose `address` people know; a `rate` of 0 is as fast as it goes.

    `rate` in messages a second, of all `speakers` together; `size` of a message in bytes.
    """

    family: int
    place: Any
    address: Address
    members: int
    speakers: int
    rate: float
    seconds: float
    size: int = 100
    pid: int | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of it; seconds, and processor seconds while messages were under way. None: not asked or not known."""

    room: str
    coming: float
    speaking: float
    busy: float
    server: float | None
    to_show: Times
    to_answer: Times
    account: Account


class _Told(Struct):
    """What matters of a frame. Everything is checked where it is used."""

    type: Any = None
    re: Any = None
    ok: Any = None
    seq: Any = None
    body: Any = None
    last_seq: Any = None
    to: Any = None
    error: Any = None
    reason: Any = None


_TOLD = msgspec.json.Decoder(_Told)


class _Member:
    """A connection: its number once it is in, and how many of its messages wait for an answer."""

    def __init__(self, one: socket.socket, nick: str) -> None:
        self.socket, self.nick = one, nick
        self.splitter = wire.Splitter()
        self.unsent = bytearray()
        self.number = -1
        self.open = 0


class Load:
    """One run; `run` does it all. Whatever ends it early is a `ChatError`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.room = f"#bench-{secrets.token_hex(4)}"
        self._prefix = self.room[1:]
        self._selector = selectors.DefaultSelector()
        self._members: list[_Member] = []
        self._inside: list[_Member] = []  # by their numbers
        self._verdict = Verdict()
        self._free: deque[_Member] = deque()  # speakers who may speak, as fast as it goes
        self._until = 0.0
        self._stirred = time.monotonic()  # when something was said or heard last
        self._padding = "x" * plan.size

    def run(self) -> Outcome:
        """Everybody in; speak; wait for what is still to come."""
        try:
            began = time.monotonic()
            self._enter()
            entered = time.monotonic()
            busy, server = time.process_time(), self._server_seconds()
            self._speak(entered)
            self._drain()
            ended, busy_after, server_after = time.monotonic(), time.process_time(), self._server_seconds()
            self._hush()  # what comes a second time may come late
            return Outcome(
                room=self.room,
                coming=entered - began,
                speaking=ended - entered,
                busy=busy_after - busy,
                server=None if server is None or server_after is None else server_after - server,
                to_show=self._verdict.to_show,
                to_answer=self._verdict.to_answer,
                account=self._verdict.close(),
            )
        finally:
            for member in self._members:
                member.socket.close()
            self._selector.close()

    def _server_seconds(self) -> float | None:
        return None if self.plan.pid is None else seconds_of(self.plan.pid)

    # -- in -----------------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        end = time.monotonic() + MOST_SECONDS
        while len(self._inside) < self.plan.members:
            while len(self._members) < min(self.plan.members, len(self._inside) + COMING):
                self._connect(f"{self._prefix}-{len(self._members)}")
            self._turn(0.05)
            if not self._is_patient or time.monotonic() > end:
                raise TimedOut(f"only {len(self._inside):,} of {self.plan.members:,} came in, and then nobody for long")
        self._hush()  # what is told of their coming is not part of the load

    def _connect(self, nick: str) -> None:
        one = socket.socket(self.plan.family, socket.SOCK_STREAM)
        try:
            one.settimeout(PATIENCE)
            one.connect(self.plan.place)
        except OSError as error:
            one.close()
            raise CannotConnect(why_not(error, self.plan.address)) from error
        one.setblocking(False)
        if self.plan.family != getattr(socket, "AF_UNIX", None):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        member = _Member(one, nick)
        self._members.append(member)
        self._selector.register(one, selectors.EVENT_READ, member)
        auth = wire.encode(commands.Auth(mechanism="guest", nick=nick, id="a"))
        self._write(member, _HELLO + auth + wire.encode(commands.Join(room=self.room, id="j")))

    # -- out ----------------------------------------------------------------------------------------------------

    def _speak(self, began: float) -> None:
        speakers = self._inside[: self.plan.speakers]
        self._until = began + self.plan.seconds
        if self.plan.rate:
            self._free.extend(speakers)
            while (now := time.monotonic()) < self._until and self._verdict.said < MOST_SAID:
                wait = self._say_due(began, now)
                self._turn(min(wait, self._until - now))
        else:
            for _ in range(WINDOW):
                for member in speakers:
                    self._say(member, time.monotonic())
            while time.monotonic() < self._until and self._verdict.said < MOST_SAID:
                self._turn(0.05)
        self._until = 0.0

    def _say_due(self, began: float, now: float) -> float:
        """Say what is due, speakers by turns; how long it is to the next. Who has too much open is passed over."""
        due = began + self._verdict.said / self.plan.rate
        while due <= now:
            for _ in range(len(self._free)):
                member = self._free[0]
                self._free.rotate(-1)
                if member.open < MOST_OPEN:
                    break
            else:
                return 0.05
            self._say(member, due)
            due = began + self._verdict.said / self.plan.rate
        return due - now

    def _say(self, member: _Member, due: float) -> None:
        message = self._verdict.say(member.number, due)
        member.open += 1
        self._stirred = time.monotonic()
        body = f"{message} {self._padding}"[: max(self.plan.size, 8)]
        word = f"{self._prefix}-{message}"
        self._write(member, wire.encode(commands.Send(room=self.room, body=body, msg_id=word, id=str(message))))

    def _drain(self) -> None:
        """Wait for what is still to come; what has not come for long is lost."""
        end = time.monotonic() + MOST_SECONDS
        while self._is_patient and time.monotonic() < end and not self._verdict.is_settled:
            self._turn(0.05)

    def _hush(self) -> None:
        """Take in what comes until it is quiet."""
        end = time.monotonic() + PATIENCE
        while self._turn(0.05) and time.monotonic() < end:
            pass

    def _write(self, member: _Member, blob: bytes) -> None:
        if not member.unsent:
            try:
                sent = member.socket.send(blob)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise Disconnected(f"{member.nick}: {why_lost(error)}") from error
            if sent == len(blob):
                return
            blob = blob[sent:]
            self._selector.modify(member.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, member)
        member.unsent += blob

    # -- a turn -------------------------------------------------------------------------------------------------

    def _turn(self, longest: float) -> bool:
        """Take in what comes within so long; whether something came."""
        ready = self._selector.select(max(0.0, longest))
        now = time.monotonic()
        for key, mask in ready:
            if mask & selectors.EVENT_WRITE:
                self._send_rest(key.data)
            if mask & selectors.EVENT_READ:
                self._receive(key.data, now)
        if ready:
            self._stirred = now
        return bool(ready)

    @property
    def _is_patient(self) -> bool:
        """Whether something was said or heard a short while ago."""
        return time.monotonic() < self._stirred + PATIENCE

    def _send_rest(self, member: _Member) -> None:
        rest, member.unsent = bytes(member.unsent), bytearray()
        self._selector.modify(member.socket, selectors.EVENT_READ, member)
        self._write(member, rest)

    def _receive(self, member: _Member, now: float) -> None:
        try:
            chunk = member.socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            raise Disconnected(f"{member.nick}: {why_lost(error)}") from error
        if not chunk:
            raise Disconnected(f"{member.nick}: {why_lost(None)}")
        for frame in member.splitter.feed(chunk):
            try:
                told = _TOLD.decode(frame)
            except msgspec.DecodeError:
                raise WrongProtocol("the server sent a frame that is not an object of chatd") from None
            self._hear(member, told, now)

    def _hear(self, member: _Member, told: _Told, now: float) -> None:
        is_inside = member.number >= 0
        if told.type == "message" and is_inside:
            self._verdict.show(member.number, _number(told.body), told.seq, now)
        elif told.re is not None:
            self._answered(member, told, now)
        elif told.type == "ping":
            self._write(member, _PING)
        elif told.type == "gap" and is_inside and isinstance(told.to, int):
            self._verdict.announce_gap(member.number, told.to)
        elif told.type == "closing":
            raise Disconnected(f"{member.nick}: the server closes the connection: {str(told.reason)[:200]}")

    def _answered(self, member: _Member, told: _Told, now: float) -> None:
        if told.re in ("h", "a", "j"):
            if told.ok is not True:
                raise refused(_problem(told.error))
            if told.re == "j" and member.number < 0:
                member.number = self._verdict.enter(told.last_seq if isinstance(told.last_seq, int) else 0)
                self._inside.append(member)
            return
        message = _number(told.re)
        if message is None:
            return
        member.open -= 1
        if told.ok is True:
            self._verdict.answer(message, told.seq, now)
        else:
            code = _problem(told.error).code
            self._verdict.refuse(message, code if code in _CODES else "for an unknown reason")
        if not self.plan.rate and now < self._until and self._verdict.said < MOST_SAID:
            self._say(member, now)


def _problem(error: Any) -> Problem:
    """What a refusal says."""
    try:
        return msgspec.convert(error, Problem)
    except msgspec.ValidationError:
        raise WrongProtocol("the server refused something and did not say why") from None


def _number(text: Any) -> int | None:
    """The number with which a message of ours begins."""
    word = text.partition(" ")[0] if isinstance(text, str) else ""
    return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else None
