"""Somebody sets the machine's clock while the server runs: timers go on, numbers go on, nobody is thrown out."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.crowd import LineWire, Wire
from support.disk import Disk
from support.talk import Talk

HOUR, DAY = 3600.0, 86400.0
LIMITS = {
    "CHATD__LIMITS__IDLE_SECONDS": "0.5",
    "CHATD__LIMITS__DEAD_SECONDS": "2",
    "CHATD__LIMITS__LOGIN_SECONDS": "2",
    "CHATD__LIMITS__TRUSTED_NETWORKS": "[]",
    "CHATD__LIMITS__MESSAGES_PER_SECOND": "5",
    "CHATD__LIMITS__MESSAGES_BURST": "5",
}
COMMANDS = ["serve", "twistd asyncio", "twistd poll"]


@pytest.mark.slow
@pytest.mark.parametrize("jump", [-HOUR, DAY], ids=["an hour back", "a day ahead"])
def test_a_clock_that_is_set_changes_no_order_and_cuts_nobody(
    jump: float, faults: Path, tmp_path: Path, start_server: Any
) -> None:
    """Promise 9: the numbers are dense and everyone's order is the same; only the time beside them jumps."""
    disk = Disk(faults, tmp_path / "clock")
    server = start_server(f"--data-dir={disk.root / 'data'}", environ=disk.environ)
    offsets = [0, jump, 0, -jump]
    with Talk(server, listeners=2) as talk, LineWire((server.host, server.line_port)) as person:
        person.enter("person")
        for n, offset in enumerate(offsets):
            disk.set_clock(offset)
            assert talk.wait_for_oks(40) < 5
            person.say(f"here {n}")
        talk.check()
        talk.finish()
        talk.check(anew=True)
        assert [body for body in talk.stored if body.startswith("here")] == ["here 0", "here 1", "here 2", "here 3"]
        with Wire(talk.addresses[0]) as wire:
            wire.enter("historian", "#lobby")
            first = wire.ask("history", room="#lobby", after=0, limit=1)["events"][0]["time"]
            last = wire.ask("history", room="#lobby", limit=1)["events"][0]["time"]
    assert (seconds(last) - seconds(first)) == pytest.approx(-jump, abs=60)
    assert not any(one.cuts for one in (*talk.talkers, *talk.listeners)), "somebody was cut off"


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_timers_go_on_on_every_reactor(command: str, faults: Path, tmp_path: Path, start_server: Any) -> None:
    """An hour back and a day ahead: the silent are asked and given up in their time, and not before; tokens come."""
    disk = Disk(faults, tmp_path / "clock")
    server = start_server(f"--data-dir={disk.root / 'data'}", environ={**disk.environ, **LIMITS}, command=command)
    address = (server.host, server.port)
    for jump in (-HOUR, DAY):
        with Wire(address, 10) as silent, Wire(address, 10) as nobody, Wire(address, 10) as flooder:
            silent.enter(f"silent{abs(jump):.0f}", "#lobby")
            flooder.enter(f"flooder{abs(jump):.0f}", "#lobby")
            assert nobody.ask("hello", versions=[1])["ok"]
            began = time.monotonic()
            disk.set_clock(jump)
            assert heard_of_tokens(flooder) < 2
            silent.until("ping")
            assert 0.3 < time.monotonic() - began < 2
            assert nobody.until("error")["code"] == "NOT_REGISTERED"
            assert 1.5 < time.monotonic() - began < 6
            until_cut(silent)
            assert 1.5 < time.monotonic() - began < 6
        disk.set_clock(0)


def until_cut(wire: Wire) -> None:
    """Read until the server closes the connection."""
    with contextlib.suppress(EOFError, ConnectionResetError):
        while True:
            wire.read()


def heard_of_tokens(flooder: Wire) -> float:
    """Say more than the burst; how long until one more is allowed again, as told and as it is."""
    replies = [flooder.ask("send", room="#lobby", body=f"{n}") for n in range(10)]
    refused = next(reply for reply in replies if not reply["ok"])
    assert refused["error"]["code"] == "RATE_LIMITED"
    wait = float(refused["error"]["retry_after"])
    time.sleep(wait)
    assert flooder.ask("send", room="#lobby", body="patient")["ok"]
    return wait
