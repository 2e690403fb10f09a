"""A server with much behind it: fills a journal through chatd's own store, and asks what a newcomer asks.

Logins, joins and pages are asked one after the other over one framed connection each; what they cost is the
processor time of the server divided by their number, so a busy machine does not matter.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from bench.loadgen import CannotMeasure
from bench.servers import Subject, serving
from chatd.client.processor import seconds_of
from chatd.core.events import MessageSent, Proposal, RoomMade
from chatd.journal.store import Store

ROOM = "#r0"  # where the load generator speaks
AUTHORS = 1_000
BATCH = 5_000
ASKED = 300
PAGE = 50
BODY = "so they say, and so it is said again " * 2


def fill(folder: Path, *, messages: int, rooms: int = 1) -> None:
    """Make the journal of a data folder hold so many messages, spread over so many rooms; it may hold some already."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o700)
    # It is only filled that fast; the server that then runs on it syncs as ever.
    store = Store(data / "chatd.db", "memory")
    known = {room.room_id: room.last_seq for room in store.open().rooms}
    try:
        now = time.time_ns() // 1_000
        for n in range(rooms):
            if f"room{n}" not in known:
                store.write([Proposal(RoomMade(f"room{n}", f"#r{n}"), now)])
        proposals = _messages(sum(known.values()), messages, rooms, now)
        while batch := list(islice(proposals, BATCH)):
            store.write(batch)
    finally:
        store.close()


def _messages(first: int, last: int, rooms: int, now: int) -> Iterator[Proposal]:
    for n in range(first, last):
        author = f"author{n % AUTHORS:011}"
        yield Proposal(MessageSent(f"room{n % rooms}", author, "somebody", "text", BODY, f"{author}.{n}"), now + n)


def look(subject: Subject, folder: Path) -> dict[str, float]:
    """What it costs to start on that folder, to come in, and to read."""
    with serving(subject, folder) as server:
        found = {"start": _seconds(server.pid), "rss": _resident(server.pid)}
        wires: list[Wire] = []

        def come(n: int) -> None:
            wires.append(Wire(server.port, f"guest{n}"))

        def enter(n: int) -> None:
            wires[n].ask("join", room=ROOM)

        last = 0

        def read_latest(n: int) -> None:
            nonlocal last
            last = wires[n].ask("history", room=ROOM, limit=PAGE)["last_seq"]

        def read_old(n: int) -> None:
            wires[n].ask("history", room=ROOM, limit=PAGE, before=random.randint(PAGE, last))

        steps = {"login": come, "join": enter, "first": read_latest, "old": read_old}
        try:
            for name, step in steps.items():
                found[name] = _cost(server.pid, step)
        finally:
            for wire in wires:
                wire.socket.close()
    return found


def _cost(pid: int, step: Callable[[int], None]) -> float:
    """The server's processor time for one of these, in microseconds."""
    before = _seconds(pid)
    for n in range(ASKED):
        step(n)
    return (_seconds(pid) - before) / ASKED * 1e6


def _seconds(pid: int) -> float:
    """What the process has used so far."""
    found = seconds_of(pid)
    if found is None:
        raise CannotMeasure("the processor time of another process is told on Linux only")
    return found


def _resident(pid: int) -> float:
    """Resident memory in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


class Wire:
    """A guest's connection, who waits for each answer."""

    def __init__(self, port: int, nick: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")
        self.ask("hello", versions=[1])
        self.ask("auth", mechanism="guest", nick=nick)

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The reply; what else is told meanwhile is passed over."""
        body = msgspec.json.encode({"type": kind, "id": kind, **fields})
        self.socket.sendall(len(body).to_bytes(4, "big") + body)
        while True:
            frame = self.stream.read(int.from_bytes(self.stream.read(4), "big"))
            found: dict[str, Any] = msgspec.json.decode(frame)
            if found.get("re") == kind:
                if not found["ok"]:
                    raise CannotMeasure(f"{kind} was refused: {found['error']['message']}")
                return found
