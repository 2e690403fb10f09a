"""The end of a server: everybody is told, all that was asked is answered, and it takes no longer than it may.

What is promised: everything that had reached the server's machine before the server said `closing` on that connection
is answered, with ok or with a refusal; `closing` is the last word; what has no answer by then was not carried out. Only
a peer that goes on sending through refusals may have a last piece that was never read.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.crowd import LineWire, Wire, frame

ROOM = "#lobby"
SENDERS, UNDER_WAY = 8, 16
TCP_ESTABLISHED = 1


def everything(server: Any) -> dict[int, str]:
    """What is stored in the lobby, by number."""
    with Wire((server.host, server.port)) as wire:
        wire.enter("judge", ROOM)
        found: dict[int, str] = {}
        after: int | None = 0
        while after is not None:
            page = wire.ask("history", room=ROOM, after=after, limit=200)
            found |= {one["seq"]: one["body"] for one in page["events"]}
            after = page["next"]
        return found


def last_words(wire: Wire) -> list[dict[str, Any]]:
    """Everything up to the end of the connection, which has to be an orderly one."""
    heard = []
    try:
        while True:
            heard.append(wire.read())
    except EOFError:
        wire.socket.close()
        return heard


def has_arrived(sender: socket.socket) -> bool:
    """Whether what we just sent was there before the other side ended: on loopback it is there when `send` returns."""
    return sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED


def test_what_had_arrived_is_answered_and_closing_is_the_last_word(server: Any) -> None:
    """A52: the server is held still, all say something, and only then it is told to end: it owes everyone an answer."""
    wires = [Wire((server.host, server.port)) for _ in range(SENDERS)]
    people = [LineWire((server.host, server.line_port)) for _ in range(2)]
    for n, wire in enumerate(wires):
        wire.enter(f"tom{n}", ROOM)
    for n, person in enumerate(people):
        person.enter(f"ann{n}")
    os.kill(server.pid, signal.SIGSTOP)
    for n, wire in enumerate(wires):
        wire.send(*({"type": "send", "id": f"{m}", "room": ROOM, "body": f"{n} {m}"} for m in range(UNDER_WAY)))
    for n, person in enumerate(people):
        person.say(*(f"ann{n} {m}" for m in range(UNDER_WAY)))
    assert all(has_arrived(one.socket) for one in (*wires, *people))
    server.process.terminate()
    os.kill(server.pid, signal.SIGCONT)
    oks: dict[int, str] = {}
    for n, wire in enumerate(wires):
        heard = last_words(wire)
        answers = [one for one in heard if "re" in one]
        assert [one["re"] for one in answers] == [str(m) for m in range(UNDER_WAY)]
        assert all(one["ok"] or one["error"]["code"] == "SHUTTING_DOWN" for one in answers)
        oks |= {one["seq"]: f"{n} {one['re']}" for one in answers if one["ok"]}
        assert heard[-1]["type"] == "closing"
        assert heard[-1]["reconnect_after"] > 0
    refusals = [told(person) for person in people]
    assert server.process.wait(10) == 0
    server.restart()
    stored = everything(server)
    said = [body for body in stored.values() if body.startswith("ann")]
    assert {seq: body for seq, body in stored.items() if not body.startswith("ann")} == oks
    assert len(said) + sum(refusals) == len(people) * UNDER_WAY, "each line is stored, or its author is told"


def told(person: LineWire) -> int:
    """How often a person was told that a line was not taken; the last two lines say that the server is stopping."""
    lines = []
    try:
        while True:
            lines.append(person.read())
    except EOFError:
        person.socket.close()
    assert "stopping" in lines[-2]
    assert "Come again" in lines[-1]
    return sum("stopping" in line for line in lines[:-2])


@dataclass
class Sender(threading.Thread):
    """Keeps so many under way, until it is refused, as a client does that is asked to wait."""

    server: Any
    name_: str
    oks: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)
    arrived: set[str] = field(default_factory=set)
    last: dict[str, Any] = field(default_factory=dict)
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        super().__init__()
        self.wire = Wire((self.server.host, self.server.port))
        self.wire.enter(self.name_, ROOM)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        try:
            while True:
                while not self.refused and len(self.sent) - len(self.oks) < UNDER_WAY:
                    self.say()
                self.last = found = self.wire.read()
                if found.get("ok"):
                    self.oks[found["re"]] = found["seq"]
                elif "re" in found:
                    assert found["error"]["code"] == "SHUTTING_DOWN", found
                    self.refused.add(found["re"])
        except EOFError:
            self.wire.socket.close()
        except BaseException as failure:
            self.failure = failure
            self.wire.socket.close()

    def say(self) -> None:
        body = f"{self.name_} {len(self.sent)}"
        try:
            self.wire.socket.sendall(frame({"type": "send", "id": body, "room": ROOM, "body": body}))
        except OSError:
            return
        self.sent.append(body)
        if has_arrived(self.wire.socket):
            self.arrived.add(body)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_stop_under_load_leaves_nothing_open(server: Any, extent: Callable[[int, int], int]) -> None:
    """A52: senders, one who never reads, one in mid-word: it ends in time, with status 0, and nothing is unclear."""
    oks: dict[int, str] = {}
    for round_ in range(extent(2, 20)):
        senders = [Sender(server, f"r{round_}s{n}") for n in range(SENDERS)]
        stalled, person = Wire((server.host, server.port)), LineWire((server.host, server.line_port))
        stalled.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.enter(f"stalled{round_}", ROOM)
        person.enter(f"ann{round_}")
        person.socket.sendall(b"I was about to s")
        for sender in senders:
            sender.start()
        while min(len(sender.oks) for sender in senders) < 40:
            time.sleep(0.01)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 10
        for sender in senders:
            sender.join(10)
            assert sender.failure is None
            assert sender.last["type"] == "closing"
            unclear = [body for body in sender.sent if body not in sender.oks and body not in sender.refused]
            assert not sender.arrived & set(unclear), "it had arrived before the end, and was not answered"
            oks |= {seq: body for body, seq in sender.oks.items()}
        assert told(person) == 0
        stalled.socket.close()
        server.restart()
        stored = everything(server)
        assert stored == oks, "what was told to be stored, and nothing else"


def test_a_second_signal_ends_it_at_once_and_what_was_acknowledged_is_there(server: Any) -> None:
    senders = [Sender(server, f"tom{n}") for n in range(2)]
    stalled = Wire((server.host, server.port))
    stalled.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.enter("stalled", ROOM)
    for sender in senders:
        sender.start()
    while min(len(sender.oks) for sender in senders) < 40:
        time.sleep(0.01)
    server.process.terminate()
    time.sleep(0.02)  # the stalled one keeps the goodbye from ending sooner
    server.process.terminate()
    assert server.process.wait(2) != 0
    for sender in senders:
        sender.join(10)
    stalled.socket.close()
    server.restart()
    stored = everything(server)
    for sender in senders:
        assert all(stored[seq] == body for body, seq in sender.oks.items())
