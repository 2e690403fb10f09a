"""The newcomer: how a node that begins learns who is here, which no copy keeps.

It says in the stream that it has come, and stops there. One of those who are here tells it what they know as of that
message; it asks again if nobody does, and takes those who never answer for dead. If none of the others can have
sessions, nobody is here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from chatd.core.cluster_events import NodeCame, NodeGone
from chatd.core.events import Event
from chatd.core.questions import Present
from chatd.journal.others import Others

ASK_SECONDS = 1.0
STUCK_SECONDS = 30.0

CHUNK_BYTES = 1 << 19

_CHUNK = msgspec.msgpack.Decoder(tuple[int, int, int, bytes])
_PRESENT = msgspec.msgpack.Decoder(Present)


def pieces_of(attempt: int, present: Present) -> list[bytes]:
    """What a newcomer that has asked so often is told, in messages that are not too large for NATS."""
    blob = msgspec.msgpack.encode(present)
    pieces = [blob[start : start + CHUNK_BYTES] for start in range(0, len(blob), CHUNK_BYTES)]
    return [msgspec.msgpack.encode((attempt, n, len(pieces), piece)) for n, piece in enumerate(pieces)]


class Newcomer:
    """What is known of who is here, until all of it is."""

    def __init__(self, others: Others, seconds: float, known: Callable[[], None]) -> None:
        self._others = others
        self._seconds = seconds
        self._known = known
        self._attempt = 0
        self._asked_at = 0.0
        self._began_at = 0.0
        self._pieces: dict[int, bytes] = {}
        self._present: Present | None = None
        self._progress = (-1, 0.0)  # how far the copy had come, and when that was new

    def asked(self, attempt: int) -> None:
        """The stream has come to where it was asked."""
        self._asked_at = time.monotonic()
        self._began_at = self._began_at or self._asked_at

    async def heard(self, message: Any) -> None:
        """A piece of what one of the others knows."""
        try:
            attempt, number, count, piece = _CHUNK.decode(message.data)
            if attempt != self._attempt or not 0 <= number < count:
                return
            self._pieces[number] = piece
            if len(self._pieces) == count:
                self._present = _PRESENT.decode(b"".join(self._pieces[n] for n in range(count)))
                self._known()
        except (msgspec.MsgspecError, KeyError):
            self._pieces.clear()

    def look(self, is_there: bool) -> Present | None:
        """Who is here, if that is known; `is_there`: the stream has come to where it was asked, and no further."""
        if is_there and not self._others.silent():
            return Present()
        return self._present if is_there else None

    def is_stuck(self, position: int) -> bool:
        """Whether nothing has come out of the stream for long; the copy has come so far."""
        now = time.monotonic()
        if position != self._progress[0]:
            self._progress = (position, now)
        return now - self._progress[1] > STUCK_SECONDS

    def proposals(self, run: str, machine: str) -> list[Event] | None:
        """What to say in the stream now, if it is time to ask again."""
        now = time.monotonic()
        if not self._asked_at or now - self._asked_at < ASK_SECONDS:
            return None
        self._asked_at = 0.0
        self._attempt += 1
        self._pieces.clear()
        self._present = None
        gone: list[Event] = []
        if now - self._began_at > self._seconds:
            gone = [NodeGone(one, "its server is gone") for one in self._others.silent()]
        return [*gone, NodeCame(run, machine, b"", self._attempt)]
