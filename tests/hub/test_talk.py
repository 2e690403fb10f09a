"""Conversations: who says what, who hears what."""

from __future__ import annotations

import json
import struct

import pytest
from support.house import House, Peer


def bodies(events: list[dict]) -> list[tuple[int, str]]:
    return [(one["seq"], one["body"]) for one in events if one.get("type") == "message"]


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
        blobs = [json.dumps(one).encode() for one in requests]
        packet = b"".join(struct.pack("!I", len(blob)) + blob for blob in blobs)
        for start in range(0, len(packet), step):
            tom.send_bytes(packet[start : start + step])
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
            blobs = [json.dumps(one).encode() for one in requests]
            peer.protocol.dataReceived(b"".join(struct.pack("!I", len(blob)) + blob for blob in blobs))
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
        blob = json.dumps({"type": "join", "id": "j", "room": "#lobby"}).encode()
        peer.protocol.dataReceived(struct.pack("!I", len(blob)) + blob)
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
        blob = json.dumps({"type": "auth", "id": "a", "mechanism": "guest", "nick": "tom"}).encode()
        peer.protocol.dataReceived(struct.pack("!I", len(blob)) + blob)
    house.settle()
    first, second = ([one for one in peer.listen() if one.get("re") == "a"][0] for peer in peers)
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


def test_stop_says_goodbye_and_answers_what_was_asked() -> None:
    """A52: everybody is told `closing`."""
    house = House()
    tom = house.come("tom", "#lobby")
    blob = json.dumps({"type": "send", "id": "last", "room": "#lobby", "body": "x"}).encode()
    tom.protocol.dataReceived(struct.pack("!I", len(blob)) + blob)
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
