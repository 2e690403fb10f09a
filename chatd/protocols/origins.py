"""Origins: whether a request is meant for this server, which pages may talk to it, and who it comes from.

A browser lets any page open a WebSocket to anywhere, and a name can be made to lead to the loopback of whoever looks it
up; so the page's origin has to be the server's own, and on loopback the server's name one that only its owner gives.
Pure: strings in, words out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}
LOCAL = ("localhost", "127.0.0.1", "::1")

Place = tuple[str, int]


class Origins:
    """What the settings say: the server's own `host` if it has one, other `allowed` origins, and its `proxies`."""

    def __init__(self, host: str = "", allowed: Sequence[str] = (), proxies: Sequence[str] = ()) -> None:
        self.host = host.lower()
        self.allowed = frozenset(map(str.lower, allowed))
        self.proxies = frozenset(proxies)

    def misdirected(self, hosts: Sequence[str], peer: str) -> str:
        """Why a request to these `Host`s, from this peer, is not for us; nothing if it is."""
        if len(hosts) > 1:
            return "a request has one Host"
        if not hosts:  # HTTP/1.0, and no browser
            return ""
        name = place_of(hosts[0], "http")
        if name is None:
            return "this is no Host"
        if not is_loopback(peer) or name[0] in LOCAL or name[0] == self.host or peer in self.proxies:
            return ""
        if any((place_of_origin(one) or ("", 0))[0] == name[0] for one in self.allowed):
            return ""
        return f"this server is not called {name[0]!r}: set server.host, or ask for localhost"

    def is_welcome(self, origins: Sequence[str], hosts: Sequence[str]) -> bool:
        """Whether a page of this origin may talk to the server that it asked for by this `Host`."""
        if not origins:  # no browser
            return True
        if len(origins) > 1 or len(hosts) != 1:
            return False
        origin = origins[0].lower()
        if origin in self.allowed:
            return True
        scheme = origin.partition("://")[0]
        place = place_of_origin(origin)
        return place is not None and place == place_of(hosts[0], scheme)


def place_of_origin(origin: str) -> Place | None:
    """Name and port of an origin such as `https://chat.example.org`; None if it is none, such as `null`."""
    scheme, separator, rest = origin.partition("://")
    if not separator or scheme not in PORTS or set(rest) & set("/?#@"):
        return None
    return place_of(rest, scheme)


def place_of(text: str, scheme: str) -> Place | None:
    """Name and port of a `Host`, as the scheme has them; None if it is none."""
    if not text or set(text) & set("/?#@\\ ,"):
        return None
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        return None
    name = (parts.hostname or "").rstrip(".")
    return (name, PORTS[scheme] if port is None else port) if name else None


def client_of(peer: str, forwarded: Sequence[str], origins: Origins) -> str:
    """Who asks: the peer, or whom a proxy of ours names last. Only what our own proxy wrote is believed."""
    if peer not in origins.proxies or not forwarded:
        return peer
    last = forwarded[-1].rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(last.strip("[]")))
    except ValueError:
        return peer


def is_loopback(address: str) -> bool:
    """Whether somebody is on this very machine; a Unix socket is."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "unix"


__all__ = ["Origins", "client_of", "is_loopback", "place_of", "place_of_origin"]
