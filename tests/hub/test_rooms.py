"""Rooms and names: who is here, what one is called, and what everyone is told of it."""

from __future__ import annotations

from support.house import House, Peer


def test_coming_and_going_is_told_once_and_not_to_oneself() -> None:
    """A42, A44: one event for each coming and each going, with a reason, never stored."""
    house = House()
    tom = house.come("tom", "#lobby", caps=("presence",))
    jerry = house.come("jerry", "#lobby", caps=("presence",))
    assert jerry.events("presence") == []
    assert tom.events() == [{"type": "presence", "room": "#lobby", "joined": ["jerry"], "count": 2}]
    jerry.leave()
    [event] = tom.events()
    assert event["left"] == [{"nick": "jerry", "reason": "connection closed"}]
    house.settle(600)
    assert tom.events("presence") == []
    assert house.come("spike", "#lobby").ask("history", room="#lobby")["events"] == []


def test_those_who_come_in_one_turn_are_told_of_later_ones_only() -> None:
    house = House()
    old = house.come("old", "#lobby", caps=("presence",))
    peers = [house.come(f"n{n}", caps=("presence",)) for n in range(3)]
    for peer in peers:
        peer.murmur({"type": "join", "id": "j", "room": "#lobby"})
    house.settle()
    assert old.events() == [{"type": "presence", "room": "#lobby", "joined": ["n0", "n1", "n2"], "count": 4}]
    assert [[one.get("joined") for one in peer.events()] for peer in peers] == [[["n1", "n2"]], [["n2"]], []]


def test_in_a_large_room_comings_are_merged_and_then_only_counted() -> None:
    house = House(presence_batch_members=3, presence_count_members=6)
    old = house.come("old", "#lobby", caps=("presence",))
    for n in range(2):
        house.come(f"a{n}", "#lobby")
    old.events()
    for n in range(2):
        house.come(f"b{n}", "#lobby")
    assert old.events() == []
    house.settle(1.1)
    assert old.events() == [{"type": "presence", "room": "#lobby", "joined": ["b0", "b1"], "count": 5}]
    house.come("c", "#lobby")
    house.settle(1.1)
    assert old.events() == [{"type": "presence", "room": "#lobby", "count": 6}]


def test_names_are_unique_and_a_refusal_suggests_another() -> None:
    """A33: the same name in other clothes is refused, with a name that would do."""
    house = House()
    house.come("alice")
    for wish, code in [
        ("alice", "NICK_IN_USE"),
        ("ALICE", "NICK_IN_USE"),
        ("ａｌｉｃｅ", "NICK_IN_USE"),
        ("аlice", "NICK_INVALID"),
        ("", "NICK_INVALID"),
        ("a b", "NICK_INVALID"),
        ("root", "NICK_RESERVED"),
    ]:
        peer = Peer(house)
        peer.ask("hello", versions=[1])
        error = peer.ask("auth", mechanism="guest", nick=wish)["error"]
        assert (wish, error["code"]) == (wish, code)
        assert peer.ask("auth", mechanism="guest", nick=error["details"]["suggestion"])["ok"]


def test_two_who_want_one_name_in_one_turn() -> None:
    """The earlier wins, the later is told, and its next try counts."""
    house = House()
    peers = [Peer(house), Peer(house)]
    for peer in peers:
        peer.ask("hello", versions=[1])
        peer.murmur({"type": "auth", "id": "a", "mechanism": "guest", "nick": "tom"})
    house.settle()
    first, second = (next(one for one in peer.listen() if one.get("re") == "a") for peer in peers)
    assert first["ok"]
    assert second["error"]["code"] == "NICK_IN_USE"
    assert peers[1].ask("auth", mechanism="guest", nick=second["error"]["details"]["suggestion"])["ok"]


def test_a_new_nick_is_told_to_the_rooms() -> None:
    house = House()
    tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby", caps=("presence",))
    assert tom.ask("nick", nick="jerry")["error"]["code"] == "NICK_IN_USE"
    assert tom.ask("nick", nick="thomas")["nick"] == "thomas"
    [event] = jerry.events()
    assert event["renamed"] == [{"from": "tom", "to": "thomas"}]
    assert house.come("tom").auth["nick"] == "tom"


def test_topic_away_typing_and_lists() -> None:
    """A48: who is here can be asked."""
    house = House()
    tom = house.come("tom", "#lobby")
    jerry = house.come("jerry", "#lobby", caps=("presence", "typing"))
    assert tom.ask("set", room="#lobby", changes={"topic": "cheese"})["seq"] == 1
    assert tom.ask("set", **{"self": {"away": "lunch"}})["ok"]
    assert tom.ask("presence", typing={"room": "#lobby", "state": "active"})["ok"]
    room, away, typing = jerry.events()
    assert (room["type"], room["seq"], room["changes"], room["by"]) == ("room", 1, {"topic": "cheese"}, "tom")
    assert away["away"] == [{"nick": "tom", "away": True, "message": "lunch"}]
    assert typing == {"type": "typing", "room": "#lobby", "who": "tom", "state": "active"}
    assert [one["nick"] for one in jerry.ask("list", what="members", room="#lobby")["items"]] == ["jerry", "tom"]
    assert jerry.ask("list", what="rooms")["items"][0]["topic"] == "cheese"
    first = jerry.ask("list", what="users", limit=1)
    assert [one["nick"] for one in first["items"]] == ["jerry"]
    assert [one["nick"] for one in jerry.ask("list", what="users", cursor=first["next"])["items"]] == ["tom"]
    assert jerry.ask("list", what="whois", name="tom")["items"][0]["rooms"] == ["#lobby"]
    assert house.come("spike").ask("join", room="#lobby")["topic"] == "cheese"


def test_one_is_not_told_of_ones_own_doings_but_of_the_others() -> None:
    house = House()
    tom, jerry = (house.come(nick, "#lobby", caps=("presence",)) for nick in ("tom", "jerry"))
    tom.events()
    for peer, request in (
        (tom, {"type": "nick", "id": "n", "nick": "thomas"}),
        (jerry, {"type": "set", "id": "s", "self": {"away": "lunch"}}),
    ):
        peer.murmur(request)
    house.settle()
    [told_tom], [told_jerry] = tom.events(), jerry.events()
    assert ("renamed" in told_tom, "away" in told_tom) == (False, True)
    assert ("renamed" in told_jerry, "away" in told_jerry) == (True, False)


def test_who_changes_how_it_is_shown_is_still_not_told_of_its_own_coming() -> None:
    house = House(presence_batch_members=1)
    house.come("old", "#lobby")
    tom = house.come("tom", "#lobby", caps=("presence",))
    tom.ask("presence", subscribe=False)
    tom.ask("presence", subscribe=True)
    house.settle(1.1)
    assert tom.events() == []
