"""Vanished peers: those whose machine or cable is gone while something was on its way to them.

TCP keepalive asks only peers that owe no acknowledgement; with data on its way the kernel sends it again for a quarter
of an hour before it gives up. So the kernel's own notes are looked at now and then (`TCP_INFO`, Linux only). Somebody
who merely does not read, for an hour if need be, still acknowledges, and is not taken for gone; that is why
`TCP_USER_TIMEOUT` would not do.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Any, Protocol

from chatd.protocols.transport import socket_of

TCP_INFO = getattr(socket, "TCP_INFO", None)
TCP_RTO_MAX_MS = 44
"""The longest that the kernel waits before it sends or asks again, in milliseconds; in Linux since 6.15."""

# The beginning of Linux's `struct tcp_info`, up to tcpi_last_ack_recv (milliseconds).
NOTES = struct.Struct("=xxBBxxxx 12x 32x 4x I")
TRIES = 4  # as often something was sent or asked in vain
# By an older kernel, somebody who has not read for long is asked only every two minutes, and then answers at once.
LONGEST_SILENCE = 125.0


class Watched(Protocol):
    """A connection that can be looked at."""

    transport: Any

    def vanished(self) -> None:
        """The peer is gone."""


def is_vanished(notes: bytes, silent_seconds: float, longest: float = LONGEST_SILENCE) -> bool:
    """Whether the kernel has tried several times, and heard nothing at all for so long.

    After the `longest` silence of somebody who merely does not read, one question that is not answered is enough.
    """
    if len(notes) < NOTES.size:
        return False
    sent_again, asked, silent_ms = NOTES.unpack_from(notes)
    if asked and silent_ms >= longest * 1000:
        return True
    return bool(max(sent_again, asked) >= TRIES and silent_ms >= silent_seconds * 1000)


class Watch:
    """Looks at connections for as long as there are any. A peer is found gone within `dead_seconds`.

    An older kernel needs up to two minutes for one who had stopped reading before.
    """

    def __init__(self, reactor: Any, dead_seconds: float) -> None:
        self._reactor = reactor
        self._dead_seconds = dead_seconds
        self._longest = LONGEST_SILENCE
        self._watched: dict[Watched, None] = {}
        self._timer: Any = None

    def change(self, dead_seconds: float) -> None:
        """Another time from now on."""
        before, self._dead_seconds = self._dead_seconds, dead_seconds
        for connection in self._watched:
            self._ask_often(connection)
        if dead_seconds != before and self._timer is not None:
            self._timer.cancel()
            self._wait()

    def add(self, connection: Watched) -> None:
        """Look at this connection too."""
        self._watched[connection] = None
        self._ask_often(connection)
        if self._timer is None and TCP_INFO is not None:
            self._wait()

    def remove(self, connection: Watched) -> None:
        """It has ended."""
        self._watched.pop(connection, None)
        if not self._watched and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ask_often(self, connection: Watched) -> None:
        if ask_often(connection.transport, self._dead_seconds / 4):
            self._longest = self._dead_seconds * 2 / 3

    def _wait(self) -> None:
        self._timer = self._reactor.callLater(self._dead_seconds / 6, self._look)

    def _look(self) -> None:
        self._wait()
        for connection in list(self._watched):
            if is_vanished(notes_of(connection.transport), self._dead_seconds * 2 / 3, self._longest):
                connection.vanished()


def ask_often(transport: Any, seconds: float) -> bool:
    """Let the kernel wait no longer than this between two tries; False if it is an older one, which waits as it does.

    Twice as long without an answer it waits for somebody whose window has shrunk: so this must not be too short.
    """
    with suppress(AttributeError, OSError):  # no TCP, or no Linux of today
        socket_of(transport).setsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS, max(1000, int(seconds * 1000)))
        return True
    return False


def notes_of(transport: Any) -> bytes:
    """What the kernel knows of a connection; nothing where there is no TCP."""
    if TCP_INFO is None:
        return b""
    try:
        notes: bytes = socket_of(transport).getsockopt(socket.IPPROTO_TCP, TCP_INFO, NOTES.size)
    except (AttributeError, OSError):
        return b""
    return notes
