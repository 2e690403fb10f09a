"""A server's side of a connection that sends at once while the kernel takes it.

Twisted's own puts every write into a buffer, asks the reactor to say when the socket is writable, and sends then:
two system calls of `epoll_ctl` and some Python for each member and turn. The hub writes once a turn for each
connection, so it may be sent there and then; what the kernel does not take goes Twisted's way. This leans on a
few attributes that Twisted does not promise: tests/protocols/test_transport.py pins them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix

if TYPE_CHECKING:
    Base = tcp.Connection
else:
    Base = object


class PromptWrite(Base):
    """A mixin before a stream transport's class. `write` sends what the kernel takes now, and buffers the rest."""

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
