"""Retention in a running server: from time to time each room is asked what of it is too old, and that is removed.

What is removed, and in which slices, is for `chatd.core.retention` to say, and removing is the journal's; here it is
only decided when to look. The room learns its new beginning as it learns everything: by an entry.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from chatd.core.questions import Page
from chatd.core.retention import oldest_kept, step
from chatd.hub.hub import Hub

EVERY_SECONDS = 60.0
PAUSE_SECONDS = 0.1
"""Between two slices of one room, and between two rooms when there is something to remove: others write meanwhile."""


class Retention:
    """Removes what is older than `keep` microseconds, until `stop`."""

    log = Logger()

    def __init__(self, hub: Hub, keep: int) -> None:
        self.hub = hub
        self.keep = keep
        self._is_stopped = False
        self._rooms: list[str] = []
        self._call: Any = None

    def start(self) -> None:
        """Look at every room now, and again every minute."""
        self._rooms = [room.id for room in self.hub.state.rooms.values() if room.kept]
        self._next()

    def stop(self) -> None:
        """Look no more."""
        self._is_stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _next(self) -> None:
        """Ask about the next room."""
        if self._is_stopped:
            return
        if not self._rooms:
            self._call = self.hub.reactor.callLater(EVERY_SECONDS, self.start)
            return
        room_id = self._rooms[-1]
        asked: Deferred[Page] = self.hub.journal.ask(oldest_kept(room_id, self.hub.now() - self.keep))
        asked.addCallback(self._answered, room_id).addErrback(self._failed)

    def _answered(self, page: Page, room_id: str) -> None:
        if self._is_stopped:
            return
        event = step(room_id, page)
        if event is None:
            self._rooms.pop()
            self._call = self.hub.reactor.callLater(0, self._next)
            return
        # If this is not committed when the room is asked again, it is proposed again, which changes nothing.
        self.hub.propose((event,), None)
        self._call = self.hub.reactor.callLater(PAUSE_SECONDS, self._next)

    def _failed(self, failure: Any) -> None:
        if not self._is_stopped:
            self.log.failure("cannot look for what is too old; trying again", failure)
            self._rooms.clear()
            self._next()
