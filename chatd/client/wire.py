"""The framed wire, seen from the client: commands to bytes, bytes to replies and views.

A frame is a 4-byte big-endian length in bytes and one JSON object (PROTOCOL.md sections 1 and 2). Pure: no
sockets, no time. The shapes are those of `chatd.core`; typed values in `data` go through `chatd.core.typed`.
What a newer server may add is passed over, not an error: unknown fields, and unknown types of events.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from chatd.client.errors import WrongProtocol
from chatd.core import replies, typed, views
from chatd.core.commands import Command
from chatd.core.replies import Reply
from chatd.core.views import View

MAX_FRAME = 1 << 20  # far above what any server sends; a first byte other than 0 means it is no frame at all

EVENT_TYPES: dict[str, type[View]] = {str(kind.__struct_config__.tag): kind for kind in views.ALL}
# These may have a `seq` and are no numbered events.
PASSING = frozenset({"read", "caught_up", "gap", "presence", "typing", "notice", "invite", "ping"})

_VIEWS = {name: msgspec.json.Decoder(kind) for name, kind in EVENT_TYPES.items()}
_REPLIES = {kind: msgspec.json.Decoder(kind) for kind in replies.ALL}
_ENCODER = msgspec.json.Encoder()

# What the decoders say: msgspec's errors are ValueErrors, and what is nested very deep is a RecursionError.
UNREADABLE = (ValueError, RecursionError)


class Envelope(Struct, frozen=True):
    """The outside of what the server sent; `raw` of `Incoming` has the rest."""

    re: str | None = None
    ok: bool | None = None
    type: str | None = None
    room: Any = None
    seq: Any = None


class Incoming(Struct, frozen=True):
    """One object from the server, opened no further than needed to see whom it is for."""

    envelope: Envelope
    raw: bytes


_ENVELOPE = msgspec.json.Decoder(Envelope)


def encode(command: Command) -> bytes:
    """The frame of a command. ValueError says what is wrong with its `data`, TypeError with anything else."""
    value = getattr(command, "data", None)
    if value is not None:
        command = replace(command, data=typed.to_json(typed.check(value)))
    body = _ENCODER.encode(command)
    return len(body).to_bytes(4, "big") + body


class Splitter:
    """Cuts a stream of bytes into frames, however the bytes arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """The frames that are complete now. `WrongProtocol` if the other side speaks something else."""
        buffer = self._buffer
        buffer += chunk
        if self._first and buffer:
            if buffer[0] != 0:
                raise WrongProtocol(stranger(bytes(buffer[:64])))
            self._first = False
        frames = []
        start = 0
        while len(buffer) - start >= 4:
            length = int.from_bytes(buffer[start : start + 4], "big")
            if length > MAX_FRAME:
                raise WrongProtocol(f"the server announced a frame of {length} bytes, more than {MAX_FRAME}")
            if len(buffer) - start - 4 < length:
                break
            frames.append(bytes(buffer[start + 4 : start + 4 + length]))
            start += 4 + length
        del buffer[:start]
        return frames


def open_frame(frame: bytes) -> Incoming:
    """What a frame holds, looked at from the outside; `WrongProtocol` if it is no object of chatd."""
    try:
        return Incoming(_ENVELOPE.decode(frame), frame)
    except UNREADABLE:
        raise WrongProtocol("the server sent a frame that is not an object of chatd") from None


def read_reply(incoming: Incoming, kind: type[Reply]) -> Reply:
    """The reply of the expected kind, or the `Failure` that came instead."""
    expected = kind if incoming.envelope.ok else replies.Failure
    try:
        reply = _REPLIES[expected].decode(incoming.raw)
        if isinstance(reply, replies.HistoryPage):
            return replace(reply, events=[_typed(event) for event in reply.events])
        if isinstance(reply, replies.Pong):
            return replace(reply, data=typed.from_json(reply.data))
    except UNREADABLE as problem:
        raise WrongProtocol(f"the server's reply is not a {expected.__name__}: {problem}") from None
    return reply


def read_view(incoming: Incoming) -> View | None:
    """The event, or None if this client does not know its type or cannot read it."""
    decoder = _VIEWS.get(incoming.envelope.type or "")
    if decoder is None:
        return None
    try:
        return cast(View, _typed(decoder.decode(incoming.raw)))
    except UNREADABLE:
        return None


def view_to_json(view: View) -> bytes:
    """An event as the one line of JSON that PROTOCOL.md section 5 describes."""
    return _ENCODER.encode(_untyped(view))


def _typed(view: Any) -> Any:
    if isinstance(view, views.Message) and view.data is not UNSET:
        return replace(view, data=typed.from_json(view.data))
    return view


def _untyped(view: View) -> View:
    if isinstance(view, views.Message) and view.data is not UNSET:
        return replace(view, data=typed.to_json(view.data))
    return view


def stranger(first: bytes) -> str:
    """Who it is that begins like this, for a person who reached the wrong door."""
    if first.startswith(b"HTTP/"):
        return "a web server answers there, not chatd's framed protocol"
    if first.startswith(b"SSH-"):
        return "an SSH server answers there, not chatd's framed protocol"
    if first[:1] in (b"\x15", b"\x16"):
        return "the server there speaks TLS"
    if first[:1].isdigit() and first[:3].isdigit() and first[3:4] in (b" ", b"-"):
        return "a mail or file server answers there, not chatd's framed protocol"
    if first.startswith(b":") or first.startswith((b"ERROR ", b"NOTICE ")):
        return "an IRC server answers there, not chatd's framed protocol"
    return "it greets people instead of programs, as a line port for telnet does; use the server's main port"
