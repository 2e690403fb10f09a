"""What happens in one turn of the hub, or while a peer does not keep up: nothing is lost where two things meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from support.house import House, Peer, bodies, way
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from chatd.core.commands import Presence
from chatd.core.events import Entry


def says(peer: Peer, *requests: dict[str, Any]) -> None:
    """These come in one packet, and the house has not yet got round to them."""
    peer.murmur(*requests)


def test_a_coming_and_a_going_in_one_turn_are_both_told_at_once() -> None:
    house = House()
    tom = house.come("tom", "#lobby", caps=("presence",))
    jerry, spike = house.come("jerry", "#lobby"), house.come("spike")
    tom.events()
    says(spike, {"type": "join", "id": "j", "room": "#lobby"})
    says(jerry, {"type": "part", "id": "p", "room": "#lobby", "reason": "bye"})
    house.settle()
    [told] = tom.events()
    assert (told["joined"], told["left"]) == (["spike"], [{"nick": "jerry", "reason": "bye"}])


def test_who_comes_while_the_only_reader_there_falls_behind_hears_the_room() -> None:
    """The last words of somebody who is gone already make the slow one fall behind, in the turn of the coming."""
    house = House()
    slow, writer, newcomer = house.come("slow", "#lobby"), house.come("writer", "#lobby"), house.come("new")
    slow.transport.stall()
    says(writer, {"type": "send", "id": "s", "room": "#lobby", "body": "1"})
    says(newcomer, {"type": "join", "id": "j", "room": "#lobby"})
    writer.leave()
    house.come("tom", "#lobby").ask("send", room="#lobby", body="2")
    assert bodies(newcomer.events()) == [(2, "2")]
    assert newcomer.ask("part", room="#lobby")["ok"]
    slow.transport.drain()
    house.settle()
    assert bodies(slow.events()) == [(1, "1"), (2, "2")]


def test_who_changes_what_it_is_shown_while_it_falls_behind_misses_nothing() -> None:
    """Also when the room has something to say in that very turn, and nobody else is there to hear it."""
    house = House()
    tom, slow = house.come("tom", "#lobby"), house.come("slow", "#lobby")
    slow.transport.stall()
    says(tom, {"type": "send", "id": "1", "room": "#lobby", "body": "1"})
    tom.protocol.connectionLost(Failure(ConnectionDone("gone")))
    take = house.hub.entries_received
    asks = [Presence(id="p", subscribe=True)]  # it waited behind another request, and its turn comes now

    def take_and_ask(entries: Sequence[Entry]) -> None:
        take(entries)
        while asks:
            house.hub.submit(slow.protocol.link, asks.pop())

    house.hub.entries_received = take_and_ask
    house.settle()
    spike = house.come("spike", "#lobby")
    spike.ask("send", room="#lobby", body="2")
    slow.transport.drain()
    house.settle()
    spike.ask("send", room="#lobby", body="3")
    heard = slow.listen()
    assert [one for one in heard if "re" in one] == [{"re": "p", "ok": True}]
    assert bodies(heard) == [(1, "1"), (2, "2"), (3, "3")]


def test_many_who_leave_at_once_with_long_reasons_fit_into_frames() -> None:
    house = House(presence_batch_members=2)
    tom = house.come("tom", "#lobby", caps=("presence",))
    crowd = [house.come(f"guest{n}", "#lobby") for n in range(150)]
    house.settle(1.1)
    tom.listen()
    for n, peer in enumerate(crowd):
        peer.ask("part", room="#lobby", reason="é" * 512 if n % 2 else "x" * 512)
    house.settle(1.1)
    sizes = list(map(len, way.unwrap(tom.transport.value())[0]))
    assert max(sizes) <= 65536
    assert sum(len(one["left"]) for one in tom.events()) == 150


def test_nothing_that_was_asked_is_left_unanswered_at_the_end() -> None:
    """A52: also what the journal is still looking up."""
    house = House()
    tom = house.come("tom", "#lobby")
    tom.ask("send", room="#lobby", body="x")
    says(tom, {"type": "history", "id": "h", "room": "#lobby"}, {"type": "ping", "id": "p"})
    house.hub.stop()
    for _ in range(10):
        house.settle(0.1)
    heard = tom.listen()
    assert [one.get("re", one.get("type")) for one in heard] == ["h", "p", "closing"]
    assert bodies(heard[0]["events"]) == [(1, "x")]
