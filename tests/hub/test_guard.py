"""Limits of rates and of connections: they fall on the one who floods, and say when to try again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.house import House, Peer, bodies

from chatd.core.codes import Refusal
from chatd.core.limits import Limits
from chatd.hub import guard
from chatd.hub.comebacks import Guesses
from chatd.hub.guard import Guard, Rate

FAR = "203.0.113.7"


def test_a_burst_is_allowed_and_then_a_steady_rate() -> None:
    """Told with `retry_after`; the neighbour at the same address and everybody else notice nothing."""
    house = House(messages_burst=3, messages_per_second=2)
    flooder, neighbour = (house.come(nick, "#lobby", address=FAR) for nick in ("flooder", "neighbour"))
    replies = [flooder.ask("send", room="#lobby", body=str(n)) for n in range(5)]
    assert [one["ok"] for one in replies] == [True, True, True, False, False]
    error = replies[-1]["error"]
    assert error["code"] == "RATE_LIMITED"
    assert error["details"] == {"limit": "messages_per_second", "value": 2.0}
    assert 0 < error["retry_after"] <= 0.51
    assert neighbour.ask("send", room="#lobby", body="me")["ok"]
    house.settle(error["retry_after"])
    assert flooder.ask("send", room="#lobby", body="again")["ok"]
    neighbour.listen()
    assert bodies(neighbour.heard) == [(1, "0"), (2, "1"), (3, "2"), (5, "again")]


def test_another_connection_of_the_same_user_shares_the_bucket() -> None:
    house = House(messages_burst=2, messages_per_second=1)
    tom = house.come("tom", "#lobby", address=FAR)
    again = house.come("tom", "#lobby", address="198.51.100.1", mechanism="token", token=tom.auth["token"])
    assert [one.ask("send", room="#lobby", body="x")["ok"] for one in (tom, again, tom)] == [True, True, False]


def test_new_names_from_one_address_do_not_help_for_long() -> None:
    house = House(messages_burst=2, messages_per_second=1, connections_per_address=2, logins_per_minute=100)
    said = 0
    for n in range(10):
        peer = house.come(f"n{n}", "#lobby", address=FAR)
        said += sum(peer.ask("send", room="#lobby", body="x")["ok"] for _ in range(2))
        peer.ask("quit")
    assert said == 4


def test_loopback_is_trusted_unless_set_otherwise_and_is_told_so() -> None:
    house = House(messages_burst=1, messages_per_second=1)
    near = house.come("near", "#lobby")
    assert all(near.ask("send", room="#lobby", body="x")["ok"] for _ in range(20))
    for networks, rate in ((("127.0.0.0/8",), 0), ((), 1.0)):
        house = House(messages_burst=1, messages_per_second=1, trusted_networks=networks)
        told = Peer(house).ask("hello", versions=[1])["limits"]
        assert (told["messages_per_second"], "trusted_networks" in told) == (rate, False)
    tom = house.come("tom", "#lobby")
    assert [tom.ask("send", room="#lobby", body="x")["ok"] for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("address", "most"),
    [(FAR, 2), ("2001:db8::1", 2), ("192.168.1.5", 3), ("::ffff:203.0.113.9", 2), ("127.0.0.1", 99)],
)
def test_connections_from_one_address_are_counted(address: str, most: int) -> None:
    """A28, A32: generous on private networks, unlimited on loopback; the one too many is told and closed."""
    house = House(connections_per_address=2, connections_per_private_address=3)
    peers = [Peer(house, address) for _ in range(5)]
    house.settle()
    assert [peer.is_open for peer in peers] == [n < most for n in range(5)]
    if most < 5:
        [error] = peers[-1].events("error")
        assert (error["code"], error["details"]["value"]) == ("LIMIT_EXCEEDED", most)
    assert Peer(house, "198.51.100.99").ask("hello", versions=[1])["ok"]
    for peer in peers:
        if peer.is_open:
            peer.leave()
    assert Peer(house, address).ask("hello", versions=[1])["ok"]
    assert len(house.hub.guard.connections) == 2


def test_keys_are_not_found_by_trying() -> None:
    """From one address, under whatever name; right ones count as well, and joining without a key does not."""
    house = House(keys_per_minute=3)
    owner = house.come("ann", "#den")
    assert owner.ask("set", room="#den", changes={"key": "4711"})["ok"]
    codes = []
    for n in range(4):
        with_many_names = house.come(f"tom{n}", address="10.0.0.1")
        assert with_many_names.ask("join", room="#lobby")["ok"]
        codes.append(with_many_names.ask("join", room="#den", key=f"{n}")["error"]["code"])
    assert codes == ["BAD_KEY", "BAD_KEY", "BAD_KEY", "RATE_LIMITED"]
    assert house.come("tim", address="10.0.0.2").ask("join", room="#den", key="4711")["ok"]


def test_logins_from_one_address_are_limited() -> None:
    house = House(logins_per_minute=3)
    for n in range(3):
        house.come(f"n{n}", address=FAR)
    peer = Peer(house, FAR)
    peer.ask("hello", versions=[1])
    error = peer.ask("auth", mechanism="guest", nick="late")["error"]
    assert (error["code"], error["details"]["limit"]) == ("RATE_LIMITED", "logins_per_minute")
    house.settle(21)
    assert peer.ask("auth", mechanism="guest", nick="late")["ok"]


@given(st.lists(st.floats(0, 3), max_size=80), st.floats(0.5, 20), st.integers(1, 20))
def test_no_more_than_burst_and_rate_ever_passes(pauses: list[float], per_second: float, burst: int) -> None:
    rate, now, passed = Rate(per_second, burst), 0.0, 0
    for pause in pauses:
        now += pause
        passed += rate.wait("x", now) == 0
    assert passed <= burst + now * per_second + 1e-6


def test_who_has_been_quiet_is_forgotten() -> None:
    now = [0.0]
    guard = Guard(Limits(), lambda: now[0])
    for n in range(30_000):
        now[0] += 0.01
        guard.by_user.wait(str(n), now[0])
    assert len(guard.by_user.buckets) <= 10_001


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0.5, 20), st.integers(1, 20)), max_size=20), st.integers(1, 20))
def test_changing_the_rate_gives_nobody_more_than_the_change_itself(
    changes: list[tuple[float, float, int]], burst: int
) -> None:
    """However often it is changed: what was used stays used."""
    rate, now, passed = Rate(1, burst), 0.0, 0
    allowed = float(burst)
    for pause, per_second, fresh in changes:
        allowed += pause * rate.per_second + max(0, fresh - rate.burst)
        now += pause
        rate.change(per_second, fresh, now)
        while rate.wait("x", now) == 0:
            passed += 1
    assert passed <= allowed + 1e-6


def test_a_rate_that_is_taken_away_and_comes_back_is_a_new_one() -> None:
    rate = Rate(1, 2)
    assert [rate.wait("x", 0) == 0 for _ in range(3)] == [True, True, False]
    rate.change(0, 2, 0)
    assert [rate.wait("x", 0) == 0 for _ in range(3)] == [True] * 3
    rate.change(1, 2, 0)
    assert [rate.wait("x", 0) == 0 for _ in range(3)] == [True, True, False]


def test_a_higher_burst_is_there_at_once_less_what_was_used() -> None:
    rate = Rate(0.001, 5)
    assert sum(rate.wait("x", 0) == 0 for _ in range(3)) == 3
    rate.change(0.001, 10, 0)
    assert sum(rate.wait("x", 0) == 0 for _ in range(20)) == 7
    rate.change(0.001, 2, 0)
    rate.change(0.001, 10, 0)
    assert sum(rate.wait("x", 0) == 0 for _ in range(20)) == 8


def test_who_is_one_too_many_says_nothing_before_the_close() -> None:
    """Everything in one packet, and our side is closed a moment later."""
    house = House(connections_per_address=1)
    jerry = house.come("jerry", "#lobby", caps=("presence",))
    house.come("first", address=FAR)
    many = Peer(house, FAR)
    login = {"type": "auth", "id": "2", "mechanism": "guest", "nick": "many"}
    join = {"type": "join", "id": "3", "room": "#lobby"}
    many.say(
        {"type": "hello", "id": "1", "versions": [1]}, login, join, {"type": "send", "room": "#lobby", "body": "!"}
    )
    assert [one.get("code") for one in many.listen()] == ["LIMIT_EXCEEDED"]
    assert jerry.events() == []
    assert "many" not in {user.nick for user in house.hub.state.users.values()}
    many.leave()
    house.settle()
    assert not house.hub.guard.connections.keys() - {"127.0.0.1", FAR}


def test_all_addresses_of_an_ipv6_network_count_as_one() -> None:
    """A host is given 2^64 of them; in a private network each is somebody else's."""
    guard = Guard(Limits(connections_per_address=2, connections_per_private_address=1), lambda: 0.0)
    places = [f"2001:db8:0:1::{n:x}" for n in range(1, 4)]
    assert [guard.enter(place, trusted=False) is None for place in places] == [True, True, False]
    assert guard.enter("2001:db8:0:2::1", trusted=False) is None
    for place in (*places, "2001:db8:0:2::1"):
        guard.leave(place)
    assert guard.connections == {}
    assert [guard.enter(f"fd00::{n}", trusted=False) is None for n in (1, 2, 2)] == [True, True, False]


def test_another_address_of_the_same_ipv6_network_has_no_other_bucket() -> None:
    house = House(messages_burst=2, messages_per_second=1, connections_per_address=1)
    tom = house.come("tom", "#lobby", address="2001:db8::1")
    assert [tom.ask("send", room="#lobby", body="x")["ok"] for _ in range(3)] == [True, True, False]
    tom.leave()
    again = house.come("tom2", "#lobby", address="2001:db8::2")
    assert not again.ask("send", room="#lobby", body="x")["ok"]


def test_other_settings_give_nobody_back_the_words_that_were_guessed() -> None:
    guesses = Guesses(2)
    for _ in range(2):
        guesses.check(FAR, 0.0, trusted=False)
        guesses.count(FAR, 0.0, trusted=False)
    guesses.change(3, 0.0)
    guesses.check(FAR, 0.0, trusted=False)
    guesses.count(FAR, 0.0, trusted=False)
    with pytest.raises(Refusal, match="3 wrong words"):
        guesses.check(FAR, 0.0, trusted=False)


def test_many_who_used_some_are_not_looked_through_for_each_newcomer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_BUCKETS", 10)
    rate = Rate(1.0, 100)
    looks: list[float] = []
    forget = rate.forget
    monkeypatch.setattr(rate, "forget", lambda now: (looks.append(now), forget(now)))
    for n in range(100):
        rate.wait(f"10.0.0.{n}", 0.0)
    assert len(looks) == 4  # at 10, 20, 40 and 80
    rate.wait("somebody", 1000.0)
    for n in range(100, 161):
        rate.wait(f"10.0.0.{n}", 1000.0)
    assert len(rate.buckets) == 62, "the old ones are full again, and forgotten"
