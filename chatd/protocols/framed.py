"""The framed way in: frames of a 4-byte big-endian length and one object, JSON or MessagePack.

PROTOCOL.md sections 1 and 2. The objects are `wire`'s; here are the frames, what is shown to whom, and errors
of framing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.core.codes import Code, Refusal
from chatd.core.commands import Command, Quit
from chatd.core.replies import HistoryPage, Reply
from chatd.core.views import Presence, Typing, View
from chatd.hub import Hub
from chatd.protocols.connection import REQUESTS_A_TURN, Connection
from chatd.protocols.transport import PromptWrite
from chatd.protocols.vanished import Watch
from chatd.protocols.wire import (
    VIEW_WRITERS,
    Format,
    Unreadable,
    fit,
    format_of,
    json_reply,
    msgpack_reply,
    read_command,
)

LENGTH = struct.Struct("!I")
MOST_PIECES = 64  # kept apart of one frame: many small ones take far more memory than what is in them
NOTHING: list[bytes] = []  # of all who have sent whole frames; nothing is put there
READ_BYTES = 65_536  # at once: the longest frame


def framed(payload: bytes) -> bytes:
    """The payload as one frame; nothing stays nothing."""
    return LENGTH.pack(len(payload)) + payload if payload else b""


def too_large(length: int, limit: int) -> Refusal:
    """The refusal of a frame, or of a message, that is longer than may be."""
    return Refusal(
        Code.FRAME_TOO_LARGE,
        f"a frame of {length} bytes is too large, {limit} are allowed (frame_bytes)",
        details={"limit": "frame_bytes", "value": limit, "length": length},
    )


class FramedEncoder:
    """What is shown to peers that speak alike: one format, one frame around it (`pack`), and the same wish for
    passing views."""

    __slots__ = ("hidden", "pack", "write")

    def __init__(self, form: Format, *, presence: bool, typing: bool, pack: Callable[[bytes], bytes] = framed) -> None:
        self.write, self.pack = VIEW_WRITERS[form], pack
        wanted = {Presence: presence, Typing: typing}
        self.hidden = tuple(kind for kind, is_wanted in wanted.items() if not is_wanted)

    def encode(self, view: View) -> bytes:
        if type(view) in self.hidden:
            return b""
        return self.pack(self.write(view))


@implementer(IHalfCloseableProtocol)
class FramedProtocol(Connection, Int32StringReceiver):
    """A program that speaks frames."""

    protocol = "framed"
    pack = staticmethod(framed)
    form: Format | None = None
    deaf = False  # what comes now cannot be told into frames any more

    def __init__(self, factory: FramedFactory) -> None:
        self.shared = factory
        self._pieces = NOTHING  # what has come of the next frame
        self._unread = 0  # bytes in them
        self._wanted = 4  # bytes that make it worth looking at them

    # -- in -----------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        self.opened(self.shared.hub, greeted=False)
        self.is_prompt = isinstance(self.transport, PromptWrite)
        self.transport.bufferSize = READ_BYTES
        self.shared.watch.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Take the frames out of what has come.

        Twisted's own does so too, at more cost for each frame, and copies a long one again for each piece of it.
        """
        self.heard = self.hub.tick
        self._asked = 0
        if self.closing or self.deaf:
            return
        pieces = self._pieces
        if pieces:
            pieces.append(data)
            self._unread += len(data)
            if self._unread < self._wanted or self.paused:
                if len(pieces) > MOST_PIECES:
                    pieces[:] = [b"".join(pieces)]
                return
            data = b"".join(pieces)
            self._pieces = NOTHING
        start, wanted, size, longest = 0, 4, len(data), self.hub.limits.frame_bytes
        while start + wanted <= size and not self.paused:
            (length,) = LENGTH.unpack_from(data, start)
            if length > longest:
                self.lengthLimitExceeded(length)
                return
            end = start + 4 + length
            if end > size:
                wanted = 4 + length
                break
            self.stringReceived(data[start + 4 : end])
            if self.closing or self.deaf:
                return
            start = end
        if start < size:
            self._pieces = [data[start:] if start else data]
            self._unread, self._wanted = size - start, wanted

    def stringReceived(self, string: bytes) -> None:
        hub, link = self.hub, self.link
        if link is None:
            return
        try:
            form = self.form
            if form is None:
                form = self.form = format_of(string)
            command = read_command(string, form, hub.limits.data_depth)
        except Unreadable as unreadable:
            self.misread(unreadable.request_id, unreadable.refusal)
        else:
            hub.submit(link, command, len(string))
        self._asked += 1
        if self._asked >= REQUESTS_A_TURN:
            self.rest()

    def lengthLimitExceeded(self, length: int) -> None:
        """Nothing behind it can be understood: the peer is told, after the answers to what it asked before."""
        self.deaf = True
        self.misread(None, too_large(length, self.hub.limits.frame_bytes))
        self.received(Quit(reason="sent a frame that is too large"))

    def readConnectionLost(self) -> None:
        """The peer has said everything: answer it, then go."""
        self.ended = True
        if self.closing:
            self.transport.loseConnection()
        else:
            self.received(Quit(reason="connection closed"))

    def writeConnectionLost(self) -> None:
        """Our side is closed; the peer's end is awaited."""

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted gives a default
        self.shared.watch.remove(self)
        self.lost(reason)

    def vanished(self) -> None:
        """The peer's machine has not answered for long; while it owes us reading, the hub cannot ask it."""
        if self.link is not None:
            self.hub.log_out(self.link, "timed out")
            self.abort()

    def throttled(self, stop: bool) -> None:
        if self.ended:  # nothing is left to be read, and Twisted would find the same end once more
            return
        if stop:
            self.pauseProducing()  # type: ignore[no-untyped-call]
        else:
            self.resumeProducing()  # type: ignore[no-untyped-call]

    # -- out ----------------------------------------------------------------------------------------------

    def encoder(self, room: str) -> FramedEncoder:
        caps = self.link.caps if self.link is not None else frozenset()
        return self.shared.encoder(self.form or Format.JSON, "presence" in caps, "typing" in caps)

    def reply(self, command: Command, reply: Reply) -> None:
        if type(reply) is HistoryPage:
            self.write(self.pack(fit(reply, command, self.form or Format.JSON, self.hub.limits.frame_bytes)))
        elif self.form is Format.MSGPACK:
            self.write(self.pack(msgpack_reply(reply)))
        else:
            self.write(self.pack(json_reply(reply)))

    def show(self, view: View) -> None:
        self.write(self.pack(VIEW_WRITERS[self.form or Format.JSON](view)))


class FramedFactory(Factory):
    """Makes framed connections, and holds the encoders that they share."""

    noisy = False
    pack = staticmethod(framed)

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.encoders: dict[tuple[Format, bool, bool], FramedEncoder] = {}
        self.watch = Watch(hub.reactor, hub.limits.dead_seconds)
        hub.on_change.append(lambda settings: self.watch.change(settings.limits.dead_seconds))

    def buildProtocol(self, addr: IAddress | None) -> FramedProtocol:
        return FramedProtocol(self)

    def encoder(self, form: Format, presence: bool, typing: bool) -> FramedEncoder:
        key = (form, presence, typing)
        if key not in self.encoders:
            self.encoders[key] = FramedEncoder(form, presence=presence, typing=typing, pack=self.pack)
        return self.encoders[key]


def factory(hub: Hub, settings: Any = None) -> FramedFactory:
    """The factory of the framed way in; it holds the hub, and with it the registry of users."""
    return FramedFactory(hub)


__all__ = ["FramedEncoder", "FramedFactory", "FramedProtocol", "factory", "framed"]
