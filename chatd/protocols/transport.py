"""A server's side of a connection that sends at once while the kernel takes it.

Twisted's own puts every write into a buffer, asks the reactor to say when the socket is writable, and sends then:
two system calls of `epoll_ctl` and some Python for each member and turn. The hub writes once a turn for each
connection, so it may be sent there and then; what the kernel does not take goes Twisted's way. This leans on a
few attributes that Twisted does not promise: tests/protocols/test_transport.py pins them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure

if TYPE_CHECKING:
    Base = tcp.Connection
else:
    Base = object


class PromptWrite(Base):
    """A mixin before a stream transport's class. `write` sends what the kernel takes now, and buffers the rest.

    `when_closed` is called once its socket is closed, for whoever counts connections. A protocol that has a method
    `socket_closes` is told right before, while the kernel can still be asked about it.
    """

    when_closed: Callable[[], None] | None = None
    # Twisted makes two texts for each connection, for a log and a `repr`: 150 bytes that nobody reads.
    logstr = repstr = property(lambda self: "a connection", lambda self, text: None)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # What Twisted would set later. Objects whose attributes come at the same time share the table of their names;
        # one that gets another afterwards has a table of its own, of 800 bytes.
        self.producer, self.streamingProducer, self.producerPaused = None, False, False
        self.dataBuffer, self.offset = b"", 0

    def connectionLost(self, reason: Failure) -> None:
        tell, self.when_closed = self.when_closed, None
        # Twisted calls this again after an abort that something else forestalled, and has no protocol then.
        socket_closes = getattr(getattr(self, "protocol", None), "socket_closes", None)
        if socket_closes is not None:
            socket_closes()
        try:
            super().connectionLost(reason)
        finally:
            if tell is not None:
                tell()

    def _isSendBufferFull(self) -> bool:
        """A peer is behind as soon as the kernel does not take everything: the kernel's queue is the room it has.

        What is encrypted comes here by Twisted's way, which tries to send it later: so much of it may wait as usual.
        """
        if self.TLS:
            return bool(super()._isSendBufferFull())  # type: ignore[no-untyped-call]
        return self._tempDataLen > 0 or len(self.dataBuffer) > self.offset

    def prompt(self) -> Callable[[bytes], int] | None:
        """What sends bytes to the peer there and then, as `socket.send` does; None while something waits to be sent."""
        if self._tempDataBuffer or len(self.dataBuffer) > self.offset or not self.connected or self.TLS:
            return None
        return self.socket.send

    def write(self, data: bytes) -> None:
        if (
            self._tempDataBuffer
            or len(self.dataBuffer) > self.offset
            or not self.connected
            or self._writeDisconnected
            or self.TLS
        ):
            super().write(data)  # type: ignore[no-untyped-call]  # Twisted's has no types
            return
        try:
            sent = self.socket.send(data)
        except OSError:  # it would block, or the connection is gone: Twisted finds out which
            sent = 0
        if sent < len(data):
            super().write(data[sent:] if sent else data)  # type: ignore[no-untyped-call]


def socket_of(transport: Any) -> socket.socket:
    """The socket below, also where TLS stands before it. Raises `AttributeError` where there is none."""
    found: socket.socket = getattr(transport, "socket", None) or transport.getHandle()
    return found


def give(transport: Any, target: IProtocol) -> None:
    """Let a transport speak to another protocol from now on; also one that wraps its protocol, as TLS does."""
    if getattr(transport, "TLS", False):
        transport.protocol.wrappedProtocol = target
    elif hasattr(transport, "wrappedProtocol"):
        transport.wrappedProtocol = target
    else:
        transport.protocol = target


class PromptTCPServer(PromptWrite, tcp.Server):
    """A TCP connection that was accepted."""


class PromptUNIXServer(PromptWrite, unix.Server):
    """A connection over a Unix socket that was accepted."""


PROMPT: dict[Any, Any] = {tcp.Server: PromptTCPServer, unix.Server: PromptUNIXServer}


def send_promptly(port: Any) -> None:
    """Let a listening port make such connections; a port of some other kind stays as it is."""
    kind = PROMPT.get(getattr(port, "transport", None))
    if kind is not None:
        port.transport = kind
