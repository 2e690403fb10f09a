"""The chain: what ties each stored event to the one before it, so that a changed, missing or swapped one is found.

Each event has a link: a hash of the link before it in its room, of its own header, and of the digest of its content.
A redaction takes the content away and leaves the digest in its place, so the link is as good as before. The chain
finds accidents, and changes by those who do not know it; it is no signature: who may write the file can make it anew.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from chatd.core.events import MessageSent, Moderated, Numbered, Related, RoomChanged
from chatd.journal.stored import encode

SIZE = 16
"""Of a link and of a digest, in bytes."""

START = bytes(SIZE)
"""What a room's first event has for the link before it."""


TAGS: dict[type[Numbered], Any] = {
    kind: kind.__struct_config__.tag for kind in (MessageSent, Related, RoomChanged, Moderated)
}


def digest_of(blob: bytes) -> bytes:
    """The digest of an event's content: of its bytes as they were stored at first."""
    return blake2b(blob, digest_size=SIZE).digest()


def link(before: bytes, event: Numbered, seq: int, time: int, digest: bytes) -> bytes:
    """The link of an event, after the one `before` it. What a redaction leaves of the event gives the same."""
    msg_id: Any = getattr(event, "msg_id", None)
    header = encode((event.room_id, seq, time, event.author, msg_id, TAGS[type(event)]))
    return blake2b(before + digest + header, digest_size=SIZE).digest()
