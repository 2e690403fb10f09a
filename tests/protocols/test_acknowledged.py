"""What a peer has acknowledged is asked of the kernel, also right before a connection is closed. With real sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from chatd.protocols.acknowledged import TCP_INFO, Counted
from chatd.protocols.transport import send_promptly

pytestmark = pytest.mark.skipif(TCP_INFO is None, reason="only Linux tells it")


class Counting(Counted, Protocol):
    """Counts what it writes."""

    def __init__(self, here: Deferred[Any]) -> None:
        self.here, self.gone = here, Deferred()  # type: ignore[var-annotated]

    def connectionMade(self) -> None:
        self.here.callback(self)

    def send(self, blob: bytes) -> None:
        self.wrote(blob)
        self.transport.write(blob)

    def connectionLost(self, reason: Any = None) -> None:
        self.gone.callback(self.acknowledged())


@pytest.fixture
def port() -> Iterator[Any]:
    """Where one peer may call; `port.here` is our side of it."""
    factory = Factory()
    here: Deferred[Any] = Deferred()
    factory.buildProtocol = lambda addr: Counting(here)  # type: ignore[method-assign,assignment]
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    send_promptly(port)
    port.here = here
    yield port
    pytest_twisted.blockon(port.stopListening())


async def met(port: Any, buffer: int = 0) -> tuple[Any, socket.socket]:
    peer = socket.socket()
    if buffer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    peer.connect(("127.0.0.1", port.getHost().port))
    return await port.here, peer


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


@pytest_twisted.ensureDeferred
async def test_all_that_a_peer_has_is_acknowledged_at_once(port: Any) -> None:
    ours, peer = await met(port)
    assert ours.acknowledged() == 0
    ours.send(b"x" * 1000)
    assert len(peer.recv(2000)) == 1000
    assert ours.acknowledged() == ours.written == 1000
    peer.close()
    assert await ours.gone == 1000


@pytest_twisted.ensureDeferred
async def test_what_a_peer_has_no_room_for_is_not_and_that_is_known_after_its_end(port: Any) -> None:
    ours, peer = await met(port, buffer=2048)
    for _ in range(400):
        ours.send(b"x" * 1000)
    await deferLater(reactor, 0.3)
    there = len(peer.recv(1 << 20, socket.MSG_PEEK))
    assert 0 < there < ours.written
    assert ours.acknowledged() == there
    reset(peer)
    assert await ours.gone == there


@pytest_twisted.ensureDeferred
async def test_our_own_end_of_it_counts_no_more_either(port: Any) -> None:
    ours, peer = await met(port, buffer=2048)
    ours.send(b"x" * 400_000)
    await deferLater(reactor, 0.3)
    there = len(peer.recv(1 << 20, socket.MSG_PEEK))
    ours.transport.abortConnection()
    assert await ours.gone == there
    peer.close()


def test_where_nobody_can_be_asked_what_was_handed_over_counts() -> None:
    ours = Counting(Deferred())
    ours.transport = None
    ours.wrote(b"x" * 10)
    assert ours.acknowledged() == 10
