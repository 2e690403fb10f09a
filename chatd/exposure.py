"""Exposure: a server that other machines can reach must say who may make an account there.

On one's own machine everybody may. Elsewhere either answer can be the wrong one: so it is asked for, before anybody can
come in. What an endpoint listens on is read from its words where they tell, and from the port itself where they do not.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from chatd.config import Loaded
from chatd.errors import Exit, OperatorError
from chatd.listeners import Listener, addresses, wanted

SETTING = "accounts.registration"
BY_ADDRESS = ("tcp", "tcp6", "ssl", "tls")  # the endpoints that listen on every address unless they say which

INTERFACE = re.compile(r":interface=((?:\\.|[^:\\])*)")


def check_exposed(loaded: Loaded) -> None:
    """Raise `OperatorError` if these settings would let other machines in, and nobody chose who may register."""
    _check(loaded, _hosts(loaded))


def check_listeners(loaded: Loaded, listeners: Sequence[Listener]) -> None:
    """The same for what listens already, such as sockets that systemd made."""
    _check(loaded, (one.host for one in listeners if one.host is not None and one.protocol != "metrics"))


def _check(loaded: Loaded, hosts: Iterable[str]) -> None:
    if loaded.is_chosen(SETTING):
        return
    outside = next((host for host in hosts if not is_loopback(host)), None)
    if outside is not None:
        raise OperatorError(
            f"setting {SETTING}",
            f"other machines can come in by {outside or 'every address'}, and it is not said who may make an account",
            "choose --registration open, invite or closed",
            Exit.SETTINGS,
        )


def _hosts(loaded: Loaded) -> Iterable[str]:
    for way in wanted(loaded):
        if way.protocol == "metrics":  # nobody comes in by it
            continue
        if isinstance(way.place, int):
            yield from addresses(loaded)
        else:
            yield from _host_of(way.place)


def _host_of(endpoint: str) -> list[str]:
    """The address that an endpoint's words name, empty for every address; nothing where they do not tell."""
    if endpoint.partition(":")[0] not in BY_ADDRESS:
        return []
    named = INTERFACE.search(endpoint)
    return [named[1].replace("\\", "") if named else ""]


def is_loopback(host: str) -> bool:
    """Whether only this machine can come in by an address."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"
