"""Readiness: once everything listens, tells people, programs and systemd how to come in.

It knows where the listeners are and nothing else; `chatd.service` calls it after binding, and only then.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from chatd.errors import Exit, OperatorError
from chatd.listeners import Listener

# A machine with many networks would fill the screen.
MOST_ADDRESSES = 4

_SIOCGIFADDR = 0x8915  # netdevice(7)
_LOOPBACK = ("127.", "::1")
_EVERYWHERE = ("0.0.0.0", "::")


def how_to_join(listeners: Sequence[Listener]) -> list[str]:
    """One line for each way in, with what to type."""
    lines = []
    for protocol in dict.fromkeys(listener.protocol for listener in listeners):
        places = [listener for listener in listeners if listener.protocol == protocol]
        if protocol in ("detect", "line"):
            joined = "   or   ".join(_for_people(place) for place in _spoken(places))
            is_line = protocol == "line"
            lines.append(f"People:   {joined}" + ("   (the line port)" if is_line else ""))
        if protocol in ("detect", "framed"):
            joined = "   or   ".join(_for_programs(place) for place in _spoken(places))
            lines.append(f"Programs: {joined}")
        if protocol in ("detect", "http"):
            joined = "   or   ".join(_for_browsers(place) for place in _spoken(places) if place.host is not None)
            lines += [f"Browsers: {joined}"] if joined else []
    lines += [f"Metrics:  http://{_address(place)}/metrics" for place in listeners if place.protocol == "metrics"][:1]
    hosts = [place.host for place in listeners if place.host is not None and place.protocol != "metrics"]
    if hosts and all(host.startswith(_LOOPBACK) for host in hosts):
        lines.append("Only this machine can join; start with --public to let others in.")
    return lines


def _spoken(places: Sequence[Listener]) -> list[Listener]:
    """The places that are worth a mention, each by an address that can be typed."""
    numbers = {place.port for place in places if place.host in ("127.0.0.1", "0.0.0.0")}
    spoken: list[Listener] = []
    for place in places:
        if place.host in ("::1", "::") and place.port in numbers:
            continue
        if place.host == "0.0.0.0" and (own := own_addresses()):
            spoken += [msgspec.structs.replace(place, host=host) for host in own[:MOST_ADDRESSES]]
        else:
            spoken.append(place)
    return spoken


def own_addresses() -> list[str]:
    """The IPv4 addresses by which others reach this machine, as the kernel has them; no name is looked up."""
    if sys.platform != "linux":
        return []
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, interface in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asking, _SIOCGIFADDR, interface.encode()[:15].ljust(256, b"\0"))
            except OSError:
                continue  # an interface without an IPv4 address
            found.append(socket.inet_ntoa(answer[20:24]))
    return [address for address in dict.fromkeys(found) if not address.startswith("127.")]


def _name(host: str) -> str:
    if host in ("127.0.0.1", "::1"):
        return "localhost"
    return "ADDRESS" if host in _EVERYWHERE else host


def _for_people(place: Listener) -> str:
    if place.host is None:
        return f"nc -U {place.path}"
    name = _name(place.host)
    if place.is_tls:
        return f"openssl s_client -quiet -connect {_address(place)}"
    return f"telnet {name} {place.port}   or   nc {name} {place.port}"


def _for_programs(place: Listener) -> str:
    return f"chatd connect {_address(place)}{' --tls' if place.is_tls else ''}"


def _for_browsers(place: Listener) -> str:
    return f"http{'s' if place.is_tls else ''}://{_address(place)}/"


def _address(place: Listener) -> str:
    if place.host is None:
        return f"unix:{place.path}"
    name = _name(place.host)
    return f"[{name}]:{place.port}" if ":" in name else f"{name}:{place.port}"


def write_ready_file(path: Path, listeners: Sequence[Listener]) -> None:
    """Put the process and where it listens into a file, which appears whole or not at all."""
    document = {
        "pid": os.getpid(),
        "listeners": [_facts(listener) for listener in listeners],
    }
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(msgspec.json.encode(document) + b"\n")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OperatorError(
            f"ready file {path}",
            f"cannot be written ({error.strerror})",
            "name another with --ready-file",
            Exit.DISK,
        ) from error


def _facts(listener: Listener) -> dict[str, str | int | bool | None]:
    facts: dict[str, str | int | bool | None] = {
        "protocol": listener.protocol,
        "host": listener.host,
        "port": listener.port,
    }
    facts |= {"path": listener.path} if listener.path is not None else {}
    return facts | ({"tls": True} if listener.is_tls else {})


def remove_ready_file(path: Path) -> None:
    """Take the file away: nothing listens, or not yet."""
    path.unlink(missing_ok=True)


def notify_systemd(state: str, environ: Mapping[str, str]) -> None:
    """Tell systemd `READY=1`, `STOPPING=1` …, where it asked to be told (sd_notify(3))."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        try:
            notifier.sendto(state.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
        except OSError:
            return  # who does not listen does not want to know
