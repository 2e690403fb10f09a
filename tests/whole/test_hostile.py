"""Hostile peers: floods of connections and of bytes cost those who make them, and nobody else."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from support import flood
from support.crowd import LineWire, Wire, frame, greeting
from support.measure import files_of, memory_of, processor_seconds, wait_until
from support.pair import Pair

OWN_FILES = 4  # that the journal may open meanwhile
HELLO = frame({"type": "hello", "id": "h", "versions": [1]})

RESETS = {
    "nothing": b"",
    "one byte": b"\0",
    "a word": b"a",
    "half a request": b"GET / HT",
    "hello": HELLO,
    "a login": greeting("flood", "#flood"),
}


@pytest.mark.slow
def test_connect_and_reset(start_server: Any, extent: Callable[[int, int], int]) -> None:
    """Two processes connect and reset as fast as they can: nothing is left of it, and the pair talks on."""
    seconds = extent(1, 20)
    server = start_server("--line-port=none")
    files, memory = files_of(server), memory_of(server)
    for said, blob in RESETS.items():
        with Pair(server) as pair:
            processor = processor_seconds(server)
            floods = [flood.start(server, seconds / 2, blob) for _ in range(2)]
            count = sum(int(one.communicate(timeout=seconds + 30)[0]) for one in floods)
            told = pair.told()
        wait_until(lambda: files_of(server) <= files + OWN_FILES, 20, lambda: files_of(server))
        cost = (processor_seconds(server) - processor) / count
        print(f"{said}: {count} connections, {cost * 1e6:.0f} us each; the pair {told}")
        assert told.p99 < 1
    assert memory_of(server) - memory < 16
    assert "Traceback" not in server.output()


DRIPS = {
    "a line": b"abcdefgh" * 9,
    "a frame": b"\0\0\xf0\0{" + b" " * 60,
    "frames": b"\0\0\0\2{}" * 12,
    "the tutorial's header": b"5         hello" * 5,
    "a request": b"GET / HTTP/1.1\r\nHost: " + b"x" * 60,
    "a client hello": b"\x16\x03\x01" + b"\0" * 60,
    "telnet": b"\xff\xfd\x01" * 24,
    "a subnegotiation": b"\xff\xfa" + b"x" * 70,
}


def drip(drops: dict[str, tuple[socket.socket, bytes]], seconds: float) -> dict[str, float]:
    """Send each a byte now and then, until it is closed; when that was."""
    ends: dict[str, float] = {}
    start = time.monotonic()
    for n in range(64):
        for name, (one, blob) in drops.items():
            if name in ends:
                continue
            try:
                one.send(blob[n : n + 1])
                one.setblocking(False)
                while one.recv(65536):
                    pass
                ends[name] = time.monotonic() - start
            except BlockingIOError:
                continue
            except ConnectionError:
                ends[name] = time.monotonic() - start
        if len(ends) == len(drops):
            break
        assert time.monotonic() - start < seconds, f"still there: {drops.keys() - ends.keys()}"
        time.sleep(0.2)
    return ends


@pytest.mark.slow
def test_who_comes_in_drops_is_gone_at_the_deadline(start_server: Any) -> None:
    """A byte now and then keeps nobody at the door: the time runs from the beginning of the connection."""
    login_seconds = 2
    server = start_server(environ={"CHATD__LIMITS__LOGIN_SECONDS": str(login_seconds)})
    files = files_of(server)
    address, line_address = (server.host, server.port), (server.host, server.line_port)
    drops = {name: (socket.create_connection(address), blob) for name, blob in DRIPS.items()}
    for name in ("a line", "telnet", "a subnegotiation"):
        drops[name + ", on the line port"] = (socket.create_connection(line_address), DRIPS[name])
    ends = drip(drops, 12)
    assert ends.keys() == drops.keys()
    for one, _ in drops.values():
        one.close()
    wait_until(lambda: files_of(server) <= files + OWN_FILES, 10, lambda: files_of(server))


@pytest.mark.slow
def test_a_frame_in_drops_is_a_sign_of_life(start_server: Any) -> None:
    """Somebody who is in may be as slow as can be; with half a frame and then silence, the silence decides."""
    limits = {"CHATD__LIMITS__IDLE_SECONDS": "1", "CHATD__LIMITS__DEAD_SECONDS": "2"}
    server = start_server(environ=limits)
    with Wire((server.host, server.port)) as tom:
        tom.enter("tom", "#lobby")
        memory = memory_of(server)
        blob = frame({"type": "send", "id": "slow", "room": "#lobby", "body": "x" * 40})
        for byte in blob[:24]:
            tom.socket.send(bytes([byte]))
            time.sleep(0.15)
        tom.socket.sendall(blob[24:])
        while tom.read().get("re") != "slow":
            pass
        tom.socket.sendall(b"\0\0\xf0\0{")
        start = time.monotonic()
        with contextlib.suppress(EOFError, ConnectionError):
            while tom.read():
                pass
        assert 1 < time.monotonic() - start < 6
        assert memory_of(server) - memory < 4


TELNET = {
    "DO": b"\xff\xfd\x18",
    "WILL": b"\xff\xfb\x18",
    "timing marks": b"\xff\xfd\x06",
    "are you there": b"\xff\xf6",
    "interrupts": b"\xff\xf4",
    "IAC IAC": b"\xff\xff",
    "a subnegotiation without end": b"x",
    "empty lines": b"\n",
    "unknown commands": b"/xyzzy\n",
}


def flood_with(one: socket.socket, blob: bytes, size: int, seconds: float) -> int:
    """Send so many bytes of this, without reading; how many were taken until it had to wait for long."""
    one.settimeout(0.5)
    sent, end = 0, time.monotonic() + seconds
    blob *= 65536 // len(blob)
    with contextlib.suppress(TimeoutError, ConnectionError):
        while sent < size and time.monotonic() < end:
            sent += one.send(blob)
    return sent


def wait_for_rest(server: Any) -> None:
    """Wait until the server has dealt with all that it took."""
    spent = -1.0
    while processor_seconds(server) - spent > 0.03:
        spent = processor_seconds(server)
        time.sleep(0.3)


@pytest.mark.slow
def test_floods_of_telnet_are_bounded(start_server: Any, extent: Callable[[int, int], int]) -> None:
    """A million options and the like, by people who never read: no memory for it, and the pair talks on."""
    server = start_server()
    with Pair(server) as pair:
        for n, (said, blob) in enumerate(TELNET.items()):
            with LineWire((server.host, server.line_port)) as tom:
                tom.enter(f"flooder{n}")
                memory, processor = memory_of(server), processor_seconds(server)
                if said.startswith("a sub"):
                    tom.socket.sendall(b"\xff\xfa")
                sent = flood_with(tom.socket, blob, extent(300_000, 4_000_000), extent(1, 60))
                wait_for_rest(server)
                grown, cost = memory_of(server) - memory, processor_seconds(server) - processor
                print(f"{said}: {sent} bytes taken, {cost:.2f} s of processor, {grown:.1f} MiB more")
            assert grown < 8
        told = pair.told()
    print(told)
    assert told.p99 < 1
