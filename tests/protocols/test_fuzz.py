"""Whatever anybody sends, in whatever pieces: no exception, one answer for each request, and the neighbours hear on.

With `--soak` each of these tries a million inputs.
"""

from __future__ import annotations

import json
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from support.fuzz import Shelter, as_json, as_msgpack, cut, damaged, explore, nasty, nested, requests, sheltered
from support.fuzz import sizes as pieces
from support.house import Peer
from support.person import LineTransport, Person, line_factory

from chatd.core.commands import Command
from chatd.core.text import clean_line
from chatd.protocols import detect
from chatd.protocols.line_commands import VERBS
from chatd.protocols.lines import LineReader
from chatd.protocols.openings import HTTP_METHODS, IRC_COMMANDS
from chatd.protocols.telnet import TelnetDecoder
from chatd.protocols.wire import Format, Unreadable, format_of, read_command

Extent = Callable[[int, int], int]

pytestmark = pytest.mark.timeout(600)

FEW, MANY = 300, 1_000_000
GREETING = tuple(
    as_json(one)
    for one in (
        {"type": "hello", "versions": [1], "caps": ["echo", "presence", "typing"]},
        {"type": "auth", "mechanism": "guest", "nick": "tom"},
        {"type": "join", "room": "#lobby", "since": 0, "replay_limit": 3},
    )
)


@pytest.fixture
def shelter() -> Iterator[Shelter]:
    with sheltered() as made:
        yield made


def framed(payload: bytes) -> bytes:
    return struct.pack("!I", len(payload)) + payload


def objects_in(stream: bytes) -> list[Any]:
    """What a MessagePack or JSON peer was sent, in order; without any object that is not whole."""
    found = []
    while len(stream) >= 4 and len(stream) >= 4 + (size := struct.unpack("!I", stream[:4])[0]):
        payload, stream = stream[4 : 4 + size], stream[4 + size :]
        found.append(json.loads(payload) if payload[:1] == b"{" else msgspec.msgpack.decode(payload))
    assert not stream, "half a frame was sent"
    return found


# -- frames -----------------------------------------------------------------------------------------------------

objects = st.one_of(
    requests(quits=True).map(as_json),
    requests().map(lambda one: as_json(one | {"id": "7"})),
    requests().map(lambda one: as_msgpack(one | {"id": "7"})),
    damaged(requests().map(as_json)),
    damaged(requests().map(as_msgpack)),
    st.binary(max_size=30),
    st.sampled_from([b"", b"{}", b"[]", b"null", nested(20), nested(3000), b"\x80", b"\x81\xc0\xc0", b'{"a":1,"a":2}']),
)
streams = st.one_of(
    st.lists(objects.map(framed), max_size=6).map(b"".join),
    damaged(st.lists(objects.map(framed), min_size=1, max_size=4).map(b"".join)),
    st.sampled_from([b"\0\0\xff\xff", b"\0\1\0\1", b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0"]),
)


def frames_of(stream: bytes, most: int) -> tuple[list[bytes], bool]:
    """The whole frames in a stream, and whether one is announced that is too large."""
    found = []
    while len(stream) >= 4:
        size = struct.unpack("!I", stream[:4])[0]
        if size > most:
            return found, True
        if len(stream) < 4 + size:
            break
        found.append(stream[4 : 4 + size])
        stream = stream[4 + size :]
    return found, False


def test_frames(extent: Extent, shelter: Shelter) -> None:
    """The framed way in: every frame that asks something is answered once, or the connection is closed and told why."""

    def check(is_known: bool, stream: bytes, sizes: list[int]) -> None:
        with shelter.bearing() as house:
            peer = Peer(house)
            if is_known:
                stream = b"".join(map(framed, GREETING)) + stream
            for piece in cut(stream, sizes):
                if peer.is_open:
                    peer.protocol.dataReceived(piece)
                house.settle()
            asked, is_too_large = frames_of(stream, house.limits.frame_bytes)
            heard = objects_in(peer.transport.value())
            answers = [one for one in heard if one.get("re") is not None or one["type"] == "error"]
            ids = Counter(id_of(one) for one in asked)
            told = Counter(one.get("re") for one in heard)
            assert all(told[name] <= ids[name] for name in told if name is not None)
            if peer.protocol.closing:
                assert is_too_large or any(is_quit(one) for one in asked)
            else:
                assert not is_too_large
                assert len(answers) >= sum(ids.values()) - ids[None]
                assert sum(map(len, peer.protocol._pieces)) <= house.limits.frame_bytes + 4
            peer.leave()

    explore(check, extent(FEW, MANY), is_known=st.booleans(), stream=streams, sizes=pieces)


def plainly(payload: bytes) -> Any:
    """What a frame holds, read by somebody else's decoder; nothing if it cannot be read."""
    try:
        is_json = payload.lstrip(b" \t\r\n")[:1] == b"{"
        found = json.loads(payload, parse_constant=no_number) if is_json else msgspec.msgpack.decode(payload)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def no_number(name: str) -> None:
    """JSON has no NaN and no Infinity; Python's decoder has."""
    raise ValueError(name)


def id_of(payload: bytes) -> str | None:
    found = (plainly(payload) or {}).get("id")
    is_valid = isinstance(found, str) and len(found.encode("utf-8", "surrogatepass")) <= 64
    return found if is_valid else None


def is_quit(payload: bytes) -> bool:
    return (plainly(payload) or {}).get("type") == "quit"


@pytest.mark.parametrize("form", list(Format))
def test_requests(extent: Extent, shelter: Shelter, form: Format) -> None:
    """A request near a valid one, of somebody who is in: exactly one reply, with its id."""
    write = {Format.JSON: as_json, Format.MSGPACK: as_msgpack}[form]
    greeting = {Format.JSON: GREETING, Format.MSGPACK: tuple(as_msgpack(json.loads(one)) for one in GREETING)}[form]

    def check(asked: list[dict[Any, Any]]) -> None:
        with shelter.bearing() as house:
            peer = Peer(house)
            peer.send_bytes(b"".join(map(framed, greeting)))
            wanted = []
            for number, request in enumerate(asked):
                payload = write(request | {"id": f"r{number}"})
                if plainly(payload) is None or "\\ud8" in repr(request) or len(payload) > house.limits.frame_bytes:
                    continue
                wanted.append(f"r{number}")
                peer.send_bytes(framed(payload))
            house.settle()
            replies = [one["re"] for one in objects_in(peer.transport.value()) if one.get("re") is not None]
            assert replies == wanted
            peer.leave()

    explore(check, extent(FEW, MANY), asked=st.lists(requests(), min_size=1, max_size=4))


@pytest.mark.parametrize("form", list(Format))
def test_objects(extent: Extent, form: Format) -> None:
    """The codec alone: a command, or a refusal that says what is wrong."""
    write = {Format.JSON: as_json, Format.MSGPACK: as_msgpack}[form]

    def check(payload: bytes) -> None:
        found: Command | Unreadable
        try:
            format_of(payload)
            found = read_command(payload, form)
        except Unreadable as unreadable:
            found = unreadable
        if isinstance(found, Unreadable):
            assert 0 < len(found.refusal.message) < 1000
            msgspec.json.encode(found.refusal.details)

    near = requests(quits=True).map(write)
    far = st.binary(max_size=40) | st.sampled_from([nested(16), nested(17), nested(5000), b"\x91" * 3000])
    explore(check, extent(FEW, MANY), payload=st.one_of(near, damaged(near), far))


# -- lines ------------------------------------------------------------------------------------------------------

TELNET = "fffd06 fff4 fff4fffd06 fff6 fff7 fff8 ffec ff fffa1801 fff0 ffff fffb01 f2fff1"
IACS = st.sampled_from([*map(bytes.fromhex, TELNET.split()), b"\xff\xfa" + b"x" * 5000])
arguments = st.sampled_from(["", "#lobby", "#new", "watcher", "tom", "on", "off", "5", "#1", "1 👍", "#1 new", "-"])
typed = st.one_of(
    st.builds("/{} {}".format, st.sampled_from([*VERBS, "x", ""]), arguments | nasty),
    st.text(max_size=20),
    nasty,
    st.sampled_from(["hello", "//x", "/", "/json on", "/json off", "/join #a", "x" * 9000]),
).map(lambda text: text.encode("utf-8", "surrogatepass") + b"\n")
line_streams = st.lists(
    st.one_of(typed, typed, IACS, st.binary(max_size=6), st.sampled_from([b"\r", b"\r\0", b"\0", b"\x04", b"\x7f"])),
    max_size=8,
).map(b"".join)

# What the server says to a terminal, its telnet answers taken out.
ANSWERED = re.compile(rb"\xff[\xfb-\xfe].", re.DOTALL)
SHOWN = re.compile(r"\[\d\d:\d\d:\d\d\] (#\S+ )?(<[^\s<>]+> |\* \S+ |\*\*\* |-\S+- )")


def test_lines(extent: Extent, shelter: Shelter) -> None:
    """The line way in: what others see of it is clean, whole and under its author's name."""

    def check(is_known: bool, stream: bytes, sizes: list[int]) -> None:
        with shelter.bearing() as house:
            person = Person(house, "tom" if is_known else "")
            for piece in cut(stream, sizes):
                if person.is_open:
                    person.protocol.dataReceived(piece)
                    assert len(person.protocol._lines) <= len(piece) + 1
                house.settle()
            terminal = ANSWERED.sub(b"", person.bytes()).decode().replace("\r\n", "\n")
            for line in terminal.removesuffix("\n").split("\n"):
                assert json.loads(line) if line[:1] == "{" else clean_line(line) == line
            for line in shelter.watcher.reads():
                assert clean_line(line) == line
                assert SHOWN.match(line), line
            if person.is_open:
                person.leaves()

    explore(check, extent(FEW, MANY), is_known=st.booleans(), stream=line_streams, sizes=pieces)


def test_telnet_and_line_ends(extent: Extent) -> None:
    """Cut anywhere, the same lines come out; no more is kept than one line, and no more answered than was asked."""

    def taken(stream: bytes, sizes: list[int]) -> tuple[list[Any], bytes, list[Any]]:
        telnet, reader = TelnetDecoder(), LineReader(64)
        lines: list[Any] = []
        answers, signals = b"", []
        for piece in cut(stream, sizes):
            for part in telnet.feed(piece):
                if type(part) is bytes:
                    lines += reader.feed(part)
                    assert len(reader._line) <= 64
                elif hasattr(part, "blob"):
                    answers += part.blob
                else:
                    signals.append(part)
            assert not telnet._pieces
        return lines, answers, signals

    def check(stream: bytes, sizes: list[int]) -> None:
        lines, answers, signals = taken(stream, sizes)
        assert (answers, signals) == taken(stream, [1] * len(stream))[1:]
        assert len(answers) <= len(stream)
        assert all(type(line) is not bytes or (len(line) <= 64 and b"\n" not in line) for line in lines)

    stream = st.lists(IACS | st.binary(max_size=12) | st.sampled_from([b"\r\n", b"x" * 70]), max_size=10).map(b"".join)
    explore(check, extent(FEW, MANY), stream=stream, sizes=pieces)


# -- openings ---------------------------------------------------------------------------------------------------

OPENINGS = [b"\0", b"\0\0\0\5hello", b"\x16\3\1", b"SSH-2.0-x\r\n", b"5         hello", b"5 ", b"\xff\xfd\3", b"\x80"]
openings = st.one_of(
    st.sampled_from([*OPENINGS, *HTTP_METHODS, *IRC_COMMANDS]),
    damaged(st.sampled_from([*OPENINGS, b"GET / HTTP/1.0\r\n\r\n", b"NICK x\r\nUSER x\r\n"])),
    st.binary(max_size=20),
)


def test_openings(extent: Extent, shelter: Shelter) -> None:
    """Whoever comes and does not log in is gone by the login deadline, whatever they say and however slowly."""

    def check(opening: bytes, rest: bytes, sizes: list[int], pause: float) -> None:
        with shelter.bearing() as house:
            factory = detect.factory(house.hub)
            factory.ways["line"] = line_factory(house)  # type: ignore[index]
            transport = LineTransport()
            transport.protocol = factory.buildProtocol(None)
            transport.protocol.makeConnection(transport)
            for piece in cut(opening + rest, sizes):
                if transport.connected:
                    transport.protocol.dataReceived(piece)
                    house.settle(pause)
            shelter.neighbour.ask("ping")
            if any(link.session for link in house.hub.links.values() if link.connection.transport is transport):
                transport.loseConnection()
            house.settle(house.limits.login_seconds + 12)
            assert not transport.connected
            shelter.neighbour.ask("ping")
            shelter.watcher.reads()

    pauses = st.sampled_from([0, 0, 0, 0.5, 0.9])
    rest = st.just(b"") | st.binary(max_size=10) | objects.map(framed) | typed
    explore(check, extent(FEW // 2, MANY), opening=openings, rest=rest, sizes=pieces, pause=pauses)
