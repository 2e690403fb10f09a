"""The reference: a plain Python loop over `socket.send`, with epoll, no framework and no rules.

    python bench/reference.py --port 4000 --way framed

It is what any chat server in Python can be measured against, since it does nothing but what must be done: whatever a
member sends goes to everyone in the room, the sender too. It keeps nothing, checks nothing and tells nobody who comes
and goes. Like a careful server it reads many messages at once, joins all that a turn brings for a room, and sends that
with one call a member. It speaks the two plain dialects of the load generator, `framed` and `line`; in the second a
line `/join ROOM` enters a room.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
from collections.abc import Callable

CHUNK = 1 << 18
MOST_UNREAD = 1 << 20  # of a message that does not end
MOST_UNSENT = 64 << 20  # for a member who does not read
READ, WRITE = select.EPOLLIN, select.EPOLLIN | select.EPOLLOUT


class Member:
    """A connection, and the room it is in."""

    __slots__ = ("is_named", "room", "socket", "unread", "unsent")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.room: str | None = None
        self.is_named = False
        self.unread = b""
        self.unsent = bytearray()


Split = Callable[["Loop", Member, bytes], int]


class Loop:
    """Everyone who is connected, and what this turn has brought for each room."""

    def __init__(self, port: int, split: Split) -> None:
        self.split = split
        self.epoll = select.epoll()
        self.members: dict[int, Member] = {}
        self.rooms: dict[str, dict[int, Member]] = {}
        self.said: dict[str, list[bytes]] = {}
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.listener.setblocking(False)
        self.epoll.register(self.listener, READ)

    def run(self) -> None:
        """Serve until the process is ended."""
        listener, members = self.listener.fileno(), self.members
        while True:
            for number, event in self.epoll.poll():
                if number == listener:
                    self.accept()
                elif (member := members.get(number)) is not None:
                    if event & select.EPOLLOUT:
                        self.send(number, member, b"")
                    if event & ~select.EPOLLOUT:
                        self.receive(number, member)
            self.flush()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.members[connection.fileno()] = Member(connection)
            self.epoll.register(connection, READ)

    def receive(self, number: int, member: Member) -> None:
        try:
            chunk = member.socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if member.unread:
            chunk = member.unread + chunk if chunk else chunk
        if not chunk or len(chunk) > CHUNK + MOST_UNREAD:
            self.drop(number, member)
            return
        member.unread = chunk[self.split(self, member, chunk) :]

    def enter(self, member: Member, room: str) -> None:
        member.room = room
        self.rooms.setdefault(room, {})[member.socket.fileno()] = member

    def say(self, member: Member, blob: bytes) -> None:
        """Keep some whole messages for the end of the turn."""
        if blob and member.room is not None:
            self.said.setdefault(member.room, []).append(blob)

    def flush(self) -> None:
        """One piece of bytes a room, one send a member."""
        said, self.said = self.said, {}
        for room, pieces in said.items():
            blob = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            for number, member in list(self.rooms[room].items()):
                if member.unsent:
                    self.send(number, member, blob)
                    continue
                try:
                    sent = member.socket.send(blob)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    self.drop(number, member)
                    continue
                if sent != len(blob):
                    member.unsent += blob[sent:]
                    self.epoll.modify(number, WRITE)

    def send(self, number: int, member: Member, blob: bytes) -> None:
        """Send to somebody who has not taken all of what came before."""
        member.unsent += blob
        try:
            del member.unsent[: member.socket.send(member.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            member.unsent.clear()
        if len(member.unsent) > MOST_UNSENT:
            self.drop(number, member)
            return
        self.epoll.modify(number, WRITE if member.unsent else READ)

    def drop(self, number: int, member: Member) -> None:
        if self.members.pop(number, None) is not None:
            if member.room is not None:
                del self.rooms[member.room][number]
            member.socket.close()


def framed(loop: Loop, member: Member, chunk: bytes) -> int:
    """Takes in whole frames: a login, a join, then messages as they are. Returns how many bytes that were."""
    start, at, size = 0, 0, len(chunk)
    while size - at >= 4:
        end = at + 4 + int.from_bytes(chunk[at : at + 4], "big")
        if end > size:
            break
        if member.room is None:
            asked = json.loads(chunk[at + 4 : end])
            if asked["type"] == "join":
                loop.enter(member, asked["room"])
            start = end
        at = end
    loop.say(member, chunk[start:at])
    return at


def line(loop: Loop, member: Member, chunk: bytes) -> int:
    """Takes in whole lines: a name, `/join ROOM`, then messages as they are. Returns how many bytes that were."""
    whole = chunk.rfind(b"\n") + 1
    start = 0
    while member.room is None and start < whole:
        end = chunk.index(b"\n", start) + 1
        words = chunk[start:end].split()
        if not member.is_named:
            member.is_named = True
        elif words and words[0] == b"/join":
            loop.enter(member, words[-1].decode())
        start = end
    loop.say(member, chunk[start:whole])
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description="The plain loop that chatd is measured against; on loopback only.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--way", choices=("framed", "line"), required=True)
    chosen = parser.parse_args()
    Loop(chosen.port, framed if chosen.way == "framed" else line).run()


if __name__ == "__main__":
    main()
