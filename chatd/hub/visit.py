"""A visit: where somebody is who can come back, and what of each room has really reached them.

A room counts as shown up to a number when the peer's kernel has acknowledged the bytes that show it. So each number is
marked with where in the stream it ends, and the marks up to what is acknowledged become the room's place. Marks are few
while the peer reads, and their number is bounded when it does not; a mark that there is no room for makes a line come
twice later, and never not at all.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from chatd.core.events import Bookmark, Shown
from chatd.core.state import State

if TYPE_CHECKING:
    from chatd.hub.link import Link

LOOK_MARKS = 32  # with so many more, the kernel is asked
MOST_MARKS = 4096  # 24 bytes each
MOST_ROOMS = 500

Steps = tuple[int, Sequence[tuple[int, int]]]
"""The length of a piece of bytes, and in it the ends of what shows each number: (end, number)."""


def steps_of(pieces: Sequence[Any], encoded: Sequence[bytes]) -> Steps:
    """What a room's pieces, written in one, make shown, and where each ends."""
    ends = list(accumulate(map(len, encoded)))
    shown = [(end, piece.entry.seq) for piece, end in zip(pieces, ends, strict=True) if piece.entry is not None]
    return ends[-1], shown


class Visit:
    """One person's presence by a word, from coming in to the bookmark that is kept of its end."""

    __slots__ = (
        "_ends",
        "_look_at",
        "_rooms",
        "_seqs",
        "_state",
        "current",
        "ended",
        "kept",
        "key",
        "left",
        "link",
        "nick",
        "places",
        "proposed",
        "proposed_at",
        "user_id",
        "word",
    )

    def __init__(self, word: str, bookmark: Bookmark, link: Link, state: State) -> None:
        self.word = word
        self.key = bookmark.key
        self.user_id = bookmark.user_id
        self.nick = bookmark.nick
        self.current = bookmark.current
        self.link = link
        self.places: dict[str, int] = {}  # room id: the number up to which it was shown
        self.left: tuple[Shown, ...] | None = None  # the rooms that were there to the end
        self.ended = False  # no more will be acknowledged
        self.kept: Bookmark | None = None  # what the journal has
        self.proposed: Bookmark | None = None
        self.proposed_at = 0.0
        self._state = state
        self._ends = array("Q")  # where in the stream of bytes …
        self._seqs = array("Q")  # … this number …
        self._rooms: list[str] = []  # … of this room ends
        self._look_at = LOOK_MARKS

    # -- what is written ----------------------------------------------------------------------------------

    def enters(self, room_id: str, before: int) -> None:
        """The room begins after this number, or goes on after another that is known already."""
        self.places.setdefault(room_id, before)
        self.shows(room_id, before)

    def shows(self, room_id: str, seq: int) -> None:
        """All that was written so far shows the room up to this number."""
        self._mark(room_id, seq, self.link.connection.written)

    def shows_steps(self, room_id: str, steps: Steps) -> None:
        """What was written last shows these numbers."""
        length, shown = steps
        before = self.link.connection.written - length
        for end, seq in shown:
            self._mark(room_id, seq, before + end)

    def _mark(self, room_id: str, seq: int, end: int) -> None:
        if self.link.connection.closing:  # it was not written any more
            return
        if len(self._ends) >= self._look_at:
            self.look()
            self._look_at = min(MOST_MARKS, 2 * len(self._ends) + LOOK_MARKS)
            if len(self._ends) >= MOST_MARKS:
                if self._rooms[-1] == room_id:
                    self._ends[-1], self._seqs[-1] = end, seq
                return
        self._ends.append(end)
        self._seqs.append(seq)
        self._rooms.append(room_id)

    def look(self) -> None:
        """Take in what the peer has acknowledged since the last time."""
        if not self._ends:
            return
        count = bisect_right(self._ends, self.link.connection.acknowledged())
        if count:
            self.places.update(zip(self._rooms[:count], self._seqs[:count], strict=True))  # the later ones count
            del self._ends[:count], self._seqs[:count], self._rooms[:count]

    # -- what is kept -------------------------------------------------------------------------------------

    def leave(self) -> None:
        """The session ends: the rooms of this moment are those to come back to."""
        self.left = self._here()

    def bookmark(self) -> Bookmark:
        """Where the person is now, as far as it has been acknowledged."""
        self.look()
        if self.left is None:
            rooms = self._here()
        else:
            rooms = tuple(Shown(one.room_id, one.name, self.places.get(one.room_id, one.seq)) for one in self.left)
        return Bookmark(self.key, self.user_id, self.nick, self.current, rooms, self.ended)

    def _here(self) -> tuple[Shown, ...]:
        state, places = self._state, self.places
        user = state.users.get(self.user_id)
        if user is not None:
            self.nick = user.nick
        self.current = self._room_looked_at()
        inside = self.link.rooms
        rooms = [Shown(room_id, state.rooms[room_id].name, places.get(room_id, 0)) for room_id in inside]
        for room_id, seq in places.items():
            if room_id not in inside and (room := state.rooms.get(room_id)) is not None and room.parties is not None:
                rooms.append(Shown(room_id, "", seq))
        return tuple(rooms[:MOST_ROOMS])

    def _room_looked_at(self) -> str:
        name: str = self.link.connection.looked_at
        room = self._state.direct_with(self.user_id, name[1:]) if name[:1] == "@" else self._state.room_called(name)
        return "" if room is None else room.id
