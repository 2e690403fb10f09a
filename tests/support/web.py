"""The web from outside: raw bytes to a real server, and what comes back."""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
from typing import Any

from support.crowd import Crowd, greeting
from websockets.sync.client import ClientConnection, connect

KEY = base64.b64encode(b"0123456789abcdef").decode()


def request(path: str = "/ws", method: str = "GET", body: bytes = b"", **headers: str) -> bytes:
    """A request; a header's `_` stands for `-`, and one that is empty is left out."""
    given = {"Host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items() if value)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def upgrade(**headers: str) -> bytes:
    """The request that makes a WebSocket."""
    wanted = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": KEY,
        "Sec_WebSocket_Protocol": "chatd.v1.json",
    }
    return request("/ws", **(wanted | headers))


def masked(opcode: int, payload: bytes, *, fin: bool = True, bits: int = 0) -> bytes:
    """A frame as a client sends it, with a mask of zeros."""
    size = len(payload)
    first = opcode | (0x80 if fin else 0) | bits
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = bytes((first, 0x80 | 126)) + struct.pack("!H", size)
    else:
        head = bytes((first, 0x80 | 127)) + struct.pack("!Q", size)
    return head + bytes(4) + payload


class Caller:
    """One connection to a server's web way in, byte for byte."""

    def __init__(self, server: Any, port: int | None = None, seconds: float = 20) -> None:
        self.socket = socket.create_connection((server.host, port or server.port), timeout=seconds)
        self.buffer = b""

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _more(self) -> bool:
        chunk = self.socket.recv(65536)
        self.buffer += chunk
        return bool(chunk)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next response: status, headers by lower-case name, body."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                raise EOFError(f"closed after {self.buffer!r}")
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = int(headers.get("content-length", "0"))
        while len(self.buffer) < size and self._more():
            pass
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return int(first.split()[1]), headers, body

    def is_closed(self, seconds: float = 5) -> bool:
        """Whether the server closes within so long."""
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                self.socket.settimeout(max(0.05, deadline - time.monotonic()))
                if not self._more():
                    return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return False

    def opened(self, **headers: str) -> Caller:
        """The connection as a WebSocket."""
        self.send(upgrade(**headers))
        status, _, _ = self.answer()
        assert status == 101, status
        return self

    def close_code(self, seconds: float = 5) -> int:
        """The code with which the server closes the WebSocket, once it has closed the connection; 0 for none."""
        assert self.is_closed(seconds), "the server does not close"
        data, code = self.buffer, 0
        while len(data) >= 2:
            size, start = data[1] & 127, 2
            if size == 126:
                size, start = struct.unpack("!H", data[2:4])[0], 4
            if data[0] & 15 == 8:
                code = struct.unpack("!H", data[start : start + 2])[0] if size >= 2 else 1005
            data = data[start + size :]
        return code


class WebCrowd(Crowd):
    """Many members who came by WebSocket."""

    def open(self, address: tuple[str, int], nick: str, room: str) -> socket.socket:
        one = socket.create_connection(address, timeout=30)
        one.sendall(upgrade())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += one.recv(1)
        assert b" 101 " in head, head
        one.sendall(greeting(nick, room, lambda plain: masked(1, json.dumps(plain).encode())))
        return one

    def next_in(self, data: bytes, start: int) -> tuple[int, int] | None:
        if len(data) - start < 4:
            return None
        size, begin = data[start + 1], start + 2
        if size == 126:
            size, begin = int.from_bytes(data[start + 2 : start + 4], "big"), start + 4
        return None if begin + size > len(data) else (begin, begin + size)


def web(server: Any, port: int | None = None, **options: Any) -> ClientConnection:
    """A WebSocket of the library's own client."""
    scheme = "wss" if "ssl" in options else "ws"
    return connect(f"{scheme}://localhost:{port or server.port}/ws", subprotocols=["chatd.v1.json"], **options)  # type: ignore[list-item]


def ask(socket: ClientConnection, type: str, /, **fields: Any) -> dict[str, Any]:
    """Send a request, and give its reply."""
    socket.send(json.dumps({"type": type, "id": "q", **fields}))
    while True:
        found: dict[str, Any] = json.loads(socket.recv(timeout=20))
        if found.get("re") == "q":
            return found


def enter(socket: ClientConnection, nick: str, *rooms: str) -> None:
    assert ask(socket, "hello", versions=[1], caps=["presence"])["ok"]
    assert ask(socket, "auth", mechanism="guest", nick=nick)["ok"]
    for room in rooms:
        assert ask(socket, "join", room=room)["ok"]
