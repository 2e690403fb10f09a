"""A whole house in memory, for conversations: real rules, hub, codecs and memory journal; the clock stands still.

`house.come("tom")` is a program that has logged in; it asks with dicts and hears dicts. By which way it comes in is
`way.name`'s to say, for all of a test: the ways that carry objects are told apart by nothing else.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure
from websockets.frames import Frame, Opcode

from chatd.core.limits import Limits, Rules
from chatd.hub import Hub
from chatd.journal import open_journal
from chatd.protocols import framed, websocket

Json = dict[str, Any]


def bodies(events: list[Json]) -> list[tuple[int, str]]:
    """Number and text of the messages among these."""
    return [(one["seq"], one["body"]) for one in events if one.get("type") == "message"]


class Way:
    """How objects go over the wire: `framed`, or `websocket`."""

    name = "framed"

    def wrap(self, blob: bytes) -> bytes:
        """One of ours as a peer sends it."""
        if self.name == "framed":
            return struct.pack("!I", len(blob)) + blob
        return Frame(Opcode.TEXT, blob).serialize(mask=True)

    def unwrap(self, data: bytes) -> tuple[list[bytes], bytes]:
        """What of a server's bytes is whole, and the rest."""
        whole, start = [], 0
        while (place := self.next_in(data, start)) is not None:
            if place[2]:
                whole.append(data[place[0] : place[1]])
            start = place[1]
        return whole, data[start:]

    def next_in(self, data: bytes, start: int) -> tuple[int, int, bool] | None:
        """Where the next frame's payload begins and ends, and whether it is an object; None if it is not whole."""
        head, is_object = 4, True
        if self.name == "framed":
            length = int.from_bytes(data[start : start + 4], "big")
        else:
            more = {126: 2, 127: 8}.get(data[start + 1], 0) if len(data) > start + 1 else 0
            length = int.from_bytes(data[start + 2 : start + 2 + more], "big") if more else data[start + 1 : start + 2]
            head, is_object = 2 + more, data[start : start + 1] == b"\x81"
            length = length if isinstance(length, int) else int.from_bytes(length, "big")
        if len(data) < start + head or len(data) < start + head + length:
            return None
        return start + head, start + head + length, is_object


way = Way()


def packet(*requests: Json | bytes) -> bytes:
    """Requests as they are sent."""
    return b"".join(way.wrap(one if isinstance(one, bytes) else json.dumps(one).encode()) for one in requests)


class Transport(StringTransportWithDisconnection):
    """Bytes in memory. `stall()` is a peer that reads no more; `drain()` one that has read everything."""

    def abortConnection(self) -> None:
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(ConnectionLost("aborted")))

    def loseConnection(self) -> None:
        if self.connected:
            self.connected = False
            self.protocol.connectionLost(Failure(ConnectionDone("bye")))

    def stall(self) -> None:
        self.producer.pauseProducing()

    def drain(self) -> None:
        self.producer.resumeProducing()


class Peer:
    """A program; `heard` is everything that came to it, as dicts."""

    def __init__(self, house: House, address: str = "127.0.0.1") -> None:
        self.house = house
        self.transport = Transport(peerAddress=IPv4Address("TCP", address, 50_000))
        self.protocol = house.framed.buildProtocol(None) if way.name == "framed" else house.websocket.make("")
        self.transport.protocol = self.protocol
        self.heard: list[Json] = []
        self._unread = b""
        self._asked = 0
        self.auth: Json = {}
        self.protocol.makeConnection(self.transport)

    def say(self, *requests: Json | bytes) -> None:
        """Send these in one packet."""
        self.send_bytes(packet(*requests))

    def murmur(self, *requests: Json) -> None:
        """The same, but nothing comes of it yet."""
        self.protocol.dataReceived(packet(*requests))

    def send_bytes(self, data: bytes) -> None:
        self.protocol.dataReceived(data)
        self.house.settle()

    def listen(self) -> list[Json]:
        """What has come since the last time."""
        data = self._unread + self.transport.value()
        self.transport.clear()
        whole, self._unread = way.unwrap(data)
        fresh: list[Json] = list(map(json.loads, whole))
        self.heard += fresh
        return fresh

    def ask(self, type: str, /, **fields: Any) -> Json:
        """Send a request and return its reply; everything else that comes is in `heard`."""
        self._asked += 1
        name = f"q{self._asked}"
        self.say({"type": type, "id": name, **fields})
        [reply] = [one for one in self.listen() if one.get("re") == name]
        return reply

    def events(self, *types: str) -> list[Json]:
        """The events that came since the last time, perhaps only of some types."""
        return [one for one in self.listen() if "re" not in one and (not types or one["type"] in types)]

    def leave(self, error: type[Exception] = ConnectionDone) -> None:
        """The connection ends from the peer's side."""
        self.transport.connected = False
        self.protocol.connectionLost(Failure(error("gone")))
        self.house.settle()

    @property
    def is_open(self) -> bool:
        return bool(self.transport.connected)


class House:
    """Hub, journal and framed way in."""

    def __init__(self, **limits: Any) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.limits = Limits(**limits)
        self.settings = SimpleNamespace(durability="memory")
        self.journal = open_journal("memory:", reactor=self.clock, settings=self.settings, data_dir=Path("/nowhere"))
        self.restart(first=True)

    def restart(self, first: bool = False) -> None:
        """A new hub on the same journal, as after a crash: everybody who was there is gone."""
        self.site: Any = None  # the web way in, which is made when somebody comes by it
        if not first:
            self.journal.close()
            self.settle()
        opened: list[Any] = []
        self.journal.open(lambda entries: self.hub.entries_received(entries)).addCallback(opened.append)
        while not opened:
            self.clock.advance(0)
        rules = Rules(
            limits=self.limits,
            server="chatd",
            server_version="0",
            network="test",
            motd="",
            durability=self.journal.durability,
            secret=opened[0].secret,
        )
        self.hub = Hub(journal=self.journal, rules=rules, reactor=self.clock)
        self.hub.start(opened[0])
        self.framed = framed.factory(self.hub)
        self.websocket = websocket.factory(self.hub)

    def settle(self, seconds: float = 0) -> None:
        """Let this time pass, everything happen that is due, and then what follows from it."""
        while seconds > 1:
            self.clock.advance(1)
            seconds -= 1
        self.clock.advance(seconds)
        for _ in range(200):
            if not any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
                return
            self.clock.advance(0)
        raise AssertionError("the house does not come to rest")

    def come(
        self, nick: str, /, *rooms: str, caps: tuple[str, ...] = (), address: str = "127.0.0.1", **auth: Any
    ) -> Peer:
        """Somebody who has logged in and is in these rooms."""
        peer = Peer(self, address)
        assert peer.ask("hello", versions=[1], caps=list(caps))["ok"]
        reply = peer.ask("auth", **({"mechanism": "guest", "nick": nick} | auth))
        assert reply["ok"], reply
        peer.auth = reply
        for room in rooms:
            assert peer.ask("join", room=room)["ok"]
        return peer
