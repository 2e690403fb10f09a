"""Where a replay begins: which numbers are shown to somebody who joins with `since`, and which cannot be."""

from __future__ import annotations

from msgspec import Struct

from chatd.core.state import Room
from chatd.core.views import Gap


class Plan(Struct, frozen=True):
    """`start` is the first number to show; `gaps` are told before it; `announced`: the joint will be marked."""

    start: int
    gaps: tuple[Gap, ...] = ()
    announced: bool = False

    @property
    def limited(self) -> bool:
        """Not everything since is shown."""
        return bool(self.gaps)


def plan(room: Room, name: str, since: int | str | None, most: int | None = None) -> Plan:
    """The replay for somebody who knows the room, called `name`, up to `since`; at most `most` entries of it."""
    if not isinstance(since, int):
        return Plan(room.last_seq + 1)
    start, gaps = since + 1, []
    if start < room.first_seq:
        gaps.append(Gap(room=name, first=start, last=room.first_seq - 1, reason="retention"))
        start = room.first_seq
    if most is not None and room.last_seq - start + 1 > most:
        first, start = start, room.last_seq - most + 1
        gaps.append(Gap(room=name, first=first, last=start - 1, reason="skipped"))
    return Plan(start, tuple(gaps), announced=True)
