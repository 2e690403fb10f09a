"""Bytes to replies and views, commands to bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from chatd.client import wire
from chatd.client.errors import WrongProtocol
from chatd.core import commands, replies, views

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VALUE = {"n": None, "t": True, "i": -(2**53), "f": 0.5, "s": "é🎉", "b": b"\x00\xff", "when": WHEN, "l": [1, [2, {}]]}


def test_frames_however_the_bytes_arrive(words: Any) -> None:
    """A2, A5: cut at every place, and glued together, the same frames come out. Lengths are bytes."""
    bodies = [b"{}", '{"s":"é"}'.encode(), '{"s":"🎉"}'.encode()]
    stream = b"".join(map(words.frame, bodies))
    assert wire.Splitter().feed(stream) == bodies
    for cut in range(len(stream) + 1):
        splitter = wire.Splitter()
        assert splitter.feed(stream[:cut]) + splitter.feed(stream[cut:]) == bodies
    dribble = wire.Splitter()
    assert [one for byte in stream for one in dribble.feed(bytes([byte]))] == bodies


@pytest.mark.parametrize(
    ("first", "who"),
    [
        (b"Welcome to chatd\r\nChoose a username...\r\n", "greets people"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "web server"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"\x15\x03\x01\x00\x02\x02F", "TLS"),
        (b"220 mail.example.org ESMTP\r\n", "mail or file server"),
        (b":irc.example.org NOTICE * :hello\r\n", "IRC"),
        (b"\x00\xff\xff\xff{}", "announced a frame of"),
    ],
)
def test_whoever_else_answers_is_recognised(first: bytes, who: str) -> None:
    with pytest.raises(WrongProtocol, match=who):
        wire.Splitter().feed(first)


def test_any_value_travels_in_data(words: Any) -> None:
    """A11: what is sent as data is what arrives, with bytes and times."""
    blob = wire.encode(commands.Send(id="1", room="#lobby", body="x", data=VALUE))
    plain = msgspec.json.decode(blob[4:])
    assert plain["data"]["b"] == {"$bytes": "AP8="}
    event = {
        **{"type": "message", "room": "#lobby", "seq": 1, "event_id": "r:1", "time": WHEN, "from": {"nick": "tom"}},
        **{"kind": "text", "body": "x", "data": plain["data"], "new_in_version_9": 1},
    }
    view = wire.read_view(wire.open_frame(msgspec.json.encode(event)))
    assert isinstance(view, views.Message)
    assert view.data == VALUE
    assert msgspec.json.decode(wire.view_to_json(view))["data"] == plain["data"]


@pytest.mark.parametrize("value", [float("nan"), 2**60, {1: 2}, {"$bytes": "x"}, object(), {1, 2}])
def test_what_cannot_travel_is_refused_before_it_is_sent(value: Any) -> None:
    with pytest.raises(ValueError, match="data"):
        wire.encode(commands.Send(id="1", room="#lobby", body="x", data=value))


def test_unknown_events_are_passed_over() -> None:
    for frame in (b'{"type":"hologram","room":"#lobby","seq":3}', b'{"type":"message","room":7}', b"{}"):
        assert wire.read_view(wire.open_frame(frame)) is None


def test_a_reply_is_read_as_what_was_asked_for(words: Any) -> None:
    join = commands.Join(id="7", room="#lobby")
    for answer in (words.joined(join, 3), words.refusal(join, "BANNED", "you are banned")):
        assert wire.read_reply(wire.open_frame(msgspec.json.encode(answer)), replies.Joined) == answer
    page = words.page(commands.History(id="8", room="#lobby"), [words.message(1), words.message(2)], last=2)
    assert wire.read_reply(wire.open_frame(msgspec.json.encode(page)), replies.HistoryPage) == page


@pytest.mark.parametrize("frame", [b"", b"[]", b"17", b"{", b"\xff", b'{"re":7}'])
def test_what_is_no_object_of_ours_is_told(frame: bytes) -> None:
    with pytest.raises(WrongProtocol):
        wire.open_frame(frame)


def test_a_reply_of_another_shape_is_told() -> None:
    with pytest.raises(WrongProtocol, match="Joined"):
        wire.read_reply(wire.open_frame(b'{"re":"1","ok":true,"room":5}'), replies.Joined)
