"""Floods: who floods is told so and is not thrown out; the others lose nothing and wait for nobody."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.crowd import LineWire, Wire, frame
from support.measure import MEBIBYTE, memory_of, processor_seconds, wait_until
from support.pair import Pair

Extent = Callable[[int, int], int]
# Nobody is trusted; the pair, five messages a second each, keeps to the rate.
FOREIGN = {"CHATD__LIMITS__TRUSTED_NETWORKS": "[]", "CHATD__LIMITS__MESSAGES_PER_SECOND": "10"}
PATIENCE = 50.0  # MiB that the server may grow by: the writer's batches and SQLite's caches; not what was sent
TOLD = re.compile(rb"\*\*\* (\d+) more lines? came too fast")


class Flood:
    """Sends the same piece again and again from a thread of its own, and reads what is answered meanwhile."""

    def __init__(self, peer: socket.socket, piece: bytes, size: int) -> None:
        self.answers = bytearray()
        self.peer = peer
        self.peer.settimeout(60)
        self._left = size // len(piece) or 1
        self.pieces = self._left
        self._piece = piece * min(self._left, 65_536 // len(piece) or 1)
        self._each = len(piece)
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        while self._left:
            count = min(self._left, len(self._piece) // self._each)
            self.peer.sendall(self._piece[: count * self._each])
            self._left -= count

    def read_until(self, is_done: Callable[[bytes], bool], seconds: float) -> None:
        """Read the answers until this is true of them."""
        deadline = time.monotonic() + seconds
        while not is_done(self.answers):
            assert time.monotonic() < deadline, self.answers[-500:]
            chunk = self.peer.recv(262_144)
            assert chunk, f"thrown out: {self.answers[-500:]!r}"
            self.answers += chunk
        self._thread.join(60)


def last_of(reader: Wire) -> int:
    """How many messages were said in the lobby so far."""
    reader.heard.clear()
    return int(reader.ask("history", room="#lobby", limit=1)["last_seq"])


@contextmanager
def unharmed(server: Any, what: str) -> Iterator[None]:
    """Meanwhile the pair loses nothing and waits less than a second, and the server does not grow much."""
    before, used, start = memory_of(server), processor_seconds(server), time.monotonic()
    with Pair(server) as pair:
        yield
        seconds, processor = time.monotonic() - start, processor_seconds(server) - used
        told = pair.told()
    grown = memory_of(server) - before
    print(f"{what}: {seconds:.1f} s, processor {processor:.2f} s, +{grown:.0f} MiB, {told}")
    assert told.p99 < 1
    assert grown < PATIENCE


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_program_that_floods_is_told_so_each_time_and_stays(start_server: Any, extent: Extent) -> None:
    """At soak 32 MB of small messages from a foreign address: each is answered, nearly all with RATE_LIMITED."""
    server = start_server(environ=FOREIGN)
    with Wire((server.host, server.port), 60) as wire, unharmed(server, "framed, refused"):
        wire.enter("flooder", "#lobby")
        piece = frame({"type": "send", "id": "f", "room": "#lobby", "body": "x" * 20})
        flood = Flood(wire.socket, piece, extent(2, 32) * MEBIBYTE)
        flood.read_until(lambda answers: answers.count(b'"re":"f"') == flood.pieces, 3000)
        refused = flood.answers.count(b'"code":"RATE_LIMITED"')
        assert flood.answers.count(b'"retry_after":') == refused > flood.pieces * 0.9
        assert flood.answers.count(b'"ok":true') == flood.pieces - refused >= 10
    assert server.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_person_who_floods_is_told_in_a_few_words_and_stays(start_server: Any, extent: Extent) -> None:
    """The same by telnet: not a word for each of 400,000 lines, and none of them is left out of what is told."""
    server = start_server(environ=FOREIGN)
    with LineWire((server.host, server.line_port), 60) as person, unharmed(server, "line, refused"):
        person.enter("flooder")
        piece = b"x" * 79 + b"\n"
        flood = Flood(person.socket, piece, extent(2, 32) * MEBIBYTE)
        with Wire((server.host, server.port), 60) as reader:
            reader.enter("reader", "#lobby")

            def are_all_told(answers: bytes) -> bool:
                refused = sum(int(count) for count in TOLD.findall(answers)) + answers.count(b"*** Not sent:")
                return refused + last_of(reader) == flood.pieces

            flood.read_until(are_all_told, 3000)
        assert flood.answers.count(b"RATE_LIMITED") < 20 + flood.pieces / 1000
    assert server.stop() == 0


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["framed", "line"])
def test_a_trusted_flood_without_rates_holds_nobody_up(start_server: Any, extent: Extent, way: str) -> None:
    """From loopback, where no rates hold: everything is said, and the pair does not notice."""
    server = start_server()
    port = server.line_port if way == "line" else server.port
    wire: Any = LineWire((server.host, port), 60) if way == "line" else Wire((server.host, port), 60)
    with wire, Wire((server.host, server.port), 60) as reader, unharmed(server, f"{way}, trusted"):
        reader.enter("reader", "#lobby")
        wire.enter("flooder", *([] if way == "line" else ["#lobby"]))
        piece = frame({"type": "send", "id": "f", "room": "#lobby", "body": "x" * 20})
        flood = Flood(wire.socket, b"x" * 79 + b"\n" if way == "line" else piece, extent(1, 32) * MEBIBYTE)
        if way == "framed":
            flood.read_until(lambda answers: answers.count(b'"re":"f"') == flood.pieces, 3000)
        wait_until(lambda: last_of(reader) == flood.pieces, 3000, lambda: last_of(reader))
    assert server.stop() == 0


OTHERS: list[Any] = [
    {"type": "history", "room": "#lobby"},
    {"type": "list", "what": "users"},
    {"type": "join", "room": "#other"},
    {"type": "nick", "nick": "flooder"},
    {"type": "presence", "typing": {"room": "#lobby", "state": "active"}},
    {"type": "ping"},
    {"type": "nonsense"},
    None,  # no JSON at all
]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_other_requests_in_masses_hold_nobody_up(start_server: Any, extent: Extent) -> None:
    """Each is answered, most of them with RATE_LIMITED or what is wrong with them, and the pair does not notice."""
    server = start_server(environ=FOREIGN)
    with Wire((server.host, server.port), 60) as wire, unharmed(server, "all others"):
        wire.enter("flooder", "#lobby")
        for _ in range(8):
            assert wire.ask("send", room="#lobby", body="x" * 8000)["ok"]
        for request in OTHERS:
            piece = b"\0\0\0\x01{" if request is None else frame({**request, "id": "f"})
            mark = b'"type":"error"' if request is None else b'"re":"f"'
            used = processor_seconds(server)
            flood = Flood(wire.socket, piece, extent(MEBIBYTE // 8, 4 * MEBIBYTE))
            flood.read_until(lambda answers, mark=mark, flood=flood: answers.count(mark) == flood.pieces, 3000)
            each = (processor_seconds(server) - used) / flood.pieces * 1e6
            print(f"{request and request['type']}: {each:.1f} µs each, {flood.pieces} times")
    assert server.stop() == 0
