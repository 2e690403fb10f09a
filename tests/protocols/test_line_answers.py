"""What a person is told for a reply: a table, with every reply there is in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import pytest

from chatd.core import commands as c
from chatd.core import replies as r
from chatd.core.codes import Code, Refusal
from chatd.core.commands import Changes, Command, SelfChanges
from chatd.core.views import Author, Message
from chatd.protocols.line_answers import ANSWERS, HINTS, LISTS, answer_lines

NOON = datetime(2024, 11, 20, 12, 2, 33, tzinfo=UTC)
JOIN = c.Join(room="#ops")
SEND = c.Send(room="#lobby", body="hello")


@pytest.fixture(autouse=True)
def east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server stands two hours east of Greenwich."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XXX-2")
        time.tzset()
        yield
    time.tzset()


def refused(code: Code, text: str, **facts: Any) -> r.Failure:
    return r.failure("1", Refusal(code, text, **facts))


def joined(count: int, topic: str = "") -> r.Joined:
    room = {"room": "#ops", "room_id": "r", "first_seq": 1, "last_seq": 0, "topic": topic, "role": "member"}
    return r.Joined(re="1", members_count=count, limited=False, **room)


def sent(room: str = "#lobby") -> r.Sent:
    return r.Sent(re="1", room=room, seq=3, event_id="r:3", time=NOON, duplicate=False, durability="fsync")


def page(prev: int | None = None, empty: bool = False, room: str = "#lobby", last: int = 12) -> r.HistoryPage:
    said = Message(room=room, seq=12, event_id="r:12", time=NOON, author=Author(nick="alice"), kind="text", body="hi")
    return r.HistoryPage(
        re="1", room=room, events=[] if empty else [said], prev=prev, next=None, first_seq=1, last_seq=last
    )


def listed(*items: dict[str, Any], next: str | None = None) -> r.Listed:
    return r.Listed(re="1", items=list(items), next=next)


def user(nick: str, **fields: Any) -> dict[str, Any]:
    return {"nick": nick, "away": False} | fields


def room_item(room: str, count: int, topic: str = "") -> dict[str, Any]:
    return {"room": room, "room_id": "r", "topic": topic, "members_count": count, "last_seq": 1}


WELCOME = r.Welcome(
    re="1",
    version=1,
    caps=[],
    server="chatd",
    server_version="0",
    network="n",
    time=NOON,
    limits={},
    auth=[],
    registration="closed",
    durability="fsync",
)

COME_BACK = "If you are cut off, come back with: /resume bold-otter-4127"
BACK = ["You are connected to the server!", "Your name is bob.", HINTS, COME_BACK]


def came_back(**more: Any) -> r.CameBack:
    facts: dict[str, Any] = {"current": "#lobby", "since": {"#lobby": 3}, "missed": 0, "exact": True} | more
    return r.CameBack(re="1", session="s", nick="bob", rooms=[], word="bold-otter-4127", **facts)


TABLE: list[tuple[Command, r.Reply, list[str]]] = [
    (SEND, refused(Code.MUTED, "you are muted"), ["*** Not sent: you are muted. (MUTED)"]),
    (
        c.Nick(nick="bob"),
        refused(Code.NICK_IN_USE, "The name bob is in use.", details={"suggestion": "bob_"}),
        ["*** The name bob is in use. Try bob_ (NICK_IN_USE)"],
    ),
    (
        SEND,
        refused(Code.RATE_LIMITED, "too fast", retry_after=2.0),
        ["*** Not sent: too fast. Try again in 2 s. (RATE_LIMITED)"],
    ),
    (
        SEND,
        refused(Code.STORE_UNAVAILABLE, "repeat it with the same msg_id"),
        ["*** Not sent: it could not be stored; please try again later. (STORE_UNAVAILABLE)"],
    ),
    (c.Part(room="#ops"), r.Done(re="1"), ["*** You left #ops."]),
    (c.Quit(), r.Done(re="1"), ["*** Goodbye."]),
    (c.Presence(state="away"), r.Done(re="1"), ["*** Done."]),
    (c.Hello(versions=[1]), WELCOME, []),
    (
        c.Auth(mechanism="guest", nick="bob"),
        r.LoggedIn(re="1", session="s", nick="bob", rooms=[], token="t"),
        ["You are connected to the server!", "Your name is bob.", HINTS],
    ),
    (
        c.ComeIn(nick="bob"),
        r.CameIn(re="1", session="s", nick="bob", rooms=[], token="t", word="bold-otter-4127"),
        ["You are connected to the server!", "Your name is bob.", HINTS, COME_BACK],
    ),
    (c.ComeBack(word="bold-otter-4127"), came_back(), [*BACK, "*** You are back in #lobby; you missed nothing."]),
    (
        c.ComeBack(word="bold-otter-4127"),
        came_back(since={"#lobby": 3, "@carl": 1, "#ops": 7}, missed=1, exact=False, nick_before="Bob"),
        [
            *BACK,
            "*** Somebody else is called Bob now, so you are bob.",
            "*** You are back in #lobby, #ops; you missed 1 message.",
            "*** What you type goes to #lobby.",
            "*** The server was cut off while you were here: the first of them may come twice.",
        ],
    ),
    (c.Ping(), r.Pong(re="1", time=NOON), ["*** Pong: the server is there. 14:02:33"]),
    (c.Ping(), r.Pong(re="1", time=NOON, data="time"), ["*** It is 2024-11-20 14:02:33 XXX here, 12:02:33 UTC."]),
    (c.Nick(nick="bob"), r.NickTaken(re="1", nick="bob"), ["*** You are now called bob."]),
    (JOIN, joined(1), ["*** You are in #ops; nobody else is here yet."]),
    (JOIN, joined(2, "tea"), ["*** You are in #ops; 1 other here.", "*** Topic: tea"]),
    (JOIN, joined(1201), ["*** You are in #ops; 1,200 others here."]),
    (SEND, sent(), []),
    (c.Send(to="@bob", body="psst"), sent("@Bob"), ["[14:02:33] -> Bob: psst"]),
    (c.Relate(room="#lobby", target=3, rel="edit", body="x"), sent(), ["*** Message 3 is changed."]),
    (c.Relate(room="#lobby", target=3, rel="redact"), sent(), ["*** Message 3 is deleted."]),
    (c.Relate(room="#lobby", target=3, rel="react", key="👍"), sent(), ["*** You react to message 3 with 👍"]),
    (c.Relate(room="#lobby", target=3, rel="unreact", key="👍"), sent(), ["*** You take back 👍 from message 3."]),
    (c.Relate(room="#lobby", target=3, rel="pin"), sent(), ["*** Message 3 is pinned."]),
    (c.Relate(room="#lobby", target=3, rel="unpin"), sent(), ["*** Message 3 is no longer pinned."]),
    (c.History(room="#lobby"), page(), ["12 [14:02:33] <alice> hi"]),
    (
        c.History(room="#lobby", limit=1),
        page(prev=12),
        ["12 [14:02:33] <alice> hi", "*** What was said before: /history 1 #12"],
    ),
    (
        c.History(room="@bob", limit=1),
        page(prev=12, room="@bob"),
        ["12 [14:02:33] -> bob: hi", "*** What was said before: /history @bob 1 #12"],
    ),
    (c.History(room="#lobby"), page(empty=True, last=0), ["*** Nothing was said in #lobby yet."]),
    (c.History(room="#lobby", before=1), page(empty=True), ["*** Nothing was said in #lobby before that."]),
    (c.Resume(rooms={}), r.Resumed(re="1", rooms={}, expired=False), ["*** Done."]),
    (c.Auth(mechanism="scram-sha-256"), r.Challenged(re="1", data={"message": "r=nonce"}), ["*** Done."]),
    (c.MarkRead(room="#lobby", seq=1), r.ReadMarked(re="1", seq=1), ["*** Done."]),
    (
        c.List(what="rooms"),
        listed(room_item("#lobby", 1), room_item("#tea", 1200, "five o'clock")),
        ["*** #lobby  1 person", "*** #tea  1,200 people  five o'clock"],
    ),
    (c.List(what="rooms"), listed(), ["*** There are no rooms yet."]),
    (c.List(what="rooms", prefix="#x"), listed(), ["*** There is no such room."]),
    (
        c.List(what="rooms", room="#lobby", prefix="#lobby", limit=1),
        listed(room_item("#lobby", 1, "tea"), next="#lobby"),
        ["*** The topic of #lobby: tea"],
    ),
    (
        c.List(what="rooms", room="#lobby", prefix="#lobby", limit=1),
        listed(room_item("#lobby", 1)),
        ["*** There is no topic."],
    ),
    (
        c.List(what="members", room="#lobby"),
        listed(user("alice"), user("bob", away=True), next="bob"),
        [
            "*** In #lobby, 2 people:",
            "*** alice, bob (away)",
            "*** There are more; give the beginning of a name to see fewer.",
        ],
    ),
    (c.List(what="users"), listed(user("alice")), ["*** On the server, 1 person:", "*** alice"]),
    (
        c.List(what="whois", name="bob"),
        listed(user("bob", away=True, message="tea", rooms=["#lobby", "#tea"], sessions=2)),
        [
            "*** bob is away: tea",
            "*** bob is, as you are, in #lobby, #tea.",
            "*** bob is connected 2 times.",
        ],
    ),
    (c.List(what="whois", name="bob"), listed(user("bob", rooms=[], sessions=1)), ["*** bob is here."]),
    (
        c.List(what="whois", name="bob"),
        listed(user("bob", away=True, rooms=[], sessions=1)),
        ["*** bob is away."],
    ),
    (
        c.List(what="sessions"),
        listed(
            {"session": "s", "current": True, "rooms": ["#lobby"]},
            {"session": "t", "current": False, "rooms": [], "device": "phone"},
        ),
        ["*** You are logged in 2 times:", "***   in #lobby (this connection)", "***   phone: in no room"],
    ),
    (c.Set(room="#lobby", changes=Changes(topic="tea")), r.Changed(re="1", seq=3), ["*** The topic is now: tea"]),
    (c.Set(room="#lobby", changes=Changes(topic="")), r.Changed(re="1", seq=3), ["*** The topic is cleared."]),
    (c.Set(myself=SelfChanges(away="tea")), r.Changed(re="1"), ["*** You are away: tea"]),
    (c.Set(myself=SelfChanges(away=True)), r.Changed(re="1"), ["*** You are away."]),
    (c.Set(myself=SelfChanges(away=False)), r.Changed(re="1"), ["*** You are back."]),
    (c.Moderate(action="kick", target="bob"), r.Changed(re="1", seq=3), ["*** bob was put out of the server."]),
]


@pytest.mark.parametrize(("command", "reply", "lines"), TABLE)
def test_each_reply_has_its_lines(command: Command, reply: r.Reply, lines: list[str]) -> None:
    assert answer_lines(command, reply, NOON.timestamp()) == lines


def test_no_reply_was_forgotten() -> None:
    assert set(ANSWERS) == {*r.ALL, r.CameIn, r.CameBack} == {type(reply) for _, reply, _ in TABLE}
    assert set(LISTS) == set(get_args(get_type_hints(c.List)["what"]))


def test_a_direct_message_is_confirmed_without_the_time_if_nobody_wants_it() -> None:
    [line] = answer_lines(c.Send(to="@bob", body="psst"), sent("@bob"), NOON.timestamp(), timestamps=False)
    assert line == "-> bob: psst"


def test_what_others_chose_does_nothing_to_the_terminal() -> None:
    evil = "\x1b[2J\u202ex\ny"
    told = [
        *answer_lines(JOIN, joined(1, evil), 0),
        *answer_lines(c.List(what="rooms"), listed(room_item("#a", 1, evil)), 0),
        *answer_lines(c.List(what="users"), listed(user(evil)), 0),
        *answer_lines(c.List(what="whois"), listed(user("a", away=True, message=evil, rooms=[evil], sessions=1)), 0),
        *answer_lines(c.Nick(nick="a"), refused(Code.NICK_INVALID, evil, details={"suggestion": evil}), 0),
    ]
    assert all(line.isprintable() for line in told)


def test_a_long_list_of_names_is_told_in_lines_that_fit() -> None:
    many = [user(f"somebody-{n}") for n in range(200)]
    lines = answer_lines(c.List(what="users"), listed(*many), 0)
    assert max(map(len, lines)) <= 76
    assert " ".join(line.removeprefix("*** ") for line in lines[1:]) == ", ".join(one["nick"] for one in many)
