"""Keeping order on the whole server: its operators, bans of addresses, lockdown, who is new, and whom one ignores."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from support.house import House, Json, Peer
from support.order import SECRET, account, code, operator, three

from chatd.core.charge import SERVER_ID, SERVER_ROOM
from chatd.core.events import Moderated


@pytest.fixture
def house() -> House:
    return House()


# -- the server -------------------------------------------------------------------------------------------------------


def test_the_servers_operators_keep_order_everywhere_and_it_is_put_down(house: House) -> None:
    boss = operator(house, "boss")
    tom = house.come("tom", "#den")
    assert boss.ask("join", room=SERVER_ROOM)["ok"]
    assert boss.ask("moderate", server=True, action="ban", target="tom", duration="1h", reason="spam")["ok"]
    [closing] = tom.events("closing")
    assert (closing["code"], closing["reason"]) == ("BANNED", "banned by boss: spam")
    house.settle(10)
    assert not tom.is_open
    peer = Peer(house)
    peer.ask("hello", versions=[1])
    error = peer.ask("auth", mechanism="guest", nick="tom")["error"]
    assert (error["code"], error["details"]["reason"]) == ("BANNED", "spam")
    assert code(peer.ask("auth", mechanism="token", token=tom.auth["token"])) == "BANNED"
    page = boss.ask("history", room=SERVER_ROOM)["events"]
    assert [(one["change"], one["who"], one["by"]) for one in page] == [
        ("role", "boss", "operator"),
        ("ban", "tom", "boss"),
    ]
    house.restart()
    peer = Peer(house)
    peer.ask("hello", versions=[1])
    assert code(peer.ask("auth", mechanism="guest", nick="tom")) == "BANNED"
    house.settle(3601)
    peer = Peer(house)
    peer.ask("hello", versions=[1])
    assert peer.ask("auth", mechanism="guest", nick="tom")["ok"]


def test_the_operators_room_is_for_operators(house: House) -> None:
    eve = house.come("eve")
    assert code(eve.ask("join", room=SERVER_ROOM)) == "FORBIDDEN"
    operator(house, "boss")
    assert code(eve.ask("join", room=SERVER_ROOM)) == "INVITE_ONLY"
    assert eve.ask("list", what="rooms")["items"] == []
    for action in ("kick", "ban", "mute", "lockdown"):
        assert code(eve.ask("moderate", server=True, action=action, target="boss")) == "FORBIDDEN"
    assert code(eve.ask("list", what="bans")) == "FORBIDDEN"


def test_addresses_are_banned_by_the_servers_operators_only_and_shown_to_them_only(house: House) -> None:
    boss = operator(house, "boss", "#den")
    near, far = house.come("near", "#den", address="192.0.2.7"), house.come("far", "#den", address="198.51.100.9")
    owner = house.come("owner", "#cave")
    assert code(owner.ask("moderate", room="#cave", action="ban", target="192.0.2.0/24")) == "FORBIDDEN"
    far.listen()
    assert boss.ask("moderate", room="#den", action="ban", target="192.0.2.0/24")["ok"]
    [told] = far.events("member")
    assert (told["who"], "192.0.2" in str(told)) == ("an address", False)
    assert code(near.ask("send", room="#den", body="x")) == "NOT_IN_ROOM"
    assert code(near.ask("join", room="#den")) == "BANNED"
    assert far.ask("send", room="#den", body="x")["ok"]
    [ban] = boss.ask("list", what="bans", room="#den")["items"]
    assert ban["network"] == "192.0.2.0/24"
    assert boss.ask("moderate", server=True, action="ban", target="address:192.0.2.7")["ok"]
    assert near.events("closing")
    peer = Peer(house, "192.0.2.7")
    peer.ask("hello", versions=[1])
    assert code(peer.ask("auth", mechanism="guest", nick="other")) == "BANNED"
    assert boss.ask("moderate", server=True, action="unban", target="192.0.2.7")["ok"]
    assert peer.ask("auth", mechanism="guest", nick="other")["ok"]
    for wide in ("0.0.0.0/0", "10.0.0.0/7", "::/0", "address:nowhere"):
        assert code(boss.ask("moderate", server=True, action="ban", target=wide)) == "INVALID_PARAMS"


def test_an_operator_comes_in_from_a_banned_address(house: House) -> None:
    boss = operator(house, "boss")
    boss.ask("moderate", server=True, action="ban", target="192.0.2.0/24")
    again = house.come("", mechanism="password", nick=None, account="boss", password=SECRET, address="192.0.2.1")
    assert again.auth["account"] == "boss"


@pytest.mark.parametrize(
    ("level", "guest_in", "register", "guest_speaks", "owner_speaks"),
    [
        ("registration", True, False, True, True),
        ("guests", False, False, False, True),
        ("everyone", False, False, False, False),
    ],
)
def test_each_level_of_lockdown_locks_more(
    house: House, level: str, guest_in: bool, register: bool, guest_speaks: bool, owner_speaks: bool
) -> None:
    boss = operator(house, "boss", "#den")
    guest, carol = house.come("guest", "#den"), account(house, "carol", "#den")
    assert boss.ask("moderate", server=True, action="lockdown", target=level)["ok"]

    def may(mechanism: str, **more: Any) -> bool:
        peer = Peer(house)
        peer.ask("hello", versions=[1])
        return bool(peer.ask("auth", mechanism=mechanism, **more)["ok"])

    assert may("guest", nick="new") == guest_in
    assert may("register", nick="newer", password=SECRET) == register
    assert may("password", account="carol", password=SECRET) == owner_speaks
    assert may("password", account="boss", password=SECRET)
    assert guest.ask("send", room="#den", body="x")["ok"] == guest_speaks
    assert carol.ask("send", room="#den", body="x")["ok"] == owner_speaks
    assert boss.ask("send", room="#den", body="x")["ok"]
    house.restart()
    assert may("guest", nick="fresh") == guest_in
    again = house.come("", mechanism="password", nick=None, account="boss", password=SECRET)
    assert again.ask("moderate", server=True, action="lockdown", target="off")["ok"]
    assert may("guest", nick="newest")


def test_operators_of_the_server_have_accounts_and_are_made_by_owners(house: House) -> None:
    boss = operator(house, "boss")
    account(house, "carol")
    house.come("guest")
    assert code(boss.ask("moderate", server=True, action="role", target="carol", role="operator")) == "FORBIDDEN"
    user = house.hub.state.accounts.called("boss")
    assert user is not None
    role = Moderated(SERVER_ID, "", "operator", "role", "boss", user.id, user.id, role="owner")
    house.hub.propose((role,), None)
    house.settle()
    assert boss.ask("moderate", server=True, action="role", target="carol", role="operator")["ok"]
    assert code(boss.ask("moderate", server=True, action="role", target="guest", role="operator")) == "ACCOUNT_REQUIRED"
    assert code(boss.ask("moderate", server=True, action="role", target="carol", role="speaker")) == "INVALID_PARAMS"
    assert boss.ask("list", what="whois", name="carol")["items"][0]["operator"] is True


# -- limits and the new -----------------------------------------------------------------------------------------------


def test_a_room_has_only_so_many_bans() -> None:
    house = House(bans_per_room=2)
    alice, _, _ = three(house)
    for name in ("one", "two"):
        assert alice.ask("moderate", room="#den", action="ban", target=name, duration="40s")["ok"]
    error = alice.ask("moderate", room="#den", action="ban", target="three")["error"]
    assert (error["code"], error["details"]["limit"]) == ("LIMIT_EXCEEDED", "bans_per_room")
    assert alice.ask("moderate", room="#den", action="ban", target="two", duration="2h")["ok"]
    house.settle(41)
    assert alice.ask("moderate", room="#den", action="ban", target="three")["ok"]


def test_who_is_new_and_comes_from_far_away_makes_no_rooms_and_writes_to_nobody_first(house: House) -> None:
    house.hub.rules = structs.replace(house.hub.rules, quarantine_seconds=3600.0)
    tom = house.come("tom", "#den")
    far = {"address": "203.0.113.9"}
    guest, carol = house.come("guest", "#den", **far), account(house, "carol", "#den", **far)
    for one in (guest, carol):
        assert code(one.ask("join", room=f"#of-{one.auth['nick']}")) == "FORBIDDEN"
        assert code(one.ask("send", to="@tom", body="buy this")) == "FORBIDDEN"
        assert one.ask("send", room="#den", body="hello")["ok"]
        assert tom.ask("send", to="@" + one.auth["nick"], body="welcome")["ok"]
        assert one.ask("send", to="@tom", body="thank you")["ok"]
    house.settle(30)
    assert house.come("student", "#class", address="192.168.1.5").ask("send", to="@tom", body="hi")["ok"]
    house.clock.advance(3600)
    later = house.come("", mechanism="password", nick=None, account="carol", password=SECRET, **far)
    assert later.ask("join", room="#of-carol")["ok"]
    eve = house.come("eve", **far)
    assert code(eve.ask("join", room="#of-eve")) == "FORBIDDEN"


# -- whom one does not want to hear -----------------------------------------------------------------------------------


def test_whom_one_ignores_is_kept_with_the_account(house: House) -> None:
    carol = account(house, "carol")
    assert "ignored" not in carol.auth
    assert carol.ask("set", self={"ignored": ["tom", "jerry", "tom"]})["ok"]
    house.restart()
    again = house.come("", mechanism="password", nick=None, account="carol", password=SECRET)
    assert again.auth["ignored"] == ["tom", "jerry"]
    assert again.ask("set", self={"ignored": []})["ok"]
    assert code(again.ask("set", self={"ignored": ["two words"]})) == "INVALID_PARAMS"
    assert code(house.come("guest").ask("set", self={"ignored": ["tom"]})) == "ACCOUNT_REQUIRED"


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "kick", "target": "tom"},
        {"action": "kick", "target": "tom", "room": "#den", "server": True},
        {"action": "kick", "room": "#den"},
        {"action": "lockdown", "room": "#den", "target": "everyone"},
        {"action": "ban", "room": "#den", "target": "no such name"},
        {"action": "ban", "room": "#den", "target": "account:nobody"},
        {"action": "kick", "room": "@tom", "target": "tom"},
        {"action": "kick", "room": "#nowhere", "target": "tom"},
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(house: House, fields: Json) -> None:
    alice, tom, _ = three(house)
    tom.ask("send", to="@alice", body="hi")
    reply = alice.ask("moderate", **fields)
    assert code(reply) in ("INVALID_PARAMS", "NO_SUCH_USER", "FORBIDDEN", "NO_SUCH_ROOM")
    assert reply["error"]["message"]


def test_the_operators_room_stays_as_it_is(house: House) -> None:
    boss = operator(house, "boss")
    assert boss.ask("join", room=SERVER_ROOM)["ok"]
    for changes in ({"join": "open"}, {"visibility": "public"}, {"key": "x"}, {"topic": "t", "slow": 5}):
        assert code(boss.ask("set", room=SERVER_ROOM, changes=changes)) == "FORBIDDEN"
    assert code(boss.ask("moderate", room=SERVER_ROOM, action="invite", target="boss")) == "INVALID_PARAMS"
    assert boss.ask("set", room=SERVER_ROOM, changes={"topic": "who did what"})["ok"]


def test_a_banned_name_does_not_come_in_by_an_account_either(house: House) -> None:
    boss = operator(house, "boss")
    account(house, "carol").leave()
    assert boss.ask("moderate", server=True, action="ban", target="troll")["ok"]
    peer = Peer(house)
    peer.ask("hello", versions=[1])
    assert code(peer.ask("auth", mechanism="password", account="carol", password=SECRET, nick="troll")) == "BANNED"
    assert peer.ask("auth", mechanism="password", account="carol", password=SECRET)["ok"]
    assert code(peer.ask("nick", nick="troll")) == "BANNED"
