"""A front: what a worker before the server would have to do at the least. `python bench/front.py --port N --to PATH`.

It takes connections on a port of loopback, opens one to the server's Unix socket for each, and passes the bytes on,
both ways. It neither frames nor encrypts, and like the reference it is a plain loop without a framework: a real worker
does more. It is here to be measured by `python -m bench.workers`.
"""

from __future__ import annotations

import argparse
import select
import socket

CHUNK = 1 << 16
MOST_UNSENT = 64 << 20


class End:
    """One end of a connection that is passed on."""

    __slots__ = ("other", "socket", "unsent")

    def __init__(self, one: socket.socket) -> None:
        self.socket = one
        self.other: End
        self.unsent = bytearray()


def serve(port: int, path: str) -> None:
    """Pass on until the process is ended."""
    epoll, ends = select.epoll(), dict[int, End]()
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    epoll.register(listener, select.EPOLLIN)

    def accept() -> None:
        near, _ = listener.accept()
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far = socket.socket(socket.AF_UNIX)
        far.connect(path)
        pair = End(near), End(far)
        pair[0].other, pair[1].other = pair[1], pair[0]
        for end in pair:
            end.socket.setblocking(False)
            ends[end.socket.fileno()] = end
            epoll.register(end.socket, select.EPOLLIN)

    def close(end: End) -> None:
        for one in (end, end.other):
            if ends.pop(one.socket.fileno(), None) is not None:
                epoll.unregister(one.socket)
                one.socket.close()

    def send(end: End, data: bytes) -> None:
        if end.unsent:
            end.unsent += data
            data = bytes(end.unsent)
            end.unsent.clear()
        try:
            sent = end.socket.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        end.unsent += data[sent:]
        wanted = select.EPOLLIN | select.EPOLLOUT if end.unsent else select.EPOLLIN
        epoll.modify(end.socket, wanted)
        if len(end.unsent) > MOST_UNSENT:
            close(end)

    while True:
        for number, event in epoll.poll():
            if number == listener.fileno():
                accept()
                continue
            end = ends.get(number)
            if end is None:
                continue
            try:
                if event & select.EPOLLOUT:
                    send(end, b"")
                if event & ~select.EPOLLOUT:
                    data = end.socket.recv(CHUNK)
                    if not data:
                        close(end)
                    elif end.other.unsent:
                        send(end.other, data)
                    else:  # as mostly: nothing waits, and all of it is taken
                        sent = end.other.socket.send(data)
                        if sent < len(data):
                            send(end.other, data[sent:])
            except BlockingIOError:
                send(end.other, data)
            except OSError:
                close(end)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    words.add_argument("--port", type=int, required=True)
    words.add_argument("--to", required=True, help="the server's Unix socket")
    chosen = words.parse_args()
    serve(chosen.port, chosen.to)


if __name__ == "__main__":
    main()
