"""The framed protocol's objects: bytes to commands, replies and views to bytes, as JSON or MessagePack.

Pure: it knows no socket and no framing. Also used for WebSocket messages and for `/json on`.
PROTOCOL.md sections 1 and 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from operator import attrgetter
from typing import Any, Union

import msgspec
from msgspec import UNSET, structs

from chatd.core import commands, typed
from chatd.core.codes import Code, Refusal
from chatd.core.commands import Command, Send
from chatd.core.replies import Failure, HistoryPage, Pong, Reply
from chatd.core.views import Durable, Error, Message, View, microseconds


class Format(Enum):
    """How an object is written."""

    JSON = "json"
    MSGPACK = "msgpack"


REQUESTS: dict[str, type[Command]] = {str(kind.__struct_config__.tag): kind for kind in commands.ALL}
MOST_SAID = 400  # characters of a message about something unreadable
QUOTE, BACKSLASH = b'"\\'
CARRIES_DATA = (Send, commands.Ping, commands.Auth)

# The end of each key; also of some strings inside, which only costs a closer look.
KEY = re.compile(rb'"[ \t\r\n]*:')

_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()
_read_json = msgspec.json.Decoder()
_read_msgpack = msgspec.msgpack.Decoder()

_REQUEST: Any = Union[tuple(commands.ALL)]  # noqa: UP007  # made of a table
_request_of_json = msgspec.json.Decoder(_REQUEST).decode
_request_of_msgpack = msgspec.msgpack.Decoder(_REQUEST).decode
_words_of = attrgetter("id", "room", "to", "msg_id", "schema")  # the strings of a `Send` that need not be there


class Unreadable(Exception):
    """An object that is no command: the refusal, and the request's id if it could be read."""

    def __init__(self, refusal: Refusal, request_id: str | None = None) -> None:
        super().__init__(refusal)
        self.refusal = refusal
        self.request_id = request_id


def format_of(payload: bytes) -> Format:
    """The format that a connection's first object decides on."""
    first = payload[:1]
    if first == b"{" or payload.lstrip(b" \t\r\n")[:1] == b"{":
        return Format.JSON
    if first and (0x80 <= first[0] <= 0x8F or first[0] in (0xDE, 0xDF)):
        return Format.MSGPACK
    if not first or not (0x90 <= first[0] <= 0x9F or first[0] in (0xDC, 0xDD)):  # no MessagePack array
        _readable_or_refuse(payload)
    raise Unreadable(Refusal(Code.BAD_FRAME, "a frame holds one object, JSON ({…}) or a MessagePack map"))


def read_command(payload: bytes, form: Format, max_depth: int = typed.MAX_DEPTH) -> Command:
    """The command in an object's bytes; raises `Unreadable` with what is wrong and where."""
    return _plain_send(payload, form) or _read_with_care(payload, form, max_depth)


def _plain_send(payload: bytes, form: Format) -> Send | None:
    """The message in an object's bytes if it is one that nothing can be wrong with, else None.

    Most objects are such, and it takes less than half the time. It has no `data`, which would have to be looked into,
    and as many keys as fields that are given: none is there twice, null, or unknown.
    """
    try:
        command = _request_of_json(payload) if form is Format.JSON else _request_of_msgpack(payload)
    except (ValueError, RecursionError):
        return None
    if type(command) is not Send or command.data is not None:
        return None
    if command.id is not None and len(command.id) > 16:  # it may have more than 64 bytes
        return None
    is_reply = command.reply_to is not None
    # `type` and `body` are always there.
    keys = 7 - _words_of(command).count(None) + (command.kind != "text") + is_reply
    if form is Format.MSGPACK:
        is_plain = payload[0] == 0x80 | keys
    elif BACKSLASH in payload:
        is_plain = len(KEY.findall(payload)) == keys
    else:  # two quotes for each key and each string
        is_plain = payload.count(QUOTE) == 4 * keys - 2 * is_reply
    return command if is_plain else None


def _read_with_care(payload: bytes, form: Format, max_depth: int) -> Command:
    found = _read_object(payload, form)
    request_id = found.get("id")
    if request_id is not None and (
        type(request_id) is not str or (len(request_id) > 16 and len(request_id.encode()) > 64)
    ):
        raise Unreadable(Refusal(Code.INVALID_PARAMS, "id is a string of at most 64 bytes"))
    name = found.get("type")
    kind = REQUESTS.get(name) if type(name) is str else None
    if kind is None:
        if type(name) is str:
            refusal = Refusal(Code.UNKNOWN_TYPE, f"there is no request {name[:64]!r}", details={"type": name[:64]})
        else:
            refusal = Refusal(Code.INVALID_PARAMS, "type is missing, or no string")
        raise Unreadable(refusal, request_id)
    try:
        if kind in CARRIES_DATA and found.get("data") is not None:
            read = typed.from_json if form is Format.JSON else typed.check
            found["data"] = read(found["data"], max_depth=max_depth)
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise Unreadable(Refusal(Code.INVALID_PARAMS, _plain(str(error))), request_id) from None
    except typed.TooDeep as error:
        details = {"limit": "data_depth", "value": max_depth}
        raise Unreadable(Refusal(Code.LIMIT_EXCEEDED, _short(str(error)), details=details), request_id) from None
    except (ValueError, RecursionError) as error:
        raise Unreadable(Refusal(Code.INVALID_PARAMS, _short(str(error))), request_id) from None


def _read_object(payload: bytes, form: Format) -> dict[str, Any]:
    try:
        found = _read_json.decode(payload) if form is Format.JSON else _read_msgpack.decode(payload)
    except UnicodeDecodeError:
        raise Unreadable(Refusal(Code.INVALID_UTF8, "the object is not valid UTF-8")) from None
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        _readable_or_refuse(payload) if form is Format.JSON else None
        reason = "nested too deep" if isinstance(error, RecursionError) else _plain(str(error))
        raise Unreadable(Refusal(Code.BAD_FRAME, f"the frame is not valid {form.name}: {reason}")) from None
    if type(found) is not dict:
        raise Unreadable(Refusal(Code.BAD_FRAME, f"a frame holds one object, not a {type(found).__name__}"))
    if form is Format.JSON and len(KEY.findall(payload)) != len(found):
        _refuse_double_keys(payload)
    return found


def _readable_or_refuse(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(Refusal(Code.INVALID_UTF8, f"byte {error.start} of the object is not valid UTF-8")) from None


def _refuse_double_keys(payload: bytes) -> None:
    """As many quotes before a colon as keys: no key is there twice. Otherwise this looks closer."""
    try:
        json.loads(payload, object_pairs_hook=_unique)
    except _Double as double:
        raise Unreadable(Refusal(Code.BAD_FRAME, f"the key {double.args[0][:64]!r} is there twice")) from None
    except (ValueError, RecursionError):
        raise Unreadable(Refusal(Code.BAD_FRAME, "the frame is not valid JSON")) from None


class _Double(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Double(key)
            seen.add(key)
    return found


def _plain(message: str) -> str:
    """msgspec's message in our words: `$.room` is the field `room`."""
    return _short(message.replace(" - at `$.", " at `").replace(" - at `$", " at `object"))


def _short(message: str) -> str:
    """A message that fits into a frame, even when it quotes what the peer sent: its beginning and its end."""
    return message if len(message) <= MOST_SAID else f"{message[: MOST_SAID // 2]} … {message[-MOST_SAID // 2 :]}"


# -- out -------------------------------------------------------------------------------------------------


def json_view(view: View) -> bytes:
    """A view as one JSON object, without a newline."""
    if type(view) is Message and view.data is not UNSET:
        view = structs.replace(view, data=typed.to_json(view.data))
    return _json.encode(view)


def json_reply(reply: Reply) -> bytes:
    """A reply as one JSON object. One to a request without an id becomes nothing, or an `error` event."""
    if reply.re is None:
        return _without_id(reply, json_view)
    if type(reply) is HistoryPage:
        plain = [
            structs.replace(view, data=typed.to_json(view.data))
            if type(view) is Message and view.data is not UNSET
            else view
            for view in reply.events
        ]
        reply = structs.replace(reply, events=plain)
    elif type(reply) is Pong and reply.data is not None:
        reply = structs.replace(reply, data=typed.to_json(reply.data))
    return _json.encode(reply)


def msgpack_view(view: View) -> bytes:
    """A view as one MessagePack map."""
    return _msgpack.encode(view)


def msgpack_reply(reply: Reply) -> bytes:
    """A reply as one MessagePack map; without an id as `json_reply`."""
    return _without_id(reply, msgpack_view) if reply.re is None else _msgpack.encode(reply)


def _without_id(reply: Reply, encode: Callable[[View], bytes]) -> bytes:
    if not isinstance(reply, Failure):
        return b""
    problem = reply.error
    return encode(Error(code=problem.code, message=problem.message, details=problem.details))


VIEW_WRITERS: dict[Format, Callable[[View], bytes]] = {Format.JSON: json_view, Format.MSGPACK: msgpack_view}
REPLY_WRITERS: dict[Format, Callable[[Reply], bytes]] = {
    Format.JSON: json_reply,
    Format.MSGPACK: msgpack_reply,
}


def fit(reply: HistoryPage, command: Command, form: Format, limit: int) -> bytes:
    """A page of history within `limit` bytes: cut at the side that the next page goes on from, or at both."""
    write_reply, write_view = REPLY_WRITERS[form], VIEW_WRITERS[form]
    blob = write_reply(reply)
    if len(blob) <= limit or reply.re is None:
        return blob
    events = list(reply.events)
    sizes = [len(write_view(view)) + 1 for view in events]
    total = len(blob)
    forward = isinstance(command, commands.History) and command.after is not None
    around = None
    if isinstance(command, commands.History) and command.around is not None:
        around = _place(events, command.around)
    prev, following = reply.prev, reply.next
    while total > limit and len(events) > 1:
        # What was asked for stays: around a place, the end that is farther from it goes.
        drop_last = forward if around is None else events[-1].seq - around >= around - events[0].seq
        total -= sizes.pop(-1 if drop_last else 0)
        events.pop(-1 if drop_last else 0)
        if drop_last:
            following = events[-1].seq
        else:
            prev = events[0].seq
    return write_reply(structs.replace(reply, events=events, prev=prev, next=following))


def _place(events: list[Durable], around: int | datetime) -> int:
    """The number of the event that a page was asked for around."""
    if isinstance(around, int):
        return around
    when = microseconds(around)
    return next((view.seq for view in events if microseconds(view.time) >= when), events[-1].seq)
