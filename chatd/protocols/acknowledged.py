"""Acknowledged: how much of what was written to a peer has really reached it.

What the kernel took may still be lost with the connection. So the peer's acknowledgements are asked for (`TCP_INFO`,
Linux only). A peer's kernel acknowledges what its program has not read yet, and no program of ours can know better.
Where there is no TCP, all that was handed to the kernel counts.
"""

from __future__ import annotations

import socket
import struct
import sys
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any

TCP_INFO = getattr(socket, "TCP_INFO", None)
ACKNOWLEDGED = struct.Struct("=120x Q")
"""The beginning of Linux's `struct tcp_info` (linux/tcp.h), up to tcpi_bytes_acked."""


class Counted:
    """A mixin for a connection that counts its bytes: `wrote` is to be called for all that is written."""

    transport: Any
    written = 0
    _reached: int | None = None  # as far as was ever seen
    _is_closed = False

    def wrote(self, blob: bytes) -> None:
        """So many bytes more."""
        self.written += len(blob)

    def acknowledged(self) -> int:
        """How many of the bytes that were written have reached the peer, at the least."""
        if self._is_closed and self._reached is not None:
            return self._reached
        if getattr(self.transport, "TLS", False):
            encrypted = reached_encrypted(self.transport, self.written)
            self._reached = max(self._reached or 0, encrypted or 0)
            return self._reached
        seen = acknowledged_by(self.transport)
        if seen is not None:
            self._reached = min(seen, self.written)
        elif self._reached is None:
            return self.written - unsent(self.transport)
        return self._reached

    def socket_closes(self) -> None:
        """The last moment at which the kernel can be asked."""
        self._reached = self.acknowledged()
        self._is_closed = True


def acknowledged_by(transport: Any) -> int | None:
    """How many bytes the peer has acknowledged; None where that cannot be told."""
    try:
        handle = transport.getHandle()
        if not isinstance(handle, socket.socket) or handle.family == socket.AF_UNIX or TCP_INFO is None:
            return None
        notes: bytes = handle.getsockopt(socket.IPPROTO_TCP, TCP_INFO, ACKNOWLEDGED.size)
    except (AttributeError, OSError):
        return None
    return int(ACKNOWLEDGED.unpack(notes)[0]) if len(notes) == ACKNOWLEDGED.size else None


def reached_encrypted(transport: Any, written: int) -> int | None:
    """The same where TLS stands between: what waits anywhere is taken off. None where that cannot be told, or no more.

    Encrypted bytes are more than plain ones, so this is rather too few. What Twisted gathers for the end of the turn is
    encrypted first.
    """
    try:
        aggregator = getattr(transport.protocol, "_aggregator", None)
        if aggregator is not None:
            aggregator.flush()
        waiting = ioctl(transport.socket.fileno(), TIOCOUTQ, bytes(4))
    except (AttributeError, OSError, ValueError):
        return None
    return max(0, written - unsent(transport) - int.from_bytes(waiting, sys.byteorder))


def unsent(transport: Any) -> int:
    """How many bytes wait in a transport of Twisted's."""
    later = sum(map(len, getattr(transport, "_tempDataBuffer", ())))
    return len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0) + later
