"""Sleepers: members of a room who do not read, each in its own dialect; when they do, each number is checked."""

from __future__ import annotations

import re
import selectors
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from support.crowd import SEQ, frame, greeting

LINE = re.compile(rb"<\w+> (\d+) x")


def packed(*requests: dict[str, Any]) -> bytes:
    """Requests as MessagePack frames."""
    blobs = map(msgspec.msgpack.encode, requests)
    return b"".join(struct.pack("!I", len(blob)) + blob for blob in blobs)


class Sleeper:
    """One member. `seq` is the last number that it was shown; on the line port, the last that was counted aloud."""

    def __init__(self, server: Any, nick: str, room: str, kind: str) -> None:
        self.seq = 0
        self.nick = nick
        self._kind = kind
        self._buffer = b""
        port = server.line_port if kind == "line" else server.port
        self.socket = socket.create_connection((server.host, port), timeout=30)
        if kind == "line":
            self.socket.sendall(f"{nick}\n".encode())
            joined = b"You are connected to the server!"
        elif kind == "json":
            self.socket.sendall(greeting(nick, room))
            joined = b'"re":"j","ok":true'
        else:
            hello = {"type": "hello", "id": "h", "versions": [1]}
            auth = {"type": "auth", "id": "a", "mechanism": "guest", "nick": nick}
            self.socket.sendall(packed(hello, auth, {"type": "join", "id": "j", "room": room}))
            joined = b"members_count"
        heard = b""
        while joined not in heard:
            heard += self.socket.recv(4096)
        self.socket.setblocking(False)

    def take(self, chunk: bytes) -> None:
        """More has come: every number follows the one before."""
        assert chunk, f"{self.nick} was closed after {self.seq}"
        data = self._buffer + chunk
        self._buffer = self._lines(data) if self._kind == "line" else self._frames(data)

    def nudge(self) -> None:
        """A sign of life, as every program gives one when it is asked."""
        if self._kind != "line":
            ping = {"type": "ping"}
            self.socket.send(frame(ping) if self._kind == "json" else packed(ping))

    def _lines(self, data: bytes) -> bytes:
        *lines, rest = data.split(b"\n")
        for line in lines:
            if found := LINE.search(line):
                self._is_next(int(found[1]))
        return rest

    def _frames(self, data: bytes) -> bytes:
        start, size = 0, len(data)
        while size - start >= 4 and (end := start + 4 + int.from_bytes(data[start : start + 4], "big")) <= size:
            if self._kind == "json":
                if found := SEQ.match(data[start + 4 : end]):
                    self._is_next(int(found[1]))
            else:
                plain = msgspec.msgpack.decode(data[start + 4 : end])
                if plain.get("type") == "message":
                    self._is_next(plain["seq"])
            start = end
        return data[start:]

    def _is_next(self, seq: int) -> None:
        assert seq == self.seq + 1, f"{self.nick}: {seq} after {self.seq}"
        self.seq = seq


def read_until(awake: Sequence[Sleeper], seq: int, seconds: float, look: Callable[[], object] = str) -> None:
    """Let these read until each has been shown this number; `look` is called now and then.

    All of them give signs of life meanwhile, also when they are done.
    """
    nudged = time.monotonic()
    waiting = [one for one in awake if one.seq < seq]
    deadline, looked = time.monotonic() + seconds, 0.0
    with selectors.DefaultSelector() as selector:
        for one in waiting:
            selector.register(one.socket, selectors.EVENT_READ, one)
        left = len(waiting)
        while left:
            now = time.monotonic()
            assert now < deadline, f"{left} are not done: {min(one.seq for one in waiting)} of {seq}"
            if now > looked + 0.2:
                look()
                looked = now
            if now > nudged + 15:
                nudged = now
                for one in awake:
                    one.nudge()
            for key, _ in selector.select(0.2):
                one = key.data
                one.take(one.socket.recv(262_144))
                if one.seq >= seq:
                    selector.unregister(one.socket)
                    left -= 1
