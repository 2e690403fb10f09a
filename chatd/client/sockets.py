"""A connection for those who do not want to wait: one that never blocks, over one selector.

It dials the addresses of a host one after the other, reads and writes what it can, and tells what came of it.
The selector outlives the connections, so that its file descriptor can be watched by somebody else's loop.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from chatd.client.address import Address
from chatd.client.encrypted import Tunnel
from chatd.client.reasons import why_lost, why_not

DIAL_SECONDS = 10.0
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class WireNews:
    """What became of the connection: bytes came, it was lost, it did not come about, or (nothing set) it is there."""

    chunk: bytes | None = None
    lost: str | None = None
    failed: str | None = None


class Wire:
    """One connection at a time."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.dial_until: float | None = None
        self._address = Address()
        self._tls = tls
        self._tunnel: Tunnel | None = None
        self._is_connected = False
        self._selector = selectors.DefaultSelector()
        self._socket: socket.socket | None = None
        self._places: deque[tuple[Any, ...]] = deque()
        self._problem: OSError | None = None
        self._unsent = bytearray()
        self._news: list[WireNews] = []

    def fileno(self) -> int:
        """What to watch: the selector's own descriptor where it has one, else that of the present connection."""
        own = getattr(self._selector, "fileno", None)
        return int(own()) if own is not None else -1 if self._socket is None else self._socket.fileno()

    def dial(self, address: Address, now: float) -> None:
        """Begin to connect. Looking up a host's name is the one thing that may take a moment."""
        self.dial_until = now + DIAL_SECONDS
        self._problem = None
        self._address = address
        if address.path is not None:
            self._places = deque([(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", address.path)])
        else:
            try:
                found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            except OSError as error:
                self._fail(error)
                return
            self._places = deque(found)
        self._try_next()

    def write(self, blob: bytes) -> None:
        """Send, now or as soon as the other side takes it."""
        if self._socket is None or self.dial_until is not None:
            return
        if self._tunnel is not None and blob:
            self._tunnel.send(blob)
            blob = self._tunnel.to_send()
        self._unsent += blob
        if self._unsent:
            self._send()

    def hang_up(self) -> None:
        """Close the connection, and tell that it is lost."""
        if self._socket is not None:
            self._close()
            self._news.append(WireNews(lost="closed"))

    def wait(self, longest: float | None) -> list[WireNews]:
        """What happened, after waiting for it at most so many seconds; None for as long as it takes."""
        for _, mask in self._selector.select(0 if self._news else longest):
            if not self._is_connected:
                self._connected()
                continue
            if mask & selectors.EVENT_WRITE:
                self._send()
            if mask & selectors.EVENT_READ:
                self._receive()
        if self.dial_until is not None and time.monotonic() >= self.dial_until:
            self._fail(TimeoutError())
        news, self._news = self._news, []
        return news

    def end(self) -> None:
        """Close everything."""
        self._close()
        self._selector.close()

    # -- inside ----------------------------------------------------------------------------------------------

    def _try_next(self) -> None:
        if not self._places:
            self._fail(self._problem or OSError("there is no address"))
            return
        family, kind, protocol, _, place = self._places.popleft()
        try:
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setblocking(False)
            self._selector.register(self._socket, selectors.EVENT_WRITE)
            code = self._socket.connect_ex(place)
        except OSError as error:
            self._next_after(error)
            return
        if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            self._next_after(OSError(code, os.strerror(code)))

    def _next_after(self, problem: OSError) -> None:
        self._close()
        self._problem = self._problem or problem
        self._try_next()

    def _connected(self) -> None:
        assert self._socket is not None
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._next_after(OSError(code, os.strerror(code)))
            return
        self._is_connected = True
        if self._socket.family != getattr(socket, "AF_UNIX", None):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.modify(self._socket, selectors.EVENT_READ)
        if self._tls is None:
            self._ready()
            return
        self._tunnel = Tunnel(self._tls, self._address.host)
        self._unsent += self._tunnel.to_send()
        self._send()

    def _ready(self) -> None:
        self.dial_until = None
        self._news.append(WireNews())

    def _fail(self, error: OSError) -> None:
        self._close()
        self._news.append(WireNews(failed=why_not(error, self._address)))

    def _send(self) -> None:
        assert self._socket is not None
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._unsent.clear()  # reading will tell why
            sent = 0
        del self._unsent[:sent]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        self._selector.modify(self._socket, wanted)

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            chunk = self._socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if not chunk:
            self._lose(None)
        elif self._tunnel is None:
            self._news.append(WireNews(chunk=chunk))
        else:
            self._decrypt(self._tunnel, chunk)

    def _decrypt(self, tunnel: Tunnel, chunk: bytes) -> None:
        try:
            plain = tunnel.receive(chunk)
        except ssl.SSLError as error:
            self._unsent += tunnel.to_send()  # the alert that says why
            self._send()
            self._lose(error)
            return
        self._unsent += tunnel.to_send()
        if self._unsent:
            self._send()
        if tunnel.is_open and self.dial_until is not None:
            self._ready()
        if plain:
            self._news.append(WireNews(chunk=plain))

    def _lose(self, error: OSError | None) -> None:
        if self.dial_until is not None:  # both have not agreed how to encrypt
            self._fail(error or ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))
            return
        self._close()
        self._news.append(WireNews(lost=why_lost(error)))

    def _close(self) -> None:
        self.dial_until = None
        self._is_connected = False
        self._tunnel = None
        self._unsent.clear()
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None
