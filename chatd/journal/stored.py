"""The stored form of events: bytes, and the few judgements that look into an event.

It knows when two events say the same and what a redacted event loses. Where the bytes lie is for others.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Any
from zlib import crc32

import msgspec
from msgspec import structs

from chatd.core.events import Bookmark, MessageSent, Moderated, Numbered, Related, RoomChanged

Identified = MessageSent | Related
"""The events that may carry a `msg_id`."""

IDENTIFIED = frozenset((MessageSent, Related))

_DECODER = msgspec.msgpack.Decoder(MessageSent | Related | RoomChanged | Moderated)
_BOOKMARKS = msgspec.msgpack.Decoder(Bookmark)
_PLAIN = msgspec.msgpack.Encoder()
_SORTED = msgspec.msgpack.Encoder(order="deterministic")

encode = _PLAIN.encode
"""The bytes of an event. Raises `TypeError`, `ValueError` or `OverflowError` for what no store could hold."""


def decode(blob: bytes) -> Numbered:
    """The numbered event with these bytes; raises `msgspec.MsgspecError` if they are none."""
    event: Numbered = _DECODER.decode(blob)
    return event


def decode_bookmark(blob: bytes) -> Bookmark:
    """The bookmark with these bytes; raises `msgspec.MsgspecError` if they are none."""
    return _BOOKMARKS.decode(blob)


def msg_key(author: str, msg_id: str) -> int:
    """A signed 64-bit number to look a message up by. Two messages may share one: compare what is found.

    The upper 24 bits come from the author and from the `msg_id` without its end: ids are mostly counted, so what
    one client says in a row lies together in an index, and a commit writes fewer pages (measured with
    bench/journal.py: a quarter of the cost of a message). The lower 40 are a cryptographic hash of all of it,
    because a `msg_id` is the peer's choice: nobody can pile up messages under one key.
    """
    highest, name = _of_author(author)
    word = msg_id.encode("utf-8", "surrogatepass")
    near = highest | (crc32(word[:-2]) & 0xFFF) << 40
    return near + int.from_bytes(blake2b(name + word, digest_size=5).digest())


@lru_cache(maxsize=4096)
def _of_author(author: str) -> tuple[int, bytes]:
    """What all keys of an author begin with, and what they are a hash of."""
    name = author.encode("utf-8", "surrogatepass")
    return ((crc32(name) & 0xFFF) << 52) - (1 << 63), name + b"\0"


def is_same(earlier: Numbered, event: Identified) -> bool:
    """Whether an event is a repetition of an earlier one by the same author with the same `msg_id`.

    Room and content must be the same; the nick may differ. Of a redacted one only what is left can be compared.
    """
    if type(earlier) is not type(event) or earlier.room_id != event.room_id:
        return False
    if isinstance(earlier, Related) and isinstance(event, Related):
        if (earlier.rel, earlier.target) != (event.rel, event.target):
            return False
        return earlier.redacted or _spelled(_words(earlier)) == _spelled(_words(event))
    if isinstance(earlier, MessageSent) and isinstance(event, MessageSent):
        return earlier.redacted or _spelled(_words(earlier)) == _spelled(_words(event))
    return False


def _words(event: Identified) -> tuple[Any, ...]:
    if isinstance(event, MessageSent):
        return (event.kind, event.body, event.reply_to, event.data, event.schema)
    return (event.body, event.key, event.reason)


def _spelled(words: tuple[Any, ...]) -> bytes:
    # Bytes, because 1, 1.0 and True are equal in Python but not in a message, and NaN is not equal to itself.
    # Sorted, because the order of keys is no part of what is said.
    try:
        return _SORTED.encode(words)
    except TypeError:  # MessagePack may have keys that cannot be sorted
        return _PLAIN.encode(words)


def cleared(event: Numbered) -> Numbered:
    """What is left of a redacted event: everything but what was said."""
    if isinstance(event, MessageSent):
        return structs.replace(event, body="", data=None, schema=None, redacted=True)
    if isinstance(event, Related):
        return structs.replace(event, body=None, key=None, reason=None, redacted=True)
    return event
