"""A very long history: pages from anywhere in it come at once, nobody waits meanwhile, and memory does not grow.

With --soak there are ten million messages, as in the claim; otherwise two hundred thousand. The figures are printed
(pytest -s). Times are of this machine, whatever else it does; so they are compared as percentiles.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.crowd import Json, Wire

from chatd.core.events import MessageSent, Proposal, RoomMade
from chatd.journal.store import Store

PROBE = """
import atexit, os, time
from twisted.internet.epollreactor import EPollReactor

longest = [0.0]

def measured(step):
    def run(*words):
        began = time.thread_time()
        try:
            return step(*words)
        finally:
            longest[0] = max(longest[0], time.thread_time() - began)
    return run

EPollReactor.runUntilCurrent = measured(EPollReactor.runUntilCurrent)
EPollReactor.doIteration = measured(EPollReactor.doIteration)
atexit.register(lambda: open(os.environ["PROBE"], "w").write(str(longest[0])))
"""
"""Measures the longest step of the reactor from inside: what it computed, without what it waited for a processor."""

BEGAN = 1_600_000_000_000_000
STEP = 1_000_000
SHARES = {"#huge": 0.8, "#large": 0.19, "#small": 0.01, "#tiny": 0.0}
FAST = 0.050


def fill(path: Path, count: int) -> dict[str, int]:
    """Write a history of so many messages in rooms of very different sizes; how many each has."""
    store = Store(path, "memory")  # the disk may take its time: nobody relies on it yet
    store.open()
    sizes = {name: max(int(count * share), 10) for name, share in SHARES.items()}
    now = int(time.time() * 1_000_000)
    step = min(STEP, (now - BEGAN) // count)
    for name, size in sizes.items():
        store.write([Proposal(RoomMade(name, name), BEGAN)])
        for begin in range(0, size, 10_000):
            numbers = range(begin, min(begin + 10_000, size))
            store.write([Proposal(message(name, n), BEGAN + n * step) for n in numbers])
    store.close()
    return sizes


def message(room: str, n: int) -> MessageSent:
    author = f"{n % 50:016x}"
    return MessageSent(room, author, f"user{n % 50}", "text", f"message {n} " + "hello " * (n % 20), f"{room}.{n}")


class Pinging(threading.Thread):
    """One of the pair: asks for a sign of life all the time; `waits` is how long each took."""

    def __init__(self, address: tuple[str, int], nick: str) -> None:
        super().__init__(name=f"pinging {nick}")
        self.wire = Wire(address)
        self.wire.enter(nick, "#tiny")
        self.waits: list[float] = []
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            began = time.perf_counter()
            self.wire.ask("ping")
            self.waits.append(time.perf_counter() - began)
            self.wire.heard.clear()
            time.sleep(0.005)


@contextlib.contextmanager
def pair(address: tuple[str, int]) -> Iterator[list[float]]:
    """Two that ping as long as this lasts; then the list has all their waits."""
    pinging = [Pinging(address, nick) for nick in ("ann", "bob")]
    waits: list[float] = []
    for one in pinging:
        one.start()
    try:
        yield waits
    finally:
        for one in pinging:
            one.is_over = True
            one.join()
            one.wire.socket.close()
            waits.extend(one.waits)


def share(waits: list[float], percent: float) -> float:
    ordered = sorted(waits)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def told(what: str, waits: list[float]) -> None:
    figures = ", ".join(f"{name} {share(waits, p) * 1000:.1f}" for name, p in (("p50", 50), ("p99", 99), ("max", 100)))
    print(f"{what}: {figures} ms of {len(waits)}")


def forget(path: Path) -> None:
    """Let the kernel forget the file: the next look comes from the disk."""
    opened = os.open(path, os.O_RDONLY)
    os.fsync(opened)
    os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(opened)


def resident(pid: int) -> int:
    """The memory of a process that is its own, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_any_page_of_a_very_long_history_comes_at_once(start_server: Any, extent: Any) -> None:
    """Newest, oldest and middle, by number and by time, each under 50 ms at p99; the pair waits no longer either."""
    count = extent(200_000, 10_000_000)
    rounds = extent(60, 300)
    server = start_server(until="made")
    longest = probe(server)
    server.data_dir.mkdir()
    path = server.data_dir / "chatd.db"
    began = time.perf_counter()
    sizes = fill(path, count)
    print(f"\n{count:,} messages in {path.stat().st_size >> 20} MiB, written in {time.perf_counter() - began:.0f} s")
    try:
        start(server, path)
        read_pages(server, path, sizes, rounds, extent(90, 99))  # without --soak others compute here, too
        look_through(server)
        assert server.stop() == 0
    finally:
        path.unlink()
    print(f"the longest turn of the reactor: {float(longest.read_text()) * 1000:.1f} ms of a processor")
    assert float(longest.read_text()) < FAST


def probe(server: Any) -> Path:
    """Let the server measure its reactor; the file that says how long its longest turn was, when it has ended."""
    folder: Path = server.folder / "probe"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(PROBE)
    server.environ["PYTHONPATH"] = os.pathsep.join([str(folder), server.environ.get("PYTHONPATH", "")])
    server.environ["PROBE"] = str(folder / "longest")
    return folder / "longest"


def start(server: Any, path: Path) -> None:
    """From nothing to a login in less than two seconds."""
    forget(path)
    began = time.perf_counter()
    server.start()
    address = (server.host, server.port)
    with Wire(address) as wire:
        wire.enter("first")
    print(f"from the start to a login: {time.perf_counter() - began:.2f} s, cold")
    assert time.perf_counter() - began < 2.0


def read_pages(server: Any, path: Path, sizes: dict[str, int], rounds: int, percent: int) -> None:
    """Pages from everywhere, first from the disk and then from the kernel's memory."""
    address = (server.host, server.port)
    wire = Wire(address)
    wire.enter("tom")
    memory = resident(server.pid)
    for room in sizes:
        assert wire.ask("join", room=room)["last_seq"] == sizes[room]
    began = time.perf_counter()
    assert {item["room"] for item in wire.ask("list", what="rooms")["items"]} >= set(sizes)
    assert time.perf_counter() - began < FAST
    huge = sizes["#huge"]
    oldest = wire.ask("history", room="#huge", after=0, limit=2)["events"]
    first, second = (datetime.fromisoformat(event["time"]) for event in oldest)

    def moment(n: int) -> str:
        return (first + (second - first) * (n - 1)).isoformat()

    chance = random.Random(1)
    looks: dict[str, Callable[[], Json]] = {
        "the newest page": lambda: {},
        "the oldest page": lambda: {"after": 0},
        "before a number": lambda: {"before": chance.randrange(1000, huge)},
        "after a number": lambda: {"after": chance.randrange(huge - 1000)},
        "around a number": lambda: {"around": chance.randrange(1000, huge - 1000)},
        "before a time": lambda: {"before": moment(chance.randrange(1000, huge))},
        "after a time": lambda: {"after": moment(chance.randrange(huge - 1000))},
        "around a time": lambda: {"around": moment(chance.randrange(1000, huge - 1000))},
    }
    with pair(address) as waits:
        for is_cold in (True, False):
            everything = []
            for what, look in looks.items():
                taken = []
                for _ in range(rounds):
                    if is_cold:
                        forget(path)
                    place = look()
                    began = time.perf_counter()
                    page = wire.ask("history", room="#huge", **place)
                    taken.append(time.perf_counter() - began)
                    assert len(page["events"]) >= 100
                told(f"{what}, {'cold' if is_cold else 'warm'}", taken)
                assert share(taken, 90) < FAST, what
                everything += taken
            assert share(everything, percent) < FAST
    told("the pair, meanwhile", waits)
    assert share(waits, percent) < FAST
    grown = resident(server.pid) - memory
    print(f"memory of the server: {memory >> 20} MiB after the login, {grown >> 10} KiB more after all that")
    assert grown < 16 << 20
    wire.socket.close()


def look_through(server: Any) -> None:
    """Join from the beginning with a limit; then verify and back up, beside the running server."""
    address = (server.host, server.port)
    with Wire(address) as wire:
        wire.enter("late")
        began = time.perf_counter()
        wire.ask("join", room="#huge", since=0, replay_limit=1000)
        wire.until("caught_up")
        print(f"join since 0 with a replay of 1,000: {time.perf_counter() - began:.2f} s")
        assert [event.get("type") for event in wire.heard].count("message") == 1000
    copy = server.folder / "copy.db"
    for words in (["verify"], ["backup", str(copy)]):
        with pair(address) as waits:
            began = time.perf_counter()
            command = [sys.executable, "-m", "chatd", *words, "-d", str(server.data_dir)]
            environ = server.environ | {"PROBE": os.devnull}
            ran = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
            seconds = time.perf_counter() - began
        assert ran.returncode == 0, ran.stdout + ran.stderr
        print(f"chatd {words[0]}: {seconds:.1f} s; {ran.stdout.strip()}")
        told(f"the pair during {words[0]}", waits)
    copy.unlink()
