"""One connection of the Twisted face, encrypted if that is wanted.

Encryption is that of the standard library, as in the other faces: the same contexts do for all three.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from chatd.client.encrypted import Tunnel

if TYPE_CHECKING:
    from chatd.client.tx import Chat

DIAL_SECONDS = 10.0


class Wire(Protocol):
    """One connection: passes on what comes, and what is to go."""

    chat: Chat
    tunnel: Tunnel | None = None
    problem: Exception | None = None  # why there is no encryption
    timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self.chat = self.factory.chat  # see _dial
        no_delay = getattr(self.transport, "setTcpNoDelay", None)
        if no_delay is not None:
            no_delay(True)
        if self.chat._tls is None:
            self.ready()
            return
        self.tunnel = Tunnel(self.chat._tls, self.chat.address.host)
        self.chat._opening = self
        self.timer = self.chat.reactor.callLater(DIAL_SECONDS, self.give_up, TimeoutError())
        self.pass_on()

    def ready(self) -> None:
        self.chat._wire = self
        self.chat.session.connected(self.chat.reactor.seconds())
        self.chat._flush()

    def write(self, blob: bytes) -> None:
        assert self.transport is not None
        if self.tunnel is None:
            self.transport.write(blob)
            return
        self.tunnel.send(blob)
        self.pass_on()

    def dataReceived(self, data: bytes) -> None:
        if self.tunnel is not None:
            try:
                data = self.tunnel.receive(data)
            except ssl.SSLError as problem:
                self.pass_on()  # the alert that says why
                self.give_up(problem)
                return
            self.pass_on()
            if self.tunnel.is_open and self.timer is not None:
                self.stop_waiting()
                self.ready()
        if data:
            self.chat._take_in(self.chat.session.receive(data, self.chat.reactor.seconds()))

    def pass_on(self) -> None:
        assert self.transport is not None
        assert self.tunnel is not None
        self.transport.write(self.tunnel.to_send())

    def give_up(self, problem: Exception) -> None:
        assert self.transport is not None
        self.problem = problem
        self.transport.loseConnection()

    def stop_waiting(self) -> None:
        self.chat._opening = None
        timer, self.timer = self.timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted gives a default
        is_waiting = self.timer is not None
        self.stop_waiting()
        if self.problem is not None:
            reason = Failure(self.problem)  # type: ignore[no-untyped-call]
        if is_waiting:
            self.chat._not_connected(reason)
        else:
            self.chat._connection_lost(reason)
