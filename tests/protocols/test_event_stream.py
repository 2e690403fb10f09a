"""Streams of events, in a house in memory: each number once, in order, and to those only who may read."""

from __future__ import annotations

import pytest
from support.house import House
from support.web import request
from support.web_house import Caller, bearer, events

from chatd.protocols.event_stream import BEAT_SECONDS


@pytest.fixture
def house() -> House:
    return House()


def follow(house: House, path: str = "/r/lobby/events", address: str = "127.0.0.1", **headers: str) -> Caller:
    caller = Caller(house, address)
    caller.send(request(path, **headers))
    head, _, rest = caller.heard().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
    assert b"Content-Type: text/event-stream" in head
    caller.transport.write(rest)
    return caller


def test_a_stream_goes_on_where_it_was_and_then_is_live(house: House) -> None:
    alice = house.come("alice", "#lobby", caps=("presence",))
    for n in range(5):
        alice.ask("send", room="#lobby", body=f"{n}")
    alice.listen()
    stream = follow(house, Last_Event_ID="3")
    late = follow(house)
    alice.ask("send", room="#lobby", body="5")
    alice.ask("relate", room="#lobby", rel="react", target=1, key="👍")
    found = events(stream.heard())
    assert [(number, name) for number, name, _ in found] == [
        ("4", "message"),
        ("5", "message"),
        ("5", "caught_up"),
        ("6", "message"),
        ("7", "relation"),
    ]
    assert [one["seq"] for _, _, one in found] == [4, 5, 5, 6, 7]
    assert [number for number, _, _ in events(late.heard())] == ["5", "6", "7"]
    assert alice.events("presence") == []
    assert alice.ask("list", what="members", room="#lobby")["items"][0]["nick"] == "alice"
    assert len(house.hub.state.sessions) == 1


def test_a_slow_reader_of_a_stream_misses_nothing(house: House) -> None:
    alice = house.come("alice", "#lobby")
    stream = follow(house)
    stream.heard()
    stream.transport.stall()
    for n in range(300):
        alice.ask("send", room="#lobby", body=f"{n}" + "x" * 1000)
    assert len(stream.heard()) < 2 * 65_536
    seen: list[int] = []
    for _ in range(50):
        stream.transport.drain()
        house.settle()
        seen += [one["seq"] for _, name, one in events(stream.heard()) if name == "message"]
    assert seen == list(range(seen[0], 301))
    assert seen[0] <= 2


def test_who_may_read_no_more_is_shown_no_more(house: House) -> None:
    """Within a beat; a beat is also what keeps a proxy from ending the stream."""
    alice, bob = house.come("alice", "#den"), house.come("bob", "#den")
    alice.ask("send", room="#den", body="x")
    his, anybody = follow(house, "/r/den/events", **bearer(bob.auth["token"])), follow(house, "/r/den/events")
    house.settle(BEAT_SECONDS + 1)
    assert his.heard().endswith(b":\n\n")
    alice.ask("moderate", room="#den", action="ban", target="bob")
    house.settle(BEAT_SECONDS + 1)
    assert events(his.heard())[-1][1:] == (
        "error",
        {"type": "error", "code": "BANNED", "message": "you are banned from #den"},
    )
    assert not his.transport.connected
    assert anybody.transport.connected
    anybody.transport.loseConnection()
    house.settle()
    assert len(house.hub.links) == 2
    assert house.hub.fanout.audiences[house.hub.state.by_name["#den"]].size == 1


def test_streams_are_told_of_gaps_and_of_the_end(house: House) -> None:
    alice = house.come("alice", "#lobby")
    alice.ask("send", room="#lobby", body="x")
    stream = follow(house)
    stream.heard()
    house.hub.stop()
    house.settle(3)
    [(number, name, told)] = events(stream.heard())
    assert (number, name, told["code"]) == ("", "closing", "SHUTTING_DOWN")
    assert not stream.transport.connected
