"""Direct rooms: whom they are called after, as names come and go."""

from __future__ import annotations

from support.house import House, bodies


def test_a_direct_room_is_called_after_the_others_present_name() -> None:
    """Whoever takes the old name is somebody else, in another room."""
    house = House()
    tom, jerry = house.come("tom", caps=("echo",)), house.come("jerry")
    assert tom.ask("send", to="@jerry", body="1")["room"] == "@jerry"
    jerry.ask("nick", nick="spike")
    reply = tom.ask("send", to="@spike", body="2")
    assert (reply["room"], reply["seq"]) == ("@spike", 2)
    other = house.come("jerry")
    reply = tom.ask("send", to="@jerry", body="3")
    assert (reply["room"], reply["seq"]) == ("@jerry", 1)
    echoes = [(one["room"], one["body"]) for one in tom.heard if "body" in one]
    assert echoes == [("@jerry", "1"), ("@spike", "2"), ("@jerry", "3")]
    assert bodies(other.events()) == [(1, "3")]
    assert [one["body"] for one in tom.ask("history", room="@spike")["events"]] == ["1", "2"]


def test_the_name_is_the_present_one_after_a_restart_too() -> None:
    house = House()
    tom, jerry = house.come("tom"), house.come("jerry")
    tom.ask("send", to="@jerry", body="1")
    tokens = {"tom": tom.auth["token"], "spike": jerry.auth["token"]}
    house.restart()
    house.come("spike", mechanism="token", token=tokens["spike"], nick="spike")
    tom = house.come("tom", mechanism="token", token=tokens["tom"], nick=None)
    assert tom.auth["rooms"] == [{"room": "@spike", "last_seq": 1, "read_seq": 0}]


def test_one_may_write_to_oneself() -> None:
    house = House()
    tom = house.come("tom")
    assert tom.ask("send", to="@tom", body="note")["room"] == "@tom"
    assert [one["body"] for one in tom.ask("history", room="@tom")["events"]] == ["note"]
