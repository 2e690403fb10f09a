"""Whatever a server sends, a cursor file holds or a person writes for an address: no exception but the client's own.

With `--soak` each of these tries a million inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from support.fuzz import as_json, cut, damaged, explore, nasty, nested, numbers, plain, words
from support.fuzz import sizes as pieces

from chatd.client import address, show
from chatd.client.cursor import CursorFileError, Remembered, _read
from chatd.client.errors import BadAddress
from chatd.client.login import Login
from chatd.client.manner import Manner
from chatd.client.msgids import MsgIds
from chatd.client.phase import Phase
from chatd.client.session import Session
from chatd.core import commands, replies, views
from chatd.core.text import clean_line

Extent = Callable[[int, int], int]

pytestmark = pytest.mark.timeout(600)

FEW, MANY = 300, 1_000_000
TIMES = st.sampled_from(
    ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
ROOM = st.sampled_from(["#lobby", "#other", "@tom"]) | words
SEQ = st.integers(0, 9) | numbers
AUTHOR = st.fixed_dictionaries({"nick": st.sampled_from(["tom", "bob"]) | words}, optional={"bot": st.booleans()})

# What a field of this name may well hold.
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "re": st.integers(0, 12).map(str),
    "ok": st.booleans(),
    "room": ROOM,
    "seq": SEQ,
    "time": TIMES,
    "until": TIMES,
    "from": AUTHOR | SEQ,
    "to": SEQ,
    "kind": st.sampled_from(["text", "action", "notice"]),
    "rel": st.sampled_from(["edit", "redact", "react", "unreact", "pin", "unpin"]),
    "change": st.sampled_from(["kick", "ban", "unban", "mute", "unmute", "role", "invite"]),
    "target": SEQ,
    "who": st.sampled_from(["tom", "bob"]) | words,
    "changes": st.dictionaries(words, plain, max_size=3),
    "limits": st.dictionaries(st.sampled_from(["frame", "messages_burst", "messages_per_second"]), plain),
    "reason": st.sampled_from(["retention", "skipped", "permission"]) | words,
    "joined": st.lists(words, max_size=3),
    "left": st.lists(st.fixed_dictionaries({"nick": words, "reason": words}), max_size=3),
    "renamed": st.lists(st.fixed_dictionaries({"from": words, "to": words}), max_size=3),
    "away": st.lists(st.fixed_dictionaries({"nick": words, "away": st.booleans()}), max_size=3),
    "rooms": st.dictionaries(ROOM, st.fixed_dictionaries({"last_seq": SEQ, "limited": st.booleans()}), max_size=3)
    | st.lists(st.fixed_dictionaries({"room": ROOM, "last_seq": SEQ, "read_seq": SEQ}), max_size=3),
    "caps": st.lists(words, max_size=3),
    "auth": st.lists(words, max_size=3),
    "version": SEQ,
    "duplicate": st.booleans(),
    "limited": st.booleans(),
    "expired": st.booleans(),
    "members_count": SEQ,
    "first_seq": SEQ,
    "last_seq": SEQ,
    "prev": st.none() | SEQ,
    "next": st.none() | SEQ,
    "count": SEQ,
    "reconnect_after": plain,
    "items": st.lists(st.dictionaries(words, plain, max_size=2), max_size=2),
    "error": st.fixed_dictionaries(
        {
            "code": st.sampled_from(["NICK_IN_USE", "RATE_LIMITED", "BANNED", "INVALID_PARAMS"]) | words,
            "message": words,
        },
        optional={"retry_after": plain, "details": st.dictionaries(words, plain, max_size=2)},
    ),
}


@st.composite
def told(draw: st.DrawFn) -> dict[str, Any]:
    """A reply or an event, valid or nearly."""
    kind = draw(st.sampled_from([*replies.ALL, *views.ALL]))
    tag = kind.__struct_config__.tag
    made: dict[str, Any] = {} if tag is None else {"type": tag}
    if tag is None:
        made["ok"] = kind is not replies.Failure
    for field in msgspec.structs.fields(kind):
        name, how = field.encode_name, draw(st.integers(0, 19))
        if name in made or how == 0 or (how < 10 and not field.required and name != "re"):
            continue
        if name == "events":
            made[name] = draw(st.lists(told(), max_size=2))
        else:
            made[name] = draw(plain if how == 19 else LIKELY.get(name, words))
    return made


def frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


WELCOME = replies.Welcome(
    re="1",
    version=1,
    caps=[],
    server="chatd",
    server_version="0",
    network="n",
    time=views.moment(0),
    limits={},
    auth=["guest"],
    registration="closed",
    durability="fsync",
)
COME = b"".join(
    frame(msgspec.json.encode(one))
    for one in (WELCOME, replies.LoggedIn(re="2", session="s", nick="tom", rooms=[], token="t"))
)
payloads = st.one_of(
    told().map(as_json),
    damaged(told().map(as_json)),
    st.sampled_from(
        [b"", b"{}", b"[]", b'{"re":7}', nested(20), nested(5000), b'{"type":"error","code":"X","message":""}']
    ),
)
streams = st.one_of(
    st.lists(payloads.map(frame), max_size=6).map(b"".join),
    damaged(st.lists(payloads.map(frame), max_size=3).map(b"".join)),
    st.sampled_from(
        [b"\0\xff\xff\xff", b"\0\x10\0\1", b"HTTP/1.1 400\r\n", b"SSH-2.0", b"\x15\3\1", b"220 mail", b":irc"]
    ),
)


def test_what_a_server_sends(extent: Extent) -> None:
    """The session takes it, or is over; whatever it shows can be shown on a terminal."""

    def check(is_known: bool, stream: bytes, sizes: list[int]) -> None:
        manner = Manner()
        session = Session(Login("tom"), msg_ids=MsgIds("r", "r"), chance=lambda: 0.5, now=0.0, manner=manner)
        session.dialling()
        session.connected(0.0)
        if is_known:
            session.receive(COME, 0.0)
            session.ask(commands.Join(room="#lobby", since=0), 0.0)
            session.ask(commands.Send(room="#lobby", body="x"), 0.0)
            session.ask(commands.History(room="#lobby"), 0.0)
        shown: list[Any] = []
        for piece in cut(stream, sizes):
            if session.hang_up or session.phase is Phase.ENDED:
                break
            shown += session.receive(piece, 1.0)
            session.to_send()
        session.tick(1000.0)
        session.next_tick(1000.0)
        shown += session.lost("gone", 1000.0)
        for line in (line for event in shown for line in show.lines(event, "tom")):
            text = line.text(with_room=True, with_number=True)
            assert clean_line(text) == text

    explore(check, extent(FEW, MANY), is_known=st.booleans(), stream=streams, sizes=pieces)


places = st.dictionaries(words, st.fixed_dictionaries({"room": words, "room_id": words, "seq": numbers}), max_size=3)
files = st.fixed_dictionaries(
    {}, optional={"version": st.just(1) | plain, "nick": plain, "token": plain, "root": plain, "rooms": places | plain}
).map(as_json)


def test_cursor_files(extent: Extent, tmp_path: Path) -> None:
    """A cursor file is read, or refused with its name; never half of it is believed."""
    path = tmp_path / "cursor.json"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            holds = _read(path)
        except CursorFileError as error:
            if str(path) not in str(error):
                raise
        else:
            assert msgspec.json.decode(msgspec.json.encode(holds), type=Remembered) == holds

    content = st.one_of(files, damaged(files), st.binary(max_size=30), st.just(b"[" * 5000), st.just(nested(3000)))
    explore(check, extent(FEW, MANY), content=content)


def test_addresses(extent: Extent) -> None:
    """An address is understood, and what it is written as means the same; or it is refused."""

    def check(text: str) -> None:
        try:
            found = address.parse(text)
        except BadAddress:
            return
        assert found.path is not None or 1 <= found.port <= 65535
        assert address.parse(str(found)) == found

    parts = st.sampled_from(
        ["localhost", ":", "1234", "[", "]", "::1", "chatd://", "unix:", "/", "%eth0", "127.0.0.1", "é."]
    )
    texts = st.lists(parts | nasty | st.text(max_size=4), max_size=5).map("".join)
    explore(check, extent(FEW, MANY), text=texts)
