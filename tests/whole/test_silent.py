"""Silent thousands: connections that say nothing cost little, hold nobody up, and are gone by the login deadline."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.crowd import Wire, frame
from support.measure import allow_files, files_of, memory_of, processor_seconds, wait_until
from support.pair import Pair

WAYS_IN = {
    "the port for everyone": (),
    "the line port": (),
    "programs only": ("--no-detect",),
}
LOGIN_SECONDS = 20
OWN_FILES = 4  # that the journal may open meanwhile
KIBIBYTE = 1 / 1024


class Silent:
    """Many connections that say nothing."""

    def __init__(self, address: tuple[str, int], count: int) -> None:
        self.sockets = []
        for _ in range(count):
            one = socket.socket()
            one.connect(address)
            self.sockets.append(one)

    def close(self) -> None:
        for one in self.sockets:
            one.close()

    def wait_for_the_end(self, seconds: float) -> tuple[float, float]:
        """When the first and when the last was closed by the server, counted from now."""
        start = time.monotonic()
        ends = []
        with selectors.DefaultSelector() as selector:
            for one in self.sockets:
                one.setblocking(False)
                selector.register(one, selectors.EVENT_READ)
            while selector.get_map():
                assert time.monotonic() - start < seconds, f"{len(selector.get_map())} are still there"
                for key, _ in selector.select(0.1):
                    with contextlib.suppress(ConnectionError):
                        if key.fileobj.recv(65536):  # type: ignore[union-attr]
                            continue
                    ends.append(time.monotonic() - start)
                    selector.unregister(key.fileobj)
        return ends[0], ends[-1]


@contextlib.contextmanager
def silent(address: tuple[str, int], count: int) -> Iterator[Silent]:
    crowd = Silent(address, count)
    try:
        yield crowd
    finally:
        crowd.close()


def port_of(server: Any, way: str) -> tuple[str, int]:
    return server.host, server.line_port if way == "the line port" else server.port


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", WAYS_IN)
def test_silent_thousands(start_server: Any, extent: Callable[[int, int], int], way: str) -> None:
    """They say nothing and leave all at once: the pair does not notice, and the descriptors are back in seconds."""
    count = extent(1_000, 10_000)
    allow_files(count + 500)
    server = start_server(*WAYS_IN[way])
    with Pair(server) as pair:
        files, memory, processor = files_of(server), memory_of(server), processor_seconds(server)
        with silent(port_of(server, way), count):
            wait_until(lambda: server.output().count(" connected session") >= count, 60)
            assert files_of(server) >= files + count
            each = (memory_of(server) - memory) / KIBIBYTE / count
            assert each < 16
            cost = (processor_seconds(server) - processor) / count
            with Wire((server.host, server.port)) as newcomer:
                start = time.monotonic()
                newcomer.enter("newcomer", "#pair")
                assert time.monotonic() - start < 1
            time.sleep(1)
        back = wait_until(lambda: files_of(server) <= files + OWN_FILES, 5, lambda: files_of(server))
        told = pair.told()
    assert told.p99 < 1
    print(f"{way}: {each:.1f} KiB and {cost * 1e6:.0f} us each, back after {back:.1f} s; the pair {told}")


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["the port for everyone", "programs only"])
def test_the_deadline_ends_them_without_a_stall(start_server: Any, extent: Callable[[int, int], int], way: str) -> None:
    """All are turned away in the same tick, and the pair talks on."""
    count = extent(1_000, 10_000)
    seconds = extent(4, LOGIN_SECONDS)
    allow_files(count + 500)
    server = start_server(*WAYS_IN[way], environ={"CHATD__LIMITS__LOGIN_SECONDS": str(seconds)})
    files = files_of(server)
    with Pair(server) as pair:
        start = time.monotonic()
        with silent(port_of(server, way), count) as crowd:
            came = time.monotonic() - start
            first, last = crowd.wait_for_the_end(seconds * 2 + 20)
        told = pair.told()
    assert came + first > seconds * 0.9
    assert last < seconds * 1.4 + 5
    assert told.p99 < 1
    wait_until(lambda: files_of(server) <= files + OWN_FILES, 10, lambda: files_of(server))
    print(f"{way}: ended from {came + first:.1f} to {came + last:.1f} s; the pair {told}")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_thousands_who_talked_leave_at_once(start_server: Any, extent: Callable[[int, int], int]) -> None:
    """Each of them had logged in; all are reset in one moment, and the pair talks on."""
    count = extent(500, 5_000)
    allow_files(count + 500)
    server = start_server()
    files = files_of(server)
    hello = frame({"type": "hello", "versions": [1]})
    with Pair(server) as pair:
        crowd = []
        for n in range(count):
            one = socket.create_connection((server.host, server.port))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            one.sendall(hello + frame({"type": "auth", "mechanism": "guest", "nick": f"m{n}"}))
            crowd.append(one)
        wait_until(lambda: server.output().count("logged in") >= count + 2, 60)
        before = processor_seconds(server)
        for one in crowd:
            one.close()
        wait_until(lambda: files_of(server) <= files + OWN_FILES, 20, lambda: files_of(server))
        cost = (processor_seconds(server) - before) / count
        told = pair.told()
    assert told.p99 < 1
    assert server.output().count("disconnected") >= count
    print(f"{cost * 1e6:.0f} us each to go; the pair {told}")


def test_a_server_is_given_as_many_files_as_it_may_have(start_server: Any) -> None:
    """The usual limit of 1,024 is only where it begins."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 512), hard))
        server = start_server("--line-port=none")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) == (hard, hard)
