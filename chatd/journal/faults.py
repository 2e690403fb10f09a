"""Faults: what of a journal's file turned out to be damaged, told to the operator once for each place.

Readers meet damage again and again; the log says it when it is new. Texts of users are never in it.
"""

from __future__ import annotations

import threading

from twisted.logger import Logger

MOST_PLACES = 200
"""After so many nothing more is told: `chatd verify` has all of them."""


class Faults:
    """Tells of damage, from any thread."""

    log = Logger()

    def __init__(self) -> None:
        self._told: set[tuple[str, int]] = set()
        self._places = 0
        self._lock = threading.Lock()

    def lost(self, room: str, low: int, high: int) -> None:
        """Numbers of a room cannot be read, or are not as they were written."""
        with self._lock:
            fresh = [seq for seq in range(low, high + 1) if (room, seq) not in self._told]
            if not fresh or self._places >= MOST_PLACES:
                return
            self._places += 1
            self._told.update((room, seq) for seq in fresh)
        where = f"{fresh[0]}" if fresh[0] == fresh[-1] else f"{fresh[0]} to {fresh[-1]}"
        self.log.error(
            "the journal is damaged: {room} {where} cannot be read and is left out; see what else is: chatd verify",
            room=room,
            where=where,
        )
