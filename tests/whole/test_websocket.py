"""WebSocket from outside: what is none is turned away with the right code, at little cost, and noticed by nobody."""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from typing import Any

import pytest
from support.crowd import Crowd, Wire
from support.measure import allow_files, memory_of, processor_seconds
from support.pair import Pair
from support.web import Caller, WebCrowd, ask, enter, masked, web
from websockets.exceptions import ConnectionClosed

TEXT, BINARY, CONT, PING = 1, 2, 0, 9
MIB = 2**20


BOMB = zlib.compress(bytes(100 * MIB), 9)[2:-4]

FRAMES: dict[str, tuple[bytes, int]] = {
    "not masked": (b"\x81\x02{}", 1002),
    "a reserved bit": (masked(TEXT, b"{}", bits=0x10), 1002),
    "a compression bomb": (masked(TEXT, BOMB[:60_000], bits=0x40), 1002),
    "an unknown opcode": (masked(3, b""), 1002),
    "an unknown control": (masked(11, b""), 1002),
    "bad UTF-8": (masked(TEXT, b'{"type":"\xc3\x28"}'), 1007),
    "a cut character": (masked(TEXT, b'{"type":"ping\xe2\x82'), 1007),
    "binary": (masked(BINARY, b"\x81\xa4type\xa4ping"), 1003),
    "a length of 2^62": (b"\x81\xff" + struct.pack("!Q", 2**62) + bytes(4), 1009),
    "a length of 2^63": (b"\x81\xff" + struct.pack("!Q", 2**63) + bytes(4), 1009),
    "8 MiB": (masked(TEXT, b" " * 8 * MIB), 1009),
    "8 MiB in pieces": (
        masked(TEXT, b" " * 1000, fin=False) + masked(CONT, b" " * 1000, fin=False) * 8 * 1024,
        1009,
    ),
    "one byte too many": (masked(TEXT, b" " * 65_537), 1009),
    "a lone continuation": (masked(CONT, b"{}"), 1002),
    "a message within another": (masked(TEXT, b"{", fin=False) + masked(TEXT, b"{}"), 1002),
    "a ping in pieces": (masked(PING, b"", fin=False), 1002),
    "a long ping": (masked(PING, b"x" * 126), 1002),
    "a close of one byte": (masked(8, b"\x03"), 1002),
    "a close with a code that is none": (masked(8, struct.pack("!H", 1005)), 1002),
}


def test_what_is_no_websocket_is_closed_with_its_code(start_server: Any) -> None:
    """Within 5 s, at little memory, and whoever else is there notices nothing."""
    server = start_server()
    with Caller(server) as caller:
        caller.opened()
    before = memory_of(server)
    with Pair(server) as pair:
        for name, (data, code) in FRAMES.items():
            with Caller(server) as caller:
                caller.opened()
                with contextlib.suppress(ConnectionError):  # it stops listening long before all of it is sent
                    caller.send(data)
                assert caller.close_code() in (code, 0 if len(data) > MIB else code), name
        assert pair.told().p99 < 1
    assert memory_of(server) - before < 16


def test_a_message_in_many_pieces_is_one_and_pings_between_them_are_answered(shared_server: Any) -> None:
    hello = json.dumps({"type": "hello", "id": "h", "versions": [1]}).encode()
    with Caller(shared_server) as caller:
        caller.opened()
        caller.send(masked(TEXT, hello[:1], fin=False))
        for n in range(1, len(hello)):
            caller.send(masked(PING, b"%d" % n) + masked(CONT, hello[n : n + 1], fin=n == len(hello) - 1))
        while b'"re":"h","ok":true' not in caller.buffer:
            assert caller._more()
        assert caller.buffer.startswith(b"\x8a\x011\x8a\x012")


def test_a_message_that_is_too_large_is_told_by_name_before_the_close(shared_server: Any) -> None:
    with web(shared_server, max_size=None) as socket:
        enter(socket, "large", "#large")
        socket.send(json.dumps({"type": "ping", "id": "p", "data": "x" * 65_536}))
        error = json.loads(socket.recv(timeout=20))
        assert (error["type"], error["code"]) == ("error", "FRAME_TOO_LARGE")
        assert error["details"]["limit"] == "frame_bytes"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


def test_a_server_that_stops_says_that_it_goes_away(start_server: Any) -> None:
    server = start_server()
    with web(server) as socket:
        enter(socket, "ann", "#lobby")
        server.process.terminate()
        heard = [json.loads(text) for text in socket]
        assert heard[-1]["type"] == "closing"
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
    assert server.process.wait(15) == 0


def test_a_silent_one_is_asked_in_both_ways_and_given_up(start_server: Any) -> None:
    """By an event, and by WebSocket's own ping, which every library answers by itself."""
    server = start_server(environ={"CHATD__LIMITS__IDLE_SECONDS": "0.5", "CHATD__LIMITS__DEAD_SECONDS": "2"})
    with web(server) as answering, Caller(server) as silent:
        enter(answering, "ann", "#lobby")
        silent.opened()
        silent.send(
            b"".join(
                masked(TEXT, json.dumps(one).encode())
                for one in (
                    {"type": "hello", "versions": [1]},
                    {"type": "auth", "mechanism": "guest", "nick": "silent"},
                )
            )
        )
        assert silent.is_closed(10)
        assert b'"type":"ping"' in silent.buffer
        assert b"\x89\x00" in silent.buffer
        assert ask(answering, "ping")["ok"]


# -- what it costs ------------------------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.timeout(180)
def test_a_thousand_by_websocket_cost_no_more_than_by_frames(server: Any) -> None:
    """Processor time a delivery, by turns in the same run: at most 1.3 times as much."""
    allow_files(8192)
    address = (server.host, server.port)
    crowds = {"#framed": Crowd(address, "#framed", 1000), "#web": WebCrowd(address, "#web", 1000, prefix="w")}
    used = dict.fromkeys(crowds, 0.0)
    try:
        with Wire(address) as tom:
            tom.enter("tom", *crowds)
            for crowd in crowds.values():
                crowd.run_until(lambda crowd=crowd: crowd.joined == 1000, 60)
            for turn in range(6):
                for room, crowd in crowds.items():
                    before = processor_seconds(server)
                    for _ in range(10):
                        said = crowd.total + 20_000
                        tom.send(*({"type": "send", "room": room, "body": "x" * 100} for _ in range(20)))
                        crowd.run_until(lambda crowd=crowd, said=said: crowd.total == said, 60)
                    if turn:  # the first warms up
                        used[room] += processor_seconds(server) - before
    finally:
        for crowd in crowds.values():
            crowd.close()
    cost = {room: seconds / 1_000_000 * 1e6 for room, seconds in used.items()}
    ratio = cost["#web"] / cost["#framed"]
    print(f"{cost['#web']:.3f} µs a delivery by WebSocket, {cost['#framed']:.3f} µs by frames: {ratio:.2f}")
    assert ratio < 1.3
