"""What a client has heard of each room, so that every event is shown once, in order, and none is missed.

A room's durable events are numbered without holes. A `Track` keeps the highest number up to which everything
was shown. An event at or below it is a duplicate; the next one is shown; a jump means that something is
missing. Then (and also while the reader cannot take more) the room is *behind*: live events are not shown but
only noted, and the missing ones are read from history, page by page, until the pages have reached the noted
number. As replies and events of one connection come in order, the next live event then fits again.

Pure: what is to be asked is left in `behind()`, and the session asks it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from msgspec import UnsetType

from chatd.client.happenings import RoomLost
from chatd.client.wire import PASSING, Envelope
from chatd.core.codes import Code
from chatd.core.names import fold
from chatd.core.replies import HistoryPage, Joined, Resumed
from chatd.core.views import CaughtUp, Durable, Gap, Member, Message, Presence, Relation, Room, View

Since = int | Literal["now", "last"] | None
Reason = Literal["retention", "skipped", "permission"]


@dataclass(slots=True)
class Track:
    """One room. `seen` is None until the first number is known; `noted` is the highest number heard of."""

    name: str
    room_id: str = ""
    seen: int | None = None
    noted: int = 0
    behind: bool = False
    asking: bool = False  # a page is on its way
    caught_up: bool = False  # the server said so while we were behind: tell it afterwards
    joined: bool = False
    began: int | None = None  # what `seen` was when we joined: nothing after it had been shown
    topic: str = ""


class Rooms:
    """All the rooms that this client is in, by name. `full`: the reader cannot take more events just now."""

    def __init__(self) -> None:
        self._tracks: dict[str, Track] = {}  # by folded name
        self.full = False

    def __iter__(self) -> Iterator[Track]:
        return iter(self._tracks.values())

    def get(self, room: str) -> Track | None:
        """The track of the room that is called so."""
        return self._tracks.get(fold(room))

    # -- what we did -----------------------------------------------------------------------------------------

    def entered(self, joined: Joined, since: Since) -> None:
        """We joined: numbers count from `since`, or from now."""
        track = self._track(joined.room, joined.room_id)
        another = track.room_id not in ("", joined.room_id)
        track.room_id, track.topic, track.joined = joined.room_id, joined.topic, True
        track.behind = track.asking = track.caught_up = False
        track.seen = since if isinstance(since, int) else None if since == "last" else joined.last_seq
        track.noted = track.seen or 0
        if isinstance(since, int) and since and (another or joined.last_seq < since):
            self._begin_anew(track, joined.last_seq)
        track.began = track.seen

    def left(self, room: str) -> None:
        """We are no longer there."""
        self._tracks.pop(fold(room), None)

    def known(self, room: str, room_id: str, seq: int) -> None:
        """From an earlier life: everything up to `seq` was shown."""
        self._tracks[fold(room)] = Track(room, room_id, seen=seq, noted=seq)

    def disconnected(self) -> None:
        """What was being asked will not be answered; replay starts from what was seen."""
        for track in self:
            track.behind = track.asking = track.caught_up = False
            track.noted = track.seen or 0

    def to_resume(self) -> dict[str, int]:
        """The rooms to take up again, and from where."""
        return {track.name: track.seen for track in self if track.joined and track.seen is not None}

    def without_number(self) -> list[str]:
        """The rooms that were entered from the server's own cursor on, and in which nothing was heard yet."""
        return [track.name for track in self if track.joined and track.seen is None]

    def resumed(self, reply: Resumed) -> list[str]:
        """The rooms that the server did not take up."""
        for name, room in reply.rooms.items():
            track = self.get(name)
            if track is not None and track.seen is not None and room.last_seq < track.seen:
                self._begin_anew(track, room.last_seq)
        return [name for name in self.to_resume() if name not in reply.rooms]

    def put_out(self, view: Presence, nick: str) -> RoomLost | None:
        """Whether we are in a room no longer, because of somebody else: it is forgotten then."""
        room = view.room or ""
        reason = next((one.reason for one in view.left or () if one.nick == nick), None)
        if reason is None or self.get(room) is None:
            return None
        self.left(room)
        return RoomLost(room=room, code=Code.KICKED, message=reason)

    # -- what we hear ----------------------------------------------------------------------------------------

    def heard(self, view: View) -> list[View]:
        """An event came, live or by replay: what is to be shown now."""
        match view:
            case Message() | Relation() | Member() | Room():
                return [view] if self._fits(view) else []
            case CaughtUp():
                return [view] if self._has_caught_up(view) else []
            case Gap():
                return self._gap(view)
            case _:
                return [view]

    def unreadable(self, envelope: Envelope) -> None:
        """An event of an unknown kind came. If it is numbered, it counts, and is not shown."""
        room, seq = envelope.room, envelope.seq
        if envelope.type in PASSING or not isinstance(room, str) or not isinstance(seq, int):
            return
        track = self._track(room)
        if track.seen is None or track.seen == seq - 1:
            track.seen = seq
        elif seq > track.seen:
            track.behind = True
        track.noted = max(track.noted, seq)

    def _fits(self, event: Durable) -> bool:
        track = self._of(event)
        if track.seen is None:
            track.seen = event.seq - 1
        if event.seq <= track.seen:
            return False
        track.noted = max(track.noted, event.seq)
        if track.behind or self.full or event.seq != track.seen + 1:
            track.behind = True
            return False
        track.seen = event.seq
        return True

    def _gap(self, gap: Gap) -> list[View]:
        track = self._track(gap.room)
        seen = gap.first - 1 if track.seen is None else track.seen
        if gap.last <= seen:
            return []
        track.noted = max(track.noted, gap.last)
        if track.behind or gap.first > seen + 1:
            track.behind = True  # history will tell the same in its place
            return []
        track.seen = gap.last
        return [Gap(room=gap.room, first=seen + 1, last=gap.last, reason=gap.reason)]

    def _has_caught_up(self, event: CaughtUp) -> bool:
        track = self._track(event.room)
        if track.seen is None:
            track.seen = event.seq
        track.noted = max(track.noted, event.seq)
        if track.behind or track.seen < event.seq:
            track.behind = track.caught_up = True
            return False
        return True

    # -- reading what is missing -----------------------------------------------------------------------------

    def behind(self) -> list[Track]:
        """The rooms of which a page after `seen` is to be asked now; each is told once until its page has come."""
        if self.full:
            return []
        wanting = [track for track in self if track.behind and not track.asking]
        for track in wanting:
            track.asking = True
        return wanting

    def page(self, room: str, page: HistoryPage) -> list[View]:
        """The page that was asked for: what is to be shown now."""
        track = self.get(room)
        if track is None or not track.asking:
            return []
        track.asking = False
        shown: list[View] = []
        seen = track.seen or 0
        for event in page.events:
            if event.seq > seen + 1:
                shown.append(self._hole(track, event.seq - 1, page.first_seq))
            if event.seq > seen:
                shown.append(event)
                seen = track.seen = event.seq
        gaps = [] if isinstance(page.gaps, UnsetType) else page.gaps
        for gap in gaps:  # at the end of the page; those before were told by the numbers
            if gap.last > seen:
                shown.append(self._hole(track, gap.last, page.first_seq))
                seen = gap.last
        track.noted = max(track.noted, page.last_seq if page.next is not None else 0, seen)
        if seen < track.noted and (page.next is None or not (page.events or gaps)):
            shown.append(self._hole(track, track.noted, page.first_seq))
        return shown + self._caught_up_at_last(track)

    def no_page(self, room: str) -> list[View]:
        """History cannot be had: what is missing is told as a gap."""
        track = self.get(room)
        if track is None:
            return []
        track.asking = False
        shown: list[View] = []
        if (track.seen or 0) < track.noted:
            shown.append(self._hole(track, track.noted, 0, "permission"))
        return shown + self._caught_up_at_last(track)

    # -- inside ----------------------------------------------------------------------------------------------

    def _hole(self, track: Track, last: int, first_kept: int, reason: Reason = "skipped") -> Gap:
        first = (track.seen or 0) + 1
        track.seen = last
        return Gap(room=track.name, first=first, last=last, reason="retention" if last < first_kept else reason)

    def _caught_up_at_last(self, track: Track) -> list[View]:
        if (track.seen or 0) < track.noted:
            return []
        track.behind = False
        if not track.caught_up:
            return []
        track.caught_up = False
        return [CaughtUp(room=track.name, seq=track.seen or 0)]

    def _track(self, room: str, room_id: str = "") -> Track:
        track = self.get(room)
        if track is None:
            track = self._tracks[fold(room)] = Track(room, room_id)
        return track

    def _of(self, event: Durable) -> Track:
        room_id = event.event_id.rpartition(":")[0]
        track = self.get(event.room)
        if track is None:
            track = self._renamed(event.room, room_id) or self._track(event.room, room_id)
        if room_id and track.room_id and room_id != track.room_id:
            # Another room has the name now: its numbers begin anew, and all before this event is new to us. Of
            # somebody else who has taken a nick only what is said from now on is.
            track.seen = event.seq - 1 if track.name.startswith("@") else 0
            track.noted, track.behind, track.asking = track.seen, False, False
        track.room_id = room_id or track.room_id
        track.joined = True
        return track

    def _renamed(self, room: str, room_id: str) -> Track | None:
        """The track of a room that was called otherwise so far, moved to its new name."""
        for track in list(self):
            if room_id and track.room_id == room_id:
                del self._tracks[fold(track.name)]
                track.name = room
                self._tracks[fold(room)] = track
                return track
        return None

    def _begin_anew(self, track: Track, last_seq: int) -> None:
        """The server has lost its journal, or another room has the name: everything there is new to us."""
        track.seen = 0
        track.noted = last_seq
        track.behind = last_seq > 0
