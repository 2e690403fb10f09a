"""Two partners for a session: a house with the real rules, and a server that says exactly what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from support.house import House, Transport
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure as TwistedFailure

from chatd.client import happenings, wire
from chatd.client.errors import ChatError
from chatd.client.login import Login
from chatd.client.manner import Manner
from chatd.client.msgids import MsgIds
from chatd.client.session import Session
from chatd.core import commands, replies, views
from chatd.core.commands import Command
from chatd.core.replies import Reply

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_REQUEST = msgspec.json.Decoder(
    commands.Hello
    | commands.Auth
    | commands.Ping
    | commands.Nick
    | commands.Join
    | commands.Part
    | commands.Send
    | commands.Relate
    | commands.History
    | commands.Resume
    | commands.MarkRead
    | commands.List
    | commands.Set
    | commands.Presence
    | commands.Quit
)


def frame(thing: Any) -> bytes:
    blob = thing if isinstance(thing, bytes) else msgspec.json.encode(thing)
    return len(blob).to_bytes(4, "big") + blob


class Partner:
    """What both partners have: the session, what it showed, and what became of what was asked."""

    def __init__(self, nick: str = "tom", *, root: str = "root", run: str = "run", **more: Any) -> None:
        manner = {name: more.pop(name) for name in Manner.__struct_fields__ if name in more}
        self.now = 1000.0
        self.login = Login(nick, **more)
        self.session = Session(
            self.login,
            msg_ids=MsgIds(root, run),
            chance=lambda: 1.0,
            now=self.now,
            wall=NOW.timestamp() - self.now,
            manner=Manner(**manner),
        )
        self.shown: list[Any] = []
        self.outcomes: dict[int, Reply | ChatError] = {}

    def take(self, happened: list[Any]) -> None:
        for thing in happened:
            if isinstance(thing, happenings.Answered):
                assert thing.ticket not in self.outcomes, "answered twice"
                self.outcomes[thing.ticket] = thing.reply
            elif isinstance(thing, happenings.Turned):
                assert thing.ticket not in self.outcomes, "answered twice"
                self.outcomes[thing.ticket] = thing.error
            else:
                self.shown.append(thing)

    def bodies(self, room: str = "#lobby") -> list[tuple[int, str]]:
        """The messages of a room that were shown, as the reader sees them."""
        return [(one.seq, one.body) for one in self.shown if isinstance(one, views.Message) and one.room == room]

    def news(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.shown if isinstance(one, kind)]


class Guest(Partner):
    """A session in a house with the real rules; bytes go to and fro until both are quiet."""

    def __init__(self, house: House, nick: str = "tom", **more: Any) -> None:
        super().__init__(nick, **more)
        self.house = house
        self.protocol: Any = None

    def come(self) -> Guest:
        """Connect and log in."""
        self.now = max(self.now, self.session.dial_at or 0.0)
        self.session.dialling()
        self.transport = Transport(peerAddress=IPv4Address("TCP", "127.0.0.1", 50_000))
        self.protocol = self.transport.protocol = self.house.framed.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        self.session.connected(self.now)
        return self.exchange()

    def exchange(self) -> Guest:
        """Let both sides say what they have to say."""
        for _ in range(1000):
            blob = self.session.to_send()
            if blob:
                self.protocol.dataReceived(blob)
            self.house.settle()
            heard = self.transport.value()
            self.transport.clear()
            if heard:
                self.take(self.session.receive(heard, self.now))
            if self.session.hang_up or not self.transport.connected:
                return self.lose("the server closed the connection")
            if not blob and not heard:
                return self
        raise AssertionError("they do not come to rest")

    def ask(self, command: Command) -> Any:
        """Ask, and get the outcome, if it has come."""
        ticket = self.session.ask(command, self.now)
        if self.session.online:
            self.exchange()
        return self.outcomes.get(ticket)

    def lose(self, reason: str = "cable pulled") -> Guest:
        """The connection breaks; what is on its way is lost."""
        if self.transport.connected:
            self.transport.connected = False
            self.protocol.connectionLost(TwistedFailure(ConnectionLost(reason)))
            self.house.settle()
        self.take(self.session.lost(reason, self.now))
        return self

    def write_but_lose_the_answer(self) -> None:
        """The server hears everything, and we hear nothing of its answers."""
        self.protocol.dataReceived(self.session.to_send())
        self.house.settle()
        self.lose()


class Script(Partner):
    """A server that says exactly what a test wants."""

    def come(self, *, nick: str = "tom", limits: dict[str, Any] | None = None, token: str = "c1.x") -> Script:
        """Connect, and be let in."""
        self.connect()
        hello, auth = self.hears()
        self.tells(
            self.welcome(hello, limits), replies.LoggedIn(re=auth.id, session="s", nick=nick, rooms=[], token=token)
        )
        return self

    def connect(self) -> Script:
        self.now = max(self.now, self.session.dial_at or 0.0)
        self.session.dialling()
        self.session.connected(self.now)
        return self

    def welcome(self, hello: Command, limits: dict[str, Any] | None = None) -> replies.Welcome:
        return replies.Welcome(
            re=hello.id,
            version=1,
            caps=["echo"],
            server="chatd",
            server_version="0",
            network="test",
            time=NOW,
            limits={"frame": 65536, **(limits or {})},
            auth=["guest"],
            registration="closed",
            durability="memory",
        )

    def hears(self) -> list[Any]:
        """The requests that the session has written since the last time."""
        blob = self.session.to_send()
        return [_REQUEST.decode(one) for one in wire.Splitter().feed(blob)] if blob else []

    def tells(self, *things: Any) -> Script:
        """These replies and views arrive, in one piece."""
        self.take(self.session.receive(b"".join(map(frame, things)), self.now))
        return self

    def ask(self, command: Command) -> int:
        return self.session.ask(command, self.now)

    def join(self, room: str = "#lobby", last_seq: int = 0, **more: Any) -> Script:
        """Be in a room."""
        self.ask(commands.Join(room=room, **more))
        [join] = self.hears()
        return self.tells(joined(join, last_seq))

    def lose(self, reason: str = "cable pulled") -> Script:
        self.take(self.session.lost(reason, self.now))
        return self

    def passes(self, seconds: float) -> Script:
        """Time passes."""
        self.now += seconds
        self.session.tick(self.now)
        return self


def joined(join: Any, last_seq: int = 0, room_id: str = "r1") -> replies.Joined:
    return replies.Joined(
        re=join.id,
        room=join.room,
        room_id=room_id,
        first_seq=1,
        last_seq=last_seq,
        topic="",
        role="member",
        members_count=1,
        limited=False,
    )


def message(seq: int, body: str = "", *, room: str = "#lobby", room_id: str = "r1", **more: Any) -> views.Message:
    return views.Message(
        room=room,
        seq=seq,
        event_id=f"{room_id}:{seq}",
        time=NOW,
        author=views.Author(nick="jerry"),
        kind="text",
        body=body or f"message {seq}",
        **more,
    )


def sent(command: Any, seq: int = 1) -> replies.Sent:
    return replies.Sent(
        re=command.id,
        room=command.room,
        seq=seq,
        event_id=f"r1:{seq}",
        time=NOW,
        duplicate=False,
        durability="memory",
    )


def refusal(command: Any, code: str, message: str = "no", **more: Any) -> replies.Failure:
    return replies.Failure(re=command.id, ok=False, error=replies.Problem(code=code, message=message, **more))


def page(request: Any, events: list[Any], *, first: int = 1, last: int, next: int | None = None) -> replies.HistoryPage:
    return replies.HistoryPage(
        re=request.id, room=request.room, events=events, prev=None, next=next, first_seq=first, last_seq=last
    )


class Words:
    """What a scripted server can say."""

    joined = staticmethod(joined)
    message = staticmethod(message)
    sent = staticmethod(sent)
    refusal = staticmethod(refusal)
    page = staticmethod(page)
    frame = staticmethod(frame)


@pytest.fixture
def words() -> type[Words]:
    return Words


@pytest.fixture
def script() -> type[Script]:
    """`script("tom").come()` is a session that a scripted server has let in."""
    return Script


@pytest.fixture
def guest() -> type[Guest]:
    """`guest(house, "tom").come()` is a session in a house with the real rules."""
    return Guest


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a conversation of the asyncio face."""
    return asyncio.run
