"""Listeners: from what the settings say about ports to sockets that listen.

It knows numbers, addresses and endpoint strings, and says in one line why a port cannot be had.
Which protocol is spoken behind a port is the factory's; nothing here looks up a name, its own least of all.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.tcp import Port

from chatd.config import Loaded
from chatd.errors import Exit, OperatorError
from chatd.ports import Gate

# While the loop is busy with a flood of newcomers they wait in the kernel; the usual 50 places overflow.
BACKLOG = 4096

TLS = "tls:"  # before a number or an endpoint: only encrypted connections

LOOPBACK = ("127.0.0.1", "::1")
INTERFACES = {"localhost": LOOPBACK}
EVERYWHERE = ("0.0.0.0", "::")

# What the kernel says where a machine has no IPv6, or no IPv4.
_NO_SUCH_FAMILY = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}


class Way(Struct, frozen=True, kw_only=True):
    """A way in as it is asked for.

    `place` is a port number or an endpoint string; `is_chosen` tells that somebody asked for it.
    """

    protocol: str
    option: str
    place: int | str
    is_chosen: bool
    exit_code: Exit
    is_tls: bool = False


class Listener(Struct, frozen=True, kw_only=True):
    """Where a way in listens now: `host` and `port`, or `path` of a Unix socket."""

    protocol: str
    host: str | None = None
    port: int | None = None
    path: str | None = None
    is_tls: bool = False


class OneFamilyPort(Port):
    """A TCP port of one address family: on an IPv6 port an IPv4 peer never shows up in disguise."""

    def createInternetSocket(self) -> socket.socket:
        made: socket.socket = super().createInternetSocket()  # type: ignore[no-untyped-call]
        if self.addressFamily == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return made


def wanted(loaded: Loaded) -> list[Way]:
    """The ways in that the settings ask for, without those that are switched off."""
    server = loaded.settings.server
    asked = (
        ("detect" if server.detect else "framed", "port", server.port),
        ("line", "line_port", server.line_port),
        ("http", "http_port", server.http_port),
        ("metrics", "metrics_port", server.metrics_port),
    )
    ways = []
    for protocol, key, value in asked:
        option = f"--{key.replace('_', '-')}"
        origin = loaded.origins[f"server.{key}"]
        exit_code = Exit.USAGE if origin.startswith("--") else Exit.SETTINGS
        told = option if origin.startswith("--") else f"server.{key} ({origin})"
        text = str(value).strip()
        is_tls = text.lower().startswith(TLS)
        place = _place(told, text[len(TLS) :] if is_tls else text, exit_code)
        if place is not None:
            way = Way(
                protocol=protocol,
                option=option,
                place=place,
                is_chosen=loaded.is_chosen(f"server.{key}"),
                exit_code=exit_code,
                is_tls=is_tls,
            )
            ways.append(way)
    if all(way.protocol == "metrics" for way in ways):
        raise OperatorError(
            "listeners",
            "every port is switched off, nobody could come in",
            "give a --port, a --line-port or an --http-port",
            Exit.SETTINGS,
        )
    return ways


def _place(told: str, text: str, exit_code: Exit) -> int | str | None:
    if text.lower() == "none":
        return None
    if text.lstrip("+-").isdecimal():
        if text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65535:
            return int(text)
        reason = "a port is a number from 0 (any free one) to 65535"
        raise OperatorError(f"{told} {text[:20]}", reason, "1234 is the usual one", exit_code)
    return text


def addresses(loaded: Loaded) -> Sequence[str]:
    """The addresses that ports given as a number listen on."""
    server = loaded.settings.server
    if server.public:
        return EVERYWHERE
    if server.interface in INTERFACES:
        return INTERFACES[server.interface]
    if isIPAddress(server.interface) or isIPv6Address(server.interface):
        return (server.interface,)
    exit_code = Exit.USAGE if loaded.origins["server.interface"].startswith("--") else Exit.SETTINGS
    raise OperatorError(
        f"--interface {server.interface}",
        "this is not an IP address, and names are not looked up",
        "give localhost, 0.0.0.0, :: or an address of this machine",
        exit_code,
    )


def endpoint_of(reactor: Any, way: Way) -> Any:
    """The endpoint that a way's endpoint string describes; raises `OperatorError` if it describes none."""
    try:
        return serverFromString(reactor, str(way.place))  # type: ignore[no-untyped-call]
    # The parsers of endpoints are plugins, and each has a way of its own to say no.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise OperatorError(
            f"{way.option} {way.place}",
            f"this is neither a port number nor an endpoint ({reason})",
            f"for example: {way.option} 1234, {way.option} none, {way.option} unix:/run/chatd/chatd.sock",
            way.exit_code,
        ) from error


async def listen(
    reactor: Any, way: Way, interfaces: Sequence[str], factory: IProtocolFactory, gate: Gate
) -> list[IListeningPort]:
    """Open a way in, through the gate. Raises `OperatorError`, and then nothing is left open."""
    if isinstance(way.place, int):
        return await _listen_on_number(reactor, way, interfaces, factory, gate)
    endpoint = endpoint_of(reactor, way)
    try:
        port = await endpoint.listen(factory)
    except (CannotListenError, OSError) as error:
        raise _refused(way, str(way.place), error) from error
    gate.guard(port)
    return [port]


async def _listen_on_number(
    reactor: Any, way: Way, interfaces: Sequence[str], factory: IProtocolFactory, gate: Gate
) -> list[IListeningPort]:
    ports: list[Any] = []
    number, refusal = int(way.place), None
    for interface in interfaces:
        port: Any = OneFamilyPort(number, factory, BACKLOG, interface, reactor)
        try:
            port.startListening()
        except CannotListenError as error:
            refusal = error
            is_family_missing = _errno(error) in _NO_SUCH_FAMILY and len(interfaces) > 1
            # A free number was found for one family; that it is taken in the other is nobody's mistake.
            if is_family_missing or (way.place == 0 and ports):
                continue
            for opened in ports:
                await opened.stopListening()
            raise _refused(way, interface, error) from error
        gate.guard(port)
        ports.append(port)
        number = port.getHost().port
    if not ports and refusal is not None:
        raise _refused(way, ", ".join(interfaces), refusal) from refusal
    return ports


def _errno(error: BaseException) -> int | None:
    cause = getattr(error, "socketError", error)
    return getattr(cause, "errno", None)


def _refused(way: Way, place: str, error: CannotListenError | OSError) -> OperatorError:
    """Why the kernel does not let us listen, and what to do about it."""
    number = _errno(error)
    what = f"port {way.place} on {place}" if isinstance(way.place, int) else f"{way.option} {place}"
    another = f"choose another with {way.option}"
    is_locked = isinstance(error, CannotListenError) and not isinstance(error.socketError, OSError)
    if number == errno.EADDRINUSE or is_locked:
        return OperatorError(what, "is in use by another program", f"stop that one, or {another}", Exit.UNAVAILABLE)
    if number in (errno.EACCES, errno.EPERM):
        if isinstance(way.place, int) and way.place < 1024:
            why = "ports below 1024 are not permitted to this user"
        else:
            why = "is not permitted to this user"
        return OperatorError(what, why, another, Exit.NOT_ALLOWED)
    if number in _NO_SUCH_FAMILY:
        remedy = "give localhost, 0.0.0.0, :: or an address of this machine with --interface"
        return OperatorError(what, "this machine does not have that address", remedy, way.exit_code)
    reason = os.strerror(number) if number is not None else " ".join(str(error).split())
    return OperatorError(what, f"cannot listen ({reason})", another, Exit.UNAVAILABLE)


def listener_of(protocol: str, port: IListeningPort, *, is_tls: bool = False) -> Listener:
    """Where a port listens in fact."""
    host: Any = port.getHost()
    if hasattr(host, "port"):
        return Listener(protocol=protocol, host=host.host, port=host.port, is_tls=is_tls)
    name = host.name
    return Listener(protocol=protocol, path=os.fsdecode(name) if name else "", is_tls=is_tls)
