"""Vanished peers: those whose machine or cable is gone while something was on its way to them.

TCP keepalive asks only peers that owe no acknowledgement; with data on its way the kernel sends it again for a quarter
of an hour before it gives up. So the kernel's own notes are looked at now and then (`TCP_INFO`, Linux only). Somebody
who merely does not read, for an hour if need be, still acknowledges, and is not taken for gone; that is why
`TCP_USER_TIMEOUT` would not do.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Protocol

TCP_INFO = getattr(socket, "TCP_INFO", None)

# The beginning of Linux's `struct tcp_info`, up to tcpi_last_ack_recv (milliseconds).
NOTES = struct.Struct("=xxBBxxxx 12x 32x 4x I")
TRIES = 4  # as often something was sent or asked in vain


class Watched(Protocol):
    """A connection that can be looked at."""

    transport: Any

    def vanished(self) -> None:
        """The peer is gone."""


def is_vanished(notes: bytes, silent_seconds: float) -> bool:
    """Whether the kernel has tried several times, and heard nothing at all for so long."""
    if len(notes) < NOTES.size:
        return False
    sent_again, asked, silent_ms = NOTES.unpack_from(notes)
    return bool(max(sent_again, asked) >= TRIES and silent_ms >= silent_seconds * 1000)


class Watch:
    """Looks at connections for as long as there are any. A peer is found gone within `dead_seconds`."""

    def __init__(self, reactor: Any, dead_seconds: float) -> None:
        self._reactor = reactor
        self._silent_seconds = dead_seconds * 2 / 3
        self._look_seconds = dead_seconds / 6
        self._watched: dict[Watched, None] = {}
        self._timer: Any = None

    def add(self, connection: Watched) -> None:
        """Look at this connection too."""
        self._watched[connection] = None
        if self._timer is None and TCP_INFO is not None:
            self._timer = self._reactor.callLater(self._look_seconds, self._look)

    def remove(self, connection: Watched) -> None:
        """It has ended."""
        self._watched.pop(connection, None)
        if not self._watched and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._reactor.callLater(self._look_seconds, self._look)
        for connection in list(self._watched):
            if is_vanished(notes_of(connection.transport), self._silent_seconds):
                connection.vanished()


def notes_of(transport: Any) -> bytes:
    """What the kernel knows of a connection; nothing where there is no TCP."""
    try:
        notes: bytes = transport.getHandle().getsockopt(socket.IPPROTO_TCP, TCP_INFO, NOTES.size)
    except (AttributeError, OSError):
        return b""
    return notes
