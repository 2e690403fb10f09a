"""Keeping order in a room: who is in charge, what they may do and to whom, and that it outlives a restart."""

from __future__ import annotations

import pytest
from support.house import House, Json, Peer, bodies
from support.order import account, code, member, operator, three

from chatd.core.charge import duration


@pytest.fixture
def house() -> House:
    return House()


# -- who is in charge -------------------------------------------------------------------------------------------------


def test_who_makes_a_room_is_its_owner_and_nobody_owns_the_lobby(house: House) -> None:
    alice = house.come("alice")
    assert alice.ask("join", room="#den")["role"] == "owner"
    assert alice.ask("join", room="#lobby")["role"] == "member"
    tom = house.come("tom")
    assert tom.ask("join", room="#den")["role"] == "member"
    assert member(tom, "alice")["role"] == "owner"
    assert code(tom.ask("moderate", room="#den", action="kick", target="alice")) == "FORBIDDEN"


def test_a_room_that_nobody_spoke_in_is_somebody_elses_when_it_is_made_again(house: House) -> None:
    alice = house.come("alice", "#den")
    assert alice.ask("part", room="#den")["ok"]
    assert house.come("tom").ask("join", room="#den")["role"] == "owner"


def test_ownership_roles_and_settings_outlive_a_restart(house: House) -> None:
    alice = house.come("alice", "#den")
    tom = house.come("tom", "#den")
    assert alice.ask("moderate", room="#den", action="role", target="tom", role="operator")["seq"] == 1
    assert alice.ask("set", room="#den", changes={"slow": 30, "visibility": "hidden"})["ok"]
    house.restart()
    again = house.come("", mechanism="token", nick=None, token=alice.auth["token"])
    assert again.ask("join", room="#den")["role"] == "owner"
    back = house.come("", mechanism="token", nick=None, token=tom.auth["token"])
    assert back.ask("join", room="#den")["role"] == "operator"
    [item] = again.ask("list", what="rooms")["items"]
    assert (item["visibility"], item["slow"]) == ("hidden", 30)


def test_an_owner_makes_owners_and_an_operator_makes_speakers(house: House) -> None:
    alice, tom, jerry = three(house)
    assert code(tom.ask("moderate", room="#den", action="role", target="jerry", role="operator")) == "FORBIDDEN"
    assert alice.ask("moderate", room="#den", action="role", target="tom", role="operator")["ok"]
    assert code(tom.ask("moderate", room="#den", action="role", target="jerry", role="operator")) == "FORBIDDEN"
    assert tom.ask("moderate", room="#den", action="role", target="jerry", role="speaker")["ok"]
    assert code(tom.ask("moderate", room="#den", action="role", target="alice", role="member")) == "FORBIDDEN"
    assert code(tom.ask("moderate", room="#den", action="role", target="tom", role="owner")) == "FORBIDDEN"
    assert code(tom.ask("moderate", room="#den", action="role", target="jerry", role="king")) == "INVALID_PARAMS"
    assert tom.ask("moderate", room="#den", action="role", target="tom", role="member")["ok"]
    assert [member(jerry, name)["role"] for name in ("alice", "tom", "jerry")] == ["owner", "member", "speaker"]
    roles = [(one["who"], one["role"], one["by"]) for one in jerry.heard if one.get("change") == "role"]
    assert roles == [("tom", "operator", "alice"), ("jerry", "speaker", "tom"), ("tom", "member", "tom")]


def test_nothing_happens_twice_and_no_event_is_made_of_it(house: House) -> None:
    alice, _, _ = three(house)
    first = alice.ask("moderate", room="#den", action="role", target="tom", role="operator")
    again = alice.ask("moderate", room="#den", action="role", target="tom", role="operator")
    assert (first["seq"], again["ok"], "seq" in again) == (1, True, False)


# -- putting out ------------------------------------------------------------------------------------------------------


def test_who_is_kicked_is_out_and_told_and_can_come_again(house: House) -> None:
    """A44: a kick gives exactly one leave, with its reason."""
    alice, tom, jerry = three(house)
    watcher = house.come("watcher", "#den", caps=("presence",))
    watcher.listen()
    assert alice.ask("moderate", room="#den", action="kick", target="tom", reason="spam")["ok"]
    [kick] = jerry.events("member")
    assert {key: kick[key] for key in ("room", "seq", "who", "change", "by", "reason")} == {
        "room": "#den",
        "seq": 1,
        "who": "tom",
        "change": "kick",
        "by": "alice",
        "reason": "spam",
    }
    heard = tom.events("member", "presence")
    assert [one["type"] for one in heard] == ["member", "presence"]
    assert heard[1]["left"] == [{"nick": "tom", "reason": "kicked by alice: spam"}]
    left = [one for event in watcher.events("presence") for one in event.get("left", [])]
    assert left == [{"nick": "tom", "reason": "kicked by alice: spam"}]
    assert code(tom.ask("send", room="#den", body="let me")) == "NOT_IN_ROOM"
    jerry.ask("send", room="#den", body="quiet at last")
    assert tom.events("message") == []
    assert tom.ask("join", room="#den")["ok"]
    assert code(alice.ask("moderate", room="#den", action="kick", target="nobody")) == "NO_SUCH_USER"


def test_a_ban_holds_for_person_and_name_and_outlives_a_restart(house: House) -> None:
    alice, tom, _ = three(house)
    assert alice.ask("moderate", room="#den", action="ban", target="tom", reason="spam")["ok"]
    error = tom.ask("join", room="#den")["error"]
    assert (error["code"], error["message"]) == ("BANNED", "you are banned from #den: spam")
    assert code(tom.ask("send", room="#den", body="x")) == "NOT_IN_ROOM"
    assert tom.ask("nick", nick="thomas")["ok"]
    assert code(tom.ask("join", room="#den")) == "BANNED"
    tom.leave()
    assert code(house.come("tom").ask("join", room="#den")) == "BANNED"
    house.restart()
    again = house.come("", mechanism="token", nick=None, token=alice.auth["token"])
    assert again.ask("join", room="#den")["ok"]
    assert code(house.come("tom").ask("join", room="#den")) == "BANNED"
    [ban] = again.ask("list", what="bans", room="#den")["items"]
    assert (ban["kind"], ban["target"], ban["by"], ban["reason"]) == ("ban", "tom", "alice", "spam")
    assert again.ask("moderate", room="#den", action="unban", target="Tom")["ok"]
    assert again.ask("list", what="bans", room="#den")["items"] == []
    assert house.come("toma", "#den")
    assert code(again.ask("moderate", room="#den", action="unban", target="tom")) == "NO_SUCH_USER"


def test_a_ban_ends_by_itself(house: House) -> None:
    alice, tom, _ = three(house)
    assert alice.ask("moderate", room="#den", action="ban", target="tom", duration="40s")["ok"]
    error = tom.ask("join", room="#den")["error"]
    assert (error["code"], "until" in error["details"]) == ("BANNED", True)
    house.settle(39)
    assert code(tom.ask("join", room="#den")) == "BANNED"
    house.settle(2)
    assert tom.ask("join", room="#den")["ok"]


@pytest.mark.parametrize(
    ("written", "seconds"), [("90", 90), (90, 90), ("10m", 600), ("2h", 7200), ("7D", 604_800), ("4w", 2_419_200)]
)
def test_durations_are_written_in_these_ways(written: str | int, seconds: int) -> None:
    assert duration(written) == seconds * 1_000_000


@pytest.mark.parametrize("written", ["-1", "1.5h", "soon", "10 m", "1y", "9999999999", "１m", "999999w", "101w2d"])
def test_what_is_no_duration_is_refused(house: House, written: str) -> None:
    alice, _, _ = three(house)
    assert code(alice.ask("moderate", room="#den", action="ban", target="tom", duration=written)) == "INVALID_PARAMS"


def test_a_ban_is_no_easier_to_get_round_than_by_coming_from_elsewhere_under_another_name(house: House) -> None:
    alice, tom, _ = three(house)
    resume = {"rooms": {"#den": 0}, "token": tom.auth["token"]}
    assert alice.ask("moderate", room="#den", action="ban", target="tom")["ok"]
    tom.leave()
    peer = Peer(house)
    peer.ask("hello", versions=[1])
    reply = peer.ask("resume", **resume)
    assert reply["rooms"] == {}
    assert reply["refused"]["#den"]["code"] == "BANNED"
    assert peer.ask("list", what="sessions")["items"][0]["rooms"] == []


@pytest.mark.parametrize("enter", ["join", "resume"])
def test_who_is_banned_while_entering_stays_outside_and_is_shown_nothing(house: House, enter: str) -> None:
    alice, _, _ = three(house)
    alice.ask("send", room="#den", body="not for eve")
    eve = house.come("eve")
    alice.murmur({"type": "moderate", "id": "b", "room": "#den", "action": "ban", "target": "eve"})
    eve.murmur({"type": enter, "id": "j", "room": "#den", "rooms": {"#den": 0, "#cave": 0}})
    house.settle()
    assert list(house.hub.state.check()) == []
    assert "eve" not in [one["nick"] for one in alice.ask("list", what="members", room="#den")["items"]]
    assert eve.events("message", "member") == []


def test_nobody_is_put_out_by_who_is_less_and_the_servers_operators_by_nobody(house: House) -> None:
    alice, _, _ = three(house)
    boss = operator(house, "boss", "#den")
    assert code(alice.ask("moderate", room="#den", action="kick", target="boss")) == "FORBIDDEN"
    assert boss.ask("moderate", room="#den", action="kick", target="alice")["ok"]
    assert alice.ask("join", room="#den")["role"] == "owner"
    assert boss.ask("moderate", room="#den", action="role", target="alice", role="member")["ok"]
    assert code(alice.ask("moderate", room="#den", action="kick", target="tom")) == "FORBIDDEN"


# -- keeping quiet ----------------------------------------------------------------------------------------------------


def test_who_is_muted_listens_and_may_take_back_what_was_said(house: House) -> None:
    alice, tom, jerry = three(house)
    tom.ask("send", room="#den", body="oops")
    assert alice.ask("moderate", room="#den", action="mute", target="tom", duration="1h", reason="calm down")["ok"]
    error = tom.ask("send", room="#den", body="but")["error"]
    assert (error["code"], error["message"].startswith("you may not speak in #den until ")) == ("MUTED", True)
    assert code(tom.ask("relate", room="#den", target=1, rel="edit", body="well")) == "MUTED"
    assert code(tom.ask("relate", room="#den", target=1, rel="react", key="x")) == "MUTED"
    assert code(tom.ask("set", room="#den", changes={"topic": "me"})) == "MUTED"
    assert tom.ask("relate", room="#den", target=1, rel="redact")["ok"]
    assert member(jerry, "tom")["role"] == "muted"
    jerry.ask("send", room="#den", body="hello")
    assert bodies(tom.listen())[-1][1] == "hello"
    tom.ask("nick", nick="thomas")
    assert code(tom.ask("send", room="#den", body="still me")) == "MUTED"
    assert alice.ask("moderate", room="#den", action="unmute", target="thomas")["ok"]
    assert tom.ask("send", room="#den", body="thanks")["ok"]


def test_in_a_slow_room_one_speaks_now_and_then_and_operators_always(house: House) -> None:
    alice, tom, jerry = three(house)
    assert alice.ask("set", room="#den", changes={"slow": 10})["ok"]
    tom.say(*({"type": "send", "id": f"s{n}", "room": "#den", "body": f"{n}"} for n in range(3)))
    replies = [one for one in tom.listen() if "re" in one]
    assert [one["ok"] for one in replies] == [True, False, False]
    assert (code(replies[1]), replies[1]["error"]["details"]["limit"]) == ("RATE_LIMITED", "slow")
    assert 9 < replies[1]["error"]["retry_after"] <= 10.01
    assert jerry.ask("send", room="#den", body="mine")["ok"]
    house.settle(10.1)
    assert tom.ask("send", room="#den", body="now")["ok"]
    assert all(alice.ask("send", room="#den", body="hush")["ok"] for _ in range(3))
    assert alice.ask("set", room="#den", changes={"slow": 0})["ok"]
    assert tom.ask("send", room="#den", body="fast again")["ok"]
    assert code(alice.ask("set", room="#den", changes={"slow": 100_000})) == "INVALID_PARAMS"


def test_a_moderated_room_hears_its_speakers_and_a_room_to_read_its_operators(house: House) -> None:
    alice, tom, jerry = three(house)
    assert alice.ask("set", room="#den", changes={"speak": "speakers"})["ok"]
    assert code(tom.ask("send", room="#den", body="x")) == "FORBIDDEN"
    assert alice.ask("moderate", room="#den", action="role", target="tom", role="speaker")["ok"]
    assert tom.ask("send", room="#den", body="thank you")["ok"]
    assert alice.ask("set", room="#den", changes={"speak": "operators"})["ok"]
    assert code(tom.ask("send", room="#den", body="x")) == "FORBIDDEN"
    assert alice.ask("send", room="#den", body="news")["ok"]
    assert alice.ask("set", room="#den", changes={"speak": "accounts"})["ok"]
    assert code(jerry.ask("send", room="#den", body="x")) == "ACCOUNT_REQUIRED"
    assert account(house, "carol", "#den").ask("send", room="#den", body="hello")["ok"]
    assert code(alice.ask("set", room="#den", changes={"speak": "nobody"})) == "INVALID_PARAMS"


# -- the door ---------------------------------------------------------------------------------------------------------


def test_a_room_by_invitation_keeps_those_who_were_in_it(house: House) -> None:
    alice, tom, _ = three(house)
    eve = house.come("eve")
    assert alice.ask("set", room="#den", changes={"join": "invite"})["ok"]
    assert code(eve.ask("join", room="#den")) == "INVITE_ONLY"
    assert code(tom.ask("moderate", room="#den", action="invite", target="eve")) == "FORBIDDEN"
    assert alice.ask("moderate", room="#den", action="invite", target="eve")["ok"]
    assert eve.events("invite") == [{"type": "invite", "room": "#den", "by": "alice"}]
    assert eve.ask("join", room="#den")["ok"]
    tom.leave()
    eve.leave()
    house.restart()
    for token in (tom.auth["token"], eve.auth["token"]):
        assert house.come("", mechanism="token", nick=None, token=token).ask("join", room="#den")["ok"]
    assert code(house.come("mallory").ask("join", room="#den")) == "INVITE_ONLY"


def test_who_is_kicked_from_a_room_by_invitation_needs_another(house: House) -> None:
    alice, tom, _ = three(house)
    alice.ask("set", room="#den", changes={"join": "invite"})
    alice.ask("moderate", room="#den", action="kick", target="tom")
    assert code(tom.ask("join", room="#den")) == "INVITE_ONLY"


def test_a_key_is_asked_for_once_and_shown_to_nobody(house: House) -> None:
    alice, tom, _ = three(house)
    eve = house.come("eve")
    assert alice.ask("set", room="#den", changes={"key": "sesame"})["ok"]
    [changed] = tom.events("room")
    assert changed["changes"] == {"key": True}
    assert code(eve.ask("join", room="#den")) == "BAD_KEY"
    assert code(eve.ask("join", room="#den", key="Sesame")) == "BAD_KEY"
    assert eve.ask("join", room="#den", key="sesame")["ok"]
    eve.leave()
    again = house.come("", mechanism="token", nick=None, token=eve.auth["token"])
    assert again.ask("resume", rooms={"#den": 1})["rooms"]["#den"]["last_seq"] == 1
    stored = b"".join(house.journal.memory._rooms[changed["event_id"].split(":")[0]].blobs)
    assert b"sesame" not in stored
    assert alice.ask("set", room="#den", changes={"key": ""})["ok"]
    assert house.come("mallory", "#den")


def test_a_room_for_accounts_lets_no_guest_in(house: House) -> None:
    alice, _, _ = three(house)
    alice.ask("set", room="#den", changes={"join": "accounts"})
    assert code(house.come("eve").ask("join", room="#den")) == "ACCOUNT_REQUIRED"
    assert account(house, "carol", "#den")


def test_a_hidden_room_is_seen_by_those_in_it(house: House) -> None:
    alice, _, jerry = three(house)
    eve = house.come("eve")
    alice.ask("set", room="#den", changes={"visibility": "hidden"})
    assert eve.ask("list", what="rooms")["items"] == []
    assert [one["room"] for one in jerry.ask("list", what="rooms")["items"]] == ["#den"]
    assert eve.ask("join", room="#den")["ok"]


def test_anybody_may_invite_into_an_open_room(house: House) -> None:
    _, tom, _ = three(house)
    eve = house.come("eve")
    assert tom.ask("moderate", room="#den", action="invite", target="eve")["ok"]
    assert eve.events("invite")
    assert code(tom.ask("moderate", room="#den", action="invite", target="jerry")) == "ALREADY_IN_ROOM"
    assert code(tom.ask("moderate", room="#den", action="invite", target="nobody")) == "NO_SUCH_USER"


@pytest.mark.parametrize(
    "changes", [{"name": "#lair"}, {"retention": "1h"}, {"join": "never"}, {"key": "two words"}, {}]
)
def test_what_a_room_cannot_be_set_to_is_refused(house: House, changes: Json) -> None:
    alice, _, _ = three(house)
    assert code(alice.ask("set", room="#den", changes=changes)) in ("FORBIDDEN", "INVALID_PARAMS")
    assert alice.ask("history", room="#den")["last_seq"] == 0


def test_only_operators_set_anything_but_the_topic(house: House) -> None:
    _, tom, _ = three(house)
    for changes in ({"slow": 5}, {"join": "invite"}, {"key": "x"}, {"topic": "a", "speak": "operators"}):
        assert code(tom.ask("set", room="#den", changes=changes)) == "FORBIDDEN"
    assert tom.ask("set", room="#den", changes={"topic": "tea"})["ok"]


# -- taking back ------------------------------------------------------------------------------------------------------


def test_operators_take_back_what_others_said(house: House) -> None:
    alice, tom, jerry = three(house)
    tom.ask("send", room="#den", body="something bad")
    assert code(jerry.ask("relate", room="#den", target=1, rel="redact")) == "FORBIDDEN"
    assert alice.ask("relate", room="#den", target=1, rel="redact", reason="rules")["ok"]
    [event] = jerry.ask("history", room="#den", limit=1, before=2)["events"]
    assert (event["body"], event["redacted"], event["seq"]) == ("", True, 1)
    [gone] = [one for one in jerry.heard if one.get("type") == "relation"]
    assert (gone["from"]["nick"], gone["rel"], gone["reason"]) == ("alice", "redact", "rules")
    assert code(alice.ask("relate", room="#den", target=1, rel="edit", body="nicer")) in (
        "FORBIDDEN",
        "NO_SUCH_MESSAGE",
    )


def test_a_ban_of_an_account_holds_under_every_nick(house: House) -> None:
    alice, _, _ = three(house)
    carol = account(house, "carol", "#den")
    assert carol.ask("nick", nick="caro")["ok"]
    assert alice.ask("moderate", room="#den", action="ban", target="account:carol", duration="99w")["ok"]
    assert code(carol.ask("join", room="#den")) == "BANNED"
    carol.ask("nick", nick="other")
    assert code(carol.ask("join", room="#den")) == "BANNED"
    assert house.come("caro", "#den")
    assert alice.ask("moderate", room="#den", action="unban", target="account:carol")["ok"]
    assert carol.ask("join", room="#den")["ok"]
