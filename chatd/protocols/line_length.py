"""How long a line may be: as long as a message, and the command before it."""

from __future__ import annotations

from chatd.core.codes import Code, Refusal
from chatd.core.limits import Limits

COMMAND_BYTES = 512  # how much longer than a message a line may be, for a command and its names


def longest(limits: Limits) -> int:
    """The most bytes that one line may have."""
    return min(limits.frame_bytes, limits.body_bytes + COMMAND_BYTES)


def too_long(most: int) -> Refusal:
    """The refusal of a line that is longer than any message may be."""
    text = f"the line is too long, {most} bytes are allowed (body_bytes)"
    return Refusal(Code.MESSAGE_TOO_LONG, text, details={"limit": "body_bytes", "value": most})
