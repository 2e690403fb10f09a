"""Sizes: what may be said at once, so that it can be shown to everyone, whatever they speak.

Nothing is ever cut short: what is over a limit is refused, and the refusal names the limit. A body's limits are for
people; the frame's is for programs, and holds for JSON and MessagePack alike.
"""

from __future__ import annotations

import msgspec

from chatd.core import typed
from chatd.core.codes import Code, Refusal
from chatd.core.context import Context
from chatd.core.text import count_lines

FRAME_HEADROOM = 2048  # what an event needs in a frame besides body, data and schema: names, numbers, times


def check_body(context: Context, body: str) -> None:
    """Refuse a body that is empty or over a limit; nothing is ever cut short."""
    limits = context.rules.limits
    length = len(body)
    if length <= limits.body_lines and 0 < 4 * length <= limits.body_bytes:
        return  # so short that it can break no limit: no character has more than 4 bytes, no line less than one
    if not body:
        raise Refusal(Code.INVALID_PARAMS, "body is empty")
    size = length if body.isascii() else len(body.encode())
    if size > limits.body_bytes:
        raise too_long("body_bytes", limits.body_bytes, f"the body has {size} bytes")
    lines = count_lines(body)
    if lines > limits.body_lines:
        raise too_long("body_lines", limits.body_lines, f"the body has {lines} lines")


def check_size(context: Context, body: str, value: object, schema: str | None = None) -> None:
    """Refuse data over its limit, and what would not fit into a frame, as JSON or as MessagePack."""
    limits = context.rules.limits
    size = 0
    if value is not None:
        try:
            typed.check(value, max_depth=limits.data_depth)
        except ValueError as error:
            raise Refusal(Code.INVALID_PARAMS, str(error)) from None
        size = len(msgspec.json.encode(typed.to_json(value)))
        if size > limits.data_bytes:
            raise too_long("data_bytes", limits.data_bytes, f"data has {size} bytes as JSON")
        # A list of short floats, and nothing else, is more than twice as large as MessagePack.
        size = max(size, len(msgspec.msgpack.encode(value)))
    most = limits.frame_bytes - FRAME_HEADROOM
    whole = size + len(msgspec.json.encode((body, schema)))
    if whole > most:
        raise too_long("frame_bytes", most, f"body and data have {whole} bytes as they are sent")


def too_long(limit: str, value: int, what: str) -> Refusal:
    """The refusal of something over a size limit, which it names."""
    return Refusal(
        Code.MESSAGE_TOO_LONG,
        f"{what}, {value} are allowed ({limit})",
        details={"limit": limit, "value": value},
    )
