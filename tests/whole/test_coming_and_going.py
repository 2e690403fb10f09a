"""Comings and goings of real processes over real sockets: told once, with a reason, and nobody's address with it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.crowd import LineWire, Wire, greeting

LINGER_NONE = b"\x01\0\0\0\0\0\0\0"  # close with a reset

SLEEPER = """
import socket, sys, time
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
one.sendall(bytes.fromhex(sys.argv[2]))
time.sleep(60)
"""


def left(watcher: Wire) -> list[dict[str, str]]:
    """Who left, from the next presence event that tells of it."""
    while True:
        event = watcher.until("presence")
        if "left" in event:
            found: list[dict[str, str]] = event["left"]
            return found


def hear_the_end(wire: Wire | LineWire) -> None:
    """Read on until the other side has closed, then close."""
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            wire.read()
    wire.socket.close()


def processor_seconds(server: Any) -> float:
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system)


def test_every_way_to_go_is_told_once_with_its_reason(server: Any) -> None:
    """A44, A3: a clean close, a reset, kill -9 and quit; exactly one leave each, and the server rests afterwards."""
    address = (server.host, server.port)
    with Wire(address) as watcher:
        watcher.enter("watcher", "#lobby", caps=("presence",))

        closing = Wire(address)
        closing.enter("closes", "#lobby")
        closing.socket.close()
        assert left(watcher) == [{"nick": "closes", "reason": "connection closed"}]

        resetting = Wire(address)
        resetting.enter("resets", "#lobby")
        resetting.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        resetting.socket.close()
        assert left(watcher) == [{"nick": "resets", "reason": "connection lost"}]

        words = [sys.executable, "-c", SLEEPER, str(server.port), greeting("killed", "#lobby").hex()]
        with subprocess.Popen(words) as process:
            while "killed" not in watcher.until("presence").get("joined", ()):
                pass
            process.kill()
        assert left(watcher)[0]["nick"] == "killed"

        with Wire(address) as quitting:
            quitting.enter("quits", "#lobby")
            assert quitting.ask("quit", reason="lunch \x1b[31m")["ok"]
            with pytest.raises(EOFError):
                quitting.read()
        assert left(watcher) == [{"nick": "quits", "reason": "lunch "}]

        with LineWire((server.host, server.line_port)) as person:
            person.enter("person")
            person.say("/quit bye")
            assert left(watcher) == [{"nick": "person", "reason": "bye"}]

        before = processor_seconds(server)
        time.sleep(1)
        assert processor_seconds(server) - before < 0.2
        assert watcher.ask("list", what="members", room="#lobby")["items"] == [
            {"nick": "watcher", "away": False, "role": "member"}
        ]
    assert "Traceback" not in server.output()


def test_the_end_of_the_server_is_told_to_everyone(server: Any) -> None:
    """A52: `closing` for programs, a line for people, and exit status 0 within ten seconds."""
    with Wire((server.host, server.port)) as tom, LineWire((server.host, server.line_port)) as jerry:
        tom.enter("tom", "#lobby")
        jerry.enter("jerry")
        start = time.monotonic()
        server.process.terminate()
        closing = tom.until("closing")
        assert (closing["code"], closing["reconnect_after"] > 0) == ("SHUTTING_DOWN", True)
        jerry.until("stopping")
        for end in (tom, jerry):
            hear_the_end(end)
        assert server.process.wait(10) == 0
        assert time.monotonic() - start < 10


def test_time_comes_with_everything(server: Any) -> None:
    """A13: ping brings the server's time and what was sent along; events carry their time."""
    with Wire((server.host, server.port)) as tom:
        tom.enter("tom", "#lobby", caps=("echo",))
        pong = tom.ask("ping", data={"lag": 1.5, "when": {"$time": "2026-01-02T03:04:05Z"}})
        assert pong["data"] == {"lag": 1.5, "when": {"$time": "2026-01-02T03:04:05Z"}}
        sent = tom.ask("send", room="#lobby", body="x")
        seen = tom.until("message")
        assert seen["time"] == sent["time"] >= pong["time"]
        assert pong["time"].endswith("Z")


def test_nobody_is_told_where_others_come_from(server: Any) -> None:
    """A36, A37: addresses are in the log, with the session; what users are shown has none."""
    with Wire((server.host, server.port)) as tom, Wire((server.host, server.port)) as jerry:
        session = tom.enter("tom", "#lobby", caps=("presence",))["session"]
        jerry.enter("jerry", "#lobby")
        jerry.ask("send", room="#lobby", body="secret words")
        jerry.ask("quit", reason="other words")
        tom.until("presence", left=[{"nick": "jerry", "reason": "other words"}])
        for what in ("users", "sessions", "rooms"):
            tom.ask("list", what=what)
        tom.ask("list", what="whois", name="tom")
        assert "127.0.0.1" not in str(tom.heard)
    deadline = time.monotonic() + 5
    while "disconnected" not in (log := server.output()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert f"connected session={session}" in log
    assert "127.0.0.1" in log
    assert f"logged in session={session} nick=tom" in log
    assert "words" not in log


def test_typed_values_travel_between_programs(server: Any) -> None:
    """A11: nested values with bytes and times arrive equal, and later from history too."""
    deep = [1, -2.5, None, True, {"deep": ["é🎉"]}]
    data = {"n": deep, "raw": {"$bytes": "AP8="}, "t": {"$time": "2026-01-02T03:04:05Z"}}
    with Wire((server.host, server.port)) as tom, Wire((server.host, server.port)) as jerry:
        tom.enter("tom", "#lobby")
        jerry.enter("jerry", "#lobby")
        assert tom.ask("send", room="#lobby", body="see data", data=data)["ok"]
        assert jerry.until("message")["data"] == data
        assert jerry.ask("history", room="#lobby")["events"][0]["data"] == data


def test_the_same_over_a_unix_socket(start_server: Any, tmp_path: Path) -> None:
    """A14: local sockets as well as remote ones."""
    path = tmp_path / "chatd.sock"
    start_server(f"--port=unix:{path}", "--line-port=none")
    with Wire(str(path)) as tom, Wire(str(path)) as jerry:
        tom.enter("tom", "#lobby")
        jerry.enter("jerry", "#lobby")
        assert tom.ask("send", room="#lobby", body="local")["seq"] == 1
        assert jerry.until("message")["body"] == "local"
