"""Addresses: what one says of where its peer is. Pure: which networks are trusted or banned is for others to say."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

Place = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 1918 and 4193, and addresses of the link: whole schools and offices are behind one of these.
PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"),
    )
)


@lru_cache(maxsize=4096)
def parsed(address: str) -> Place | None:
    """The address as such; None for a Unix socket. An IPv4 address in IPv6 clothes counts as what it is."""
    try:
        place = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(place, "ipv4_mapped", None) or place


@lru_cache(maxsize=4096)
def is_private(place: Place | None) -> bool:
    """Whether many people may be behind an address, because it is of a private network."""
    return place is not None and any(place in network for network in PRIVATE if network.version == place.version)


def is_public(address: str) -> bool:
    """Whether an address is neither this machine nor in a private network."""
    place = parsed(address)
    return place is not None and not place.is_loopback and not is_private(place)


@lru_cache(maxsize=4096)
def is_in(address: str, network: str) -> bool:
    """Whether an address is in a network, in its steady form."""
    place, around = parsed(address), ipaddress.ip_network(network)
    return place is not None and around.version == place.version and place in around


def network_of(written: str) -> str:
    """A network in its steady form, from an address or a network; empty if it is none."""
    try:
        return str(ipaddress.ip_network(written.strip(), strict=False))
    except ValueError:
        return ""
