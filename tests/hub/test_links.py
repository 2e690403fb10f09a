"""Connections: coming back, falling behind, falling silent, and going."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from support.house import House, Peer, bodies

from chatd.hub.keepalive import LOOKS_A_TURN


def test_a_guest_comes_back_by_its_token_and_is_still_the_author() -> None:
    house = House()
    tom = house.come("tom", "#lobby")
    assert tom.ask("send", room="#lobby", body="mine", msg_id="m")["seq"] == 1
    assert tom.ask("mark_read", room="#lobby", seq=1)["seq"] == 1
    token = tom.auth["token"]
    house.restart()
    tom = house.come("tom", mechanism="token", token=token, nick=None)
    assert tom.auth["nick"] == "tom"
    assert tom.auth["rooms"] == [{"room": "#lobby", "last_seq": 1, "read_seq": 1}]
    assert tom.ask("join", room="#lobby", since="last")["ok"]
    again = tom.ask("send", room="#lobby", body="mine", msg_id="m")
    assert (again["seq"], again["duplicate"]) == (1, True)
    assert tom.ask("relate", room="#lobby", target=1, rel="edit", body="still mine")["seq"] == 2


def test_a_foreign_or_changed_token_is_expired() -> None:
    house = House()
    token = house.come("tom").auth["token"]
    for bad in (token[:-2] + "AA", "x", "c1.!!.??", "é" * 20):
        peer = Peer(house)
        peer.ask("hello", versions=[1])
        assert peer.ask("auth", mechanism="token", token=bad)["error"]["code"] == "SESSION_EXPIRED"
        assert peer.ask("auth", mechanism="guest", nick=None)["ok"]


def test_first_hello_then_auth_then_the_rest() -> None:
    """A29: anything else first is NOT_REGISTERED, and the connection lives on."""
    house = House()
    peer = Peer(house)
    assert peer.ask("auth", mechanism="guest", nick="tom")["error"]["code"] == "NOT_REGISTERED"
    assert peer.ask("hello", versions=[7])["error"]["code"] == "UNSUPPORTED_VERSION"
    hello = peer.ask("hello", versions=[7, 1], caps=["echo", "flying"])
    assert (hello["version"], hello["caps"]) == (1, ["echo"])
    assert hello["limits"]["frame"] == hello["limits"]["frame_bytes"] == 65536
    assert peer.ask("send", room="#lobby", body="x")["error"]["code"] == "NOT_REGISTERED"
    assert peer.ask("auth", mechanism="guest", nick="tom")["ok"]
    assert peer.ask("auth", mechanism="guest", nick="tom")["error"]["code"] == "INVALID_PARAMS"


def test_resume_brings_back_all_rooms_in_one_request() -> None:
    house = House()
    tom = house.come("tom", "#a", "#b")
    jerry = house.come("jerry", "#a", "#b")
    token = jerry.auth["token"]
    for n in range(3):
        tom.ask("send", room="#a", body=f"a{n}")
        tom.ask("send", room="#b", body=f"b{n}")
    jerry.leave()
    tom.ask("send", room="#a", body="missed")
    jerry = Peer(house)
    jerry.ask("hello", versions=[1])
    reply = jerry.ask("resume", token=token, rooms={"#a": 3, "#b": 1})
    assert reply["rooms"] == {"#a": {"last_seq": 4, "limited": False}, "#b": {"last_seq": 3, "limited": False}}
    assert reply["expired"] is False
    shown = [(one["room"], one["seq"]) for one in jerry.heard if one.get("type") == "message"]
    assert sorted(shown) == [("#a", 4), ("#b", 2), ("#b", 3)]
    tom.ask("send", room="#a", body="live")
    assert bodies(jerry.events()) == [(5, "live")]
    assert jerry.ask("resume", rooms={"#a": 4})["ok"]
    assert [one["seq"] for one in jerry.heard if one.get("type") == "message"][-1] == 5


def test_as_many_rooms_are_resumed_as_one_may_be_in() -> None:
    """With a token in place of a login too."""
    house = House(rooms_per_session=3)
    token = house.come("tom").auth["token"]
    tom = Peer(house)
    tom.ask("hello", versions=[1])
    rooms = {f"#{n}": 0 for n in range(4)}
    assert tom.ask("resume", token=token, rooms=rooms)["error"]["code"] == "LIMIT_EXCEEDED"
    rooms.popitem()
    assert tom.ask("resume", token=token, rooms=rooms)["ok"]


def test_a_reader_who_falls_behind_gets_everything_in_order_out_of_the_journal() -> None:
    house = House()
    tom, slow = house.come("tom", "#lobby"), house.come("slow", "#lobby")
    slow.transport.stall()
    for n in range(1, 301):
        tom.ask("send", room="#lobby", body=str(n))
    assert bodies(slow.events()) == []
    slow.transport.drain()
    house.settle()
    tom.ask("send", room="#lobby", body="301")
    assert [seq for seq, _ in bodies(slow.events())] == list(range(1, 302))


def test_a_silent_program_is_asked_and_then_given_up() -> None:
    """A44: a pulled cable is found within 90 seconds."""
    house = House()
    tom = house.come("tom", "#lobby", caps=("presence",))
    jerry = house.come("jerry", "#lobby")
    for _ in range(10):
        house.settle(5)
        tom.ask("ping")
    assert [one["type"] for one in jerry.events()] == ["ping"]
    for _ in range(10):
        house.settle(5)
        tom.ask("ping")
    assert not jerry.is_open
    assert [one["left"] for one in tom.heard if "left" in one] == [[{"nick": "jerry", "reason": "timed out"}]]


def test_who_never_logs_in_is_turned_away() -> None:
    """A29: after 30 seconds."""
    house = House()
    peer = Peer(house)
    house.settle(29)
    assert peer.is_open
    for _ in range(3):
        house.settle(3)
    assert peer.listen()[-1]["details"] == {"limit": "login_seconds", "value": 30.0}
    assert not peer.is_open


@pytest.mark.parametrize("way", ["quit", "lost"])
def test_the_registry_forgets_who_has_gone(way: str) -> None:
    """A34: nothing is left of those who left, and their names are free."""
    house = House()
    for _ in range(3):
        tom = house.come("tom", "#lobby", "#other")
        if way == "quit":
            tom.ask("quit")
        else:
            tom.leave()
    assert not house.hub.state.users
    assert not house.hub.links
    assert not house.hub.fanout.audiences
    assert list(house.hub.state.check()) == []
    assert not house.hub.state.rooms  # nothing was said in them


def test_who_asks_for_a_replay_and_says_no_more_is_shown_all_of_it() -> None:
    """As `printf … | nc -N` does."""
    house = House()
    tom = house.come("tom", "#room")
    for n in range(500):
        tom.ask("send", room="#room", body=f"{n}")
    jerry = house.come("jerry")
    jerry.murmur({"type": "join", "id": "j", "room": "#room", "since": 0})
    jerry.protocol.readConnectionLost()
    for _ in range(20):
        house.settle(0.1)
    assert [seq for seq, _ in bodies(jerry.listen())] == list(range(1, 501))
    assert not jerry.is_open


def test_stop_says_goodbye_and_answers_what_was_asked() -> None:
    """A52: everybody is told `closing`."""
    house = House()
    tom = house.come("tom", "#lobby")
    tom.murmur({"type": "send", "id": "last", "room": "#lobby", "body": "x"})
    done: list[object] = []
    house.hub.stop().addCallback(done.append)
    for _ in range(10):
        house.settle(0.1)
    assert done
    heard = tom.listen()
    assert heard[0]["re"] == "last"
    assert heard[0]["ok"]
    assert (heard[-1]["type"], heard[-1]["code"]) == ("closing", "SHUTTING_DOWN")
    assert not tom.is_open


def test_since_last_goes_on_where_the_first_visit_began_even_if_nothing_was_said_in_it() -> None:
    house = House()
    tom = house.come("tom", "#room")
    tom.ask("send", room="#room", body="before you came")
    bot = house.come("bot")
    assert bot.ask("join", room="#room", since="last")["last_seq"] == 1
    bot.leave()
    tom.ask("send", room="#room", body="while you were away")
    house.restart()
    bot = house.come("bot", mechanism="token", token=bot.auth["token"])
    assert bot.ask("join", room="#room", since="last")["ok"]
    assert bodies(bot.heard) == [(2, "while you were away")]


def test_joining_keeps_no_room_in_which_nothing_was_said() -> None:
    house = House()
    tom = house.come("tom")
    for since in (None, "now", "last"):
        assert tom.ask("join", room="#empty", since=since)["ok"]
        assert tom.ask("part", room="#empty")["ok"]
    assert tom.ask("list", what="rooms")["items"] == []


def test_looking_at_many_is_cut_into_turns() -> None:
    """Of thousands who are late, some are turned away in each turn of the loop, and all in the same tick."""
    house = House(login_seconds=30)
    late = [Peer(house) for _ in range(3 * LOOKS_A_TURN)]
    house.hub.tick += 40
    house.hub.keepalive.look()
    assert sum(peer.protocol.closing for peer in late) == LOOKS_A_TURN
    house.settle()
    assert all(peer.protocol.closing for peer in late)


def test_an_idle_member_keeps_nothing_that_others_have_too_or_that_it_does_not_need() -> None:
    """Thousands are idle at any time."""
    house = House()
    tom, jerry = (house.come(nick, "#lobby", caps=("echo", "typing")).protocol.link for nick in ("tom", "jerry"))
    assert tom.caps is jerry.caps
    assert sys.getsizeof(tom.waiting) < 100
    assert tom.connection._outbox is jerry.connection._outbox


def test_what_cannot_be_written_to_one_is_written_to_all_others(logged_errors: Any) -> None:
    house = House()
    tom, broken, jerry = (house.come(nick, "#lobby") for nick in ("tom", "broken", "jerry"))

    def write(data: bytes) -> None:
        raise ZeroDivisionError

    broken.transport.write = write  # type: ignore[method-assign]
    assert tom.ask("send", room="#lobby", body="hello")["ok"]
    assert len(logged_errors.take(ZeroDivisionError)) == 1
    assert not broken.is_open
    assert bodies(jerry.events()) == [(1, "hello")]
    assert tom.ask("send", room="#lobby", body="again")["ok"]
    assert bodies(jerry.events("message")) == [(2, "again")]
