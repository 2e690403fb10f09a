"""Conversations: who says what, who hears what, under which number."""

from __future__ import annotations

from typing import Any

import pytest
from support.house import House, Peer, bodies, packet


def test_two_meet_in_a_room_and_talk() -> None:
    """A39: the sender gets the number, the others get the message."""
    house = House()
    tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby")
    reply = tom.ask("send", room="#lobby", body="hello", msg_id="1")
    assert (reply["ok"], reply["seq"], reply["duplicate"], reply["durability"]) == (True, 1, False, "memory")
    [event] = jerry.events()
    assert (event["type"], event["room"], event["seq"], event["body"]) == ("message", "#lobby", 1, "hello")
    assert event["from"] == {"nick": "tom"}
    assert event["event_id"] == reply["event_id"]
    assert "msg_id" not in event
    assert tom.events() == []


def test_who_wants_an_echo_gets_one_and_only_one() -> None:
    """A40: with the capability `echo` one's own message comes back, once, with its msg_id, in the place of its seq."""
    house = House()
    tom = house.come("tom", "#lobby", caps=("echo",))
    house.come("jerry", "#lobby")
    tom.ask("send", room="#lobby", body="hello", msg_id="x")
    tom.ask("send", room="#lobby", body="again")
    own = [one for one in tom.heard if one.get("type") == "message"]
    assert [(one["seq"], one.get("msg_id")) for one in own] == [(1, "x"), (2, None)]


def test_nobody_speaks_in_anothers_name() -> None:
    """A30: the author is stamped by the server, whatever the client claims."""
    house = House()
    tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby")
    tom.say({"type": "send", "id": "1", "room": "#lobby", "body": "hi", "from": {"nick": "jerry"}, "nick": "jerry"})
    assert jerry.events()[0]["from"] == {"nick": "tom"}


def test_everything_in_one_packet_works_and_one_byte_at_a_time() -> None:
    requests = [
        {"type": "hello", "id": "1", "versions": [1]},
        {"type": "auth", "id": "2", "mechanism": "guest", "nick": "tom"},
        {"type": "join", "id": "3", "room": "#lobby"},
        {"type": "send", "id": "4", "room": "#lobby", "body": "one"},
        {"type": "send", "id": "5", "room": "#lobby", "body": "two"},
        {"type": "quit", "id": "6", "reason": "bye"},
    ]
    for step in (10_000, 1):
        house = House()
        jerry = house.come("jerry", "#lobby", caps=("presence",))
        tom = Peer(house)
        data = packet(*requests)
        for start in range(0, len(data), step):
            tom.send_bytes(data[start : start + step])
        assert [one["re"] for one in tom.listen()] == ["1", "2", "3", "4", "5", "6"]
        assert all(one["ok"] for one in tom.heard)
        assert not tom.is_open
        seen = jerry.events()
        assert bodies(seen) == [(1, "one"), (2, "two")]
        presence = [one for one in seen if one["type"] == "presence"]
        assert presence[0]["joined"] == ["tom"]
        assert presence[-1]["left"] == [{"nick": "tom", "reason": "bye"}]


def test_replies_come_in_the_order_of_the_requests() -> None:
    house = House()
    tom = house.come("tom", "#lobby")
    tom.say(
        {"type": "send", "id": "a", "room": "#lobby", "body": "one"},
        {"type": "send", "id": "b", "room": "#lobby", "body": ""},
        {"type": "send", "id": "c", "room": "#lobby", "body": "two"},
        b"not an object",
        {"type": "ping", "id": "d"},
        {"type": "history", "id": "e", "room": "#lobby"},
    )
    heard = tom.listen()
    assert [one.get("re", one.get("code")) for one in heard] == ["a", "b", "c", "BAD_FRAME", "d", "e"]
    assert [one["body"] for one in heard[-1]["events"]] == ["one", "two"]


def test_numbers_have_no_holes_for_sender_and_reader_alike() -> None:
    """A53, A55: everyone sees the same order, a sender by the numbers of its replies in their places."""
    house = House()
    peers = [house.come(nick, "#lobby") for nick in ("tom", "jerry", "spike")]
    for turn in range(20):
        for peer in peers:
            requests = [{"type": "send", "id": f"{turn}.{n}", "room": "#lobby", "body": "x"} for n in range(3)]
            peer.murmur(*requests)
        house.settle()
    for peer in peers:
        assert [one["seq"] for one in peer.listen() if "seq" in one] == list(range(1, 181))


def test_a_repeated_msg_id_is_said_once() -> None:
    house = House()
    tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby")
    first = tom.ask("send", room="#lobby", body="pay 5", msg_id="m1")
    again = tom.ask("send", room="#lobby", body="pay 5", msg_id="m1")
    other = tom.ask("send", room="#lobby", body="pay 500", msg_id="m1")
    assert again | {"re": 0} == first | {"re": 0, "duplicate": True}
    assert other["error"]["code"] == "MSG_ID_REUSED"
    assert jerry.ask("send", room="#lobby", body="pay 500", msg_id="m1")["seq"] == 2
    assert bodies(jerry.heard) == [(1, "pay 5")]


def test_join_with_since_replays_and_goes_live_without_hole_or_overlap() -> None:
    house = House()
    tom = house.come("tom", "#lobby")
    for n in range(1, 501):
        tom.ask("send", room="#lobby", body=str(n))
    jerry = house.come("jerry")
    jerry.say({"type": "join", "id": "j", "room": "#lobby", "since": 100})
    tom.ask("send", room="#lobby", body="live")
    heard = jerry.listen()
    assert heard[0]["re"] == "j"
    assert heard[0]["last_seq"] == 500
    assert [one["seq"] for one in heard if one.get("type") == "message"] == list(range(101, 502))
    [marker] = [one for one in heard if one.get("type") == "caught_up"]
    assert marker == {"type": "caught_up", "room": "#lobby", "seq": 500}
    assert heard.index(marker) == 401


def test_a_replay_may_be_limited_and_says_so() -> None:
    house = House()
    tom = house.come("tom", "#lobby")
    for n in range(1, 11):
        tom.ask("send", room="#lobby", body=str(n))
    jerry = house.come("jerry")
    reply = jerry.ask("join", room="#lobby", since=0, replay_limit=3)
    assert reply["limited"] is True
    kinds = [(one["type"], one.get("seq")) for one in jerry.heard if "type" in one]
    assert kinds == [("gap", None), ("message", 8), ("message", 9), ("message", 10), ("caught_up", 10)]
    gap = next(one for one in jerry.heard if one.get("type") == "gap")
    assert gap == {"type": "gap", "room": "#lobby", "from": 1, "to": 7, "reason": "skipped"}


def test_since_ahead_of_the_room_is_refused() -> None:
    house = House()
    tom = house.come("tom", "#lobby")
    reply = tom.ask("join", room="#other", since=5)
    assert reply["error"]["code"] == "INVALID_PARAMS"
    assert reply["error"]["details"] == {"room": "#other", "last_seq": 0}


def test_direct_messages_reach_only_the_two() -> None:
    """A49: `to` reaches that person alone; each side sees the room under the other's name."""
    house = House()
    tom, jerry, spike = (house.come(nick, "#lobby") for nick in ("tom", "jerry", "spike"))
    reply = tom.ask("send", to="@jerry", body="psst")
    assert (reply["room"], reply["seq"]) == ("@jerry", 1)
    [event] = jerry.events()
    assert (event["room"], event["seq"], event["body"], event["from"]["nick"]) == ("@tom", 1, "psst", "tom")
    assert event["event_id"] == reply["event_id"]
    assert jerry.ask("send", to="@tom", body="what?")["seq"] == 2
    assert bodies(tom.events()) == [(2, "what?")]
    page = jerry.ask("history", room="@tom")
    assert bodies(page["events"]) == [(1, "psst"), (2, "what?")]
    assert spike.events() == []
    assert spike.ask("history", room="@tom")["error"]["code"] == "NO_SUCH_ROOM"
    assert tom.ask("send", to="@nobody", body="?")["error"]["code"] == "NO_SUCH_USER"


def test_edits_reactions_and_redactions() -> None:
    house = House()
    tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby")
    tom.ask("send", room="#lobby", body="helo")
    edit = tom.ask("relate", room="#lobby", target=1, rel="edit", body="hello")
    assert (edit["ok"], edit["seq"]) == (True, 2)
    assert jerry.ask("relate", room="#lobby", target=1, rel="react", key="👍")["seq"] == 3
    assert jerry.ask("relate", room="#lobby", target=1, rel="edit", body="x")["error"]["code"] == "FORBIDDEN"
    assert jerry.ask("relate", room="#lobby", target=1, rel="redact")["error"]["code"] == "FORBIDDEN"
    assert jerry.ask("relate", room="#lobby", target=99, rel="react", key="x")["error"]["code"] == "NO_SUCH_MESSAGE"
    assert jerry.ask("relate", room="#lobby", target=1, rel="react")["error"]["code"] == "INVALID_PARAMS"
    assert tom.ask("relate", room="#lobby", target=1, rel="redact", reason="oops")["seq"] == 4
    events = jerry.ask("history", room="#lobby")["events"]
    assert [(one["seq"], one.get("body"), one.get("redacted")) for one in events] == [
        (1, "", True),
        (2, None, True),
        (3, None, None),
        (4, None, None),
    ]
    live = [one for one in jerry.heard if one.get("type") == "relation"]
    assert [(one["rel"], one["target"], one.get("body")) for one in live] == [
        ("edit", 1, "hello"),
        ("redact", 1, None),
    ]
    assert jerry.ask("relate", room="#lobby", target=1, rel="react", key="x")["error"]["code"] == "NO_SUCH_MESSAGE"


def test_history_pages_meet_in_both_directions() -> None:
    house = House()
    tom = house.come("tom", "#lobby")
    for n in range(1, 26):
        tom.ask("send", room="#lobby", body=str(n))
    seen: list[int] = []
    page = tom.ask("history", room="#lobby", limit=10)
    while True:
        seen = [one["seq"] for one in page["events"]] + seen
        if page["prev"] is None:
            break
        page = tom.ask("history", room="#lobby", limit=10, before=page["prev"])
    assert seen == list(range(1, 26))
    forward: list[int] = []
    following: int | None = 0
    while following is not None:
        page = tom.ask("history", room="#lobby", limit=7, after=following)
        forward += [one["seq"] for one in page["events"]]
        following = page["next"]
    assert forward == seen
    around = tom.ask("history", room="#lobby", around=13, limit=5)
    assert 13 in [one["seq"] for one in around["events"]]
    assert tom.ask("history", room="#lobby", before=3, after=1)["error"]["code"] == "INVALID_PARAMS"
    assert tom.ask("history", room="#elsewhere")["error"]["code"] == "NO_SUCH_ROOM"


def test_a_page_is_cut_to_fit_into_a_frame_and_says_where_to_go_on() -> None:
    house = House()
    tom = house.come("tom", "#lobby")
    for _ in range(30):
        assert tom.ask("send", room="#lobby", body="\x01" * 8000)["ok"]
    seen: list[int] = []
    page = tom.ask("history", room="#lobby")
    while True:
        assert len(page["events"]) < 30
        seen = [one["seq"] for one in page["events"]] + seen
        if page["prev"] is None:
            break
        page = tom.ask("history", room="#lobby", before=page["prev"])
    assert seen == list(range(1, 31))


def test_the_newest_page_is_not_empty_while_more_is_being_committed_than_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House(messages_burst=1000)
    tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby")
    for n in range(1, 6):
        assert tom.ask("send", room="#lobby", body=f"{n}")["ok"]
    on_their_way: list[Any] = []
    show = house.hub.entries_received
    monkeypatch.setattr(house.hub, "entries_received", on_their_way.append)
    tom.say(*({"type": "send", "id": f"{n}", "room": "#lobby", "body": f"{n}"} for n in range(6, 106)))
    page = jerry.ask("history", room="#lobby", limit=3)
    assert bodies(page["events"]) == [(3, "3"), (4, "4"), (5, "5")]
    monkeypatch.undo()
    for entries in on_their_way:
        show(entries)
    house.settle()
    assert bodies(jerry.ask("history", room="#lobby", limit=1)["events"]) == [(105, "105")]


def test_a_search_finds_what_was_said_in_the_room_that_one_is_in() -> None:
    house = House()
    tom, jerry = house.come("tom", "#lobby", "#ops"), house.come("jerry", "#lobby")
    for n in range(5):
        tom.ask("send", room="#lobby", body=f"cheese {n}")
    tom.ask("send", room="#ops", body="secret cheese")
    jerry.ask("send", room="#lobby", body="my cheese")
    page = jerry.ask("history", room="#lobby", query="cheese", limit=4)
    assert ([one["seq"] for one in page["events"]], page["prev"], page["next"]) == ([3, 4, 5, 6], 3, None)
    page = jerry.ask("history", room="#lobby", query="cheese", limit=4, before=3)
    assert ([one["seq"] for one in page["events"]], page["prev"]) == ([1, 2], None)
    page = jerry.ask("history", room="#lobby", query="cheese", limit=2, after=1)
    assert ([one["seq"] for one in page["events"]], page["next"]) == ([2, 3], 3)
    assert [one["body"] for one in jerry.ask("history", room="#lobby", **{"from": "@jerry"})["events"]] == ["my cheese"]
    refused = jerry.ask("history", room="#ops", query="cheese")
    assert refused["error"]["code"] == "NOT_IN_ROOM"
    for wrong in ({"around": 2}, {"before": "2026-01-01T00:00:00Z"}, {"before": 3, "after": 1}):
        assert jerry.ask("history", room="#lobby", query="cheese", **wrong)["error"]["code"] == "INVALID_PARAMS"
