"""What the way of a message costs, part by part: `python -m bench.way [--members N] [--burst N] [--instructions]`.

In this process and without sockets: real frames, rules, hub, codecs and store, four senders, and members whose
transport throws away what is written to it. So what is left out is the kernel and the handing over between threads;
what is left is the work of the program itself, in three parts:

- in: from `dataReceived` to the journal's `append`;
- store: what the writer's thread does with a batch, fsync switched off;
- out: from the journal's entries to one write for each member.

`--instructions` counts instructions instead, with valgrind's callgrind: those are the same in each run, whatever else
the machine does.
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from chatd.core.events import Entry, Proposal
from chatd.core.limits import Limits, Rules
from chatd.core.questions import Question
from chatd.hub import Hub
from chatd.journal.reader import answer_from
from chatd.journal.schema import connect_reader
from chatd.journal.store import Store
from chatd.protocols import framed

SENDERS = 4
PARTS = ("in", "store", "out")
BODY = "so they say, and so it is said again, " * 2


class Nowhere:
    """A transport whose peer reads everything at once."""

    bufferSize = 65_536

    def write(self, data: bytes) -> None:
        """It is read."""

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 50_000)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """It will never be told."""

    def pauseProducing(self) -> None:
        """Nothing comes but what is given to the protocol."""

    def resumeProducing(self) -> None:
        """The same."""


class Journal:
    """A store that is asked on this thread, when it is told to."""

    node = ""

    def __init__(self, store: Store, reader: sqlite3.Connection, clock: Clock) -> None:
        self.store = store
        self.waiting: list[Proposal] = []
        self._reader = reader
        self._clock = clock

    @property
    def under_way(self) -> int:
        return len(self.waiting)

    def append(self, proposals: Sequence[Proposal]) -> None:
        self.waiting += proposals

    def write(self) -> list[Entry]:
        waiting, self.waiting = self.waiting, []
        return self.store.write(waiting)

    def ask(self, question: Question) -> Deferred[Any]:
        answered: Deferred[Any] = Deferred()
        self._clock.callLater(0, lambda: answered.callback(answer_from(self._reader, question)))
        return answered


class House:
    """Hub, store and framed members, and what each part has taken so far, in seconds."""

    def __init__(self, folder: Path, members: int) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        store = Store(folder / "way.db", "memory")
        snapshot = store.open()
        self.journal = Journal(store, connect_reader(folder / "way.db"), self.clock)
        rules = Rules(
            limits=Limits(),
            server="chatd",
            server_version="0",
            network="bench",
            motd="",
            durability="fsync",
            secret=snapshot.secret,
        )
        self.hub = Hub(journal=self.journal, rules=rules, reactor=self.clock)
        factory = framed.factory(self.hub)
        self.spent: dict[str, list[float]] = {part: [] for part in PARTS}  # seconds a message, turn by turn
        self.count = 0
        self.members = []
        for n in range(members):
            member = factory.buildProtocol(None)
            member.makeConnection(Nowhere())
            self.members.append(member)
            # Two packets: a send is not to wait for a join that goes the same way.
            self.say(n, {"type": "hello", "versions": [1]}, {"type": "auth", "mechanism": "guest", "nick": f"m{n}"})
            self.say(n, {"type": "join", "id": "j", "room": "#way"})

    def say(self, member: int, *requests: dict[str, Any]) -> None:
        self.members[member].dataReceived(frames(requests))
        while self.clock.getDelayedCalls() and self.clock.getDelayedCalls()[0].getTime() <= self.clock.seconds():
            self.clock.advance(0)
            if self.journal.waiting:
                self.hub.entries_received(self.journal.write())

    def turn(self, packets: Sequence[bytes]) -> None:
        """One packet of each sender, all the way."""
        clock, hub, spent = time.thread_time, self.hub, self.spent
        began = clock()
        for sender, packet in enumerate(packets):
            self.members[sender].dataReceived(packet)
        hub.flush()
        sent = clock()
        entries = self.journal.write()
        stored = clock()
        hub.entries_received(entries)
        hub.flush()
        ended = clock()
        messages = sum(entry.seq > 0 for entry in entries)
        for part, seconds in zip(PARTS, (sent - began, stored - sent, ended - stored), strict=True):
            spent[part].append(seconds / messages)
        self.count += messages
        for call in self.clock.getDelayedCalls():  # the turns' ends, which have just been seen to
            if call.getTime() <= self.clock.seconds():
                call.cancel()
        for member in self.members[:SENDERS]:
            member._resting = False


def frames(requests: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(framed.framed(msgspec.json.encode(one)) for one in requests)


def packets(turn: int, burst: int) -> list[bytes]:
    """What each sender says in a turn, as careful clients do: with an id and a `msg_id`."""
    return [
        frames(
            [
                {
                    "type": "send",
                    "id": f"{turn * burst + n}",
                    "room": "#way",
                    "body": f"{BODY}{n}",
                    "msg_id": f"m{sender}-{turn * burst + n}",
                }
                for n in range(burst)
            ]
        )
        for sender in range(SENDERS)
    ]


def run(asked: argparse.Namespace) -> House:
    with tempfile.TemporaryDirectory(prefix="chatd-way-") as name:
        house = House(Path(name), asked.members)
        ready = [packets(turn, asked.burst) for turn in range(asked.turns)]
        for one in ready:
            house.turn(one)
        house.journal.store.close()
    return house


def instructions(asked: argparse.Namespace) -> float:
    """Instructions a message: those of a long run less those of a short one."""
    counted = []
    for turns in (20, 20 + asked.turns):
        words = [f"--members={asked.members}", f"--burst={asked.burst}", f"--turns={turns}"]
        with tempfile.TemporaryDirectory() as folder:
            valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
            found = subprocess.run(
                [*valgrind, sys.executable, "-m", "bench.way", *words], capture_output=True, text=True, check=True
            )
        [count] = re.findall(r"Collected : (\d+)", found.stderr)
        counted.append(int(count))
    return (counted[1] - counted[0]) / (asked.turns * asked.burst * SENDERS)


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--burst", type=int, default=16, help="messages of each sender in a turn")
    parser.add_argument("--turns", type=int, default=300)
    parser.add_argument("--instructions", action="store_true", help="count instructions, with valgrind")
    return parser.parse_args(words)


def main() -> None:
    asked = options()
    if asked.instructions:
        print(f"{instructions(asked):,.0f} instructions a message")
        return
    house = run(asked)
    # Of the fastest tenth of the turns: the others were disturbed by whatever else the machine does.
    costs = {part: sorted(spent)[len(spent) // 10] * 1e6 for part, spent in house.spent.items()}
    told = [f"{part} {cost:.2f}" for part, cost in costs.items()]
    whole = sum(costs.values())
    print(f"{', '.join(told)}, in all {whole:.2f} µs a message ({house.count:,} messages, {asked.members} members)")


if __name__ == "__main__":
    main()
