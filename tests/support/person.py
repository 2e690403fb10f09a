"""People in the house: line connections without sockets. They type lines and read what their terminal shows.

`tom = Person(house, "tom")` has come in, has chosen a name and is in the lobby; `tom.types("hello")`;
`tom.reads()` is what came since the last time, as lines.
"""

from __future__ import annotations

import re
from typing import Any

from support.house import House, Transport
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from chatd.protocols import line
from chatd.settings import LineSettings, Settings

TIME = re.compile(r"^\[\d\d:\d\d:\d\d\] ")


class LineTransport(Transport):
    """Remembers whether it is asked to read."""

    reading = True

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        self.reading = True


def line_factory(house: House, **settings: Any) -> line.LineFactory:
    """The house's line factory: one for each of its hubs, so that people share their encoders."""
    made: line.LineFactory | None = getattr(house, "line", None)
    if made is None or made.hub is not house.hub or settings:
        house.line = line.factory(  # type: ignore[attr-defined]
            house.hub, Settings(line=LineSettings(**settings)), clock=house.clock.seconds
        )
    return house.line  # type: ignore[attr-defined,no-any-return]


class Person:
    """Somebody at a terminal; without a name, still at the door."""

    def __init__(self, house: House, name: str = "") -> None:
        self.house = house
        self.transport = LineTransport(peerAddress=IPv4Address("TCP", "127.0.0.1", 50_000))
        self.protocol = line_factory(house).buildProtocol(None)
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)
        house.settle()
        if name:
            self.types(name)
            self.reads()

    def types(self, *lines: str) -> None:
        """These lines, in one packet."""
        self.sends("".join(f"{one}\n" for one in lines).encode())

    def sends(self, data: bytes) -> None:
        self.protocol.dataReceived(data)
        self.house.settle()

    def bytes(self) -> bytes:
        """What has come since the last time."""
        self.house.settle()
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def reads(self) -> list[str]:
        """The lines that have come since the last time."""
        text = self.bytes().decode()
        assert not text or text.endswith("\n"), f"half a line: {text!r}"
        return text.replace("\r\n", "\n").split("\n")[:-1]

    def hears(self) -> list[str]:
        """The same without the time before each line."""
        return [TIME.sub("", one) for one in self.reads()]

    def ends_input(self) -> None:
        """The peer has said everything, and still listens."""
        self.protocol.readConnectionLost()
        self.house.settle()

    def leaves(self) -> None:
        self.transport.connected = False
        self.protocol.connectionLost(Failure(ConnectionDone("gone")))
        self.house.settle()

    @property
    def is_open(self) -> bool:
        return bool(self.transport.connected)
