"""Readiness: people are told what to type, programs where to connect, systemd that it can go on."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from chatd import readiness
from chatd.errors import Exit, OperatorError
from chatd.listeners import Listener
from chatd.readiness import how_to_join, notify_systemd, remove_ready_file, write_ready_file


def on(protocol: str, host: str, port: int) -> Listener:
    return Listener(protocol=protocol, host=host, port=port)


def test_there_is_one_line_for_each_way_in() -> None:
    """A19, A23: what to type, with the real port."""
    listeners = [
        on("detect", "127.0.0.1", 4001),
        on("detect", "::1", 4001),
        on("line", "127.0.0.1", 4002),
        on("line", "::1", 4002),
    ]
    assert how_to_join(listeners) == [
        "People:   telnet localhost 4001   or   nc localhost 4001",
        "Programs: chatd connect localhost:4001",
        "Browsers: http://localhost:4001/",
        "People:   telnet localhost 4002   or   nc localhost 4002   (the line port)",
        "Only this machine can join; start with --public to let others in.",
    ]


def test_an_open_door_is_told_by_the_addresses_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A17, A19: all addresses by which it can be reached, and no name is looked up."""
    monkeypatch.setattr(readiness, "own_addresses", lambda: ["192.0.2.2", "198.51.100.3"])
    assert how_to_join([on("detect", "0.0.0.0", 1234), on("detect", "::", 1234)]) == [
        "People:   telnet 192.0.2.2 1234   or   nc 192.0.2.2 1234   or   "
        "telnet 198.51.100.3 1234   or   nc 198.51.100.3 1234",
        "Programs: chatd connect 192.0.2.2:1234   or   chatd connect 198.51.100.3:1234",
        "Browsers: http://192.0.2.2:1234/   or   http://198.51.100.3:1234/",
    ]


def test_own_addresses_are_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A19: the kernel is asked, not a name server."""
    for name in ("gethostbyname", "getaddrinfo", "gethostname", "getfqdn"):
        monkeypatch.setattr(socket, name, lambda *_: pytest.fail("looked up"))
    for address in readiness.own_addresses():
        assert socket.inet_aton(address)
        assert not address.startswith("127.")


def test_programs_only_and_other_places() -> None:
    listeners = [
        on("framed", "::1", 5),
        Listener(protocol="line", path="/run/chatd.sock"),
    ]
    assert how_to_join(listeners) == [
        "Programs: chatd connect localhost:5",
        "People:   nc -U /run/chatd.sock   (the line port)",
        "Only this machine can join; start with --public to let others in.",
    ]
    assert how_to_join([on("framed", "2001:db8::7", 5)]) == ["Programs: chatd connect [2001:db8::7]:5"]


def test_the_ready_file_tells_programs(tmp_path: Path) -> None:
    """A23: for programs, and whole or not there."""
    path = tmp_path / "ready.json"
    write_ready_file(path, [on("detect", "127.0.0.1", 1), Listener(protocol="line", path="/run/s")])
    assert json.loads(path.read_text()) == {
        "pid": os.getpid(),
        "listeners": [
            {"protocol": "detect", "host": "127.0.0.1", "port": 1},
            {"protocol": "line", "host": None, "port": None, "path": "/run/s"},
        ],
    }
    assert os.listdir(tmp_path) == ["ready.json"]
    remove_ready_file(path)
    remove_ready_file(path)
    assert os.listdir(tmp_path) == []


def test_a_ready_file_that_cannot_be_is_told(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="name another with --ready-file") as caught:
        write_ready_file(tmp_path / "no" / "ready.json", [])
    assert caught.value.exit_code == Exit.DISK


@pytest.mark.parametrize("is_abstract", [False, True])
def test_systemd_is_told(tmp_path: Path, is_abstract: bool) -> None:
    """A23: READY=1, by a path or an abstract name."""
    name = f"@chatd-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name.replace("@", "\0"))
        systemd.settimeout(5)
        notify_systemd("READY=1", {"NOTIFY_SOCKET": name})
        assert systemd.recv(99) == b"READY=1"


def test_without_systemd_nobody_is_told(tmp_path: Path) -> None:
    notify_systemd("READY=1", {})
    notify_systemd("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notify_systemd("READY=1", {"NOTIFY_SOCKET": "vsock:2:1234"})
