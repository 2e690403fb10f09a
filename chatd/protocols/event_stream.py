"""Event streams: a room as server-sent events, for `curl -N` and `EventSource`. The id of an event is its number.

So a browser that lost the stream asks for what it missed by itself (`Last-Event-ID`), and gets it out of the journal
before what is live: to the hub this is a connection like others, which is in no room and says nothing.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from chatd.core.codes import Refusal
from chatd.core.commands import Command
from chatd.core.replies import Reply
from chatd.core.state import Room
from chatd.core.views import Closing, Error, Gap, Presence, Read, Typing, View
from chatd.hub import Hub
from chatd.hub.errand import admitted
from chatd.protocols.connection import Connection
from chatd.protocols.vanished import Watch
from chatd.protocols.wire import json_view

BEAT_SECONDS = 15.0  # proxies end what is silent for long, and so often the room's door is looked at again
RETRY_MS = 1000
HIDDEN = (Presence, Read, Typing)


class EventEncoder:
    """Views as server-sent events, the same for everybody."""

    def encode(self, view: View) -> bytes:
        """One event; nothing for what passes."""
        kind = type(view)
        if kind in HIDDEN:
            return b""
        number = view.last if isinstance(view, Gap) else getattr(view, "seq", 0)
        name: Any = view.__struct_config__.tag
        head = f"id: {number}\nevent: {name}\n" if number else f"event: {name}\n"
        return head.encode() + b"data: " + json_view(view) + b"\n\n"


class EventStream(Connection, Protocol):
    """One reader of one room, from the number after `since` on, or from now on."""

    protocol = "events"
    can_be_asked = False

    def __init__(self, shared: EventStreams, address: str, token: str | None, name: str, since: int | None) -> None:
        self._shared = shared
        self._address = address
        self._token = token
        self._name = name
        self._since = since
        self._beat: Any = None

    def peer(self) -> str:
        return self._address

    def connectionMade(self) -> None:
        hub = self._shared.hub
        self.opened(hub, greeted=True)
        self._shared.watch.add(self)
        self._beat = hub.reactor.callLater(BEAT_SECONDS, self._look)
        link, room = self.link, self._admitted()
        if link is None or link.gone or room is None:
            return
        self.write(f"retry: {RETRY_MS}\n\n".encode())
        link.rooms[room.id] = None
        since = room.last_seq if self._since is None else self._since
        hub.replay.start(link, room.id, since + 1, announced=True)

    def _admitted(self) -> Room | None:
        """The room, if this one may read it now; else it is told why not, and closed."""
        if self.link is None or self.link.gone:
            return None
        try:
            return admitted(self.hub, self.link, self._token, self._name)
        except Refusal as refusal:
            self.hub.log_out(self.link, "may not read this room any more")
            self.finish(Error(code=refusal.code, message=refusal.message))
            return None

    def _look(self) -> None:
        self._beat = self.hub.reactor.callLater(BEAT_SECONDS, self._look)
        if self._admitted() is not None and self.link is not None and not self.link.full:
            self.write(b":\n\n")

    def dataReceived(self, data: bytes) -> None:
        """Nothing is asked here."""
        self.heard = self.hub.tick

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._beat is not None and self._beat.active():
            self._beat.cancel()
        self._shared.watch.remove(self)
        self.lost(reason)

    def vanished(self) -> None:
        """The peer's machine has not answered for long."""
        if self.link is not None:
            self.hub.log_out(self.link, "timed out")
            self.abort()

    # -- out ----------------------------------------------------------------------------------------------

    def encoder(self, room: str) -> EventEncoder:
        return self._shared.encoder

    def reply(self, command: Command, reply: Reply) -> None:
        """Nothing is asked, so nothing is answered."""

    def show(self, view: View) -> None:
        self.write(self._shared.encoder.encode(view))

    def finish(self, view: View) -> None:
        if isinstance(view, Closing | Error):
            super().finish(view)


class EventStreams:
    """What all of them share."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.encoder = EventEncoder()
        self.watch = Watch(hub.reactor, hub.limits.dead_seconds)
        hub.on_change.append(lambda settings: self.watch.change(settings.limits.dead_seconds))

    def make(self, address: str, token: str | None, name: str, since: int | None) -> EventStream:
        """A stream for somebody at this address."""
        return EventStream(self, address, token, name, since)


__all__ = ["BEAT_SECONDS", "EventEncoder", "EventStream", "EventStreams"]
