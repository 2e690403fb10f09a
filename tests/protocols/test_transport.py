"""What is sent at once and what is buffered arrive as one stream, and a peer that does not read is noticed."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, task, tcp
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from chatd.protocols.connection import limit_kernel_queue
from chatd.protocols.transport import PromptWrite, send_promptly


class Talker(Protocol):
    """Tells of its beginning and end, and whether the transport wanted it to wait."""

    def __init__(self, factory: Talkers) -> None:
        self.talkers = factory
        self.waits: list[bool] = []

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        self.talkers.made.callback(self)

    def connectionLost(self, reason: Any = None) -> None:
        self.talkers.lost.callback(None)

    def pauseProducing(self) -> None:
        self.waits.append(True)

    def resumeProducing(self) -> None:
        self.waits.append(False)

    def stopProducing(self) -> None:
        pass


class Producer:
    """Does nothing when it is told to wait."""

    def pauseProducing(self) -> None:
        pass

    resumeProducing = stopProducing = pauseProducing


class Crowd(Factory):
    """Those who are here."""

    noisy = False

    def __init__(self) -> None:
        self.inside: list[Protocol] = []

    def buildProtocol(self, addr: Any) -> Protocol:
        one = Protocol()
        one.connectionMade = lambda: self.inside.append(one)  # type: ignore[method-assign]
        one.connectionLost = lambda reason=None: self.inside.remove(one)  # type: ignore[method-assign, assignment]
        return one


class Talkers(Factory):
    noisy = False

    def __init__(self) -> None:
        self.made: Deferred[Talker] = Deferred()
        self.lost: Deferred[None] = Deferred()

    def buildProtocol(self, addr: Any) -> Talker:
        return Talker(self)


async def read_all(peer: socket.socket, size: int) -> bytes:
    """Read so much, and let the reactor run meanwhile."""
    peer.setblocking(False)
    data = b""
    while len(data) < size:
        try:
            data += peer.recv(65536)
        except BlockingIOError:
            await task.deferLater(reactor, 0.001)
    return data


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest_twisted.ensureDeferred
async def test_nothing_is_lost_or_mixed_between_kernel_and_buffer(kind: str, tmp_path: Path) -> None:
    talkers = Talkers()
    if kind == "tcp":
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(talkers)
        send_promptly(port)
        peer = socket.create_connection(("127.0.0.1", port.getHost().port))
    else:
        port = await UNIXServerEndpoint(reactor, str(tmp_path / "s")).listen(talkers)
        send_promptly(port)
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(tmp_path / "s"))
    talker = await talkers.made
    transport: Any = talker.transport
    assert isinstance(transport, PromptWrite)

    transport.write(b"at once")
    assert peer.recv(100) == b"at once"  # without a turn of the reactor
    assert not transport._tempDataBuffer
    assert not talker.waits
    limit_kernel_queue(transport, 32_768)
    sent = 0
    while not talker.waits:  # as soon as the kernel does not take everything
        transport.write(b"x" * 1000)
        sent += 1000
    assert 0 < transport._tempDataLen <= 1000
    assert len(await read_all(peer, sent)) == sent
    while talker.waits[-1]:
        await task.deferLater(reactor, 0.001)

    blocks = [bytes([n]) * 100_000 for n in range(100)]  # far more than the kernel takes
    for block in blocks:
        transport.write(block)
    assert talker.waits[-1]
    assert await read_all(peer, 10_000_000) == b"".join(blocks)
    await task.deferLater(reactor, 0.01)
    assert talker.waits[-1] is False

    transport.write(b"prompt again")
    assert peer.recv(100) == b"prompt again"
    transport.write(b"last words")
    transport.loseConnection()
    assert await read_all(peer, 10) == b"last words"
    await talkers.lost
    transport.write(b"nobody hears this")
    peer.close()
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_peer_that_is_gone_is_noticed_by_the_write() -> None:
    talkers = Talkers()
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(talkers)
    send_promptly(port)
    peer = socket.create_connection(("127.0.0.1", port.getHost().port))
    talker = await talkers.made
    talker.transport.stopReading()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    peer.close()
    talker.transport.write(b"x")
    talker.transport.write(b"y")
    await talkers.lost
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_of_many_who_come_together_each_has_a_small_table() -> None:
    """They come before any of them is given a producer; with tables of their own they would take 800 bytes each."""
    many = 40
    factory = Crowd()
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    send_promptly(port)
    peers = [socket.create_connection(("127.0.0.1", port.getHost().port)) for _ in range(many)]
    while len(factory.inside) < many:
        await task.deferLater(reactor, 0.001)
    for one in factory.inside:
        one.transport.registerProducer(Producer(), True)
    sizes = [sys.getsizeof(vars(one.transport)) for one in factory.inside]
    for peer in peers:
        peer.close()
    while factory.inside:
        await task.deferLater(reactor, 0.001)
    await port.stopListening()
    assert max(sizes) < 500


@pytest_twisted.ensureDeferred
async def test_an_end_that_comes_twice_is_told_once() -> None:
    """An abort is carried out in the next turn; until then something else may have ended it."""
    talkers = Talkers()
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(talkers)
    send_promptly(port)
    peer = socket.create_connection(("127.0.0.1", port.getHost().port))
    transport: Any = (await talkers.made).transport
    told: list[str] = []
    transport.when_closed = lambda: told.append("closed")
    transport.abortConnection()
    transport.connectionLost(Failure(ConnectionDone()))
    await talkers.lost
    await task.deferLater(reactor, 0.01)
    assert told == ["closed"]
    peer.close()
    await port.stopListening()


def test_what_is_leaned_on_is_there() -> None:
    """If a new Twisted names these otherwise, `PromptWrite` has to change."""
    one = tcp.Server.__new__(tcp.Server)
    for name in ("dataBuffer", "offset", "connected", "_writeDisconnected", "TLS", "_isSendBufferFull"):
        assert hasattr(one, name), name
    assert tcp.Port.transport is tcp.Server
