"""Openings: whom the first bytes of a connection belong to. PROTOCOL.md section 1.

`OPENINGS` has a line for each way in that can be told by its first bytes; `recognise` asks them in this order. An
opening may come cut at any byte: while what came could still become one of them, nobody is taken for anything. This
file knows bytes only; what is spoken then is for the ways in, and how long to wait is for `detect`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto

HTTP_METHODS = tuple(
    f"{method} ".encode()
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PRI")
)
IRC_COMMANDS = (b"CAP ", b"NICK ", b"PASS ", b"USER ")

# The classic tutorial writes a message's length in ten characters, filled with spaces.
TUTORIAL_HEADER = re.compile(rb"[0-9]{1,9} +")
TUTORIAL_BEGINNING = re.compile(rb"[0-9]{1,9} *")
TUTORIAL_BYTES = 10


class Seen(Enum):
    """What the bytes so far say about an opening."""

    YES = auto()
    PERHAPS = auto()  # so far they agree, and more have to come
    NO = auto()


def begins(*beginnings: bytes) -> Callable[[bytes], Seen]:
    """An opening that is known by how it begins."""

    def look(opening: bytes) -> Seen:
        if opening.startswith(beginnings):
            return Seen.YES
        agrees = any(beginning.startswith(opening) for beginning in beginnings)
        return Seen.PERHAPS if agrees else Seen.NO

    return look


def tutorial(opening: bytes) -> Seen:
    """A length of the classic tutorial: a decimal number, and spaces up to ten characters."""
    if len(opening) >= TUTORIAL_BYTES:
        return Seen.YES if TUTORIAL_HEADER.fullmatch(opening[:TUTORIAL_BYTES]) else Seen.NO
    return Seen.PERHAPS if TUTORIAL_BEGINNING.fullmatch(opening) else Seen.NO


OPENINGS: dict[str, Callable[[bytes], Seen]] = {
    "framed": begins(b"\x00"),
    "tls": begins(b"\x16\x03"),
    "http": begins(*HTTP_METHODS),
    "ssh": begins(b"SSH-"),
    "irc": begins(*IRC_COMMANDS),
    "tutorial": tutorial,
}


def recognise(opening: bytes) -> str | None:
    """The way in that an opening belongs to, `line` if to none of the others; None while it takes more bytes."""
    if not opening:
        return None
    is_open = False
    for name, look in OPENINGS.items():
        what = look(opening)
        if what is Seen.YES:
            return name
        is_open = is_open or what is Seen.PERHAPS
    return None if is_open else otherwise(opening)


def otherwise(opening: bytes) -> str:
    """Whose an opening is that is none of those known by name, or only the beginning of one: mostly a person's.

    A byte that no text and no telnet begins with can only be a frame's length, and one far too large: the framed
    way in says so.
    """
    return "line" if not opening or begins_text(opening[0]) else "framed"


def begins_text(byte: int) -> bool:
    """Whether a line of text can begin so: printable or a key on a keyboard, the first byte of a character in UTF-8
    (no other byte, and none that UTF-8 never has), or telnet's 0xFF."""
    return byte in b"\x03\x04\b\t\n\r\x1b" or 0x20 <= byte < 0x7F or 0xC2 <= byte <= 0xF4 or byte == 0xFF
