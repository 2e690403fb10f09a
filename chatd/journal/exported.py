"""The form of an export: what was kept, as lines of JSON that another journal can take up again.

The first line says what it is; then comes each room, followed by its events, and how far who has read; then the
accounts. Whatever JSON cannot say exactly (bytes, times, numbers that are none) is there as it is stored as well. Files
and tables are for others.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from chatd.core.charge import Kind
from chatd.core.events import MessageSent, Moderated, Related, RoomChanged
from chatd.core.views import moment
from chatd.journal.stored import decode, encode

LINE_BYTES = 1 << 20
"""No line is longer."""

KINDS = {str(kind.__struct_config__.tag): kind for kind in (MessageSent, Related, RoomChanged, Moderated)}


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="line"):
    """One line of an export. Times are microseconds since 1970; hashes are in hexadecimal."""


class Head(Line, frozen=True, kw_only=True, tag="chatd-export/1"):
    """The first line. `by_room`: an author may have one `msg_id` in several rooms, which were in several streams."""

    by_room: bool = False


class RoomLine(Line, frozen=True, kw_only=True, tag="room"):
    """A room, as `chatd.core.questions.StoredRoom`; `link_before` is the link before its first event."""

    room_id: str
    name: str
    made: int
    parties: tuple[tuple[str, str], ...] = ()
    topic: str = ""
    first_seq: int = 1
    link_before: str = ""


class EventLine(Line, frozen=True, kw_only=True, tag="event"):
    """An event: its fields by name and its `type`, those at their default left out.

    `at` is its time for people. `digest` is there if it was redacted. `stored` are the bytes that are stored, if the
    fields do not give the same.
    """

    seq: int
    time: int
    at: str = ""
    event: dict[str, Any]
    link: str = ""
    digest: str = ""
    stored: bytes | None = None


class LostLine(Line, frozen=True, kw_only=True, tag="lost"):
    """Instead of events: the numbers `first` to `last` of a room were damaged. They stay empty."""

    room_id: str
    first: int
    last: int


class CursorLine(Line, frozen=True, kw_only=True, tag="cursor"):
    """How far a user has read in a room."""

    user_id: str
    room_id: str
    seq: int


class RulingLine(Line, frozen=True, kw_only=True, tag="ruling"):
    """What was ordered in a room and still holds, as `chatd.core.charge.Ruling`."""

    room_id: str
    kind: Kind
    key: str
    who: str = ""
    user_id: str = ""
    nick: str = ""
    network: str = ""
    value: str = ""
    until: int = 0
    time: int = 0
    by: str = ""
    reason: str = ""


class AccountLine(Line, frozen=True, kw_only=True, tag="account"):
    """An account. `verifier` is what is kept of its password, if that was asked for."""

    user_id: str
    name: str
    made: int
    generation: int = 1
    disabled: bool = False
    ignored: tuple[str, ...] = ()
    verifier: str = ""


AnyLine = Head | RoomLine | EventLine | LostLine | CursorLine | RulingLine | AccountLine

_DECODER = msgspec.json.Decoder(AnyLine)
_ENCODER = msgspec.json.Encoder(enc_hook=repr)


def line_bytes(line: Line) -> bytes:
    """The line, with its end."""
    return _ENCODER.encode(line) + b"\n"


def read_line(raw: bytes) -> AnyLine:
    """The inverse of `line_bytes`. Raises `msgspec.MsgspecError`."""
    line: AnyLine = _DECODER.decode(raw)
    return line


def event_line(seq: int, time: int, blob: bytes, link: bytes, digest: bytes | None) -> EventLine:
    """The line of an event that is stored as `blob`."""
    event = decode(blob)
    config = event.__struct_config__
    fields: dict[str, Any] = {"type": config.tag}
    for field in msgspec.structs.fields(event):
        value = getattr(event, field.name)
        if field.required or value != field.default:
            fields[field.name] = value
    try:
        is_exact = blob_of(msgspec.json.decode(_ENCODER.encode(fields))) == blob
    except (TypeError, ValueError):  # keys that JSON cannot have
        is_exact = False
        fields.pop("data", None)
    return EventLine(
        seq=seq,
        time=time,
        at=moment(time).isoformat(timespec="seconds"),
        event=fields,
        link=link.hex(),
        digest=(digest or b"").hex(),
        stored=None if is_exact else blob,
    )


def blob_of(fields: dict[str, Any]) -> bytes:
    """The stored bytes of an event with these fields. Raises `ValueError` or `TypeError` if it is none."""
    kind = KINDS.get(fields.get("type", ""))
    if kind is None:
        raise ValueError("there is no such type of event")
    blob = encode(kind(**{name: value for name, value in fields.items() if name != "type"}))
    decode(blob)  # which looks at the types
    return blob
