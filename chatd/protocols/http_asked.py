"""What a request asks of a room: who asks, which page of it, which message, and how the answer is to be written.

Requests in, commands out, or a refusal that says which parameter is wrong.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs

import msgspec

from chatd.core.codes import Code, Refusal
from chatd.core.commands import History, Send
from chatd.protocols.wire import Format, read_command

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"

LARGEST = 2**53  # beyond that JSON's numbers are not exact everywhere
SHOWN = 50  # messages, unless a limit is given
FIELDS = ("body", "kind", "reply_to", "data", "schema", "msg_id")
"""What a message in JSON may have."""

IDEMPOTENCY_KEY = re.compile(r'^"?[!#-~]{1,64}"?$')


class Wrong(Refusal):
    """Something about the request itself."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.INVALID_PARAMS, message)


def token_of(request: Any) -> str | None:
    """The bearer token of a request, None if there is none; refuses other schemes."""
    found = request.headers_of(b"Authorization")
    if not found:
        return None
    scheme, _, token = found[0].partition(" ")
    if len(found) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise Refusal(Code.AUTH_FAILED, "say who you are with: Authorization: Bearer TOKEN")
    return str(token.strip())


def one(request: Any, name: str) -> str | None:
    """A parameter of the query, which is given once; None if it is not there."""
    found = request.query.get(name)
    if not found:
        return None
    if len(found) > 1:
        raise Wrong(f"{name} is given {len(found)} times")
    return str(found[0])


def number(request: Any, name: str) -> int | None:
    """A parameter that is a number."""
    found = one(request, name)
    if found is None:
        return None
    if not (found.isascii() and found.isdecimal() and len(found) < 17 and int(found) <= LARGEST):
        raise Wrong(f"{name} is a number, such as a message's own")
    return int(found)


def wants(request: Any) -> str:
    """How the answer is to be written: `format` decides, else what is accepted."""
    formats = {"text": TEXT, "json": JSON, "html": HTML}
    found = request.query.get("format")
    if found:
        if found[-1] not in formats:
            raise Wrong("format is text, json or html")
        return formats[found[-1]]
    return accepted(request)


def accepted(request: Any) -> str:
    """The same by what the caller accepts."""
    kinds = ",".join(request.headers_of(b"Accept")).lower()
    if "text/html" in kinds:
        return HTML
    return JSON if JSON in kinds else TEXT


def history_of(request: Any, room: str) -> History:
    """The page that a request asks for."""
    limit = number(request, "limit")
    if limit == 0:
        raise Wrong("limit is at least 1")
    return History(
        id="h",
        room=room,
        before=number(request, "before"),
        after=number(request, "since"),
        around=number(request, "around"),
        limit=SHOWN if limit is None else limit,
        query=one(request, "query"),
        author=one(request, "from"),
    )


def message_of(request: Any, room: str) -> Send:
    """The message that a request brings: its whole body, or an object of JSON as `send` takes it."""
    content: bytes = request.content.read()
    kind = ",".join(request.headers_of(b"Content-Type")).partition(";")[0].strip().lower()
    if kind == JSON:
        fields = fields_of(content)
    elif kind == "application/x-www-form-urlencoded" and content.startswith(b"payload="):
        fields = fields_of(parse_qs(content.decode("utf-8", "replace"), keep_blank_values=True)["payload"][0].encode())
    else:
        try:
            fields = {"body": content.decode().removesuffix("\n")}
        except UnicodeDecodeError as error:
            raise Refusal(Code.INVALID_UTF8, f"byte {error.start} of the message is not valid UTF-8") from None
    keys = request.headers_of(b"Idempotency-Key")
    if len(keys) > 1:
        raise Wrong("there is more than one Idempotency-Key")
    if keys and not IDEMPOTENCY_KEY.match(keys[0]):
        raise Wrong("Idempotency-Key is 1 to 64 visible characters of ASCII")
    if not fields.get("body"):
        raise Wrong("a message has a body")
    fields |= {"type": "send", "id": "s", "room": room}
    command = read_command(msgspec.json.encode(fields), Format.JSON)
    assert isinstance(command, Send)
    # The key takes the place of a msg_id only when that has been looked at: what is wrong is refused, not covered up.
    return msgspec.structs.replace(command, msg_id=keys[0].strip('"')) if keys else command


def fields_of(content: bytes) -> dict[str, Any]:
    """The fields of an object that is posted; `text` is what others call `body`."""
    try:
        found = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Wrong("the message is not an object of JSON")
    if not isinstance(found.get("text", ""), str):
        raise Wrong("text is not a string")
    found.setdefault("body", found.get("text"))
    return {name: found[name] for name in FIELDS if name in found}
