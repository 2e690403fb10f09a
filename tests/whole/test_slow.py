"""Slow readers: hundreds that do not read cost little memory, hold nobody up, and miss nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from support.crowd import Wire, frame
from support.measure import MEBIBYTE, allow_files, memory_of
from support.pair import Pair
from support.sleepers import Sleeper, read_until

BODY = 8000
ROOM = "#lobby"
Extent = Callable[[int, int], int]


@contextmanager
def sleeping(server: Any, count: int, kinds: tuple[str, ...]) -> Iterator[list[Sleeper]]:
    """So many members who do not read, of these kinds in turn."""
    allow_files(2 * count + 200)
    with ExitStack() as open_sockets:
        sleepers = []
        for n in range(count):
            one = Sleeper(server, f"s{n}", ROOM, kinds[n % len(kinds)])
            open_sockets.callback(one.socket.close)
            sleepers.append(one)
        yield sleepers


def chat(server: Any, mebibytes: int) -> tuple[int, float]:
    """Say so much where the sleepers are: how many messages it was, and the 99th percentile of what a reader waited."""
    count = mebibytes * MEBIBYTE // BODY
    waits = []
    with Wire((server.host, server.port), 60) as speaker, Wire((server.host, server.port), 60) as reader:
        speaker.enter("speaker", ROOM)
        reader.enter("reader", ROOM)
        seq = 0
        while seq < count:
            batch = range(seq + 1, min(count, seq + 4) + 1)
            start = time.monotonic()
            speaker.send(*({"type": "send", "room": ROOM, "body": f"{n} " + "x" * (BODY - 10)} for n in batch))
            for n in batch:
                assert reader.until("message")["seq"] == n
                waits.append(time.monotonic() - start)
            seq = batch[-1]
            reader.heard.clear()
    return count, sorted(waits)[int(len(waits) * 0.99)]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_hundreds_that_never_read_cost_little_and_miss_nothing(start_server: Any, extent: Extent) -> None:
    """A46: at soak 500 members that never read while 64 MiB of chat goes by.

    The memory stays below 64 KiB for each and 16 MB, while they sleep, while a few read again and while all do; the
    pair in another room, and a reader in the same one, wait less than a second; each of the 500 gets everything in
    order. They are framed JSON, MessagePack and people.
    """
    server = start_server()
    members, mebibytes = extent(100, 500), extent(6, 64)
    allowed = members * 65_536 / MEBIBYTE + 16
    with sleeping(server, members, ("json", "msgpack", "line")) as sleepers:
        before = highest = memory_of(server)

        def look() -> None:
            nonlocal highest
            highest = max(highest, memory_of(server))
            assert highest - before < allowed, f"grew by {highest - before:.0f} MiB of {allowed:.0f}"

        with Pair(server) as pair:
            start = time.monotonic()
            count, p99 = chat(server, mebibytes)
            said = time.monotonic()
            look()
            grew = f"grew by {highest - before:.0f} MiB of {allowed:.0f}"
            print(f"{mebibytes} MiB said in {said - start:.1f} s: {grew}; a reader waited {p99:.3f} s", flush=True)
            read_until(sleepers[:6], count, 600, look)
            few = time.monotonic()
            read_until(sleepers, count, 3000, look)
            took = time.monotonic() - few
            told = pair.told()
        grew = f"grew by {highest - before:.0f} MiB of {allowed:.0f}"
        print(f"six read again in {few - said:.1f} s, all in {took:.1f} s: {grew}; {told}", flush=True)
        assert p99 < 1
        assert told.p99 < 1
        with Wire((server.host, server.port)) as tom:  # they are live again
            tom.enter("tom", ROOM)
            assert tom.ask("send", room=ROOM, body=f"{count + 1} x")["seq"] == count + 1
            read_until(sleepers, count + 1, 20)
    assert server.stop() == 0
    assert " slow_readers=" not in server.output()  # none is left


@pytest.mark.slow
def test_a_stop_waits_for_nobody_who_does_not_read(start_server: Any) -> None:
    """Some stopped in the midst of live chat, one in the midst of a replay, one of a page, and one said goodbye."""
    server = start_server()
    with sleeping(server, 9, ("json", "msgpack", "line")) as sleepers:
        count, _ = chat(server, 2)
        with ExitStack() as wires:
            for request in ({"type": "join", "since": 0}, {"type": "history", "limit": 200}):
                wire = wires.enter_context(Wire((server.host, server.port)))
                wire.enter(f"stuck{request['type']}", *([] if "since" in request else [ROOM]))
                wire.send(*({**request, "id": str(n), "room": ROOM} for n in range(20)))
            sleepers[0].socket.sendall(frame({"type": "quit", "id": "q"}))
            sleepers[2].socket.sendall(b"/quit\n")
            start = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - start < 8
    assert "dropped=" in server.output()
    assert count
