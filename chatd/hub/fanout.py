"""Fan-out: what is to be shown to a room, gathered during a turn and written once for each connection.

A room's audience is grouped by encoder, so that each piece is encoded once for each dialect and the whole turn is one
shared `bytes` for everyone in a group; a turn that brings more than a slow reader may have waiting is written in
runs, and each reader takes as many as it keeps up with. Only those who wrote something in this turn are treated
apart: they get their reply in the place of their own message. Membership changes flush the room first, so a flush is
always right for exactly those who are in the group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from twisted.logger import Logger

from chatd.core.events import Entry
from chatd.core.limits import Limits
from chatd.core.shown import view_of
from chatd.core.views import Presence, View
from chatd.hub.comings import Comings
from chatd.hub.counts import Counts
from chatd.hub.link import Link, Ticket
from chatd.hub.visit import steps_of

BATCH_SECONDS = 1.0  # how long a large room gathers comings and goings


class Piece(Struct, gc=False):
    """Something to show. With an `entry` the author's other sessions are shown it too, without one not."""

    view: View
    author: str = ""
    ticket: Ticket | None = None
    entry: Entry | None = None


class Audience:
    """Who in this process is shown a room live, and what is waiting to be shown to them.

    `absent` are those who are shown it out of the journal for now, with the encoder that they had.
    """

    __slots__ = ("absent", "comings", "groups", "name", "pieces", "size", "timer")

    def __init__(self, name: str) -> None:
        self.name = name
        self.groups: dict[Any, dict[Link, None]] = {}
        self.absent: dict[Link, Any] = {}
        self.size = 0
        self.pieces: list[Piece] = []
        self.comings: Comings | None = None
        self.timer: Any = None

    def add(self, link: Link, encoder: Any) -> None:
        self.groups.setdefault(encoder, {})[link] = None
        self.size += 1

    def remove(self, link: Link, encoder: Any) -> None:
        group = self.groups[encoder]
        del group[link]
        if not group:
            del self.groups[encoder]
        self.size -= 1


class Fanout:
    """All audiences of this process. `counts` is told what slow readers are not shown.

    `answer` is called for each piece with a ticket, where the reply belongs; `overrun` for a link whose
    peer does not keep up, instead of writing to it; `wake` when there is something to flush.
    """

    log = Logger()

    def __init__(
        self,
        *,
        limits: Limits,
        counts: Counts,
        reactor: Any,
        answer: Callable[[Ticket, Entry], None],
        overrun: Callable[[Link, str, list[Piece]], None],
        wake: Callable[[], None],
        members: Callable[[str], int],
        links_of: Callable[[str], list[Link]],
    ) -> None:
        self.limits = limits
        self.counts = counts
        self.reactor = reactor
        self.answer = answer
        self.overrun = overrun
        self.wake = wake
        self.members = members
        self.links_of = links_of
        self.audiences: dict[str, Audience] = {}
        self.dirty: dict[str, Audience] = {}

    # -- who ----------------------------------------------------------------------------------------------

    def enter(self, room_id: str, name: str, link: Link) -> None:
        """Show the room live to this link from now on."""
        self.flush_room(room_id)  # first: an audience that does not keep up may be gone then
        audience = self.audiences.get(room_id)
        if audience is None:
            audience = self.audiences[room_id] = Audience(name)
        encoder = link.connection.encoder(name)
        link.rooms[room_id] = encoder
        audience.absent.pop(link, None)
        audience.add(link, encoder)
        if room_id in link.missed:
            self.tell_present(room_id, link)

    def leave(self, room_id: str, link: Link) -> None:
        """Show the room to this link no longer; what is waiting is shown first."""
        encoder = link.rooms.pop(room_id, None)
        link.missed -= {room_id}
        if encoder is not None:
            self.flush_room(room_id)
        audience = self.audiences.get(room_id)
        if audience is None:
            return
        audience.absent.pop(link, None)
        if encoder is not None:
            self.take_out(audience, link, encoder)
        self.forget_empty(room_id, audience)

    def regroup(self, room_id: str, link: Link) -> None:
        """Write the room otherwise for this link from now on; what is waiting is still written the old way."""
        self.flush_room(room_id)  # first: if the peer does not keep up, it is not in the audience then
        encoder = link.rooms.get(room_id)
        if encoder is None:
            return
        audience = self.audiences[room_id]
        audience.remove(link, encoder)
        link.rooms[room_id] = encoder = link.connection.encoder(audience.name)
        audience.add(link, encoder)

    def suspend(self, room_id: str, link: Link) -> None:
        """Show nothing more live to this link, which stays in the room: a feed replays for it."""
        encoder, link.rooms[room_id] = link.rooms[room_id], None
        self.flush_room(room_id)
        audience = self.audiences[room_id]
        self.take_out(audience, link, encoder)
        audience.absent[link] = encoder

    def take_out(self, audience: Audience, link: Link, encoder: Any) -> None:
        """One less who is shown the room live."""
        audience.remove(link, encoder)
        if audience.comings is not None:
            audience.comings.newcomers.pop(link, None)

    def forget_empty(self, room_id: str, audience: Audience) -> None:
        """Drop an audience, if nobody is in it."""
        if audience.size or audience.absent:
            return
        if audience.timer is not None:
            audience.timer.cancel()
        del self.audiences[room_id]
        self.dirty.pop(room_id, None)

    # -- who does not keep up -----------------------------------------------------------------------------

    def drop(self, link: Link, views: int = 1) -> None:
        """So many passing views are not shown to a link that does not keep up."""
        link.dropped += views
        self.counts.ephemeral_dropped_total += views

    def miss(self, link: Link, room_id: str, views: int) -> None:
        """So many views of who is in the room are not shown to it; it will be told how many are there."""
        if views:
            self.drop(link, views)
            link.missed |= {room_id}

    def miss_absent(self, room_id: str, audience: Audience, views: list[Presence]) -> None:
        """The same for those who are shown the room out of the journal, as far as they want to be told."""
        wanted: dict[Any, int] = {}
        for link, encoder in audience.absent.items():
            if encoder not in wanted:
                wanted[encoder] = sum(1 for view in views if encoder.encode(view))
            self.miss(link, room_id, wanted[encoder])

    def tell_present(self, room_id: str, link: Link) -> None:
        """How many are in the room, to a link that keeps up again and was not told who came and went."""
        link.missed -= {room_id}
        encoder = link.rooms[room_id]
        view = Presence(room=self.audiences[room_id].name, count=self.members(room_id))
        link.connection.write(encoder.encode(view))

    # -- what ---------------------------------------------------------------------------------------------

    def show(self, room_id: str, piece: Piece) -> None:
        """Show this to the room at the end of the turn."""
        audience = self.audiences.get(room_id)
        if audience is not None:
            audience.pieces.append(piece)
            if room_id not in self.dirty:
                self.dirty[room_id] = audience
                self.wake()
        elif piece.ticket is not None and piece.entry is not None:
            self.answer(piece.ticket, piece.entry)

    def comings(self, room_id: str) -> Comings | None:
        """Where to note a coming or going, if anybody is there to be told."""
        audience = self.audiences.get(room_id)
        if audience is None:
            return None
        if audience.comings is None:
            audience.comings = Comings()
            if audience.size >= self.limits.presence_batch_members:
                audience.timer = self.reactor.callLater(BATCH_SECONDS, self.tell_comings, room_id)
            else:
                self.dirty[room_id] = audience
                self.wake()
        return audience.comings

    # -- at the end of the turn ---------------------------------------------------------------------------

    def flush(self) -> None:
        """Write everything that is waiting to everyone's connection."""
        while self.dirty:
            room_id = next(iter(self.dirty))
            audience = self.dirty[room_id]
            try:
                if audience.comings is not None and audience.timer is None:
                    self.tell_comings(room_id)
                self.flush_room(room_id, at_end=True)
            except Exception:  # one room's trouble is not the others'
                self.dirty.pop(room_id, None)
                self.log.failure("bug in showing a room")

    def tell_comings(self, room_id: str) -> None:
        """Show who came and went since the last time, merged."""
        audience = self.audiences[room_id]
        comings, audience.comings, audience.timer = audience.comings, None, None
        if comings is None:
            return
        self.flush_room(room_id)  # what was said before they came and went comes first
        count = self.members(room_id)
        names = audience.size < self.limits.presence_count_members
        most = self.limits.frame_bytes // 2
        views = comings.views(audience.name, count, most) if names else [Presence(room=audience.name, count=count)]
        apart = comings.apart()
        behind: list[tuple[Link, int]] = []
        for encoder, group in audience.groups.items():
            encoded = list(map(encoder.encode, views))
            if any(encoded):
                runs = runs_of(encoded, self.limits.send_queue_bytes // 2)
                for link in group:
                    if link.full or link not in apart:
                        write_runs(link, runs, behind)
        for link, shown in behind:
            self.miss(link, room_id, len(views) - shown)
        place = {nick: n + 1 for n, nick in enumerate(comings.joined)}
        for link in apart:
            if names and not link.full and link.rooms.get(room_id) is not None:
                skip = place.get(comings.newcomers.get(link, ""), 0)
                later = comings.views(audience.name, count, most, skip=skip, to=link)
                link.connection.write(b"".join(map(link.rooms[room_id].encode, later)))
        self.miss_absent(room_id, audience, views)
        self.wake()

    def flush_room(self, room_id: str, *, at_end: bool = False) -> None:
        """Write what waits for one room: one blob for each dialect, and apart for those who wrote. `at_end` of a turn
        it is sent there and then to whom nothing else waits for."""
        audience = self.dirty.get(room_id)
        if audience is None:
            return
        if audience.comings is None or audience.timer is not None:  # else they are still to be told in this turn
            del self.dirty[room_id]
        if not audience.pieces:
            return
        pieces, audience.pieces = audience.pieces, []
        is_alone = not self.dirty  # else what other rooms have for them goes with it, in one send
        own: dict[str, list[int]] = {}  # the places of each author's pieces
        for n, piece in enumerate(pieces):
            own.setdefault(piece.author, []).append(n)
        own.pop("", None)
        apart = {link: places for author, places in own.items() for link in self.links_of(author)}
        most = self.limits.send_queue_bytes // 2
        behind: list[tuple[Link, int]] = []  # who does not keep up, and how many pieces it was shown before
        for encoder, group in audience.groups.items():
            self.counts.deliveries_total += len(pieces) * len(group)
            encoded = [encoder.encode(piece.view) for piece in pieces]
            blob = b"".join(encoded)
            runs = runs_of(encoded, most) if len(blob) > most else []
            steps = None
            size = len(blob) if at_end and not runs else 0
            for link in group:
                if link.send is not None and size and (is_alone or len(link.rooms) == 1) and link not in apart:
                    # As mostly: nothing waits for this peer, and few objects need to be looked at.
                    try:
                        sent = link.send(blob)
                    except OSError:  # it would block, or the connection is gone: that is for the transport
                        sent = 0
                    if sent < size:
                        self.write_rest(link, blob[sent:])
                elif link.full:
                    behind.append((link, 0))
                elif link in apart:
                    if runs or link.visit is not None:
                        self.write_apart(link, room_id, encoder, pieces, encoded, behind)
                    else:
                        self.write_between(link, audience.name, encoder, pieces, encoded, apart[link])
                elif runs and link.visit:
                    self.write_apart(link, room_id, encoder, pieces, encoded, behind)
                elif runs:
                    write_runs(link, runs, behind)
                else:
                    link.connection.write(blob)
                    if link.visit is not None:
                        steps = steps or steps_of(pieces, encoded)
                        link.visit.shows_steps(room_id, steps)
        for piece in pieces:
            if piece.ticket is not None and piece.entry is not None:  # its owner is not shown the room live
                self.answer(piece.ticket, piece.entry)
                piece.ticket = None
        for link, shown in behind:
            encoder = link.rooms.get(room_id)
            if encoder is not None:
                self.drop(link, sum(bool(encoder.encode(one.view)) for one in pieces[shown:] if one.entry is None))
            self.overrun(link, room_id, pieces[shown:])

    def write_rest(self, link: Link, rest: bytes) -> None:
        """What the kernel did not take; one connection's trouble is not the others'."""
        try:
            link.connection.write_rest(rest)
        except Exception:
            self.log.failure("bug in writing to a connection")
            self.reactor.callLater(0, link.connection.abort)  # it would leave the group that is being gone through

    def write_between(
        self, link: Link, name: str, encoder: Any, pieces: list[Piece], encoded: list[bytes], own: list[int]
    ) -> None:
        """Write a small turn to somebody who wrote; `own` are the places of what comes from the same user."""
        write = link.connection.write
        start = 0  # of what others said since
        for n in own:
            if start < n:
                write(b"".join(encoded[start:n]))
            self.write_own(link, name, encoder, pieces[n])
            start = n + 1
        if start < len(encoded):
            write(b"".join(encoded[start:]))

    def write_own(self, link: Link, name: str, encoder: Any, piece: Piece) -> None:
        """The reply in the place of one's own message, or one's own view in one's other sessions."""
        ticket, entry = piece.ticket, piece.entry
        if entry is None:
            return
        if ticket is not None and ticket.link is link:
            piece.ticket = None
            self.answer(ticket, entry)
            if "echo" not in link.caps:
                return
        link.connection.write(encoder.encode(view_of(entry, name, own=True)))

    def write_apart(
        self,
        link: Link,
        room_id: str,
        encoder: Any,
        pieces: list[Piece],
        encoded: list[bytes],
        behind: list[tuple[Link, int]],
    ) -> None:
        """Write piece by piece, as far as the peer keeps up."""
        me = link.session.user.id if link.session is not None else ""
        for n, (piece, blob) in enumerate(zip(pieces, encoded, strict=True)):
            if link.full:
                behind.append((link, n))
                return
            if piece.author != me:
                link.connection.write(blob)
            else:
                self.write_own(link, self.audiences[room_id].name, encoder, piece)
            if link.visit is not None and piece.entry is not None:
                link.visit.shows(room_id, piece.entry.seq)


def runs_of(encoded: list[bytes], most: int) -> list[tuple[bytes, int]]:
    """Pieces joined to runs of at most `most` bytes, or of one piece; each with how many pieces come before it."""
    runs: list[tuple[bytes, int]] = []
    start = size = 0
    for n, blob in enumerate(encoded):
        if size and size + len(blob) > most:
            runs.append((b"".join(encoded[start:n]), start))
            start, size = n, 0
        size += len(blob)
    return [*runs, (b"".join(encoded[start:]), start)]


def write_runs(link: Link, runs: list[tuple[bytes, int]], behind: list[tuple[Link, int]]) -> None:
    """Write as many runs as the peer keeps up with; `behind` is told where it stopped."""
    for blob, before in runs:
        if link.full:
            behind.append((link, before))
            return
        link.connection.write(blob)
