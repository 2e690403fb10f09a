"""Guessing passwords: so many a minute, however many addresses one has, and never at the owner's cost."""

from __future__ import annotations

import pytest
from support.house import House, Peer

from chatd.core.codes import Refusal
from chatd.hub.guesses import Guesses

SECRET = "correct horse battery"


def guess(house: House, account: str, address: str, password: str = "wrong one") -> str:
    peer = Peer(house, address)
    assert peer.ask("hello", versions=[1])["ok"]
    reply = peer.ask("auth", mechanism="password", account=account, password=password)
    peer.leave()
    return "ok" if reply["ok"] else reply["error"]["code"]


@pytest.fixture
def house() -> House:
    house = House()
    house.come("alice", mechanism="register", password=SECRET, address="127.0.0.1").leave()
    return house


def test_one_address_has_three_guesses_a_minute(house: House) -> None:
    told = [guess(house, f"name{n}", "127.0.0.7") for n in range(50)]
    assert told == ["AUTH_FAILED"] * 3 + ["RATE_LIMITED"] * 47
    house.settle(20)
    assert [guess(house, "alice", "127.0.0.7") for _ in range(2)] == ["AUTH_FAILED", "RATE_LIMITED"]


def test_fifty_addresses_have_three_guesses_at_an_account_and_the_owner_comes_in(house: House) -> None:
    told = [guess(house, "alice", f"127.0.1.{n % 50}") for n in range(1000)]
    assert told.count("AUTH_FAILED") == 3
    assert set(told) == {"AUTH_FAILED", "RATE_LIMITED"}
    assert guess(house, "alice", "127.0.0.1", SECRET) == "ok"  # where the account was made
    assert guess(house, "alice", "127.0.1.9", SECRET) == "RATE_LIMITED"


def test_who_comes_with_a_token_is_no_guess(house: House) -> None:
    alice = house.come("", mechanism="password", nick=None, account="alice", password=SECRET)
    for n in range(100):
        guess(house, "alice", f"127.0.1.{n % 50}")
    assert house.come("", mechanism="token", nick=None, token=alice.auth["token"], address="127.0.1.9").auth["ok"]


def test_a_right_password_costs_nothing(house: House) -> None:
    assert {guess(house, "alice", "127.0.0.9", SECRET) for _ in range(20)} == {"ok"}


def test_names_that_are_nobodys_are_counted_alike(house: House) -> None:
    told = [guess(house, "nobody", f"127.0.1.{n}") for n in range(5)]
    assert told == ["AUTH_FAILED"] * 3 + ["RATE_LIMITED"] * 2
    assert guess(house, "NOBODY", "127.0.1.77") == "RATE_LIMITED"


def test_a_network_of_ipv6_is_one_address() -> None:
    guesses = Guesses(3)
    for n in range(3):
        turn = guesses.begin(f"name{n}", f"2001:db8::{n}", 0.0)
        assert turn is not None
        guesses.end(turn, is_guess=True)
    with pytest.raises(Refusal) as caught:
        guesses.begin("another", "2001:db8::77", 0.0)
    assert caught.value.retry_after == pytest.approx(20, abs=0.1)
    assert guesses.begin("another", "2001:db8:0:1::1", 0.0) is not None


def test_who_cannot_pay_waits_for_those_who_may_be_given_back() -> None:
    """A class logs in at once by one address; an attacker who tries at once gains nothing."""
    guesses = Guesses(3)
    turns = [guesses.begin(f"name{n}", "10.0.0.1", 0.0) for n in range(3)]
    assert guesses.begin("name4", "10.0.0.1", 0.0) is None
    guesses.end(turns[0] or (), is_guess=False)
    turns.append(guesses.begin("name4", "10.0.0.1", 0.0))
    assert turns[3] is not None
    for turn in turns[1:]:
        assert guesses.begin("name5", "10.0.0.1", 0.0) is None
        guesses.end(turn or (), is_guess=True)
    with pytest.raises(Refusal):
        guesses.begin("name5", "10.0.0.1", 0.0)


def test_what_is_remembered_is_bounded() -> None:
    guesses = Guesses(3)
    for n in range(12_000):
        guesses.remember(f"name{n}", "10.0.0.1")
    for n in range(20):
        guesses.remember("alice", f"10.0.0.{n}")
    assert len(guesses._places) == 10_000
    assert max(map(len, guesses._places.values())) == 8
