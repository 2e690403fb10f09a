"""The disk fails for a while: nothing is acknowledged meanwhile, reading goes on, and nobody has to do anything."""

from __future__ import annotations

import errno
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.crowd import Wire
from support.disk import Disk
from support.talk import Answer, Talk
from support.witness import oks_and_syncs

FAULTS = {
    "EIO at fsync": {"sync": errno.EIO},
    "ENOSPC at write": {"write": errno.ENOSPC},
    "EIO at write": {"write": errno.EIO},
    "ENOSPC at fsync": {"sync": errno.ENOSPC},
}
FAULT_SECONDS = 1.0


def verify(folder: Path) -> None:
    """`chatd verify` finds nothing wrong."""
    subprocess.run([sys.executable, "-m", "chatd", "verify", "--data-dir", folder], check=True, stdout=subprocess.PIPE)


def read_on(wire: Wire, seconds: float) -> float:
    """Read pages of history for so long; how long the slowest took."""
    slowest, until = 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        page = wire.ask("history", room="#lobby", limit=50)
        assert page["ok"], page
        assert page["events"]
        wire.heard.clear()
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.02)
    return slowest


def told(talk: Talk, since: float, until: float) -> list[Answer]:
    """What the talkers heard of what they asked in this time."""
    answers = [answer for talker in talk.talkers for answer in list(talker.answers)]
    return [answer for answer in answers if answer.asked > since and answer.heard < until]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", FAULTS)
def test_while_the_disk_fails_nothing_is_acknowledged_and_afterwards_all_is_well(
    fault: str, faults: Path, tmp_path: Path, start_server: Any, extent: Any
) -> None:
    disk = Disk(faults, tmp_path / "power")
    server = start_server(f"--data-dir={disk.root / 'data'}", environ=disk.environ)
    with Talk(server, in_flight=16) as talk, Wire(talk.addresses[0]) as reader:
        reader.enter("reader", "#lobby")
        for _ in range(extent(1, 10)):
            talk.wait_for_oks(20)
            since = disk.fail(**FAULTS[fault])
            slowest = read_on(reader, FAULT_SECONDS)
            until = time.monotonic()
            disk.heal()
            recovered = talk.wait_for_oks(1)
            answers = told(talk, since, until)
            assert not [answer for answer in answers if answer.seq]
            assert {answer.body.split()[0] for answer in answers} == {f"<{talker.nick}" for talker in talk.talkers}
            assert max(answer.heard - answer.asked for answer in answers) < 1
            assert slowest < 1
            assert recovered < 2
            print(f"{len(answers)} refused, slowest page {slowest:.3f} s, recovered after {recovered:.3f} s")
            talk.check(in_order=False)
        talk.finish()
        talk.check(anew=True, in_order=False)
    assert not any(one.cuts for one in (*talk.talkers, *talk.listeners)), "somebody was cut off"
    found = oks_and_syncs(disk.records())
    assert found.oks == len(talk.acknowledged())
    assert found.too_early == []
    assert server.stop() == 0
    verify(disk.root / "data")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_end_in_the_middle_of_a_fault_brings_nothing_back_and_loses_nothing(
    faults: Path, tmp_path: Path, start_server: Any, extent: Any
) -> None:
    """Killed, or without power, during the fault or right after it, one after the other: what a killed server has left
    in the kernel's memory is not on the disk yet when the power fails."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    disk = Disk(faults, tmp_path / "power")
    server = start_server(f"--data-dir={disk.root / 'data'}", environ=disk.environ)
    with Talk(server) as talk:
        for _ in range(extent(6, 60)):
            talk.wait_for_oks(chance.choice([1, 5]))
            disk.fail(**FAULTS[chance.choice(list(FAULTS))], times=chance.choice([0, 1, 1, 2, 3]))
            time.sleep(chance.uniform(0.01, 0.2))
            if chance.random() < 0.7:
                disk.heal()
                time.sleep(chance.uniform(0, 0.05))
            server.kill9()
            disk.heal()
            if chance.random() < 0.6:
                disk.lose_power(chance.choice([None, chance]))
            server.restart()
            talk.check(in_order=False)
        talk.finish()
        talk.check(anew=True, in_order=False)
    assert any(answer.code for talker in talk.talkers for answer in talker.answers)
    assert server.stop() == 0
    verify(disk.root / "data")
