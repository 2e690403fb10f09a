"""The streams of a cluster: what each is called, and which events go into which.

There is one, in which everything has one order. Or, with `journal.shards`, there is one for the people and the names of
rooms, and so many beside it for what happens in rooms, each of which stays in one of them. Every stream has an order of
its own; and as each message says how far its node had come in all of them (`after`), and is taken nowhere before that,
nothing comes before what its author knew.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from chatd.core.charge import SERVER_ID
from chatd.core.cluster_events import Brought, RoomBrought
from chatd.core.events import (
    Admitted,
    Event,
    MessageSent,
    Moderated,
    Purged,
    ReadMarked,
    Related,
    RoomChanged,
    RoomMade,
)

NAMES = 0
"""The stream of people, nodes, and the names of rooms; that of everything, if it is the only one."""

IN_ROOMS = (MessageSent, Related, RoomChanged, Moderated, Admitted, ReadMarked, Purged, Brought)
"""What happens in one room, and needs no more than that the room is there."""

MAKES_ROOMS = (RoomMade, RoomBrought)

_IN_ROOMS = frozenset(IN_ROOMS)


def names_of(stream: str, shards: int) -> list[str]:
    """What the streams are called, that of names first."""
    return [stream] if shards == 1 else [stream, *(f"{stream}-{number}" for number in range(1, shards + 1))]


def subject_of(stream: str, number: int) -> str:
    """The subject of the messages of one of the streams."""
    return f"{stream}.log.{number}" if number else f"{stream}.log"


def number_of(event: Event, streams: int) -> int:
    """Into which of so many streams an event goes."""
    if streams == 1 or type(event) not in _IN_ROOMS:
        return NAMES
    room_id: str = event.room_id  # type: ignore[attr-defined]  # those have one
    return NAMES if room_id == SERVER_ID else 1 + crc32(room_id.encode()) % (streams - 1)


def has_come(reached: Sequence[int], after: Sequence[int]) -> bool:
    """Whether a node that has come so far has all that a message comes after."""
    return all(there >= needed for there, needed in zip(reached, after, strict=False))
