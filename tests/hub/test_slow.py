"""Slow readers: what waits for them is bounded, what they miss is made up or counted, and others have their turn."""

from __future__ import annotations

from typing import Any

import pytest
from support.house import House, Peer, bodies
from twisted.logger import formatEvent, globalLogPublisher

from chatd.hub.replay import PAGES_AT_ONCE
from chatd.protocols.connection import REQUESTS_A_TURN

QUEUE = 65_536


class Kernel:
    """Between a peer's transport and its reading: takes `room` bytes, and then no more until they are read."""

    def __init__(self, peer: Peer, room: int) -> None:
        self.peer, self.room = peer, room
        self.most_waiting = 0
        self._write = peer.transport.write
        peer.transport.write = self.write

    def write(self, data: bytes) -> None:
        self._write(data)
        waiting = len(self.peer.transport.value()) - self.room
        if waiting > 0:
            self.most_waiting = max(self.most_waiting, waiting)
            self.peer.transport.stall()

    def read(self) -> list[dict[str, Any]]:
        """The peer reads all that waits."""
        found = self.peer.listen()
        self.peer.transport.drain()
        self.peer.house.settle()
        return found


def crowd_of_two(**limits: Any) -> tuple[House, Peer, Peer]:
    house = House(**limits)
    return house, house.come("tom", "#lobby"), house.come("slow", "#lobby", caps=("presence", "typing"))


def test_a_turn_that_brings_much_is_taken_as_far_as_the_queue_goes_and_the_rest_comes_later() -> None:
    """A46: 2 MB said in one turn, to a reader whose kernel takes 100,000 bytes."""
    _, tom, slow = crowd_of_two(messages_burst=1000)
    kernel = Kernel(slow, 100_000)
    tom.say(*({"type": "send", "id": str(n), "room": "#lobby", "body": f"{n} " + "x" * 8000} for n in range(250)))
    heard = []
    for _ in range(100):
        heard += kernel.read()
    assert [seq for seq, _ in bodies(heard)] == list(range(1, 251))
    assert kernel.most_waiting <= QUEUE


def test_the_largest_frames_do_not_exceed_the_queue_either() -> None:
    _, tom, slow = crowd_of_two(body_bytes=32_768)
    kernel = Kernel(slow, 0)
    for n in range(6):
        assert tom.ask("send", room="#lobby", body="x" * 32_000, data="y" * 30_000)["seq"] == n + 1
    heard = []
    for _ in range(20):
        heard += kernel.read()
    assert [seq for seq, _ in bodies(heard)] == [1, 2, 3, 4, 5, 6]
    assert 60_000 < kernel.most_waiting <= QUEUE


def test_a_page_that_grows_in_its_dialect_is_taken_as_far_as_the_queue_goes() -> None:
    """Every character of these is written as two in JSON."""
    _, tom, slow = crowd_of_two()
    assert slow.ask("part", room="#lobby")["ok"]
    for _ in range(16):
        assert tom.ask("send", room="#lobby", body='"' * 8000)["ok"]
    kernel = Kernel(slow, 0)
    slow.say({"type": "join", "id": "j", "room": "#lobby", "since": 0})
    heard = []
    for _ in range(16):
        heard += kernel.read()
    assert [seq for seq, _ in bodies(heard)] == list(range(1, 17))
    assert 30_000 < kernel.most_waiting <= QUEUE


def test_replies_wait_too_and_requests_are_not_carried_out_before_the_earlier_answers_are_read() -> None:
    _, tom, slow = crowd_of_two()
    for _ in range(8):
        tom.ask("send", room="#lobby", body="x" * 8000)
    slow.listen()
    kernel = Kernel(slow, 0)
    slow.say(*({"type": "history", "id": f"h{n}", "room": "#lobby"} for n in range(100)))
    for n in range(100):
        assert [one["re"] for one in kernel.read()] == [f"h{n}"]
    assert 60_000 < kernel.most_waiting <= 65_546


def test_what_waits_to_be_carried_out_is_bounded_in_bytes() -> None:
    house, _, slow = crowd_of_two()
    ping = {"type": "ping", "id": "p", "data": "x" * 8000}
    slow.protocol.link.blocked = True  # an earlier request is being looked up
    for _ in range(40):
        slow.murmur(ping)
    assert slow.protocol.paused
    assert sum(len(command.data) for command in slow.protocol.link.waiting) < QUEUE + 8100
    slow.protocol.link.blocked = False
    house.hub.go_on(slow.protocol.link)
    house.settle()
    assert len(slow.listen()) == 40
    assert not slow.protocol.paused


def test_who_was_not_told_who_came_and_went_is_told_how_many_are_there() -> None:
    """And that is counted, whether the room said something meanwhile or not."""
    house, tom, slow = crowd_of_two()
    for talk in (False, True):
        before = house.hub.counts.ephemeral_dropped_total
        slow.listen()
        slow.transport.stall()
        if talk:
            tom.ask("send", room="#lobby", body="x")
        guest = house.come(f"guest{talk}", "#lobby")
        house.settle(1)
        guest.leave()
        house.settle(1)
        assert slow.events() == []
        assert house.hub.counts.ephemeral_dropped_total == before + 2
        assert house.hub.counts.slow_readers == 1
        slow.transport.drain()
        house.settle()
        told = slow.events()
        assert [one["type"] for one in told] == ["message", "presence"] if talk else ["presence"]
        assert told[-1] == {"type": "presence", "room": "#lobby", "count": 2}
    counts = house.hub.counts
    assert (counts.slow_readers, counts.slow_readers_total) == (0, 2)
    assert counts.replays_started_total == counts.replays_ended_total == 1


def test_typing_is_dropped_and_counted_for_who_wants_it_only() -> None:
    house, tom, slow = crowd_of_two()
    plain = house.come("plain", "#lobby")
    slow.listen()
    slow.transport.stall()
    plain.transport.stall()
    tom.ask("presence", typing={"room": "#lobby", "state": "active"})
    assert house.hub.counts.ephemeral_dropped_total == 1
    slow.transport.drain()
    house.settle()
    assert slow.events() == []


def test_what_was_dropped_for_somebody_is_in_the_log_when_he_goes() -> None:
    house, tom, slow = crowd_of_two()
    slow.transport.stall()
    house.come("guest", "#lobby")
    logged: list[Any] = []
    globalLogPublisher.addObserver(logged.append)
    slow.leave()
    tom.leave()
    globalLogPublisher.removeObserver(logged.append)
    told = [formatEvent(event) for event in logged]
    assert [one.partition("reason=")[2] for one in told] == ["connection closed dropped=1", "connection closed"]
    assert house.hub.counts.slow_readers == 0


def test_only_a_few_pages_are_on_their_way_at_once_and_every_feed_has_its_turn() -> None:
    house, tom, _ = crowd_of_two()
    for n in range(30):
        tom.ask("send", room="#lobby", body=f"{n} " + "x" * 8000)
    peers = [house.come(f"m{n}") for n in range(3 * PAGES_AT_ONCE)]
    most = 0
    ask = house.hub.replay.ask

    def counted(question: Any) -> Any:
        nonlocal most
        most = max(most, house.hub.replay.asked)
        return ask(question)

    house.hub.replay.ask = counted
    for peer in peers:
        peer.murmur({"type": "join", "id": "j", "room": "#lobby", "since": 0})
    house.settle()
    for peer in peers:
        assert [seq for seq, _ in bodies(peer.listen())] == list(range(1, 31))
    assert most == PAGES_AT_ONCE
    assert house.hub.replay.asked == 0


def test_one_peers_thousand_requests_do_not_keep_another_waiting() -> None:
    _, tom, slow = crowd_of_two()
    slow.murmur(*({"type": "nonsense", "id": str(n)} for n in range(1000)))
    slow.protocol.flush()
    assert len(slow.listen()) == REQUESTS_A_TURN
    assert tom.ask("ping")["ok"]
    assert len(slow.listen()) == 1000 - REQUESTS_A_TURN


def test_who_has_said_everything_and_reads_nothing_is_given_up() -> None:
    """A peer that is half-closed can be asked nothing; what it was owed is not kept for ever."""
    house, tom, slow = crowd_of_two()
    slow.transport.stall()
    slow.protocol.readConnectionLost()
    for _ in range(17):
        house.settle(5)
        tom.ask("ping")
    assert slow.is_open
    for _ in range(4):
        house.settle(5)
        tom.ask("ping")
    assert not slow.is_open


def test_who_has_said_everything_and_reads_slowly_gets_everything_first() -> None:
    house, tom, slow = crowd_of_two()
    tom.ask("send", room="#lobby", body="x")
    slow.listen()
    slow.murmur(*({"type": "history", "id": f"h{n}", "room": "#lobby"} for n in range(2)))
    slow.protocol.readConnectionLost()
    slow.transport.stall()
    house.settle(60)
    assert slow.listen() == []
    slow.transport.drain()
    house.settle()
    assert [one["re"] for one in slow.listen()] == ["h0", "h1"]
    assert not slow.is_open


@pytest.mark.parametrize("end", ["quit", "finish"])
def test_the_close_of_a_stalled_peer_ends_in_an_abort(end: str) -> None:
    house, _, slow = crowd_of_two()
    slow.transport.loseConnection = lambda: None  # what is waiting is never read
    if end == "quit":
        slow.say({"type": "quit", "id": "q"})
    else:
        slow.transport.stall()
        slow.protocol.close()
    house.settle(4)
    assert slow.is_open
    house.settle(2)
    assert not slow.is_open


def test_at_the_stop_who_does_not_read_is_refused_what_he_asked_and_let_go() -> None:
    house, _, slow = crowd_of_two()
    slow.transport.loseConnection = lambda: None
    slow.murmur({"type": "history", "id": "h", "room": "#lobby"}, {"type": "ping", "id": "p"})
    slow.transport.stall()
    house.settle()
    assert slow.listen() == []
    done: list[object] = []
    house.hub.stop().addCallback(done.append)
    for _ in range(60):
        house.settle(0.1)
    assert done
    assert not slow.is_open
    told = slow.listen()
    assert [one["re"] for one in told[:2]] == ["h", "p"]
    assert told[1]["error"]["code"] == "SHUTTING_DOWN"
    assert told[-1]["type"] == "closing"


def test_many_long_goodbyes_are_told_as_far_as_the_queue_goes() -> None:
    house = House(presence_batch_members=3)
    old = house.come("old", "#lobby", caps=("presence",))
    guests = [house.come(f"n{n}", "#lobby") for n in range(200)]
    house.settle(2)
    old.listen()
    kernel = Kernel(old, 0)
    for guest in guests:
        guest.say({"type": "part", "id": "p", "room": "#lobby", "reason": "é" * 512})
    house.settle(2)
    assert 30_000 < kernel.most_waiting <= QUEUE
    heard = kernel.read() + kernel.read()
    told = [one for one in heard if one["type"] == "presence"]
    assert told[-1] == {"type": "presence", "room": "#lobby", "count": 1}


def test_a_page_that_cannot_be_shown_costs_one_connection_and_nobody_elses(logged_errors: Any) -> None:
    house, tom, _ = crowd_of_two()
    assert tom.ask("send", room="#lobby", body="1")["ok"]
    late, other = house.come("late"), house.come("other")

    class Broken:
        def encode(self, view: Any) -> bytes:
            raise ZeroDivisionError

    late.protocol.encoder = lambda room: Broken()
    late.say({"type": "join", "id": "j", "room": "#lobby", "since": 0})
    assert not late.is_open
    assert len(logged_errors.take(ZeroDivisionError)) == 1
    assert other.ask("join", room="#lobby", since=0)["ok"]
    assert bodies(other.heard) == [(1, "1")]
