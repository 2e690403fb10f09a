"""The power fails: what was acknowledged is on the disk, not only on its way there.

kill -9 cannot show this, as the kernel brings to the disk whatever was written before. Here the server's files are
replaced by what a disk would have for certain, or by that and some pieces of the rest.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from support.disk import Disk
from support.talk import Talk
from support.witness import oks_and_syncs


def pull_the_plug(server: Any, disk: Disk, chance: random.Random | None) -> None:
    server.kill9()
    disk.lose_power(chance)
    server.restart()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", ["only what was synced", "and some pieces more"])
def test_after_a_loss_of_power_everything_acknowledged_is_there(
    what: str, faults: Path, tmp_path: Path, start_server: Any, extent: Any
) -> None:
    """A53: in order, once, under its number; and who comes back with `since` finds neither hole nor other words."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    disk = Disk(faults, tmp_path / "power")
    server = start_server(f"--data-dir={disk.root / 'data'}", environ=disk.environ)
    with Talk(server) as talk:
        for _ in range(extent(3, 20)):
            disk.slow_down(chance.choice([0, 0.003, 0.03]))
            talk.wait_for_oks(1)
            time.sleep(chance.uniform(0.1, 1))
            pull_the_plug(server, disk, chance if what == "and some pieces more" else None)
            talk.check()
            talk.check_repetitions(chance)
        disk.slow_down(0)
        talk.finish()
        talk.check(anew=True)
    print(f"{len(talk.acknowledged())} acknowledged")


def test_a_loss_of_power_right_after_the_first_message(faults: Path, tmp_path: Path, start_server: Any) -> None:
    """The names of the file and of its folders are on the disk by then, too."""
    disk = Disk(faults, tmp_path / "power")
    server = start_server(f"--data-dir={disk.root / 'new' / 'data'}", environ=disk.environ)
    with Talk(server, talkers=1, listeners=0, in_flight=1) as talk:
        talk.wait_for_oks(1)
        pull_the_plug(server, disk, None)
        talk.check()


def test_it_would_be_seen_if_an_ok_did_not_wait_for_the_disk(faults: Path, tmp_path: Path, start_server: Any) -> None:
    """With durability = "normal" a loss of power costs messages, and this disk shows it."""
    disk = Disk(faults, tmp_path / "power")
    environ = {**disk.environ, "CHATD__JOURNAL__DURABILITY": "normal"}
    server = start_server(f"--data-dir={disk.root / 'data'}", environ=environ)
    with Talk(server, listeners=0) as talk:
        talk.wait_for_oks(20)
        server.kill9()
        before = len(talk.acknowledged())
        disk.lose_power()
        server.restart()
        with pytest.raises(AssertionError, match="lost"):
            talk.check()
        assert before


def test_every_ok_follows_a_sync_that_began_after_its_message_had_come_in(
    faults: Path, tmp_path: Path, start_server: Any, extent: Any
) -> None:
    """As seen between the server and the kernel."""
    disk = Disk(faults, tmp_path / "power")
    server = start_server(f"--data-dir={disk.root / 'data'}", environ=disk.environ)
    with Talk(server) as talk:
        talk.wait_for_oks(extent(300, 10_000), 300)
    found = oks_and_syncs(disk.records())
    assert found.oks == len(talk.acknowledged())
    assert found.too_early == []


@pytest.mark.parametrize("durability", ["normal", "memory"])
def test_it_would_be_seen_if_an_ok_came_before_its_sync(
    durability: str, faults: Path, tmp_path: Path, start_server: Any
) -> None:
    disk = Disk(faults, tmp_path / "power")
    environ = {**disk.environ, "CHATD__JOURNAL__DURABILITY": durability}
    server = start_server(f"--data-dir={disk.root / 'data'}", environ=environ)
    with Talk(server, listeners=0) as talk:
        talk.wait_for_oks(20)
    found = oks_and_syncs(disk.records())
    assert found.oks == len(talk.acknowledged())
    assert found.too_early
