"""Ports: newcomers are let in while there is room, wait where there is none, and come in when somebody leaves."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.logger import globalLogPublisher

from chatd.errors import Exit
from chatd.listeners import Way, listen
from chatd.ports import ACCEPTED_A_TURN, RETRY_SECONDS, TELL_SECONDS, Gate, raise_limit_of_files, room_for_connections


class Greeter(Protocol):
    """Greets, and closes when it hears anything."""

    def connectionMade(self) -> None:
        self.transport.write(b"welcome")

    def dataReceived(self, data: bytes) -> None:
        self.transport.loseConnection()


class Clumsy(Factory):
    """Fails at every newcomer, at once or a little later."""

    noisy = False

    def __init__(self, later: bool) -> None:
        self.later = later

    def buildProtocol(self, addr: object) -> Protocol:
        if not self.later:
            raise ZeroDivisionError
        broken = Protocol()
        broken.connectionMade = lambda: 1 // 0  # type: ignore[method-assign, assignment]
        return broken


Open = Callable[..., Awaitable[Any]]


@pytest_twisted.async_yield_fixture
async def open_port() -> AsyncIterator[Open]:
    """Opens a port behind a gate, and closes both with the test."""
    opened: list[Any] = []

    async def open_one(gate: Gate, factory: Any = None, place: int | str = 0) -> Any:
        way = Way(protocol="line", option="--port", place=place, is_chosen=True, exit_code=Exit.USAGE)
        [port] = await listen(reactor, way, ("127.0.0.1",), factory or Factory.forProtocol(Greeter), gate)
        opened.extend((gate, port))
        return port

    yield open_one
    for gate, port in zip(opened[::2], opened[1::2], strict=True):
        gate.close()
        if port.connected:
            await port.stopListening()


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What the gate warns of."""
    lines: list[str] = []

    def note(event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "chatd.ports.Gate" and event["log_level"].name == "warn":
            lines.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(note)
    yield lines
    globalLogPublisher.removeObserver(note)


def callers(port: Any, count: int) -> list[socket.socket]:
    """So many who connect, none of whom waits for anything."""
    made = []
    for _ in range(count):
        one = socket.socket()
        one.settimeout(5)
        one.connect(("127.0.0.1", port.getHost().port))
        one.setblocking(False)
        made.append(one)
    return made


def heard(one: socket.socket) -> bytes | None:
    """What has come; None for nothing yet."""
    try:
        return one.recv(100)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""


async def pause(turns: int = 10) -> None:
    for _ in range(turns):
        await deferLater(reactor, 0.001)


@pytest_twisted.ensureDeferred
async def test_who_finds_no_room_waits_until_somebody_leaves(open_port: Open, told: list[str]) -> None:
    """Newcomers over the cap are not closed: they wait, and come in in their order. It is told once."""
    gate = Gate(reactor, 2)
    one, two, three, four = crowd = callers(await open_port(gate), 4)
    await pause()
    assert [heard(caller) for caller in crowd] == [b"welcome", b"welcome", None, None]
    two.send(b"bye")
    await pause()
    assert [heard(caller) for caller in (three, four)] == [b"welcome", None]
    one.close()
    await pause()
    assert heard(four) == b"welcome"
    assert gate.inside == 2
    for caller in crowd:
        caller.close()
    await pause()
    assert gate.inside == 0
    why = "no more can be (limits.connections, and what ulimit -n allows)"
    assert told == [f"newcomers have to wait, 2 are inside: {why}"]


@pytest_twisted.ensureDeferred
async def test_a_full_house_that_nobody_wants_to_enter_says_nothing(open_port: Open, told: list[str]) -> None:
    gate = Gate(reactor, 2)
    crowd = callers(await open_port(gate), 2)
    await pause()
    assert gate.inside == 2
    assert told == []
    for caller in crowd:
        caller.close()
    await pause()


@pytest_twisted.ensureDeferred
async def test_without_descriptors_it_rests_and_goes_on_by_itself(open_port: Open, told: list[str]) -> None:
    """EMFILE: the loop does not turn for nothing, it is told once a minute, and nobody who waits is lost."""
    clock = Clock()
    gate = Gate(clock, 1000)
    port = await open_port(gate)
    [caller] = callers(port, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        for seconds in (0, RETRY_SECONDS, RETRY_SECONDS, TELL_SECONDS):
            clock.advance(seconds)
            await pause()
            assert port not in reactor.getReaders()  # type: ignore[attr-defined]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert heard(caller) is None
    clock.advance(RETRY_SECONDS)
    await pause()
    assert heard(caller) == b"welcome"
    assert told == ["newcomers have to wait, 0 are inside: Too many open files"] * 2
    caller.close()
    await pause()


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_closed_meanwhile_stays_closed(open_port: Open) -> None:
    gate = Gate(reactor, 1)
    port = await open_port(gate)
    inside, outside = callers(port, 2)
    await pause()
    await port.stopListening()
    inside.close()
    await pause()
    assert gate.inside == 0
    assert heard(outside) == b""
    assert port not in reactor.getReaders()  # type: ignore[attr-defined]
    outside.close()


@pytest.mark.parametrize("later", [False, True])
@pytest_twisted.ensureDeferred
async def test_a_mistake_of_ours_costs_one_connection(open_port: Open, logged_errors: Any, later: bool) -> None:
    """An exception while a protocol is built or begins leaves no socket behind, and the next newcomer is heard."""
    gate = Gate(reactor, 100)
    port = await open_port(gate, Clumsy(later))
    before = len(os.listdir("/proc/self/fd"))
    crowd = callers(port, 20)
    await pause()
    assert [heard(caller) for caller in crowd] == [b""] * 20
    for caller in crowd:
        caller.close()
    await pause()
    assert len(logged_errors.take(ZeroDivisionError)) == 20
    assert gate.inside == 0
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest_twisted.ensureDeferred
async def test_a_unix_peer_may_have_any_name(open_port: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of four characters is no IPv6 address."""
    gate = Gate(reactor, 10)
    await open_port(gate, place=f"unix:{tmp_path}/server.sock")
    with socket.socket(socket.AF_UNIX) as caller:
        with monkeypatch.context() as here:
            here.chdir(tmp_path)
            caller.bind("four")
        caller.connect(f"{tmp_path}/server.sock")
        caller.setblocking(False)
        await pause()
        assert heard(caller) == b"welcome"
    await pause()
    assert gate.inside == 0


@pytest_twisted.ensureDeferred
async def test_those_inside_are_heard_between_two_batches_of_newcomers(open_port: Open) -> None:
    """However many wait outside, one turn of the loop brings in so many at most."""
    gate = Gate(reactor, 1000)
    port = await open_port(gate)
    crowd = callers(port, 8 * ACCEPTED_A_TURN)
    port.doRead()
    assert gate.inside == ACCEPTED_A_TURN
    for caller in crowd:
        caller.close()
    await pause()
    await pause()
    assert gate.inside == 0


def test_the_limit_of_files_is_raised_and_some_are_kept_back(told: list[str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        files = raise_limit_of_files()
        assert files == hard
        assert room_for_connections(0) == files - 64
        assert room_for_connections(100) == 100
        assert told == []
        assert room_for_connections(files) == files - 64
        assert told == [f"room for {files - 64} connections: {files} files may be open (ulimit -n)"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
