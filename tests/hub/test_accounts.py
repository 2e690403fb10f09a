"""Accounts: names that belong to people. Making one, coming back to it, several devices, messages for the absent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from support.house import House, Json, Peer, bodies

from chatd.core.events import AccountDisabled, AccountMade, InviteMade
from chatd.core.identity import invite_key

SECRET = "correct horse battery"
OTHER = "staple and a stable"


@pytest.fixture
def house() -> House:
    return House()


def registered(house: House, name: str, *rooms: str, **more: Any) -> Peer:
    return house.come(name, *rooms, mechanism="register", password=SECRET, **more)


def logged_in(house: House, account: str, *rooms: str, **more: Any) -> Peer:
    return house.come("", *rooms, mechanism="password", nick=None, account=account, **{"password": SECRET} | more)


def outside(house: House, address: str = "127.0.0.1") -> Peer:
    peer = Peer(house, address)
    assert peer.ask("hello", versions=[1])["ok"]
    return peer


def refusal(reply: Json) -> tuple[str, str]:
    assert not reply["ok"], reply
    return reply["error"]["code"], reply["error"]["message"]


def code(reply: Json) -> str:
    return refusal(reply)[0]


def happens(house: House, *events: Any) -> None:
    house.hub.propose(events, None)
    house.settle()


def test_an_account_is_made_and_come_back_to(house: House) -> None:
    alice = registered(house, "alice", "#lobby")
    assert (alice.auth["nick"], alice.auth["account"]) == ("alice", "alice")
    tom = house.come("tom", "#lobby")
    alice.ask("send", room="#lobby", body="hello")
    [said] = tom.events("message")
    assert said["from"] == {"nick": "alice", "account": "alice"}
    house.restart()
    again = logged_in(house, "Alice")
    assert (again.auth["nick"], again.auth["account"]) == ("alice", "alice")


def test_a_guest_who_registers_stays_the_same_person(house: House) -> None:
    guest, tom = house.come("alice", "#lobby"), house.come("tom", "#lobby")
    guest.ask("send", room="#lobby", body="as a guest")
    reply = guest.ask("auth", mechanism="register", password=SECRET)
    assert (reply["ok"], reply["nick"], reply["account"]) == (True, "alice", "alice")
    assert guest.ask("relate", room="#lobby", target=1, rel="edit", body="as myself")["ok"]
    assert tom.ask("list", what="whois", name="alice")["items"][0]["account"] == "alice"
    old = outside(house).ask("auth", mechanism="token", token=guest.auth["token"])
    assert code(old) == "SESSION_EXPIRED"
    assert house.come("", mechanism="token", nick=None, token=reply["token"]).auth["account"] == "alice"
    assert code(guest.ask("auth", mechanism="register", account="second", password=SECRET)) == "INVALID_PARAMS"


def test_a_name_that_belongs_to_somebody_is_refused_with_the_way_out(house: House) -> None:
    registered(house, "alice").leave()
    for wish in ("alice", "ALICE"):
        error = outside(house).ask("auth", mechanism="guest", nick=wish)["error"]
        assert (error["code"], error["details"]) == ("NICK_RESERVED", {"suggestion": "alice_2", "account": "alice"})
    tom = house.come("tom")
    assert code(tom.ask("nick", nick="alice")) == "NICK_RESERVED"
    assert code(tom.ask("nick", nick="a1ice")) == "NICK_CONFUSABLE"
    assert code(outside(house).ask("auth", mechanism="register", nick="alice", password=SECRET)) == "ACCOUNT_EXISTS"
    assert code(outside(house).ask("auth", mechanism="register", nick="aIice", password=SECRET)) == "NICK_CONFUSABLE"
    assert code(outside(house).ask("auth", mechanism="register", nick="tom", password=SECRET)) == "NICK_IN_USE"


def test_nobody_and_a_wrong_password_are_told_alike(house: House) -> None:
    registered(house, "alice").leave()
    happens(house, AccountMade("u-off", "spike", "no hash"), AccountDisabled("u-off", True))
    told = {
        refusal(outside(house, f"10.0.0.{n}").ask("auth", mechanism="password", account=name, password="wrong one"))
        for n, name in enumerate(("alice", "nobody", "spike", "x" * 200, "no\x00name"))
    }
    assert told == {("AUTH_FAILED", "the account or the password is wrong")}


@pytest.mark.parametrize("password", ["", "short", "aaaaaaaaaa", "12345678", "password1", "alice1234", "x" * 1025])
def test_a_password_that_is_guessed_at_once_is_refused(house: House, password: str) -> None:
    reply = outside(house).ask("auth", mechanism="register", nick="alice", password=password)
    assert code(reply) in ("WEAK_PASSWORD", "INVALID_PARAMS")


def test_two_who_want_one_name_at_once(house: House) -> None:
    tom, jerry = outside(house), outside(house)
    for peer in (tom, jerry):
        peer.transport.clear()
        peer.murmur({"type": "auth", "id": "r", "mechanism": "register", "nick": "alice", "password": SECRET})
    house.settle()
    [first], [second] = tom.listen(), jerry.listen()
    assert first["ok"]
    assert code(second) in ("ACCOUNT_EXISTS", "NICK_RESERVED")
    assert len(house.hub.state.accounts.by_id) == 1
    assert list(house.hub.state.check()) == []


def test_a_guest_who_has_the_name_when_it_is_given_away_is_called_otherwise(house: House) -> None:
    guest, tom = house.come("alice", "#lobby"), house.come("tom", "#lobby", caps=("presence",))
    happens(house, AccountMade("u-alice", "alice", "h"))
    assert tom.events("presence")[0]["renamed"] == [{"from": "alice", "to": "alice_"}]
    assert guest.ask("send", room="#lobby", body="still here")["ok"]
    assert list(house.hub.state.check()) == []


# -- devices ----------------------------------------------------------------------------------------------------------


def test_several_devices_are_one_presence(house: House) -> None:
    """A35: session, account and nick are three things: two devices of an account are one person with one presence."""
    tom = house.come("tom", "#lobby", caps=("presence",))
    registered(house, "alice").leave()
    laptop = logged_in(house, "alice", "#lobby", device="laptop")
    phone = logged_in(house, "alice", "#lobby", device="phone")
    assert laptop.auth["session"] != phone.auth["session"]
    assert [one.get("joined") for one in tom.events("presence")] == [["alice"]]
    tom.ask("send", room="#lobby", body="to both")
    assert bodies(laptop.events()) == bodies(phone.events()) == [(1, "to both")]
    assert sorted(one["device"] for one in phone.ask("list", what="sessions")["items"]) == ["laptop", "phone"]
    laptop.leave()
    assert tom.events("presence") == []
    phone.leave()
    assert [one["left"][0]["nick"] for one in tom.events("presence")] == ["alice"]


def test_each_device_has_its_own_read_cursor(house: House) -> None:
    """A35: what the phone has read is not read on the laptop, and stays so over a restart."""
    tom = house.come("tom", "#lobby")
    registered(house, "alice").leave()
    laptop = logged_in(house, "alice", "#lobby", device="laptop")
    phone = logged_in(house, "alice", "#lobby", device="phone")
    for n in range(4):
        tom.ask("send", room="#lobby", body=f"{n}")
    laptop.ask("mark_read", room="#lobby", seq=2)
    assert [one["seq"] for one in phone.events("read")] == [2]
    phone.ask("mark_read", room="#lobby", seq=4)
    house.restart()
    for device, read in (("laptop", 2), ("phone", 4), ("", 0)):
        peer = logged_in(house, "alice", device=device)
        assert [one["read_seq"] for one in peer.auth["rooms"]] == ([read] if read else [])
        back = house.come("", mechanism="token", nick=None, token=peer.auth["token"])
        assert [one["read_seq"] for one in back.auth["rooms"]] == ([read] if read else [])
    laptop = logged_in(house, "alice", device="laptop")
    assert laptop.ask("join", room="#lobby", since="last")["ok"]
    assert bodies(laptop.heard) == [(3, "2"), (4, "3")]


def test_a_direct_message_is_kept_for_an_account_that_is_away(house: House) -> None:
    """A49: kept for the absent, shown under the other's name, on all devices; a guest who is away cannot be reached."""
    registered(house, "jerry").leave()
    tom = registered(house, "tom")
    assert tom.ask("send", to="@jerry", body="1")["room"] == "@jerry"
    assert tom.ask("send", to="@JERRY", body="2")["seq"] == 2
    assert code(tom.ask("send", to="@spike", body="3")) == "NO_SUCH_USER"
    house.restart()
    jerry = logged_in(house, "jerry")
    assert jerry.auth["rooms"] == [{"room": "@tom", "last_seq": 2, "read_seq": 0}]
    assert jerry.ask("join", room="@tom", since=0)["ok"]
    assert bodies(jerry.heard) == [(1, "1"), (2, "2")]
    assert jerry.ask("send", to="@tom", body="back")["seq"] == 3  # tom is away now
    assert [one["body"] for one in jerry.ask("history", room="@tom")["events"]] == ["1", "2", "back"]


# -- from a guest to an account, and other passwords ------------------------------------------------------------------


def test_a_guest_goes_over_to_an_account_and_stays_in_the_rooms(house: House) -> None:
    registered(house, "alice").leave()
    tom = house.come("tom", "#lobby", caps=("presence",))
    guest = house.come("alice_2", "#lobby", "#ops")
    tom.listen()
    reply = guest.ask("auth", mechanism="password", account="alice", password=SECRET)
    assert (reply["ok"], reply["nick"], reply["account"]) == (True, "alice", "alice")
    assert tom.events("presence")[0]["renamed"] == [{"from": "alice_2", "to": "alice"}]
    tom.ask("send", room="#lobby", body="hello")
    assert bodies(guest.events()) == [(1, "hello")]
    assert house.come("alice_2", "#lobby").auth["ok"]
    assert list(house.hub.state.check()) == []
    assert code(guest.ask("auth", mechanism="password", account="tom", password=SECRET)) == "INVALID_PARAMS"


def test_a_guest_joins_the_account_that_is_here_already(house: House) -> None:
    alice = registered(house, "alice", "#lobby")
    tom = house.come("tom", "#lobby", "#ops", caps=("presence",))
    guest = house.come("alice_2", "#lobby", "#ops")
    tom.listen()
    assert guest.ask("auth", mechanism="password", account="alice", password=SECRET)["ok"]
    told = {one["room"]: one for one in tom.events("presence")}
    assert told["#lobby"]["left"] == [{"nick": "alice_2", "reason": "is alice now"}]
    assert told["#ops"]["renamed"] == [{"from": "alice_2", "to": "alice"}]
    alice.leave()
    assert tom.events("presence") == []
    assert list(house.hub.state.check()) == []


def test_another_password_ends_all_other_sessions_and_tokens(house: House) -> None:
    alice = registered(house, "alice", device="laptop")
    phone = logged_in(house, "alice", device="phone")
    asked = {"mechanism": "password", "account": "alice"}
    assert code(alice.ask("auth", **asked, password="wrong one!", data={"new": OTHER})) == "AUTH_FAILED"
    assert code(alice.ask("auth", **asked, password=SECRET, data={"new": "short"})) == "WEAK_PASSWORD"
    assert code(outside(house).ask("auth", **asked, password=SECRET, data={"new": OTHER})) == "INVALID_PARAMS"
    reply = alice.ask("auth", **asked, password=SECRET, data={"new": OTHER})
    assert reply["ok"]
    [closing] = phone.events("closing")
    assert (closing["code"], closing["reason"]) == ("SESSION_EXPIRED", "the password was changed")
    assert alice.ask("ping")["ok"]
    house.restart()
    for token in (alice.auth["token"], phone.auth["token"]):
        assert code(outside(house).ask("auth", mechanism="token", token=token)) == "SESSION_EXPIRED"
    assert code(outside(house).ask("auth", **asked, password=SECRET)) == "AUTH_FAILED"
    assert house.come("", mechanism="token", nick=None, token=reply["token"]).auth["account"] == "alice"
    assert logged_in(house, "alice", password=OTHER).auth["ok"]


def test_a_disabled_account_is_out_and_its_name_stays_its_own(house: House) -> None:
    alice = registered(house, "alice")
    happens(house, AccountDisabled(next(iter(house.hub.state.accounts.by_id)), True))
    assert alice.events("closing")[0]["code"] == "SESSION_EXPIRED"
    assert code(outside(house).ask("auth", mechanism="token", token=alice.auth["token"])) == "SESSION_EXPIRED"
    assert code(outside(house).ask("auth", mechanism="password", account="alice", password=SECRET)) == "AUTH_FAILED"
    assert code(outside(house).ask("auth", mechanism="guest", nick="alice")) == "NICK_RESERVED"
    assert code(house.come("tom").ask("send", to="@alice", body="?")) == "NO_SUCH_USER"
    happens(house, AccountDisabled(next(iter(house.hub.state.accounts.by_id)), False))
    assert logged_in(house, "alice").auth["ok"]


# -- who may register -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registration", "refused"),
    [("open", set()), ("invite", {"register"}), ("closed", {"register", "invite"})],
)
def test_who_may_make_an_account_is_a_setting(house: House, registration: Any, refused: set[str]) -> None:
    house.hub.rules = msgspec.structs.replace(house.hub.rules, registration=registration)
    peer = Peer(house)
    hello = peer.ask("hello", versions=[1])
    assert hello["registration"] == registration
    assert {"register", "invite"} - set(hello["auth"]) == refused
    for mechanism in refused:
        reply = peer.ask("auth", mechanism=mechanism, nick="alice", password=SECRET, token="x")
        assert code(reply) == "REGISTRATION_CLOSED"


def test_an_invite_is_good_once(house: House) -> None:
    house.hub.rules = msgspec.structs.replace(house.hub.rules, registration="invite")
    happens(house, InviteMade(invite_key(house.hub.rules.secret, "ABCD-EFGH"), house.hub.now() + 1_000_000))
    asked = {"mechanism": "invite", "password": SECRET}
    assert code(outside(house).ask("auth", nick="alice", token="wrong", **asked)) == "AUTH_FAILED"
    reply = outside(house).ask("auth", nick="alice", token="abcdefgh", **asked)
    assert (reply["ok"], reply["account"]) == (True, "alice")
    assert code(outside(house).ask("auth", nick="bob", token="ABCD-EFGH", **asked)) == "AUTH_FAILED"
