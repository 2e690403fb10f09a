"""The port that everyone can join: it looks at the first bytes and hands the connection to the right protocol.

`openings` says whose the bytes are; here is how long to wait for them, and the handing over, without losing a byte,
a half close or an end. Who says nothing for a while is a person, and is greeted. To plug in another way in, give its
factory to `DetectFactory` under the name that its opening has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.hub import Hub
from chatd.protocols import framed, line, strangers, web
from chatd.protocols.connection import keep_urgent_in_place
from chatd.protocols.openings import otherwise, recognise
from chatd.protocols.transport import give
from chatd.settings import Settings

GREETED_A_TURN = 50


@implementer(IHalfCloseableProtocol)
class Detector(Protocol):
    """A connection of which it is not known yet what it speaks."""

    log = Logger()
    transport: Any

    def __init__(self, shared: DetectFactory, address: IAddress | None) -> None:
        self._shared = shared
        self._address = address
        self._opening = b""
        self._timer: Any = None
        self._is_silent = False

    def connectionMade(self) -> None:
        keep_urgent_in_place(self.transport)
        self.transport.bufferSize = line.READ_BYTES  # until it is known who reads
        self._wait()

    def dataReceived(self, data: bytes) -> None:
        self._opening += data
        name = recognise(self._opening)
        if name is None:
            self._wait()
        else:
            self._hand_over(name)

    def readConnectionLost(self) -> None:
        """The peer has said everything, and it was not enough to be sure."""
        if not self._opening:
            self._stop_waiting()
            self.transport.loseConnection()
            return
        target = self._hand_over(otherwise(self._opening))
        half_closeable = IHalfCloseableProtocol(target, None)
        if half_closeable is not None:
            half_closeable.readConnectionLost()
        else:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Only the one that it is handed to closes our side."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_waiting()

    # -- waiting ------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        self._stop_waiting()
        self._timer = self._shared.reactor.callLater(self._shared.silence_seconds, self._time_is_up)

    def _stop_waiting(self) -> None:
        self._is_silent = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _time_is_up(self) -> None:
        # In a storm of connections the first bytes may wait unread in the kernel: let the reactor look once more.
        self._timer = self._shared.reactor.callLater(0, self._was_silent)

    def _was_silent(self) -> None:
        self._is_silent = True
        self._shared.greet_soon(self)

    def greet(self) -> None:
        """It is this one's turn: a person, unless it has spoken or gone meanwhile."""
        if self._is_silent:
            self._hand_over(otherwise(self._opening))

    # -- handing over -------------------------------------------------------------------------------------

    def _hand_over(self, name: str) -> IProtocol | None:
        """Make the connection another protocol's, with all that came so far; one that fails costs itself only."""
        self._stop_waiting()
        try:
            target = self._shared.ways[name].buildProtocol(self._address)  # type: ignore[arg-type]  # None in tests
            assert target is not None, "no factory of ours refuses"
            give(self.transport, target)
            target.makeConnection(self.transport)
            if self._opening:
                target.dataReceived(self._opening)
        except Exception:
            self.log.failure("bug in handing a connection over to {name}", name=name)
            self.transport.abortConnection()
            return None
        return target


class DetectFactory(Factory):
    """Looks at each connection. `ways` has the factory of each way in, by the name in `openings`."""

    noisy = False

    def __init__(self, reactor: Any, ways: Mapping[str, IProtocolFactory], silence_seconds: float) -> None:
        self.reactor = reactor
        self.ways = dict(ways)
        self.silence_seconds = silence_seconds
        self._silent: deque[Detector] = deque()

    def greet_soon(self, detector: Detector) -> None:
        """Take this one for a person in its turn: of thousands who come at once, some in each turn of the loop."""
        if not self._silent:
            self.reactor.callLater(0, self._greet)
        self._silent.append(detector)

    def _greet(self) -> None:
        for _ in range(min(GREETED_A_TURN, len(self._silent))):
            self._silent.popleft().greet()
        if self._silent:
            self.reactor.callLater(0, self._greet)

    def behind(self) -> DetectFactory:
        """Another that looks at what comes inside TLS; there is no TLS inside of that."""
        return DetectFactory(self.reactor, self.ways, self.silence_seconds)

    def settings_changed(self, settings: Settings) -> None:
        """The next one who comes is waited for so long."""
        self.silence_seconds = settings.line.silence_seconds

    def buildProtocol(self, addr: IAddress | None) -> Detector:
        return Detector(self, addr)


def factory(hub: Hub, settings: Settings | None = None) -> DetectFactory:
    """The factory of the port that everyone can join."""
    settings = settings or Settings()
    ways: dict[str, IProtocolFactory] = {
        **strangers.factories(hub.reactor),
        "framed": framed.factory(hub, settings),
        "line": line.factory(hub, settings),
        "http": web.factory(hub, settings),
    }
    factory = DetectFactory(hub.reactor, ways, settings.line.silence_seconds)
    hub.on_change.append(factory.settings_changed)
    return factory


__all__ = ["DetectFactory", "Detector", "factory"]
