"""Frames: however cut, whatever is in them; a clear error for each bad one, and nobody else disturbed."""

from __future__ import annotations

import json
import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.house import House, Peer
from twisted.internet.error import ConnectionLost


def frame(plain: dict | bytes) -> bytes:
    blob = plain if isinstance(plain, bytes) else json.dumps(plain, ensure_ascii=False).encode()
    return struct.pack("!I", len(blob)) + blob


def test_a_frame_cut_anywhere_is_the_same_frame() -> None:
    """A2, A5: split at every byte offset, with é and emoji: length counts bytes."""
    whole = frame({"type": "send", "id": "1", "room": "#lobby", "body": "Zoë: 你好 🎉"})
    for cut in range(1, len(whole)):
        house = House()
        tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby")
        tom.send_bytes(whole[:cut])
        tom.send_bytes(whole[cut:])
        assert tom.listen()[0]["seq"] == 1
        assert jerry.events()[0]["body"] == "Zoë: 你好 🎉"


def test_three_frames_glued_together_are_three_messages() -> None:
    """A2, A8: in the right order."""
    house = House()
    tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby")
    tom.send_bytes(b"".join(frame({"type": "send", "id": str(n), "room": "#lobby", "body": str(n)}) for n in range(3)))
    assert [one["body"] for one in jerry.events()] == ["0", "1", "2"]


def test_a_thousand_messages_leave_the_connection_open() -> None:
    """A1: nothing has to close to end a message."""
    house = House()
    tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby")
    for n in range(1000):
        assert tom.ask("send", room="#lobby", body=str(n))["seq"] == n + 1
    assert tom.is_open
    assert [one["body"] for one in jerry.events()] == [str(n) for n in range(1000)]


@pytest.mark.parametrize("size", [1023, 1024, 1025, 8191, 8192])
def test_bodies_up_to_the_limit_arrive_whole(size: int) -> None:
    """A4: also with a character of several bytes across byte 1024."""
    house = House()
    tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby")
    assert tom.ask("hello", versions=[1])["ok"] is False  # once is enough
    for body in ("x" * size, "x" * (size - 4) + "🎉", "x" * ((size - 3) % 2) + "é" * ((size - 3) // 2)):
        assert tom.ask("send", room="#lobby", body=body)["ok"]
        assert jerry.events()[0]["body"] == body


def test_a_body_over_the_limit_is_refused_with_the_limit_and_never_cut() -> None:
    """A4: limit+1 is MESSAGE_TOO_LONG, and the connection stays."""
    house = House()
    tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby")
    for body in ("x" * 8193, "é" * 4097):
        error = tom.ask("send", room="#lobby", body=body)["error"]
        assert error["code"] == "MESSAGE_TOO_LONG"
        assert error["details"] == {"limit": "body_bytes", "value": 8192}
    many = tom.ask("send", room="#lobby", body="\n".join("x" * 201))["error"]
    assert many["details"]["limit"] == "body_lines"
    assert jerry.events() == []
    assert tom.ask("send", room="#lobby", body="short")["seq"] == 1


@pytest.mark.parametrize("length", [65537, 2**31, 2**32 - 1, 0x20202020])
def test_an_over_long_frame_is_told_and_then_closed(length: int) -> None:
    """An `error` event names the limit before the close; a neighbour notices nothing."""
    house = House()
    tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby")
    tom.send_bytes(struct.pack("!I", length) + b"x" * 100)
    [error] = tom.events("error")
    assert error["code"] == "FRAME_TOO_LARGE"
    assert error["details"] == {"limit": "frame_bytes", "value": 65536, "length": length}
    assert not tom.is_open
    assert jerry.ask("ping")["ok"]


def test_what_was_asked_before_an_over_long_frame_is_answered_first() -> None:
    house = House()
    tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby")
    tom.send_bytes(frame({"type": "send", "id": "1", "room": "#lobby", "body": "x"}) + b"\xff\xff\xff\xff rubbish")
    reply, error = tom.listen()
    assert (reply["re"], reply["seq"], error["code"]) == ("1", 1, "FRAME_TOO_LARGE")
    assert not tom.is_open
    assert jerry.events()[0]["body"] == "x"


@pytest.mark.parametrize(
    "request_",
    [
        {"type": "auth", "mechanism": "x" * 65000},
        {"type": "ping", "data": {"k" * 65000: {"$": 1}}},
        {"type": "resume", "rooms": {"#" + "x" * 60000: 7}},
        {"type": "x" * 65000},
        {"type": "nick", "nick": "x" * 65000},
    ],
)
def test_no_answer_is_longer_than_a_frame(request_: dict) -> None:
    """An error may quote what came, but never so much that it does not fit."""
    house = House()
    tom = house.come("tom")
    assert len(json.dumps(tom.ask(request_.pop("type"), **request_))) < 2000


def test_a_name_far_too_long_is_refused_as_a_name() -> None:
    """A33: with a reason and a suggestion, however long it is."""
    house = House()
    peer = Peer(house)
    peer.ask("hello", versions=[1])
    error = peer.ask("auth", mechanism="guest", nick="x" * 60000)["error"]
    assert (error["code"], error["details"]) == ("NICK_INVALID", {"suggestion": "x" * 32})


def test_a_peer_that_vanished_while_it_owed_us_reading_is_given_up() -> None:
    """A44: it cannot be asked, but its machine's silence tells."""
    house = House()
    jerry = house.come("jerry", "#lobby", caps=("presence",))
    tom = house.come("tom", "#lobby")
    tom.transport.stall()
    tom.protocol.vanished()
    house.settle()
    assert not tom.is_open
    assert [one["left"] for one in jerry.events() if "left" in one] == [[{"nick": "tom", "reason": "timed out"}]]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\xff\xfe", "INVALID_UTF8"),
        (b"", "BAD_FRAME"),
        (b"[1]", "BAD_FRAME"),
        (b'"x"', "BAD_FRAME"),
        (b"null", "BAD_FRAME"),
        (b'{"type":"send","body":"\xc3"}', "INVALID_UTF8"),
        (b'{"type":"join","room":7}', "INVALID_PARAMS"),
        (b"[" * 60000, "BAD_FRAME"),
        (b'{"type":"ping","data":' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}", "LIMIT_EXCEEDED"),
    ],
)
def test_a_bad_object_in_a_good_frame_is_answered_and_the_connection_lives(payload: bytes, code: str) -> None:
    """A6, A47: garbage on one connection leaves it and the others as they are."""
    house = House()
    tom, jerry = house.come("tom", "#lobby"), house.come("jerry", "#lobby")
    tom.send_bytes(frame(payload))
    assert [one["code"] for one in tom.events("error")] == [code]
    assert tom.ask("send", room="#lobby", body="still here")["ok"]
    assert jerry.events()[0]["body"] == "still here"


@pytest.mark.parametrize("sent", [b"\x00\x00", b"\x00\x00\x00\x05ab", b""])
def test_a_peer_that_breaks_off_leaves_once(sent: bytes) -> None:
    """A3: half a header, half a body, a reset: exactly one leave, and nothing in the log."""
    house = House()
    jerry = house.come("jerry", "#lobby", caps=("presence",))
    tom = house.come("tom", "#lobby")
    tom.send_bytes(sent)
    tom.leave(ConnectionLost)
    assert [one["left"] for one in jerry.events() if "left" in one] == [[{"nick": "tom", "reason": "connection lost"}]]


def test_messagepack_speaks_with_json() -> None:
    house = House()
    jerry = house.come("jerry", "#lobby")
    tom = Peer(house)
    for request in (
        {"type": "hello", "id": "1", "versions": [1]},
        {"type": "auth", "id": "2", "mechanism": "guest", "nick": "tom"},
        {"type": "join", "id": "3", "room": "#lobby"},
        {"type": "send", "id": "4", "room": "#lobby", "body": "packed", "data": {"raw": b"\x01"}},
    ):
        tom.send_bytes(frame(msgspec.msgpack.encode(request)))
    assert jerry.events()[0]["data"] == {"raw": {"$bytes": "AQ=="}}
    jerry.ask("send", room="#lobby", body="plain")
    data, heard = tom.transport.value(), []
    while data:
        (size,) = struct.unpack("!I", data[:4])
        heard.append(msgspec.msgpack.decode(data[4 : 4 + size]))
        data = data[4 + size :]
    assert [one.get("re") for one in heard] == ["1", "2", "3", "4", None]
    assert heard[-1]["body"] == "plain"


def test_a_peer_that_has_said_everything_is_answered_before_the_end() -> None:
    house = House()
    tom = house.come("tom", "#lobby")
    tom.protocol.dataReceived(frame({"type": "send", "id": "last", "room": "#lobby", "body": "x"}))
    tom.protocol.readConnectionLost()
    house.settle()
    assert tom.listen()[0]["seq"] == 1
    assert not tom.is_open


def test_many_requests_in_one_breath_are_held_back_and_all_answered() -> None:
    """The hub stops reading when too much is under way; nothing is lost."""
    house = House(requests_in_flight=8)
    tom = house.come("tom", "#lobby")
    tom.send_bytes(b"".join(frame({"type": "send", "id": str(n), "room": "#lobby", "body": "x"}) for n in range(500)))
    house.settle()
    replies = tom.listen()
    assert [one["re"] for one in replies] == [str(n) for n in range(500)]
    assert [one["seq"] for one in replies] == list(range(1, 501))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_bytes_bring_the_house_down(chunks: list[bytes]) -> None:
    """A47: whatever one connection sends, the next is served."""
    house = House()
    peer = Peer(house)
    for chunk in chunks:
        if peer.is_open:
            peer.send_bytes(chunk)
    assert house.come("tom", "#lobby").ask("ping")["ok"]


def test_the_end_of_a_peer_is_taken_once_however_often_it_stops_reading_later() -> None:
    """Its side is closed: reading on would find the same end each time that it has read what it was sent."""
    house = House(messages_burst=1000)
    tom = house.come("tom", "#lobby")
    for n in range(10):
        assert tom.ask("send", room="#lobby", body=f"{n}" * 8000)["ok"]
    slow = house.come("slow")
    ends, resume = [], slow.transport.resumeProducing

    def read_on() -> None:
        resume()
        if slow.protocol.ended:
            ends.append(1)
            slow.protocol.readConnectionLost()

    slow.transport.resumeProducing = read_on  # type: ignore[method-assign]
    slow.protocol.dataReceived(frame({"type": "join", "id": "j", "room": "#lobby", "since": 0}))
    slow.transport.stall()
    slow.protocol.readConnectionLost()
    while slow.is_open:
        slow.transport.drain()
        house.settle(0.02)
        if slow.is_open:
            slow.transport.stall()
    assert ends == []
    assert [one["seq"] for one in slow.events("message")] == list(range(1, 11))
    assert not slow.is_open
