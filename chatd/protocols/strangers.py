"""Strangers: peers that speak what this server does not. Each gets one readable sentence in its own dialect.

`DIALECTS` has one entry for each: when enough of what the peer says has come, and the bytes that answer it. The
connection is then closed so that the answer arrives: a close with bytes unread would be a reset, and the peer could
lose what it has not read yet. When a way in is built, its factory takes the place of a stranger's in `detect`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.protocols.openings import TUTORIAL_BYTES

LISTEN_SECONDS = 2.0  # for the rest of a request, and again for the peer's close
MOST_BYTES = 16_384  # of a request that is waited for; it is answered all the same

JOIN = "join with telnet or nc on this same port, or with: chatd connect"


@dataclass(frozen=True)
class Dialect:
    """How to answer: `is_whole` tells that enough has come, `answer` makes the bytes."""

    answer: Callable[[bytes], bytes]
    is_whole: Callable[[bytes], bool] = bool


def tls(request: bytes) -> bytes:
    """A fatal alert, handshake_failure (RFC 8446 section 6): a TLS client tells it in words of its own."""
    return bytes.fromhex("15 0301 0002 02 28")


def ssh(request: bytes) -> bytes:
    """A line of text, which may come before the identification (RFC 4253 section 4.2), and a disconnect (11.1)."""
    text = f"This is chatd, a chat server. It does not speak SSH yet: {JOIN}"
    return f"{text}\r\nSSH-2.0-chatd\r\n".encode() + ssh_disconnect(text.encode())


def ssh_disconnect(reason: bytes) -> bytes:
    """An unencrypted packet (RFC 4253 section 6): padded to a multiple of 8 bytes, with at least 4."""
    message, service_not_available = 1, 7
    payload = struct.pack("!BLL", message, service_not_available, len(reason)) + reason + struct.pack("!L", 0)
    padding = 8 - (len(payload) + 5) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack("!LB", 1 + len(payload) + padding, padding) + payload + bytes(padding)


def irc(request: bytes) -> bytes:
    """ERROR, which a server sends before it closes a connection."""
    return f"ERROR :This is chatd, a chat server. It does not speak IRC yet: {JOIN}\r\n".encode()


def tutorial(request: bytes) -> bytes:
    """A message of the classic tutorial: a user name and a text, each behind its length in ten characters."""
    text = f"This server speaks another protocol than the tutorial's: {JOIN}"
    return b"".join(f"{len(part):<{TUTORIAL_BYTES}}{part}".encode() for part in ("chatd", text))


DIALECTS: dict[str, Dialect] = {
    "tls": Dialect(tls),
    "ssh": Dialect(ssh, lambda request: b"\n" in request),
    "irc": Dialect(irc, lambda request: b"\n" in request),
    "tutorial": Dialect(tutorial, lambda request: len(request) > TUTORIAL_BYTES),
}


@implementer(IHalfCloseableProtocol)
class Stranger(Protocol):
    """Hears a peer out, answers it, and closes."""

    transport: Any

    def __init__(self, dialect: Dialect, reactor: Any) -> None:
        self._dialect = dialect
        self._reactor = reactor
        self._request: bytes | None = b""  # None once it is answered
        self._timer: Any = None

    def connectionMade(self) -> None:
        self._timer = self._reactor.callLater(LISTEN_SECONDS, self._answer)

    def dataReceived(self, data: bytes) -> None:
        if self._request is not None:
            self._request += data
            if self._dialect.is_whole(self._request) or len(self._request) > MOST_BYTES:
                self._answer()

    def readConnectionLost(self) -> None:
        """The peer has said everything."""
        self._answer()
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Everything is said; the peer's end is awaited."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._timer.active():
            self._timer.cancel()

    def _answer(self) -> None:
        if self._request is None:
            return
        self.transport.write(self._dialect.answer(self._request))
        self._request = None
        half_close = getattr(self.transport, "loseWriteConnection", self.transport.loseConnection)
        half_close()
        if self._timer.active():
            self._timer.cancel()
        self._timer = self._reactor.callLater(LISTEN_SECONDS, self.transport.abortConnection)


class StrangerFactory(Factory):
    """Answers strangers of one dialect."""

    noisy = False

    def __init__(self, dialect: Dialect, reactor: Any) -> None:
        self._dialect = dialect
        self._reactor = reactor

    def buildProtocol(self, addr: IAddress | None) -> Stranger:
        return Stranger(self._dialect, self._reactor)


def factories(reactor: Any) -> dict[str, StrangerFactory]:
    """A factory for each dialect that can be told by its opening and is not spoken."""
    return {name: StrangerFactory(dialect, reactor) for name, dialect in DIALECTS.items()}
