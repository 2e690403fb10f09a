"""TLS: a door before the other ways in. It agrees on how to encrypt, and then hands the connection over.

What comes behind it is the same as without: one port takes people and programs, encrypted or not. The certificates are
`chatd.certificates`'; this file knows only that something makes a connection of OpenSSL's. Who does not finish the
handshake in time is cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IHandshakeListener, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.protocols.transport import give


@implementer(IHandshakeListener)
class Door(Protocol):
    """A connection on which TLS is being agreed on. What comes inside is for a protocol of `inside`."""

    log = Logger()
    transport: Any

    def __init__(self, shared: DoorFactory, address: IAddress | None) -> None:
        self._shared = shared
        self._address = address
        self._timer: Any = None

    def connectionMade(self) -> None:
        shared = self._shared
        self._timer = shared.reactor.callLater(shared.seconds(), self._time_is_up)
        self.transport.startTLS(shared.creator)

    def dataReceived(self, data: bytes) -> None:
        """What came before it was known to be TLS, from whoever has looked at it."""
        self.transport.protocol.dataReceived(data)

    def handshakeCompleted(self) -> None:
        """What is said from now on is for the protocol inside."""
        self._stop_waiting()
        try:
            target = self._shared.inside.buildProtocol(self._address)  # type: ignore[arg-type]  # None in tests
            assert target is not None, "no factory of ours refuses"
            give(self.transport, target)
            target.makeConnection(self.transport)
        except Exception:
            self.log.failure("bug in handing an encrypted connection over")
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_waiting()

    def _time_is_up(self) -> None:
        self.transport.abortConnection()

    def _stop_waiting(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


class DoorFactory(Factory):
    """Makes doors to the protocols of `inside`. `seconds` tells how long a handshake may take."""

    noisy = False

    def __init__(self, reactor: Any, creator: Any, inside: IProtocolFactory, seconds: Callable[[], float]) -> None:
        self.reactor = reactor
        self.creator = creator
        self.inside = inside
        self.seconds = seconds

    def buildProtocol(self, addr: IAddress | None) -> Door:
        return Door(self, addr)


__all__ = ["Door", "DoorFactory"]
