"""A bad network on loopback: a proxy between clients and a server that cuts, delays and repeats by a seeded plan.

`with Proxy((host, port), seed=7) as proxy:` listens on `proxy.port`. Every `every` seconds or so it does one thing
of `FAULTS` to one of its connections; each kind comes once before any comes again. `proxy.done` counts what was
really done, `proxy.calm()` ends it. It knows bytes and no protocol. It runs in a thread of its own, with plain
sockets in one asyncio loop, so that it can reset, half-close and hold what a library would tidy up.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine
from typing import Any

CHUNK = 65536
MOST_RECORDED = 1 << 18  # bytes of a client that can be replayed from their beginning
PATIENCE = 2.0  # seconds to wait for bytes that a fault needs
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, with a reset


class Way:
    """One direction of a connection, and what is being done to it."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink = source, sink
        self.gate = asyncio.Event()
        self.gate.set()
        self.lag = 0.0  # each piece waits for up to so many seconds
        self.drip = 0  # at most so many bytes at once, with a pause after each
        self.most: int | None = None  # of the next piece only so many bytes; then the connection is cut
        self.withheld: list[bytes] | None = None  # not passed on, but gathered here
        self.passed = asyncio.Event()  # something was passed on since this was cleared


class Pair:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, client: socket.socket, server: socket.socket, chance: random.Random) -> None:
        self.client, self.server = client, server
        self.chance, self.loop = chance, asyncio.get_running_loop()
        self.up, self.down = Way(client, server), Way(server, client)
        self.said = bytearray()
        self.is_open = True
        self.busy = False  # a fault is at work here
        self.tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Pass on what comes, both ways, until both sides are closed or the connection is cut."""
        self.tasks = [asyncio.ensure_future(self._pump(way)) for way in (self.up, self.down)]
        await asyncio.wait(self.tasks)
        self.cut()

    def cut(self, *, hard: bool = True, keep_server: bool = False) -> None:
        """Close both sides; `hard`: with a reset. The server's may be kept."""
        if not self.is_open:
            return
        self.is_open = False
        for task in self.tasks:
            task.cancel()
        ends = [self.client] if keep_server else [self.client, self.server]
        for one in ends:  # when the loop has let go of it: its number may be another's a moment later
            self.loop.call_soon(lambda one=one: close(one, hard=hard))

    async def _pump(self, way: Way) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                chunk = await loop.sock_recv(way.source, CHUNK)
                if not chunk:
                    way.sink.shutdown(socket.SHUT_WR)
                    return
                if way is self.up and len(self.said) <= MOST_RECORDED:
                    self.said += chunk
                if way.withheld is not None:
                    way.withheld.append(chunk)
                    continue
                await self._pass(way, chunk)
        except OSError:
            self.cut()

    async def _pass(self, way: Way, chunk: bytes) -> None:
        loop = asyncio.get_running_loop()
        await way.gate.wait()
        if way.lag:
            await asyncio.sleep(way.lag * self.chance.random())
        if way.most is not None:
            await loop.sock_sendall(way.sink, chunk[: way.most])
            way.passed.set()
            self.cut(hard=self.chance.random() < 0.5)
            return
        while chunk:
            size = way.drip or len(chunk)
            await loop.sock_sendall(way.sink, chunk[:size])
            chunk = chunk[size:]
            way.passed.set()
            if way.drip:
                await asyncio.sleep(0.001)


def close(one: socket.socket, *, hard: bool) -> None:
    """Close a socket: with a reset, or in the orderly way."""
    with contextlib.suppress(OSError):
        if hard:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        one.close()


async def happened(event: asyncio.Event, seconds: float = PATIENCE) -> bool:
    """Wait for it, but not for ever."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


# -- what can be done to a connection: each says whether it was done ----------------------------------------------


async def reset(proxy: Proxy, pair: Pair) -> bool:
    """Both sides hear a reset."""
    pair.cut()
    return True


async def fin(proxy: Proxy, pair: Pair) -> bool:
    """Both sides hear an orderly end."""
    pair.cut(hard=False)
    return True


async def half_close(proxy: Proxy, pair: Pair) -> bool:
    """One side hears an end and can still be heard; what it says goes on to the other."""
    way = proxy.chance.choice((pair.up, pair.down))
    try:
        way.sink.shutdown(socket.SHUT_WR)
    except OSError:
        return False
    way.withheld = []  # what comes from its source is lost
    await asyncio.sleep(0.5 + proxy.chance.random())
    pair.cut()
    return True


async def mid_frame(proxy: Proxy, pair: Pair) -> bool:
    """The connection ends a few bytes into what is being sent, one way or the other."""
    way = proxy.chance.choice((pair.up, pair.down))
    way.passed.clear()
    way.most = proxy.chance.randint(1, 30)
    return await happened(way.passed)


async def before_reply(proxy: Proxy, pair: Pair) -> bool:
    """A request reaches the server, and its answer does not come back."""
    pair.down.gate.clear()
    pair.up.passed.clear()
    reached = await happened(pair.up.passed)
    await asyncio.sleep(0.1)  # the server carries it out
    pair.cut()
    return reached


async def stall(proxy: Proxy, pair: Pair) -> bool:
    """One direction stands still for a while; the other goes on."""
    way = proxy.chance.choice((pair.up, pair.down))
    way.gate.clear()
    await proxy.rest(0.5 + 2.5 * proxy.chance.random())
    way.gate.set()
    return True


async def jitter(proxy: Proxy, pair: Pair) -> bool:
    """For a while each piece takes its own time, both ways."""
    pair.up.lag = pair.down.lag = 0.15
    await proxy.rest(2)
    pair.up.lag = pair.down.lag = 0.0
    return True


async def throttle(proxy: Proxy, pair: Pair) -> bool:
    """For a while only a few bytes pass at once, both ways."""
    pair.up.drip, pair.down.drip = proxy.chance.randint(1, 7), proxy.chance.randint(1, 7)
    await proxy.rest(1.5)
    pair.up.drip = pair.down.drip = 0
    return True


async def replay(proxy: Proxy, pair: Pair) -> bool:
    """A second connection says to the server all that the client has said so far, as a box that retries would."""
    said = bytes(pair.said)
    if not 0 < len(said) <= MOST_RECORDED:
        return False
    return await proxy.say_to_server(said)


async def hold(proxy: Proxy, pair: Pair) -> bool:
    """The client hears a reset and comes back, while the server still has the old connection."""
    pair.cut(keep_server=True)
    came = await proxy.somebody_came()
    await proxy.rest(proxy.chance.random() * 2)
    close(pair.server, hard=proxy.chance.random() < 0.5)
    return came


async def late(proxy: Proxy, pair: Pair) -> bool:
    """What the client said last reaches the server when the client has come back through another connection."""
    pair.up.withheld = withheld = []
    pair.down.gate.clear()
    for _ in range(20):
        await asyncio.sleep(0.05)
        if withheld:
            break
    pair.cut(keep_server=True)
    came = await proxy.somebody_came()
    await asyncio.sleep(0.2)
    delivered = False
    with contextlib.suppress(OSError):
        async with asyncio.timeout(PATIENCE):
            await proxy.loop.sock_sendall(pair.server, b"".join(withheld))
            delivered = bool(withheld)
    await asyncio.sleep(0.2)
    close(pair.server, hard=False)
    return came and delivered


async def refuse(proxy: Proxy, pair: Pair) -> bool:
    """Nobody can connect for a while, and one who was connected has to."""
    proxy.stop_listening()
    pair.cut()
    await proxy.rest(0.3 + proxy.chance.random())
    proxy.listen()
    return True


FAULTS = (reset, fin, half_close, mid_frame, before_reply, stall, jitter, throttle, replay, hold, late, refuse)


class Proxy:
    """Listens on loopback at `port`, passes everything on to `target`, and does what the seed says."""

    host = "127.0.0.1"

    def __init__(self, target: tuple[str, int], *, seed: int, every: float = 0.5) -> None:
        self.target, self.every = target, every
        self.chance = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.connections = 0
        self.port = 0
        self.loop = asyncio.new_event_loop()
        self._pairs: list[Pair] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listener: socket.socket | None = None
        self._acceptor: asyncio.Task[Any] | None = None
        self._came = asyncio.Event()
        self._calm = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="proxy")

    def __enter__(self) -> Proxy:
        self.listen()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)

    def calm(self) -> None:
        """Do nothing bad any more, and end what is going on."""
        self.loop.call_soon_threadsafe(self._calm.set)

    def _run(self) -> None:
        self._start(self._plan())
        self.loop.run_forever()
        self.stop_listening()
        if self._listener is not None:
            self._listener.close()
        for pair in self._pairs:
            pair.cut()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.close()

    def _start(self, what: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self.loop.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _plan(self) -> None:
        """One fault after the other, at random moments, until it is to be calm."""
        deck: list[Any] = []
        while not await happened(self._calm, self.chance.expovariate(1 / self.every)):
            free = [pair for pair in self._pairs if pair.is_open and not pair.busy and pair.said]
            if not free:
                continue
            if not deck:
                deck = self.chance.sample(FAULTS, len(FAULTS))
            self._start(self._do(deck.pop(), self.chance.choice(free)))

    async def _do(self, fault: Any, pair: Pair) -> None:
        pair.busy = True
        try:
            self.done[fault.__name__] += await fault(self, pair)
        finally:
            pair.busy = False

    # -- for the faults -----------------------------------------------------------------------------------

    async def rest(self, seconds: float) -> None:
        """Let it last so long, but no longer than until it is to be calm."""
        await happened(self._calm, seconds)

    async def somebody_came(self) -> bool:
        """Wait for the next connection from a client."""
        self._came.clear()
        return await happened(self._came)

    async def say_to_server(self, said: bytes) -> bool:
        """Say this over a connection of our own, and hear what comes, for a second."""
        is_said = False
        one = socket.socket()
        one.setblocking(False)
        with contextlib.suppress(OSError):  # a time-out is one, too
            async with asyncio.timeout(1):
                await self.loop.sock_connect(one, self.target)
                await self.loop.sock_sendall(one, said)
                is_said = True
                while await self.loop.sock_recv(one, CHUNK):
                    pass
        close(one, hard=False)
        return is_said

    def listen(self) -> None:
        """Let clients connect."""
        self._listener = listener = self._listener or self._bound()
        listener.listen(100)
        self.port = listener.getsockname()[1]
        self._acceptor = self._start(self._accept(listener))

    def _bound(self) -> socket.socket:
        """A socket that has our port, so that nobody else gets it, and refuses everybody until it listens."""
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((self.host, self.port))
        one.setblocking(False)
        return one

    def stop_listening(self) -> None:
        """Let them hear a refusal."""
        if self._acceptor is not None and self._listener is not None:
            self._acceptor.cancel()
            self._listener.close()
            self._acceptor, self._listener = None, self._bound()

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await self.loop.sock_accept(listener)
            self._start(self._serve(client))

    async def _serve(self, client: socket.socket) -> None:
        client.setblocking(False)
        server = socket.socket()
        server.setblocking(False)
        try:
            await self.loop.sock_connect(server, self.target)
        except OSError:
            close(client, hard=True)
            close(server, hard=True)
            return
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = Pair(client, server, self.chance)
        self.connections += 1
        self._pairs = [*(one for one in self._pairs if one.is_open), pair]
        self._came.set()
        await pair.run()
