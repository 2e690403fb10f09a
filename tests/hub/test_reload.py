"""Other rules while people are here: all of them go by the new ones, and nothing keeps the old ones."""

from __future__ import annotations

import gc
import socket
from typing import Any

import pytest
from msgspec import structs
from support.house import House, Peer, bodies
from support.person import Person, line_factory

from chatd.core.limits import Limits
from chatd.hub.reload import change_rules
from chatd.protocols import detect
from chatd.settings import LimitSettings, LineSettings, Settings

FAR = "203.0.113.7"


def change(house: House, *, line: dict[str, Any] | None = None, **limits: Any) -> None:
    """The operator changes these settings and leaves all others."""
    house.limits = structs.replace(house.limits, **limits)
    settings = Settings(limits=LimitSettings(**structs.asdict(house.limits)), line=LineSettings(**(line or {})))
    rules = structs.replace(house.hub.rules, limits=settings.limits, server="renamed", motd="hello again")
    change_rules(house.hub, rules, settings)
    house.settle()


def test_nothing_keeps_the_old_limits() -> None:
    """Whatever part of the hub, and whichever connection: of the old limits nobody knows any more."""
    house = House(body_bytes=100)
    old, old_rules = house.limits, house.hub.rules
    tom, jerry, person = house.come("tom", "#lobby"), house.come("jerry", "#lobby"), Person(house, "ann")
    tom.ask("send", room="#lobby", body="hi")
    change(house, body_bytes=200)
    gc.collect()
    keepers = [one for one in gc.get_referrers(old) if type(one).__name__ not in ("frame", "list")]
    assert keepers == [old_rules]
    assert [one for one in gc.get_referrers(old_rules) if type(one).__name__ not in ("frame", "list")] == []
    for peer in (tom, jerry):
        assert peer.ask("send", room="#lobby", body="x" * 150)["ok"]
    person.types("/status", "x" * 201)
    told = "\n".join(person.reads())
    assert "The server is renamed" in told
    assert "200 are allowed" in told


def test_frames_and_lines_are_as_long_as_the_new_limits_say() -> None:
    house = House(frame_bytes=5000, body_bytes=1000)
    tom, person = house.come("tom", "#lobby"), Person(house, "ann")
    change(house, frame_bytes=9000, body_bytes=4000)
    assert tom.ask("send", room="#lobby", body="x" * 3900)["ok"]
    assert tom.ask("ping", data="x" * 6000)["data"]
    person.types("y" * 3900)
    assert [body[0] for _, body in bodies(tom.events("message"))] == ["y"]
    change(house, frame_bytes=4096, body_bytes=1000)
    person.types("y" * 3900)
    assert "1000 bytes are allowed" in "\n".join(person.reads())
    tom.say({"type": "ping", "data": "x" * 5000})
    assert tom.events("error")[0]["details"]["value"] == 4096


def test_a_silent_program_is_asked_by_the_new_times_and_its_silence_counts() -> None:
    """The hub looks more often then; how long somebody has been silent already is not forgotten."""
    house = House(idle_seconds=400, dead_seconds=1000, login_seconds=400)
    jerry, late = house.come("jerry", "#lobby"), Peer(house)
    for _ in range(8):
        house.settle(5)
    change(house, idle_seconds=20, dead_seconds=50, login_seconds=41)
    assert jerry.is_open
    house.settle(1)
    house.settle(4)
    assert [one["type"] for one in jerry.events()] == ["ping"]
    for _ in range(8):
        house.settle(1)
    assert not jerry.is_open
    assert late.events("error")[0]["details"] == {"limit": "login_seconds", "value": 41.0}


def test_changing_again_and_again_holds_up_nobody_who_looks() -> None:
    house = House(idle_seconds=30, dead_seconds=60)
    jerry = house.come("jerry", "#lobby")
    for n in range(30):
        house.settle(3)
        change(house, body_bytes=1000 + n)
    assert not jerry.is_open


def test_trust_and_rates_change_for_those_who_are_here() -> None:
    house = House(messages_burst=5, messages_per_second=0.001, trusted_networks=())
    tom = house.come("tom", "#lobby")
    assert [tom.ask("send", room="#lobby", body="x")["ok"] for _ in range(6)] == [True] * 5 + [False]
    change(house, trusted_networks=("127.0.0.0/8",))
    assert all(tom.ask("send", room="#lobby", body="x")["ok"] for _ in range(50))
    change(house, trusted_networks=())
    assert not tom.ask("send", room="#lobby", body="x")["ok"]
    change(house, messages_burst=7)
    assert [tom.ask("send", room="#lobby", body="x")["ok"] for _ in range(3)] == [True, True, False]


def test_a_lower_cap_throws_nobody_out() -> None:
    house = House(connections_per_address=5)
    peers = [house.come(f"n{n}", "#lobby", address=FAR) for n in range(4)]
    change(house, connections_per_address=2)
    assert all(peer.is_open for peer in peers)
    late = Peer(house, FAR)
    house.settle()
    assert late.events("error")[0]["details"] == {"limit": "connections_per_address", "value": 2}


def test_who_comes_is_told_the_new_limits_and_welcome() -> None:
    house = House()
    person = Person(house)
    change(house, topic_chars=7)
    told = Peer(house).ask("hello", versions=[1])
    assert (told["server"], told["motd"], told["limits"]["topic_chars"]) == ("renamed", "hello again", 7)
    person.types("ann")
    assert "*** hello again" in person.reads()


def test_the_next_person_is_received_by_the_new_settings() -> None:
    house = House()
    tom = house.come("tom", "#lobby")
    for n in range(5):
        tom.ask("send", room="#lobby", body=f"word {n}")
    line_factory(house)
    change(house, line={"history_lines": 1, "lobby": "#Lobby"})
    person = Person(house)
    person.types("ann")
    [told] = [one for one in person.reads() if "word" in one]
    assert told.endswith("word 4")


def test_silence_is_awaited_as_long_as_the_new_settings_say() -> None:
    house = House()
    port = detect.factory(house.hub)
    change(house, line={"silence_seconds": 7.0})
    assert port.silence_seconds == 7.0


@pytest.mark.parametrize("name", ["framed", "line"])
def test_vanished_peers_are_looked_for_by_the_new_time(name: str) -> None:
    house = House(dead_seconds=6000)
    person, tom = Person(house), house.come("tom")
    assert person.transport.connected
    assert tom.is_open
    before = {call.getTime() for call in house.clock.getDelayedCalls()}
    assert house.clock.seconds() + 1000 in before
    change(house, dead_seconds=60)
    after = [call.getTime() for call in house.clock.getDelayedCalls()]
    assert after.count(house.clock.seconds() + 10) >= 2
    assert house.clock.seconds() + 1000 not in after


def test_limits_are_replaced_and_never_written_to() -> None:
    """They are shared and frozen."""
    with pytest.raises(AttributeError):
        Limits().body_bytes = 1  # type: ignore[misc]


def test_a_real_socket_is_set_anew() -> None:
    """What the kernel holds for a peer, and when it looks for one that is gone."""
    house = House(kernel_queue_bytes=200_000, idle_seconds=400, dead_seconds=1000)
    person, tom = Person(house, "ann"), house.come("tom")
    with socket.socket() as ours, socket.socket() as theirs:
        person.transport.getHandle, tom.transport.getHandle = lambda: ours, lambda: theirs  # type: ignore[attr-defined]
        person.transport.setTcpKeepAlive = lambda on: None  # type: ignore[attr-defined]
        change(house, kernel_queue_bytes=20_000, idle_seconds=30, dead_seconds=60)
        for one in (ours, theirs):
            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 40_000  # Linux tells the double
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
