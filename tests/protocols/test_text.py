"""What people are shown: a table of views and the lines that they become, and what nobody can make a line say."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.core import views
from chatd.core.views import Author, Message, Relation, View
from chatd.protocols.text import LINES, IgnoringEncoder, JsonEncoder, LineEncoder, listed, numbered_lines
from chatd.protocols.wire import json_view

NOON = datetime(2024, 11, 20, 12, 2, 33, tzinfo=UTC)
NOW = NOON.timestamp() + 60


@pytest.fixture(autouse=True)
def east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server stands two hours east of Greenwich."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XXX-2")
        time.tzset()
        yield
    time.tzset()


def durable(room: str = "#lobby", time: datetime = NOON, seq: int = 12) -> dict[str, Any]:
    return {"room": room, "seq": seq, "event_id": f"r:{seq}", "time": time}


def message(body: str = "hello", nick: str = "alice", kind: Any = "text", **fields: Any) -> Message:
    place = {key: fields.pop(key) for key in ("room", "time", "seq") if key in fields}
    return Message(**durable(**place), author=Author(nick=nick), kind=kind, body=body, **fields)


def relation(rel: Any, **fields: Any) -> Relation:
    return Relation(**durable(), author=Author(nick="alice"), rel=rel, target=3, **fields)


def member(change: Any, **fields: Any) -> views.Member:
    return views.Member(**durable(), who="bob", by="alice", change=change, **fields)


def shown(view: View, **switches: Any) -> list[str]:
    blob = LineEncoder(clock=lambda: NOW, **switches).encode(view)
    assert not blob or blob.endswith(b"\r\n")
    return blob.decode().split("\r\n")[:-1]


# The time of what happened is 12:02:33 UTC, and of what is only seen while it happens, 12:03:33.
TABLE: list[tuple[View, list[str]]] = [
    (message(), ["[14:02:33] <alice> hello"]),
    (message("waves", kind="action"), ["[14:02:33] * alice waves"]),
    (message("beep", kind="notice"), ["[14:02:33] <alice> beep"]),
    (message("psst", room="@alice"), ["[14:02:33] -alice- psst"]),
    (message("psst", room="@ALICE"), ["[14:02:33] -alice- psst"]),
    (message("psst", room="@bob"), ["[14:02:33] -> bob: psst"]),
    (message("waves", room="@alice", kind="action"), ["[14:02:33] -alice- * alice waves"]),
    (message("one\ntwo"), ["[14:02:33] <alice> one", "[14:02:33] <alice> two"]),
    (message("", redacted=True), ["[14:02:33] *** message 12 by alice was deleted"]),
    (relation("edit", body="a\nb"), [f"[14:02:33] *** alice edited message 3: {line}" for line in "ab"]),
    (relation("edit", redacted=True), ["[14:02:33] *** alice edited message 3, which was deleted later"]),
    (relation("redact", reason="typo"), ["[14:02:33] *** alice deleted message 3 (typo)"]),
    (relation("react", key="👍"), ["[14:02:33] *** alice reacts to message 3 with 👍"]),
    (relation("unreact", key="👍"), ["[14:02:33] *** alice takes back 👍 from message 3"]),
    (relation("pin"), ["[14:02:33] *** alice pinned message 3"]),
    (relation("unpin"), ["[14:02:33] *** alice unpinned message 3"]),
    (member("kick", reason="spam"), ["[14:02:33] *** bob was kicked by alice (spam)"]),
    (member("ban", until=NOON), ["[14:02:33] *** bob was banned by alice until 2024-11-20 14:02"]),
    (member("unban"), ["[14:02:33] *** bob is no longer banned, says alice"]),
    (member("mute"), ["[14:02:33] *** bob was muted by alice"]),
    (member("unmute"), ["[14:02:33] *** bob may speak again, says alice"]),
    (member("role", role="operator"), ["[14:02:33] *** alice made bob operator"]),
    (member("invite"), ["[14:02:33] *** alice invited bob"]),
    (
        views.Room(**durable(), by="alice", changes={"topic": "tea", "join": "invite", "key": "secret"}),
        [
            "[14:02:33] *** alice set the topic: tea",
            "[14:02:33] *** alice changed join to invite",
            "[14:02:33] *** alice set a key, without which nobody comes in",
        ],
    ),
    (views.Room(**durable(), by="alice", changes={"topic": ""}), ["[14:02:33] *** alice cleared the topic"]),
    (views.CaughtUp(room="#lobby", seq=3), []),
    (views.Gap(room="#lobby", first=1, last=9, reason="skipped"), []),
    (
        views.Gap(room="#lobby", first=1, last=9, reason="retention"),
        ["[14:03:33] *** messages 1 to 9 of #lobby are no longer kept"],
    ),
    (
        views.Gap(room="#lobby", first=1, last=9, reason="permission"),
        ["[14:03:33] *** messages 1 to 9 of #lobby are not for you to see"],
    ),
    (views.Presence(room="#lobby", joined=["bob"], count=2), ["[14:03:33] *** bob joined #lobby"]),
    (views.Presence(room="#lobby", joined=["bob", "carl"]), ["[14:03:33] *** bob and carl joined #lobby"]),
    (
        views.Presence(
            room="#lobby",
            left=[
                views.Left(nick="bob", reason="bye"),
                views.Left(nick="carl", reason=""),
                views.Left(nick="dora", reason="bye"),
            ],
            renamed=[views.Renamed(old="tom", new="thomas")],
            away=[views.AwayNow(nick="eve", away=True, message="tea"), views.AwayNow(nick="fay", away=False)],
        ),
        [
            "[14:03:33] *** bob and dora left #lobby (bye)",
            "[14:03:33] *** carl left #lobby",
            "[14:03:33] *** tom is now called thomas",
            "[14:03:33] *** eve is away (tea)",
            "[14:03:33] *** fay is back",
        ],
    ),
    (views.Presence(room="#lobby", count=1204), []),
    (views.Typing(room="#lobby", who="alice", state="active"), []),
    (views.Read(room="#lobby", seq=3), []),
    (views.Notice(code="X", message="one\ntwo"), ["[14:03:33] *** one", "[14:03:33] *** two"]),
    (views.Invite(room="#ops", by="alice"), ["[14:03:33] *** alice invites you to #ops: /join #ops"]),
    (views.Ping(time=NOON), []),
    (views.Error(code="BANNED", message="no"), ["[14:03:33] *** no (BANNED)"]),
    (
        views.Closing(code="SHUTTING_DOWN", reason="the server is stopping", reconnect_after=1.0),
        ["[14:03:33] *** The server is stopping.", "[14:03:33] *** Come again in 1 second."],
    ),
    (views.Closing(code="QUIT", reason=""), ["[14:03:33] *** Goodbye."]),
]


@pytest.mark.parametrize(("view", "lines"), TABLE)
def test_each_view_has_its_lines(view: View, lines: list[str]) -> None:
    """A41, A42: who says what is plain, and comings are told as PROTOCOL.md section 7.4 writes them."""
    assert shown(view) == lines


def test_no_view_was_forgotten() -> None:
    assert set(LINES) == set(views.ALL) == {type(view) for view, _ in TABLE}


def test_what_is_said_elsewhere_has_its_room_first() -> None:
    assert shown(message(room="#ops"), elsewhere=True) == ["[14:02:33] #ops <alice> hello"]
    assert shown(message("a\nb", room="#ops"), elsewhere=True)[1] == "[14:02:33] #ops <alice> b"
    assert shown(message(room="@alice"), elsewhere=True) == ["[14:02:33] -alice- hello"]
    assert shown(views.Notice(code="X", message="hm"), elsewhere=True) == ["[14:03:33] *** hm"]


def test_the_time_can_be_left_out() -> None:
    assert shown(message(), timestamps=False) == ["<alice> hello"]
    assert shown(message(room="#ops"), elsewhere=True, timestamps=False) == ["#ops <alice> hello"]


def test_what_is_from_another_day_has_its_date() -> None:
    yesterday = NOON - timedelta(days=1)
    assert shown(message(time=yesterday)) == ["[2024-11-19 14:02:33] <alice> hello"]
    midnight = datetime(2024, 11, 20, 21, 59, 59, tzinfo=UTC)
    just_after = LineEncoder(clock=lambda: midnight.timestamp() + 2)
    assert just_after.encode(message(time=midnight)) == b"[23:59:59] <alice> hello\r\n"


def test_a_page_has_the_numbers_first() -> None:
    assert numbered_lines(message("a\nb"), NOW) == ["12 [14:02:33] <alice> a", "12 [14:02:33] <alice> b"]


def test_many_names_make_one_line() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed([f"n{n}" for n in range(1210)]).endswith("n8, n9 and 1,200 others")


ATTACKS = [
    "\x1b[2J\x1b[31mred",
    "a\n[14:02:33] <bob> I owe you",
    "a\r[14:02:33] <bob> I owe you",
    "a\u2028[14:02:33] <bob> I owe you",
    "a\x85[14:02:33] <bob> I owe you\x0b\x0c\x1c",
    "\u202eevil\u202c",
    "\x1b]0;title\x07x",
    "\x9b31mred",
    "\ud800",
    "",
    "\n\n",
]


def is_harmless(line: str) -> bool:
    """Whether a line moves, colours and turns round nothing on a terminal."""
    return not any(
        unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(char) in TURNING
        for char in line
    )


TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize("text", ATTACKS)
def test_nobody_makes_a_line_of_somebody_elses(text: str) -> None:
    """A7, A41: every line of a body has its author's name, and nothing that moves or colours a terminal."""
    lines = shown(message(text))
    assert lines
    for line in lines:
        assert line.startswith("[14:02:33] <alice> ")
        assert is_harmless(line)


@given(st.text(), st.text(min_size=1), st.text())
def test_no_text_of_others_gets_at_the_terminal(body: str, nick: str, reason: str) -> None:
    author = Author(nick=nick)
    everywhere: list[View] = [
        message(body, nick=nick),
        message(body, nick=nick, room="@" + nick),
        Relation(**durable(), author=author, rel="react", target=1, key=body, reason=reason),
        Relation(**durable(), author=author, rel="edit", target=1, body=body),
        views.Room(**durable(), by=nick, changes={"topic": body, reason: body}),
        views.Presence(room="#lobby", joined=[nick], left=[views.Left(nick=nick, reason=reason)]),
        views.Presence(away=[views.AwayNow(nick=nick, away=True, message=body)]),
        views.Presence(renamed=[views.Renamed(old=nick, new=body)]),
        views.Member(**durable(), who=nick, by=nick, change="kick", reason=reason),
        views.Notice(code="X", message=body),
        views.Invite(room=body, by=nick),
        views.Closing(code="X", reason=reason),
    ]
    for view in everywhere:
        text = LineEncoder(elsewhere=True, clock=lambda: NOW).encode(view).decode()
        assert all(is_harmless(line) for line in text.split("\r\n"))


def test_who_is_ignored_is_not_shown_in_any_way() -> None:
    lines = IgnoringEncoder(LineEncoder(clock=lambda: NOW), frozenset({"alice"}))
    assert lines.encode(message(nick="Alice")) == b""
    assert lines.encode(message(nick="alice", room="@alice")) == b""
    assert lines.encode(relation("react", key="x")) == b""
    assert lines.encode(message(nick="bob")) != b""
    assert lines.encode(views.Presence(room="#lobby", joined=["alice"])) != b""
    json = IgnoringEncoder(JsonEncoder(json_view), frozenset({"alice"}))
    assert json.encode(message()) == b""


def test_json_is_one_object_a_line() -> None:
    blob = JsonEncoder(json_view).encode(message("a\nb"))
    assert blob.count(b"\n") == 1
    assert blob == json_view(message("a\nb")) + b"\n"
