"""A proxy that knows frames and does not leave them alone: what a server says reaches a client changed.

`with Meddler((host, port), change) as meddler:` listens on `meddler.port`. `change` is given each object that the
server says, and gives back those that the client is to hear in its place: none, two, or another one. It runs in a
thread of its own; what clients say goes through as it is.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any

from support.crowd import Json, frame

Change = Callable[[Json], list[Json]]


class Meddler:
    """Passes on what comes, in one thread, one piece after the other."""

    host = "127.0.0.1"

    def __init__(self, target: tuple[str, int], change: Change) -> None:
        self.target, self.change = target, change
        self._listener = socket.create_server((self.host, 0), backlog=200)
        self.port = int(self._listener.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._stop, stop = socket.socketpair()
        self._selector.register(stop, selectors.EVENT_READ, "stop")
        self._ends = [self._listener, self._stop, stop]
        self._others: dict[socket.socket, socket.socket] = {}
        self._buffers: dict[socket.socket, bytes] = {}  # of those that lead to the server
        self._thread = threading.Thread(target=self._run, name="meddler")

    def __enter__(self) -> Meddler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.send(b"x")
        self._thread.join(10)
        self._selector.close()
        for one in self._ends:
            one.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data == "stop":
                    return
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    with contextlib.suppress(OSError):
                        self._pass(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self.target, timeout=10)
        self._others |= {client: server, server: client}
        self._buffers[server] = b""
        for one in (client, server):
            one.settimeout(10)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(one, selectors.EVENT_READ)
            self._ends.append(one)

    def _pass(self, source: Any) -> None:
        chunk = source.recv(65536)
        sink = self._others[source]
        if not chunk:
            self._selector.unregister(source)
            sink.shutdown(socket.SHUT_WR)
        elif source in self._buffers:
            sink.sendall(self._changed(source, chunk))
        else:
            sink.sendall(chunk)

    def _changed(self, source: socket.socket, chunk: bytes) -> bytes:
        data, out = self._buffers[source] + chunk, b""
        while len(data) >= 4 and len(data) >= (end := 4 + int.from_bytes(data[:4], "big")):
            plain = json.loads(data[4:end])
            heard = self.change(plain)
            out += data[:end] if heard == [plain] else b"".join(map(frame, heard))
            data = data[end:]
        self._buffers[source] = data
        return out
