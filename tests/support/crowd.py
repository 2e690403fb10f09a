"""Crowds and single wires for tests of the whole: plain sockets, no library of ours between test and server."""

from __future__ import annotations

import json
import re
import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
SEQ = re.compile(rb'^\{"type":"message","room":"[^"]*","seq":(\d+)')


def frame(plain: Json) -> bytes:
    blob = json.dumps(plain, ensure_ascii=False).encode()
    return struct.pack("!I", len(blob)) + blob


def greeting(nick: str, room: str, wrap: Callable[[Json], bytes] = frame, **join: Any) -> bytes:
    """hello, auth and join in one packet."""
    return b"".join(
        map(
            wrap,
            (
                {"type": "hello", "id": "h", "versions": [1]},
                {"type": "auth", "id": "a", "mechanism": "guest", "nick": nick},
                {"type": "join", "id": "j", "room": room, **join},
            ),
        )
    )


class Wire:
    """One framed connection on a blocking socket, with its timeout."""

    def __init__(self, address: tuple[str, int] | str, seconds: float = 20, *, source: str = "") -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_UNSPEC
        if family == socket.AF_UNIX:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(seconds)
            self.socket.connect(address)
        else:
            here = (source, 0) if source else None
            self.socket = socket.create_connection(address, timeout=seconds, source_address=here)  # type: ignore[arg-type]
        self.heard: list[Json] = []
        self._buffer = b""
        self._asked = 0

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *requests: Json) -> None:
        self.socket.sendall(b"".join(map(frame, requests)))

    def read(self) -> Json:
        """The next object, whatever it is."""
        head = self._exactly(4)
        found: Json = json.loads(self._exactly(struct.unpack("!I", head)[0]))
        self.heard.append(found)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise EOFError("the server closed the connection")
            self._buffer += chunk
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def ask(self, type: str, /, **fields: Any) -> Json:
        """Send a request and wait for its reply; events that come first are in `heard`."""
        self._asked += 1
        name = f"w{self._asked}"
        self.send({"type": type, "id": name, **fields})
        while True:
            found = self.read()
            if found.get("re") == name:
                return found

    def until(self, type: str, **wanted: Any) -> Json:
        """The next event of this type with these fields."""
        while True:
            found = self.read()
            if found.get("type") == type and all(found.get(key) == value for key, value in wanted.items()):
                return found

    def enter(self, nick: str, *rooms: str, caps: tuple[str, ...] = (), **auth: Any) -> Json:
        """Log in and join; the reply to `auth`."""
        assert self.ask("hello", versions=[1], caps=list(caps))["ok"]
        reply = self.ask("auth", **({"mechanism": "guest", "nick": nick} | auth))
        assert reply["ok"], reply
        for room in rooms:
            joined = self.ask("join", room=room)
            assert joined["ok"], joined
        return reply


class Crowd:
    """Many framed members of one room on one thread. `heard[n]` is how many messages member n was shown.

    A hole, a repetition or a wrong order is an error at once.
    """

    def __init__(self, address: tuple[str, int], room: str, count: int, prefix: str = "m") -> None:
        self.selector = selectors.DefaultSelector()
        self.heard = [0] * count
        self._seqs = [0] * count
        self.total = 0
        self.joined = 0
        self._buffers = [b""] * count
        self._sockets: list[socket.socket] = []
        for n in range(count):
            one = self.open(address, f"{prefix}{n}", room)
            one.setblocking(False)
            self.selector.register(one, selectors.EVENT_READ, n)
            self._sockets.append(one)
            if n % 50 == 49:
                self.run(0)

    def open(self, address: tuple[str, int], nick: str, room: str) -> socket.socket:
        """A connection that has asked to be in the room."""
        one = socket.create_connection(address, timeout=30)
        one.sendall(greeting(nick, room))
        return one

    def next_in(self, data: bytes, start: int) -> tuple[int, int] | None:
        """Where the next object begins and ends; None if it is not whole."""
        if len(data) - start < 4:
            return None
        end = start + 4 + int.from_bytes(data[start : start + 4], "big")
        return None if end > len(data) else (start + 4, end)

    def close(self) -> None:
        self.selector.close()
        for one in self._sockets:
            one.close()

    def run(self, seconds: float) -> None:
        """Take in what comes for so long."""
        deadline = time.monotonic() + seconds
        while True:
            ready = self.selector.select(max(0.0, min(0.05, deadline - time.monotonic())))
            for key, _ in ready:
                self._receive(key.data, key.fileobj.recv(262144))  # type: ignore[union-attr]
            if time.monotonic() >= deadline:
                return

    def run_until(self, done: Any, seconds: float) -> None:
        """Take in what comes until `done()`, at most so long."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"not done after {seconds} s: {self.joined} in, {min(self.heard)} heard"
            self.run(0.05)

    def _receive(self, n: int, chunk: bytes) -> None:
        assert chunk, f"member {n} was closed"
        data = self._buffers[n] + chunk
        start = 0
        while place := self.next_in(data, start):
            begin, end = place
            found = SEQ.match(data[begin:end])
            if found:
                seq = int(found[1])
                assert seq == self._seqs[n] + 1 or not self._seqs[n], f"member {n}: {seq} after {self._seqs[n]}"
                self._seqs[n] = seq
                self.heard[n] += 1
                self.total += 1
            elif data.startswith(b'{"re":"j","ok":true', begin):
                self.joined += 1
            start = end
        self._buffers[n] = data[start:]


class LineWire:
    """A person's connection: lines out, lines in."""

    def __init__(self, address: tuple[str, int], seconds: float = 20) -> None:
        self.socket = socket.create_connection(address, timeout=seconds)
        self.lines: list[str] = []
        self._buffer = b""

    def __enter__(self) -> LineWire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, *lines: str) -> None:
        self.socket.sendall("".join(line + "\n" for line in lines).encode())

    def read(self) -> str:
        while b"\n" not in self._buffer:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise EOFError(f"closed after {self.lines[-3:]}")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        self.lines.append(line.decode().rstrip("\r"))
        return self.lines[-1]

    def until(self, part: str) -> str:
        """The next line that holds this."""
        while part not in (line := self.read()):
            pass
        return line

    def enter(self, nick: str) -> None:
        self.say(nick)
        self.until("You are connected to the server!")
