"""Retention in a running server: from time to time each room is asked what of it is too old, and that is removed.

How long which room keeps what was said, and what is removed in which slices, is for `chatd.core.retention` to say, and
removing is the journal's; here it is only decided when to look. The room learns its new beginning as it learns
everything: by an entry.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from chatd.core.events import Purged
from chatd.core.questions import Page
from chatd.core.retention import Ages, oldest_kept, step
from chatd.core.state import Room
from chatd.hub.hub import Hub

EVERY_SECONDS = 60.0
PAUSE_SECONDS = 0.1
"""Between two slices of one room, and between two rooms when there is something to remove: others write meanwhile."""

MOST_TRIES = 20
"""What is refused as often is left until the next time: a room that is damaged does not keep the others waiting."""


class Retention:
    """Removes what is older than its room keeps it, until `stop`."""

    log = Logger()

    def __init__(self, hub: Hub, ages: Ages) -> None:
        self.hub = hub
        self.ages = ages
        self._is_stopped = False
        self._rooms: list[Room] = []
        self._proposed: Purged | None = None
        self._tries = 0  # how often the same was proposed in vain
        self._call: Any = None

    def start(self) -> None:
        """Look at every room now, and again every minute."""
        rooms = self.hub.state.rooms.values()
        self._rooms = [room for room in rooms if room.kept and self.ages.of(room.name)]
        self._next()

    def change(self, ages: Ages) -> None:
        """Other ages from now on: look by them at once. What was asked by the old ones removes nothing more."""
        if ages != self.ages:
            self.ages = ages
            self._wait(0, self.start)

    def stop(self) -> None:
        """Look no more."""
        self._is_stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _wait(self, seconds: float, then: Any) -> None:
        """Do this next, and nothing else that was waiting."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = self.hub.reactor.callLater(seconds, then)

    def _next(self) -> None:
        """Ask about the next room."""
        if self._is_stopped:
            return
        if not self._rooms:
            self._wait(EVERY_SECONDS, self.start)
            return
        room, ages = self._rooms[-1], self.ages
        before = self.hub.now() - ages.of(room.name)
        asked: Deferred[Page] = self.hub.journal.ask(oldest_kept(room.id, before))
        asked.addCallback(self._answered, room, ages).addErrback(self._failed, ages)

    def _answered(self, page: Page, room: Room, ages: Ages) -> None:
        if self._is_stopped or ages is not self.ages:
            return
        event = step(room.id, page)
        self._tries = self._tries + 1 if event == self._proposed else 0
        self._proposed = event
        if event is None or self._tries > MOST_TRIES:
            self._rooms.pop()
            self._wait(0, self._next)
            return
        # If this is not committed when the room is asked again, it is proposed again, which changes nothing.
        self.hub.propose((event,), None)
        self._wait(PAUSE_SECONDS, self._next)

    def _failed(self, failure: Any, ages: Ages) -> None:
        if not self._is_stopped and ages is self.ages:
            self.log.failure("cannot look for what is too old; trying again", failure)
            self._rooms.clear()
            self._next()
