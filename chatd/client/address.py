"""Addresses of servers, as people write them.

Understood are `host`, `host:port`, `[v6]:port`, a bare IPv6 address, `chatd://host:port` and `unix:/path`; several of
them, with commas between, are those of a cluster.
Looking at an address touches no network, so a typing error is told before anything is tried.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from chatd.client.errors import BadAddress
from chatd.core.defaults import DEFAULT_PORT

MAX_LENGTH = 300
MAX_PLACES = 4096  # characters of all addresses together
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: a host and port, or the path of a Unix socket."""

    host: str = "localhost"
    port: int = DEFAULT_PORT
    path: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether what is sent there stays on this machine."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str) -> Address:
    """The address that a person wrote; `BadAddress` says what is wrong with it."""
    text = text.strip()
    if len(text) > MAX_LENGTH:
        raise BadAddress("that is too long to be an address")
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path or "\0" in path:
            raise BadAddress(f"{text!r} is not a valid address: the path of the socket is missing")
        return Address(path=path)
    if "://" in text:
        scheme, _, rest = text.partition("://")
        if scheme != "chatd":
            raise BadAddress(f"{text!r} is not a valid address: chatd:// is the only kind of URL that works here")
        return parse(rest.rstrip("/") or "localhost")
    if not text:
        return Address()
    host, port = _split(text)
    return Address(_host(host, text), DEFAULT_PORT if port is None else _port(port, text))


class Places:
    """The addresses at which a server, or a cluster of them, is to be had: one at a time, and the next after each
    attempt."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_PLACES:
            raise BadAddress("that is too long to be addresses")
        if "," in text and not all(one.strip() for one in text.split(",")):
            raise BadAddress(f"{text!r} is not a valid address: one is missing beside a comma")
        self.all = tuple(map(parse, text.split(",")))
        self.now = self.all[0]
        self._turn = 0
        self._is_begun = False

    def turn(self, alternate: str) -> None:
        """Another attempt: the first one at the first address; later where the server said, or at the next."""
        if not self._is_begun:
            self._is_begun = True
            return
        try:
            self.now = parse(alternate)
        except BadAddress:
            alternate = ""
        if not alternate:
            self._turn += 1
            self.now = self.all[self._turn % len(self.all)]

    def __str__(self) -> str:
        return ",".join(map(str, self.all))


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise BadAddress(f"{text!r} is not a valid address: write IPv6 addresses as [::1]:{DEFAULT_PORT}")
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        return text, None
    host, colon, port = text.partition(":")
    return host or "localhost", port if colon else None


def _port(port: str, text: str) -> int:
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise BadAddress(f"{text!r} is not a valid address: a port is a number from 1 to 65535")
    return int(port)


def _host(host: str, text: str) -> str:
    if ":" in host or re.fullmatch(r"[0-9.]+", host):
        address, _, zone = host.partition("%")
        try:
            ipaddress.ip_address(address)
        except ValueError:
            why = "not an IPv6 address" if ":" in host else "an IPv4 address is four numbers from 0 to 255"
            raise BadAddress(f"{text!r} is not a valid address: {why}") from None
        return host if not zone or zone.isalnum() else address
    try:
        ascii_host = host.rstrip(".").encode("idna").decode("ascii") if not host.isascii() else host.rstrip(".")
    except UnicodeError:
        raise BadAddress(f"{text!r} is not a valid address: not a host name") from None
    if re.fullmatch(r"[0-9.]+", ascii_host):  # of digits in other scripts
        return _host(ascii_host, text)
    if not ascii_host or len(ascii_host) > 253 or not all(map(_LABEL.fullmatch, ascii_host.split("."))):
        raise BadAddress(f"{text!r} is not a valid address: not a host name")
    return ascii_host
