"""Tokens: the way back to one's identity without a password, over a restart or a crash of the server.

A token is signed (HMAC-SHA256, RFC 2104) with the journal's secret and stored nowhere, so guests cost nothing
once they are gone. It tells the user id, the nick at the time, and when it was issued. It is good for a year
(`token_seconds`), and that of an account no longer than its password stays as it is.
"""

from __future__ import annotations

import base64
import binascii
import hmac

import msgspec
from msgspec import Struct

PREFIX = "c1"
SIGNATURE_BYTES = 16


class Identity(Struct, frozen=True, array_like=True):
    """Who a token is for. `issued` in seconds since 1970; `room` if it is good for one room only.

    `generation` is the account's at the time, and 0 for a guest; a changed password has made it another one.
    """

    user_id: str
    nick: str
    issued: int
    generation: int = 0
    device: str = ""
    room: str = ""


def sign(secret: bytes, identity: Identity) -> str:
    """The token for this identity: printable, without spaces."""
    text = f"{PREFIX}.{_encode(msgspec.msgpack.encode(identity))}"
    return f"{text}.{_encode(_signature(secret, text))}"


def read(secret: bytes, token: str, *, now: float, lifetime: float) -> Identity | None:
    """Whom this token is for, or None if it is not ours, was changed, or is older than `lifetime` seconds.

    One for a single room has no end: it is for machines, and what is written into their settings stays there for years.
    """
    text, _, signature = token.rpartition(".")
    try:
        # Compared as it is written: one signature can be spelled in several ways, and only one of them is ours.
        if not hmac.compare_digest(signature.encode(), _encode(_signature(secret, text)).encode()):
            return None
        identity = msgspec.msgpack.decode(_decode(text.removeprefix(PREFIX + ".")), type=Identity)
    except (ValueError, binascii.Error):  # msgspec's errors are ValueErrors
        return None
    return identity if identity.room or now - identity.issued <= lifetime else None


def _signature(secret: bytes, text: str) -> bytes:
    return hmac.digest(secret, text.encode(), "sha256")[:SIGNATURE_BYTES]


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
