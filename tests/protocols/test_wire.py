"""Objects to commands and views to bytes, both ways, from tables; and nothing that comes in breaks the reader."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chatd
from chatd.core import commands, replies, views
from chatd.protocols import schema, wire
from chatd.protocols.wire import Format, Unreadable, format_of, read_command

GOOD = [
    ({"type": "ping"}, commands.Ping()),
    ({"type": "hello", "id": "1", "versions": [1]}, commands.Hello(id="1", versions=[1])),
    ({"type": "join", "room": "#a", "since": 5}, commands.Join(room="#a", since=5)),
    ({"type": "join", "room": "#a", "since": "last"}, commands.Join(room="#a", since="last")),
    ({"type": "set", "self": {"away": "x"}}, commands.Set(myself=commands.SelfChanges(away="x"))),
    ({"type": "send", "room": "#a", "body": "é🎉", "unknown": [1]}, commands.Send(room="#a", body="é🎉")),
]


@pytest.mark.parametrize(("plain", "command"), GOOD)
def test_requests_are_read_alike_in_both_formats(plain: dict, command: commands.Command) -> None:
    """A6, and unknown fields are ignored."""
    for payload in (json.dumps(plain).encode(), json.dumps(plain, ensure_ascii=False, indent=2).encode()):
        assert format_of(payload) is Format.JSON
        assert read_command(payload, Format.JSON) == command
    payload = msgspec.msgpack.encode(plain)
    assert format_of(payload) is Format.MSGPACK
    assert read_command(payload, Format.MSGPACK) == command


BAD = [
    (b'{"type":"ping"', "BAD_FRAME"),
    (b"{}", "INVALID_PARAMS"),
    (b'{"type":7}', "INVALID_PARAMS"),
    (b'{"type":"fly"}', "UNKNOWN_TYPE"),
    (b'{"type":"send","body":7}', "INVALID_PARAMS"),
    (b'{"type":"ping","id":7}', "INVALID_PARAMS"),
    (b'{"type":"ping","id":"%s"}' % (b"x" * 65), "INVALID_PARAMS"),
    (b'{"type":"ping","type":"quit"}', "BAD_FRAME"),
    (b'{"type":"send","body":"a:b","body" : "c"}', "BAD_FRAME"),
    (b'{"type":"ping","data":{"a":1,"a":2}}', "BAD_FRAME"),
    (b'{"type":"send","body":"\xff"}', "INVALID_UTF8"),
    (b'{"type":"send","body":"\\ud800"}', "BAD_FRAME"),
    (b'{"type":"ping","data":NaN}', "BAD_FRAME"),
    (b'{"type":"ping","data":1e999}', "BAD_FRAME"),
    (b'{"type":"ping","data":9007199254740993}', "INVALID_PARAMS"),
    (b'{"type":"ping","data":' + b"[" * 17 + b"]" * 17 + b"}", "LIMIT_EXCEEDED"),
    (b'{"a":' * 9000 + b"1" + b"}" * 9000, "BAD_FRAME"),
    (b'{"type":"ping","data":{"$time":"9999-12-31T23:59:59-23:59"}}', "INVALID_PARAMS"),
    (b'{"type":"ping","data":{"$time":"0001-01-01T00:00:00+23:59"}}', "INVALID_PARAMS"),
    (b'{"type":"join","room":"#a","since":-1}', "INVALID_PARAMS"),
    (b'{"type":"relate","room":"#a","target":1,"rel":"praise"}', "INVALID_PARAMS"),
]


@pytest.mark.parametrize(("payload", "code"), BAD)
def test_what_cannot_be_read_is_answered_with_a_code(payload: bytes, code: str) -> None:
    """A6, A11: one clear error each."""
    with pytest.raises(Unreadable) as caught:
        read_command(payload, Format.JSON)
    assert caught.value.refusal.code == code
    assert caught.value.refusal.message


def test_the_fault_is_named_and_the_id_comes_back() -> None:
    with pytest.raises(Unreadable) as caught:
        read_command(b'{"type":"join","id":"7","room":5}', Format.JSON)
    assert caught.value.request_id == "7"
    assert "room" in caught.value.refusal.message


@pytest.mark.parametrize("payload", [b"[1,2]", b"hello", b"\xef\xbb\xbf{}", b"", b"\x93\x01\x02\x03"])
def test_a_first_frame_that_is_no_object(payload: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        format_of(payload)
    assert caught.value.refusal.code == "BAD_FRAME"


class Boom:
    """Unpickling this would leave a file behind."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_a_pickle_is_only_a_bad_frame(tmp_path: Path) -> None:
    """A12: nothing that comes in is ever unpickled."""
    trap = tmp_path / "trap"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        payload = pickle.dumps(Boom(str(trap)), protocol)
        with pytest.raises(Unreadable) as caught:
            read_command(payload, format_of(payload))
        assert caught.value.refusal.code in ("BAD_FRAME", "INVALID_UTF8")
    assert not trap.exists()


def test_the_package_has_nothing_that_could_run_what_comes_in() -> None:
    """A12: no pickle, marshal, shelve, eval, exec or yaml anywhere in the package."""
    forbidden = ("import pickle", "import marshal", "import shelve", "import yaml", " eval(", " exec(", "__import__")
    root = Path(chatd.__file__).parent
    for path in root.rglob("*.py"):
        text = path.read_text()
        assert [word for word in forbidden if word in text] == [], path


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_bytes_break_the_reader(payload: bytes) -> None:
    """A12: whatever comes, it is a command or one refusal."""
    for form in Format:
        with contextlib.suppress(Unreadable):
            assert isinstance(read_command(payload, form), commands.Command)


DATA = {"n": [1, 2.5, None, True, "x"], "raw": b"\x00\xff", "when": datetime(2026, 1, 2, 3, 4, 5, 678, UTC)}
WRITTEN = {
    "n": [1, 2.5, None, True, "x"],
    "raw": {"$bytes": base64.b64encode(b"\x00\xff").decode()},
    "when": {"$time": "2026-01-02T03:04:05.000678Z"},
}


def message(**fields: object) -> views.Message:
    known = {"room": "#a", "seq": 1, "event_id": "r:1", "time": views.moment(0), "kind": "text", "body": "b"}
    return views.Message(author=views.Author(nick="tom"), **(known | fields))  # type: ignore[arg-type]


def test_data_is_typed_in_both_formats() -> None:
    """A11: bytes and times arrive as bytes and times, whichever format sender and reader speak."""
    sent = {"type": "send", "room": "#a", "body": "b", "data": WRITTEN}
    read = read_command(json.dumps(sent).encode(), Format.JSON)
    assert isinstance(read, commands.Send)
    assert read.data == DATA
    packed = read_command(msgspec.msgpack.encode(sent | {"data": DATA}), Format.MSGPACK)
    assert packed == read
    assert json.loads(wire.json_view(message(data=DATA)))["data"] == WRITTEN
    assert msgspec.msgpack.decode(wire.msgpack_view(message(data=DATA)))["data"] == DATA


def test_a_reply_begins_with_re_and_ok_without_spaces() -> None:
    assert wire.json_reply(replies.Done(re="a")) == b'{"re":"a","ok":true}'


def test_a_request_without_id_gets_no_reply_but_hears_of_its_fault() -> None:
    assert wire.json_reply(replies.Done(re=None)) == b""
    refusal = wire.Refusal(wire.Code.FORBIDDEN, "no")
    assert json.loads(wire.json_reply(replies.failure(None, refusal))) == {
        "type": "error",
        "code": "FORBIDDEN",
        "message": "no",
    }


def test_the_schema_describes_what_is_really_sent_and_read() -> None:
    whole = schema.document()
    checker = jsonschema.Draft202012Validator(whole)
    for plain, _ in GOOD:
        checker.validate(plain)
    checker.validate(json.loads(wire.json_view(message(data=DATA))))
    checker.validate(json.loads(wire.json_reply(replies.Done(re="1"))))
    for payload in (b'{"type":"send","body":7}', b'{"type":"fly"}', b'{"re":"1"}'):
        assert not checker.is_valid(json.loads(payload))
    for group, kinds in {"request": commands.ALL, "event": views.ALL, "reply": replies.ALL}.items():
        assert len(whole["$defs"][group]["anyOf"]) == len(kinds)


@pytest.mark.parametrize("around", [1, 4, 5, 8, 9, views.moment(4), views.moment(9), datetime(2000, 1, 1)])
def test_a_page_around_a_place_keeps_that_place_when_it_is_cut(around: int | datetime) -> None:
    events = [message(seq=n, time=views.moment(n), body="x" * (900 if n < 5 else 90)) for n in range(1, 9)]
    page = replies.HistoryPage(re="1", room="#a", events=events, prev=None, next=None, first_seq=1, last_seq=8)
    command = commands.History(id="1", room="#a", around=around)
    cut = json.loads(wire.fit(page, command, Format.JSON, 1500))
    numbers = [one["seq"] for one in cut["events"]]
    wanted = min(8, around if isinstance(around, int) else views.microseconds(around))
    assert wanted in numbers
    assert cut["prev"] == (numbers[0] if numbers[0] > 1 else None)
    assert cut["next"] == (numbers[-1] if numbers[-1] < 8 else None)


def test_a_key_that_is_there_twice_is_named_however_many_there_are() -> None:
    keys = ",".join(f'"{n}":1' for n in range(6000))
    with pytest.raises(Unreadable, match="'5999' is there twice"):
        read_command(f'{{"type":"ping",{keys},"5999":2}}'.encode(), Format.JSON)


WORDS = st.sampled_from(
    ["#a", "x", "é🎉", 'a "quoted" word', "two\nlines", 'like": this', "", "y" * 17, "z" * 65, "ü" * 33]
)
VALUES = WORDS | st.sampled_from([None, 0, 7, 2**54, -1, 5.0, True, [], {}, {"body": 'a":'}, "text", "action"])
KEYS = st.sampled_from([*commands.Send.__struct_fields__, "type", "unknown"])


def outcome(read: Callable[[], commands.Command]) -> object:
    try:
        return read()
    except Unreadable as unreadable:
        return (unreadable.refusal.code, unreadable.refusal.message, unreadable.request_id)


@settings(max_examples=1500)
@given(
    st.dictionaries(KEYS, VALUES, max_size=5),
    st.lists(st.tuples(KEYS, VALUES), max_size=1),
    st.sampled_from([(",", ":"), (", ", ": "), (",\n ", " :"), (" ,", "\t:\r\n")]),
    st.booleans(),
)
def test_a_plain_message_is_read_as_any_other_object(
    fields: dict, more: list, separators: tuple[str, str], is_ascii: bool
) -> None:
    """Whatever is quick about the reading of messages, the outcome is that of the careful one: key by key."""
    pairs = [*({"type": "send", "body": "x", "room": "#a"} | fields).items(), *more]
    comma, colon = separators
    spelled = [json.dumps(key) + colon + json.dumps(value, ensure_ascii=is_ascii) for key, value in pairs]
    payload = ("{" + comma.join(spelled) + "}").encode()
    careful = outcome(lambda: wire._read_with_care(payload, Format.JSON, 16))
    assert outcome(lambda: read_command(payload, Format.JSON)) == careful
    packed = bytes([0x80 | len(pairs)]) + b"".join(msgspec.msgpack.encode(one) for pair in pairs for one in pair)
    careful = outcome(lambda: wire._read_with_care(packed, Format.MSGPACK, 16))
    assert outcome(lambda: read_command(packed, Format.MSGPACK)) == careful


@pytest.mark.parametrize("form", Format)
def test_most_messages_are_read_the_quick_way(form: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_read_with_care", None)
    write = {Format.JSON: msgspec.json.encode, Format.MSGPACK: msgspec.msgpack.encode}[form]
    for fields in ({}, {"kind": "action"}, {"reply_to": 7}, {"body": 'a "quoted" word'}, {"schema": "a/1"}):
        said = {"type": "send", "id": "1", "room": "#a", "body": "é🎉", "msg_id": "m1", **fields}
        assert read_command(write(said), form).body == said["body"]
