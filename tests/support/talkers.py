"""Talkers: programs that talk in a room without a pause, each in a thread, and go on through every cut and crash.

What a talker says is numbered, `s2-17`; each message is repeated under its `msg_id` until it is acknowledged, and then
the next one follows. So in the end all that was said is in the room once, and the room's history tells in which order.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

from support.crowd import Wire

PAUSE_SECONDS = 0.02


class Talkers:
    """So many of them, from `with` to its end."""

    def __init__(self, address: tuple[str, int], room: str, count: int, pause: float = PAUSE_SECONDS) -> None:
        self.address = address
        self.room = room
        self.pause = pause
        self.said = [0] * count
        self._is_over = False
        self._threads = [threading.Thread(target=self._talk, args=(n,)) for n in range(count)]

    def __enter__(self) -> Talkers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hush()

    def hush(self) -> None:
        """All that was begun is said; then nobody says any more."""
        self._is_over = True
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _talk(self, n: int) -> None:
        auth: dict[str, Any] = {"mechanism": "guest", "nick": f"s{n}"}
        while not self._is_over:
            try:
                with Wire(self.address, 10) as wire:
                    wire.ask("hello", versions=[1])
                    reply = wire.ask("auth", **auth)
                    if not reply["ok"]:
                        continue
                    auth = {"mechanism": "token", "token": reply["token"]}
                    wire.ask("join", room=self.room)
                    while not self._is_over:
                        self._say(wire, n)
                        time.sleep(self.pause)
            except (OSError, EOFError):
                time.sleep(0.05)

    def _say(self, wire: Wire, n: int) -> None:
        """The next message, for as often as it takes."""
        body = f"s{n}-{self.said[n] + 1}"
        reply = wire.ask("send", room=self.room, body=body, msg_id=body)
        if reply["ok"]:
            self.said[n] += 1
        else:
            time.sleep(0.05)


def told_by(wire: Wire, room: str) -> list[str]:
    """All bodies that the room's history has, in their order; numbers have no holes."""
    bodies: list[str] = []
    after = 0
    while True:
        page = wire.ask("history", room=room, after=after, limit=200)
        for event in page["events"]:
            assert event["seq"] == after + 1
            after = event["seq"]
            bodies.append(event.get("body", ""))
        if not page["events"]:
            return bodies
