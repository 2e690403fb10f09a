"""Listeners: what can be asked for, where it then listens, and what is said when it cannot."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol

from chatd.config import Loaded, Source, load
from chatd.errors import Exit, OperatorError
from chatd.listeners import BACKLOG, Listener, Way, addresses, endpoint_of, listen, listener_of, wanted
from chatd.ports import Gate

LOCAL = ("127.0.0.1", "::1")


class Greeter(Protocol):
    """Says from where it was called, and ends."""

    def connectionMade(self) -> None:
        self.transport.write(getattr(self.transport.getPeer(), "host", "unix").encode())
        self.transport.loseConnection()


class Caller(Protocol):
    def __init__(self) -> None:
        self.heard = b""

    def dataReceived(self, data: bytes) -> None:
        self.heard += data


def loaded_with(**server: object) -> Loaded:
    values = {f"server.{key}": value for key, value in server.items()}
    spelled = {f"server.{key}": f"--{key.replace('_', '-')}" for key in server}
    return load(Source(label="command line", values=values, spelled=spelled), environ={"HOME": "/nowhere"})


def way(place: int | str, **changes: Any) -> Way:
    facts = {
        "protocol": "detect",
        "option": "--port",
        "place": place,
        "is_chosen": True,
        "exit_code": Exit.USAGE,
    }
    return Way(**(facts | changes))


Opened = Callable[..., Awaitable[list[Listener]]]


@pytest_twisted.async_yield_fixture
async def opened() -> AsyncIterator[Opened]:
    """Opens a way in, says where it listens, and closes it with the test."""
    ports: list[Any] = []

    async def open_way(wanted_way: Way, interfaces: tuple[str, ...] = LOCAL) -> list[Listener]:
        found = await listen(reactor, wanted_way, interfaces, Factory.forProtocol(Greeter), Gate(reactor, 1000))
        ports.extend(found)
        return [listener_of(wanted_way.protocol, port) for port in found]

    yield open_way
    for port in ports:
        await port.stopListening()


async def heard_at(listener: Listener) -> str:
    """What somebody hears who connects there."""
    if listener.path is not None:
        endpoint: Any = UNIXClientEndpoint(reactor, listener.path)
    elif ":" in str(listener.host):
        endpoint = TCP6ClientEndpoint(reactor, listener.host, listener.port)
    else:
        endpoint = TCP4ClientEndpoint(reactor, listener.host, listener.port)
    caller = await connectProtocol(endpoint, Caller())
    while not caller.heard:
        await wait_a_turn()
    return str(caller.heard.decode())


def wait_a_turn() -> Any:
    from twisted.internet.task import deferLater

    return deferLater(reactor, 0)


@pytest.fixture
def taken() -> Any:
    """A port of this machine that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


# -- what can be asked for ------------------------------------------------------------------------------------


def test_by_default_everyone_and_people_have_a_port_each() -> None:
    ways = [(way.protocol, way.place, way.is_chosen) for way in wanted(load(environ={"HOME": "/nowhere"}))]
    assert ways == [("detect", 1234, False), ("line", 2323, False)]


def test_ports_are_numbers_endpoints_or_none() -> None:
    """A21, A22: what the operator asks for is what is opened."""
    assert [way.place for way in wanted(loaded_with(port="0", line_port="none"))] == [0]
    assert [way.place for way in wanted(loaded_with(port=" 77 ", line_port="unix:/a"))] == [77, "unix:/a"]
    framed = wanted(loaded_with(detect=False, line_port="NONE"))
    assert [(way.protocol, way.is_chosen) for way in framed] == [("framed", False)]


@pytest.mark.parametrize("port", ["65536", "-1", "99999999999999999999", "+5", "١٢"])
def test_a_number_that_is_no_port_is_refused(port: str) -> None:
    """A22: a bad value ends in one line with the option's name."""
    with pytest.raises(OperatorError, match=r"^--port .*: a port is a number from 0") as caught:
        wanted(loaded_with(port=port))
    assert caught.value.exit_code == Exit.USAGE


def test_no_port_at_all_is_refused() -> None:
    with pytest.raises(OperatorError, match="nobody could come in"):
        wanted(loaded_with(port="none", line_port="none"))


@pytest.mark.parametrize("text", ["abc", "tcp", "tcp:abc", "systemd:domain=INET:index=7", "localhost:1234"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(
        OperatorError, match=r"^--line-port .*: this is neither a port number nor an endpoint"
    ) as caught:
        endpoint_of(reactor, way(text, option="--line-port"))
    assert caught.value.exit_code == Exit.USAGE
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({}, ("127.0.0.1", "::1")),
        ({"interface": "0.0.0.0"}, ("0.0.0.0",)),
        ({"interface": "::"}, ("::",)),
        ({"interface": "192.0.2.7"}, ("192.0.2.7",)),
        ({"public": True}, ("0.0.0.0", "::")),
    ],
)
def test_loopback_by_default_and_open_on_request(server: dict[str, object], expected: tuple[str, ...]) -> None:
    """A17: only this machine, unless --interface or --public says otherwise."""
    assert addresses(loaded_with(**server)) == expected


def test_an_interface_is_an_address_and_never_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A18, A19: a name is refused without asking anyone for it."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("looked up"))
    for name in ("example.org", "eth0", "123.456.789.123"):
        with pytest.raises(OperatorError, match=f"--interface {name}: this is not an IP address"):
            addresses(loaded_with(interface=name))


# -- where it then listens ------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_free_port_is_the_same_for_both_families(opened: Opened) -> None:
    """A20: by IPv4 and IPv6; A23: the number that is told is the real one."""
    listeners = await opened(way(0))
    assert [listener.host for listener in listeners] == ["127.0.0.1", "::1"][: len(listeners)]
    assert len({listener.port for listener in listeners}) == 1
    assert listeners[0].port
    assert [await heard_at(listener) for listener in listeners] == [listener.host for listener in listeners]


@pytest_twisted.ensureDeferred
async def test_everywhere_is_two_ports_and_nobody_is_disguised(opened: Opened) -> None:
    """A17: --public listens on all addresses; an IPv4 caller is seen as one."""
    listeners = await opened(way(0), ("0.0.0.0", "::"))
    assert [listener.host for listener in listeners] == ["0.0.0.0", "::"][: len(listeners)]
    caller = Listener(protocol="detect", host="127.0.0.1", port=listeners[0].port)
    assert await heard_at(caller) == "127.0.0.1"


@pytest_twisted.ensureDeferred
async def test_endpoints_are_passed_on(opened: Opened, tmp_path: Path) -> None:
    """A14: local sockets as well as TCP."""
    path = tmp_path / "chatd.sock"
    (local,) = await opened(way(f"unix:{path}"))
    assert local == Listener(protocol="detect", path=str(path))
    assert await heard_at(local) == "unix"
    (numbered,) = await opened(way("tcp:0:interface=127.0.0.1"))
    assert await heard_at(numbered) == "127.0.0.1"


@pytest_twisted.ensureDeferred
async def test_a_crowd_can_call_at_once(opened: Opened) -> None:
    """A51: 200 connect before the server has answered the first."""
    (listener,) = await opened(way(0), ("127.0.0.1",))
    assert BACKLOG >= 511
    crowd = [socket.socket() for _ in range(200)]
    try:
        for caller in crowd:  # the reactor does not turn meanwhile: all of them wait in the kernel
            caller.settimeout(5)
            caller.connect(("127.0.0.1", listener.port))
        while any(caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for caller in crowd):
            await wait_a_turn()
        for _ in range(50):
            await wait_a_turn()
        assert {caller.recv(64) for caller in crowd} == {b"127.0.0.1"}
    finally:
        for caller in crowd:
            caller.close()


# -- and when it cannot ---------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_port_in_use_is_told_and_nothing_stays_open(opened: Opened, taken: int) -> None:
    expected = rf"^port {taken} on 127.0.0.1: is in use by another program; stop that one, or .* --port"
    with pytest.raises(OperatorError, match=expected) as caught:
        await opened(way(taken), ("::1", "127.0.0.1"))
    assert caught.value.exit_code == Exit.UNAVAILABLE
    with socket.socket(socket.AF_INET6) as probe:
        assert probe.connect_ex(("::1", taken)) != 0


@pytest_twisted.ensureDeferred
async def test_an_address_of_another_machine_is_told(opened: Opened) -> None:
    with pytest.raises(OperatorError, match="this machine does not have that address"):
        await opened(way(0), ("192.0.2.250",))


@pytest_twisted.ensureDeferred
async def test_a_machine_without_ipv6_is_no_reason_to_stop(opened: Opened) -> None:
    """A20: where ::1 cannot be had, IPv4 goes on alone (2001:db8:: is nobody's address)."""
    (listener,) = await opened(way(0), ("127.0.0.1", "2001:db8::1"))
    assert listener.host == "127.0.0.1"


@pytest_twisted.ensureDeferred
async def test_a_low_port_without_permission_is_told(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(OperatorError, match="ports below 1024 are not permitted to this user") as caught:
        await opened(way(23))
    assert caught.value.exit_code == Exit.NOT_ALLOWED


@pytest_twisted.ensureDeferred
async def test_a_socket_that_cannot_be_is_told(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "chatd.sock"
    await opened(way(f"unix:{path}"))
    with pytest.raises(OperatorError, match="is in use by another program"):
        await opened(way(f"unix:{path}"))
    with pytest.raises(OperatorError, match="No such file or directory"):
        await opened(way(f"unix:{tmp_path}/no/such/folder/chatd.sock"))
