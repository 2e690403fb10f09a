"""What is shown to a whole room is sent past the connection while nothing waits there: in its order, whatever fits."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.house import House, Peer, Transport

from chatd.protocols.connection import AT_ONCE_BYTES

ROOMS = ("#one", "#two")


class Kernel(Transport):
    """A transport that takes by `chance` at once, all of it if there is none, and has the rest wait until `take`."""

    chance: random.Random | None = None
    waiting = b""
    at_once = 0  # what came past the connection
    calls = 0

    def prompt(self) -> Any:
        return None if self.waiting else self.send

    def send(self, data: bytes) -> int:
        assert not self.waiting, "something waits before it"
        self.calls += 1
        size = self._taken(data, lambda chance: [0, chance.randrange(len(data)), len(data), len(data)])
        if not size:
            raise BlockingIOError
        super().write(data[:size])
        self.at_once += size
        return size

    def write(self, data: bytes) -> None:
        self.calls += 1
        size = 0 if self.waiting else self._taken(data, lambda _: [0, len(data) // 2, len(data)])
        super().write(data[:size])
        self.waiting += data[size:]

    def _taken(self, data: bytes, sizes: Callable[[random.Random], list[int]]) -> int:
        return len(data) if self.chance is None else self.chance.choice(sizes(self.chance))

    def take(self) -> None:
        super().write(self.waiting)
        self.waiting = b""


def come(house: House, nick: str, seed: int | None = None) -> Peer:
    peer = house.come(nick, *ROOMS)
    peer.transport.__class__ = Kernel
    transport: Any = peer.transport
    transport.chance = None if seed is None else random.Random(seed)
    peer.protocol.is_prompt = True
    return peer


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32))
def test_what_is_sent_at_once_and_what_waits_come_in_their_order(seed: int) -> None:
    chance = random.Random(seed)
    house = House()
    tom, ann = house.come("tom", *ROOMS), house.come("ann", *ROOMS)
    peers = [come(house, f"p{n}", seed + n) for n in range(3)]
    for peer in peers:
        peer.listen()
    count = 0
    for _ in range(chance.randrange(1, 25)):
        for speaker in chance.sample([tom, ann, *peers], chance.randrange(1, 4)):
            count += 1
            room = chance.choice(ROOMS)
            speaker.murmur({"type": "send", "id": "x", "room": room, "body": f"{count} " + "x" * chance.randrange(200)})
        house.settle()
        for peer in chance.sample(peers, chance.randrange(3)):
            peer.transport.take()
    tom.listen()
    for peer in peers:
        peer.transport.take()
        peer.listen()
        seqs = {room: [one["seq"] for one in peer.heard if one.get("room") == room and "seq" in one] for room in ROOMS}
        for room in ROOMS:
            last = house.hub.state.rooms[house.hub.state.by_name[room]].last_seq
            assert seqs[room] == list(range(1, last + 1))


def test_a_room_that_is_alone_is_sent_at_once() -> None:
    house = House()
    tom = house.come("tom", *ROOMS)
    peer = come(house, "kim")
    transport: Any = peer.transport
    tom.ask("send", room="#one", body="the connection has this, and finds that nothing waits")
    before = transport.at_once
    tom.ask("send", room="#one", body="hello")
    assert transport.at_once > before
    tom.say(*({"type": "send", "id": room, "room": room, "body": "two rooms in one turn"} for room in ROOMS))
    assert len(peer.events("message")) == 4


def test_what_waits_already_comes_before_what_is_sent_at_once() -> None:
    house = House()
    tom = house.come("tom", "#one", "#three")
    tom.ask("send", room="#three", body="it is there")
    kim = come(house, "kim")
    kim.ask("ping")
    kim.murmur({"type": "join", "id": "j", "room": "#three"})
    tom.murmur({"type": "send", "id": "s", "room": "#three", "body": "right behind"})
    house.settle()
    found = [one.get("re") or one["type"] for one in kim.listen() if one.get("re") or one["type"] == "message"]
    assert found == ["j", "message"]


def test_what_is_left_of_a_large_turn_comes_before_what_is_sent_at_once() -> None:
    house = House()
    kim = come(house, "kim")
    transport: Any = kim.transport
    connection, link = kim.protocol, kim.protocol.link
    assert link is not None
    for word in (b"first", b"last"):
        connection.write(word * (AT_ONCE_BYTES // len(word)))
    assert link.send is None, "the last still waits"
    house.settle()
    assert link.send is not None
    assert transport.value().endswith(b"first" + b"last" * (AT_ONCE_BYTES // 4))


def test_who_leaves_in_a_turn_does_not_cut_what_is_sent() -> None:
    """It is shown in its place, and all of the turn is one send."""
    house = House()
    tom = house.come("tom", "#one")
    leaving = [house.come(f"p{n}", "#one") for n in range(4)]
    kim = come(house, "kim")
    tom.ask("send", room="#one", body="kim is ready")
    kim.listen()
    transport: Any = kim.transport
    before = transport.calls
    for n, one in enumerate(leaving):
        tom.murmur({"type": "send", "id": f"{n}", "room": "#one", "body": f"{n}"})
        one.murmur({"type": "part", "id": "p", "room": "#one"})
    house.settle()
    assert [one["body"] for one in kim.listen() if one["type"] == "message"] == ["0", "1", "2", "3"]
    assert transport.calls == before + 1


def test_a_connection_in_trouble_costs_itself_only(logged_errors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    tom = house.come("tom", "#one")
    kim, joe = come(house, "kim"), come(house, "joe")
    tom.ask("send", room="#one", body="they are ready")

    def full(_: bytes) -> int:
        raise BlockingIOError

    def broken(_: bytes) -> None:
        raise RuntimeError("not the others' trouble")

    assert kim.protocol.link is not None
    kim.protocol.link.send = full
    monkeypatch.setattr(kim.protocol, "write_rest", broken)
    assert tom.ask("send", room="#one", body="hello")["seq"] == 2
    assert joe.events("message")[-1]["body"] == "hello"
    assert kim.protocol.link is None, "it is gone"
    assert len(logged_errors.take(RuntimeError)) == 1
