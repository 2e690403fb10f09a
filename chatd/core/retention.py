"""Retention: what is too old is removed, from the beginning of a room, a slice at a time.

It says how long which room keeps what was said, what to ask the journal, and what to propose then. When to look is
for others to know.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from chatd.core.events import Purged
from chatd.core.names import fold
from chatd.core.questions import Page, PageWanted, Side

SLICE = 1_000
"""The most that one event removes: so much that it is worth a turn, so little that nobody waits for it."""

PATTERN = r"^([1-9][0-9]{0,4}[hdw])?\Z"
"""How an age is written: a number of hours, days or weeks; or nothing, for ever."""

_SECONDS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


def age(written: str) -> int:
    """The age in microseconds; 0 for ever. The text matches `PATTERN`."""
    return int(written[:-1]) * _SECONDS[written[-1]] * 1_000_000 if written else 0


class Ages(Struct, frozen=True):
    """How long what was said is kept, in microseconds; 0 is for ever. `by_room` has the folded names of rooms."""

    everywhere: int = 0
    by_room: dict[str, int] = {}

    def of(self, room: str) -> int:
        """The age that holds for a room of this name; a direct room has none, and is treated as most are."""
        return self.by_room.get(fold(room), self.everywhere)


def ages(everywhere: str, by_room: Mapping[str, str]) -> Ages:
    """The ages as they are written in the settings. The texts match `PATTERN`."""
    return Ages(age(everywhere), {fold(room): age(written) for room, written in by_room.items()})


def oldest_kept(room_id: str, before: int) -> PageWanted:
    """The question for the first event of a room that is not older than the time `before`."""
    return PageWanted(room_id, Side.AFTER, before - 1, 1, by_time=True)


def step(room_id: str, page: Page) -> Purged | None:
    """The next event that removes something from the room, after the answer to `oldest_kept`; None if all may stay."""
    low, high = page.span
    keep = low if high >= low else page.last_seq + 1  # what is damaged may be young, and is not removed
    return Purged(room_id, min(keep, page.first_seq + SLICE)) if keep > page.first_seq else None
