"""Why a connection did not come about, in words for a person."""

from __future__ import annotations

import errno
import socket
import ssl

from chatd.client.address import Address
from chatd.client.encrypted import reason_of

_REASONS = {
    errno.ECONNREFUSED: "nothing is listening at {}",
    errno.ENOENT: "there is no socket at {}",
    errno.EACCES: "this user may not open {}",
    errno.EHOSTUNREACH: "the network knows no way to {}",
    errno.ENETUNREACH: "the network knows no way to {}",
    errno.ETIMEDOUT: "no answer from {}",
    errno.ECONNRESET: "{} closed the connection at once",
}


def shown(address: Address) -> str:
    """The address as it is told to people: `localhost` by its number, so that it can be compared with others."""
    return f"127.0.0.1:{address.port}" if address.path is None and address.host == "localhost" else str(address)


def why_not(error: BaseException | None, address: Address) -> str:
    """The reason that an operating system's error stands for."""
    if isinstance(error, socket.gaierror):
        return f"no machine is called {address.host}"
    if isinstance(error, ssl.SSLError):
        return f"{shown(address)} cannot be trusted, or does not speak TLS ({reason_of(error)})"
    if isinstance(error, TimeoutError):
        return f"no answer from {shown(address)}"
    reason = _REASONS.get(getattr(error, "errno", None) or 0)
    if reason is not None:
        return reason.format(shown(address))
    return f"{shown(address)} cannot be reached ({getattr(error, 'strerror', None) or error})"


def why_lost(error: BaseException | None) -> str:
    """Why a connection that we had is gone."""
    if error is None:
        return "the server closed the connection"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
