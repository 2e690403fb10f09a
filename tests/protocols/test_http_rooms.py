"""Rooms by HTTP, in a house in memory: who may read and write what, and what is refused with which status."""

from __future__ import annotations

import json

import pytest
from support.house import House, Peer, bodies
from support.order import operator
from support.web import request
from support.web_house import Caller, bearer

from chatd.core.codes import Code
from chatd.core.events import AccountMade
from chatd.core.tokens import Identity, sign
from chatd.protocols.http_rooms import STATUS

ELSEWHERE = "203.0.113.9"


@pytest.fixture
def house() -> House:
    return House()


def test_what_is_read_is_what_was_said(house: House) -> None:
    alice = house.come("alice", "#lobby")
    for n in range(60):
        alice.ask("send", room="#lobby", body=f"{n}")
    caller = Caller(house)
    status, told, text = caller.ask("/r/lobby")
    assert (status, told["content-type"], told["chatd-last-seq"]) == (200, "text/plain; charset=utf-8", "60")
    assert [line.split()[0] for line in text.splitlines()] == [str(n) for n in range(11, 61)]
    assert text.endswith("<alice> 59\n")
    assert [line.split()[-1] for line in caller.ask("/r/lobby?since=57")[2].splitlines()] == ["57", "58", "59"]
    found = json.loads(caller.ask("/r/lobby?before=3&format=json")[2])
    assert bodies(found["events"]) == [(1, "0"), (2, "1")]
    assert (found["room"], found["last_seq"], "re" in found) == ("#lobby", 60, False)
    assert json.loads(caller.ask("/r/lobby?around=30&limit=1", Accept="application/json")[2])["events"][0]["seq"] == 30


@pytest.mark.parametrize(("start", "rel"), [("/r/lobby?limit=7", "prev"), ("/r/lobby?since=0&limit=7", "next")])
def test_the_links_lead_through_everything_once(house: House, start: str, rel: str) -> None:
    alice = house.come("alice", "#lobby")
    for n in range(30):
        alice.ask("send", room="#lobby", body=f"{n}")
    caller, path, pages = Caller(house), start, []
    while path:
        _, told, text = caller.ask(path)
        pages.append([int(line.split()[0]) for line in text.splitlines()])
        links = dict(link.split("; ")[::-1] for link in told.get("link", "").split(", ") if link)
        path = links.get(f'rel="{rel}"', "")[1:-1]
    ordered = pages if rel == "next" else pages[::-1]
    assert [n for page in ordered for n in page] == list(range(1, 31))


def test_what_is_written_is_said_to_everybody_by_who_it_is(house: House) -> None:
    alice, bob = house.come("alice", "#lobby", caps=("presence",)), house.come("bob", "#lobby")
    alice.listen()
    caller, token = Caller(house), bearer(bob.auth["token"])
    status, _, text = caller.ask("/r/lobby", "POST", b"a & b = c\n", **token)
    sent = json.loads(text)
    assert (status, sent["seq"], sent["room"], sent["duplicate"]) == (201, 1, "#lobby", False)
    body = json.dumps({"body": "waves", "kind": "action", "reply_to": 1, "data": {"n": 1}, "room": "#x"}).encode()
    assert caller.ask("/r/lobby", "POST", body, Content_Type="application/json", **token)[0] == 201
    one, two = alice.events("message")
    assert (one["body"], one["from"]["nick"]) == ("a & b = c", "bob")
    assert (two["body"], two["kind"], two["reply_to"], two["data"]) == ("waves", "action", 1, {"n": 1})
    assert alice.events("presence") == [], "nobody came or went"
    assert [one["body"] for one in bob.events("message")] == ["a & b = c", "waves"], "in one's own sessions, too"


def test_the_same_key_is_said_once(house: House) -> None:
    alice = house.come("alice", "#lobby")
    caller, headers = Caller(house), {**bearer(alice.auth["token"]), "Idempotency_Key": '"build-7"'}
    first = caller.ask("/r/lobby", "POST", b"done", **headers)
    again = caller.ask("/r/lobby", "POST", b"done", **headers)
    assert (first[0], again[0]) == (201, 200)
    assert {**json.loads(first[2]), "duplicate": True} == json.loads(again[2])
    assert caller.ask("/r/lobby", "POST", b"other", **headers)[0] == 422
    assert house.hub.state.rooms[house.hub.state.by_name["#lobby"]].last_seq == 1


@pytest.mark.parametrize(
    ("path", "method", "body", "headers", "status", "code"),
    [
        ("/r/nowhere", "GET", b"", {}, 404, "NO_SUCH_ROOM"),
        ("/r/nowhere/events", "GET", b"", {}, 404, "NO_SUCH_ROOM"),
        ("/r/lobby?since=x", "GET", b"", {}, 400, "INVALID_PARAMS"),
        ("/r/lobby?since=1&since=2", "GET", b"", {}, 400, "INVALID_PARAMS"),
        ("/r/lobby?since=1&before=2", "GET", b"", {}, 400, "INVALID_PARAMS"),
        ("/r/lobby?format=xml", "GET", b"", {}, 400, "INVALID_PARAMS"),
        ("/r/lobby/events?since=99", "GET", b"", {}, 400, "INVALID_PARAMS"),
        ("/r/lobby/events", "GET", b"", {"Last_Event_ID": "x"}, 400, "INVALID_PARAMS"),
        ("/r/lobby", "POST", b"x", {}, 401, "NOT_REGISTERED"),
        ("/r/lobby", "POST", b"x", {"Authorization": "Basic eDp5"}, 401, "AUTH_FAILED"),
        ("/r/lobby", "POST", b"x", {"Authorization": "Bearer nonsense"}, 401, "SESSION_EXPIRED"),
        ("/r/lobby", "GET", b"", {"Authorization": "Bearer nonsense"}, 401, "SESSION_EXPIRED"),
        ("/r/lobby", "POST", b"", {"Authorization": "TOKEN"}, 400, "INVALID_PARAMS"),
        ("/r/lobby", "POST", b"\xff", {"Authorization": "TOKEN"}, 400, "INVALID_UTF8"),
        ("/r/lobby", "POST", b"x" * 8193, {"Authorization": "TOKEN"}, 413, "MESSAGE_TOO_LONG"),
        ("/r/lobby", "POST", b"x", {"Authorization": "TOKEN", "Idempotency_Key": "k" * 65}, 400, "INVALID_PARAMS"),
        (
            "/r/lobby",
            "POST",
            b"[]",
            {"Authorization": "TOKEN", "Content_Type": "application/json"},
            400,
            "INVALID_PARAMS",
        ),
        (
            "/r/lobby",
            "POST",
            b'{"body": "x", "msg_id": {}}',
            {"Authorization": "TOKEN", "Content_Type": "application/json", "Idempotency_Key": "k"},
            400,
            "INVALID_PARAMS",
        ),
        (
            "/r/lobby",
            "POST",
            b"payload=",
            {"Authorization": "TOKEN", "Content_Type": "application/x-www-form-urlencoded"},
            400,
            "INVALID_PARAMS",
        ),
        (
            "/r/lobby",
            "POST",
            b"{",
            {"Authorization": "TOKEN", "Content_Type": "application/json"},
            400,
            "INVALID_PARAMS",
        ),
        (
            "/r/lobby",
            "POST",
            b'{"body":"x","kind":"shout"}',
            {"Authorization": "TOKEN", "Content_Type": "application/json"},
            400,
            "INVALID_PARAMS",
        ),
    ],
)
def test_what_is_wrong_is_told_by_status_and_code(
    house: House, path: str, method: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    alice = house.come("alice", "#lobby")
    if headers.get("Authorization") == "TOKEN":
        headers = {**headers, **bearer(alice.auth["token"])}
    caller = Caller(house)
    found, told, text = caller.ask(path, method, body, **headers)
    assert (found, code in text) == (status, True), text
    assert ("www-authenticate" in told) == (status == 401)
    problem = json.loads(caller.ask(path, method, body, Accept="application/json", **headers)[2])["error"]
    assert problem["code"] == code or "format" in path
    assert alice.events("message") == []


def test_every_code_that_has_a_status_is_one() -> None:
    assert set(STATUS) <= set(Code)
    assert all(400 <= status < 600 for status in STATUS.values())


# -- doors --------------------------------------------------------------------------------------------------------


def test_the_doors_are_those_that_others_come_in_by(house: House) -> None:
    """What keeps somebody out of a room keeps out who reads and writes by HTTP; and who is in charge is let in."""
    alice, bob = house.come("alice", "#den"), house.come("bob", "#den")
    caller = Caller(house)
    mine, his = bearer(alice.auth["token"]), bearer(bob.auth["token"])

    def statuses() -> list[int]:
        return [
            caller.ask("/r/den")[0],
            caller.ask("/r/den", **his)[0],
            caller.ask("/r/den", "POST", b"x", **his)[0],
            caller.ask("/r/den", "POST", b"x", **mine)[0],
        ]

    assert statuses() == [200, 200, 201, 201]
    alice.ask("moderate", room="#den", action="mute", target="bob")
    assert statuses() == [200, 200, 403, 201]
    alice.ask("moderate", room="#den", action="ban", target="bob")
    assert statuses() == [200, 403, 403, 201]
    alice.ask("set", room="#den", changes={"join": "invite"})
    assert statuses() == [403, 403, 403, 201]
    alice.ask("set", room="#den", changes={"join": "accounts"})
    assert statuses() == [401, 403, 403, 201]
    alice.ask("set", room="#den", changes={"join": "open", "key": "sesame"})
    assert statuses() == [403, 403, 403, 201]


def test_addresses_that_are_banned_and_a_server_that_is_locked(house: House) -> None:
    boss = operator(house)
    house.come("alice", "#lobby")
    caller = Caller(house, ELSEWHERE)
    assert caller.ask("/r/lobby")[0] == 200
    assert boss.ask("moderate", server=True, action="ban", target=f"{ELSEWHERE}/32")["ok"]
    assert caller.ask("/r/lobby")[0] == 403
    assert boss.ask("moderate", server=True, action="unban", target=f"{ELSEWHERE}/32")["ok"]
    assert boss.ask("moderate", server=True, action="lockdown", target="guests")["ok"]
    assert caller.ask("/r/lobby")[0] == 401


def test_who_is_too_fast_is_told_when_to_come_again() -> None:
    house = House(requests_per_second=1, requests_burst=2, connections_per_address=2, trusted_networks=())
    alice = house.come("alice", "#lobby")
    caller = Caller(house, ELSEWHERE)
    answers = [caller.ask("/r/lobby") for _ in range(10)]
    assert answers[0][0] == 200
    status, told, text = answers[-1]
    assert (status, "requests_per_second" in text, told["retry-after"]) == (429, True, "1")
    assert Caller(house, "203.0.113.10").ask("/r/lobby")[0] == 200, "another address is not"
    house.settle(10)
    assert caller.ask("/r/lobby")[0] == 200
    token = bearer(alice.auth["token"])
    house.settle(60)
    limits = [Caller(house, "203.0.113.11").ask("/r/lobby", "POST", b"x", **token) for _ in range(20)]
    assert limits[0][0] == 201
    assert limits[-1][0] == 429


def test_a_hook_is_good_for_one_room_until_the_password_changes(house: House) -> None:
    alice = house.come("alice", "#lobby", "#other")
    house.hub.propose((AccountMade("0123456789abcdef", "ci", "x"),), None)
    house.settle()
    account = house.hub.state.accounts.by_id["0123456789abcdef"]
    long_ago = 1
    token = sign(house.hub.rules.secret, Identity(account.id, "ci", long_ago, account.generation, room="#lobby"))
    caller = Caller(house)
    for body, kind in (
        (b'{"text":"by a hook"}', "application/json"),
        (b"payload=%7B%22text%22%3A%22by+a+hook%22%7D", "application/x-www-form-urlencoded"),
        (b"by a hook", "text/plain"),
    ):
        assert caller.ask(f"/hook/lobby/{token}", "POST", body, Content_Type=kind)[0] == 201
    assert [(one["from"], one["body"]) for one in alice.events("message")] == [
        ({"nick": "ci", "account": "ci"}, "by a hook")
    ] * 3
    assert caller.ask(f"/hook/other/{token}", "POST", b"x")[0] == 403
    assert caller.ask("/r/other", **bearer(token))[0] == 403
    assert caller.ask(f"/hook/lobby/{token}x", "POST", b"x")[0] == 401
    assert caller.ask("/hook/lobby", "POST", b"x")[0] == 404
    peer = Peer(house)
    peer.ask("hello", versions=[1])
    assert peer.ask("auth", mechanism="token", token=token)["error"]["code"] == "FORBIDDEN"
    old = sign(house.hub.rules.secret, Identity(account.id, "ci", long_ago, account.generation + 1, room="#lobby"))
    assert caller.ask(f"/hook/lobby/{old}", "POST", b"x")[0] == 401


# -- pages --------------------------------------------------------------------------------------------------------


def test_a_page_is_there_once_it_is_published_and_shows_words_as_words(house: House) -> None:
    alice = house.come("alice", "#den")
    evil = "<script>alert(1)</script>\n<img src=x onerror=alert(2)> \x1b[31m\u202e"
    alice.ask("set", room="#den", changes={"topic": "<b>topic</b>"})
    alice.ask("send", room="#den", body=evil)
    alice.ask("send", room="#den", body="secret")
    alice.ask("relate", room="#den", rel="redact", target=3)
    caller = Caller(house)
    status, told, _ = caller.ask("/r/den", Accept="text/html,*/*")
    assert (status, told["location"]) == (303, "../#den")
    assert caller.ask("/r/den?from=", Accept="text/html")[0] == 400, "what is wrong is not covered up"
    assert alice.ask("set", room="#den", changes={"visibility": "published"})["ok"]
    status, told, text = caller.ask("/r/den", Accept="text/html,*/*")
    assert status == 200
    assert "script-src" not in told["content-security-policy"]
    assert told["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
    assert "<script" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<b>topic" not in text
    assert "secret" not in text
    assert "message 3 by alice was deleted" in text
    [item] = alice.ask("list", what="rooms")["items"]
    assert item["visibility"] == "published"
    assert alice.ask("set", room="#den", changes={"visibility": "public"})["ok"]
    assert caller.ask("/r/den", Accept="text/html")[0] == 303


def test_a_head_request_has_no_body(house: House) -> None:
    house.come("alice", "#lobby").ask("send", room="#lobby", body="x")
    caller = Caller(house)
    status, told, text = caller.ask("/r/lobby", "HEAD")
    assert (status, text) == (200, "")
    assert int(told["content-length"]) > 0


def test_an_errand_whose_caller_is_gone_still_says_what_it_was_given(house: House) -> None:
    alice = house.come("alice", "#lobby")
    caller = Caller(house)
    data = request("/r/lobby", "POST", b"x", Content_Length="1", **bearer(alice.auth["token"]))
    caller.protocol.dataReceived(data)
    caller.transport.loseConnection()
    house.settle()
    assert [one["body"] for one in alice.events("message")] == ["x"]
