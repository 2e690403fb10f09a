"""Fan-out: what is to be shown to a room, gathered during a turn and written once for each connection.

A room's audience is grouped by encoder, so that each piece is encoded once for each dialect and the whole turn
is one shared `bytes` for everyone in a group. Only those who wrote something in this turn are treated apart:
they get their reply in the place of their own message. Membership changes flush the room first, so a flush is
always right for exactly those who are in the group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from msgspec import UNSET
from twisted.logger import Logger

from chatd.core.events import Entry
from chatd.core.limits import Limits
from chatd.core.shown import view_of
from chatd.core.views import AwayNow, Left, Presence, Renamed, View
from chatd.hub.link import Link, Ticket

BYTES_OF_A_CHANGE = 40  # that one coming or going takes besides its words, at most
BATCH_SECONDS = 1.0  # how long a large room gathers comings and goings


class Piece:
    """Something to show. With an `entry` the author's other sessions are shown it too, without one not."""

    __slots__ = ("author", "entry", "ticket", "view")

    def __init__(self, view: View, author: str = "", ticket: Ticket | None = None, entry: Entry | None = None) -> None:
        self.view = view
        self.author = author
        self.ticket = ticket
        self.entry = entry


class Comings:
    """Who came, went, changed name or went away since the last presence view of a room."""

    __slots__ = ("away", "joined", "left", "newcomers", "renamed")

    def __init__(self) -> None:
        self.joined: dict[str, None] = {}
        self.left: dict[str, str] = {}
        self.renamed: list[tuple[Link | None, Renamed]] = []  # with who did it, and knows
        self.away: dict[str, tuple[Link | None, str | None]] = {}
        self.newcomers: dict[Link, str] = {}  # who must not be told of itself: its nick

    def join(self, nick: str) -> None:
        """Somebody came; with a leave before it nothing has happened for those who watch."""
        if self.left.pop(nick, None) is None:
            self.joined[nick] = None

    def leave(self, nick: str, reason: str) -> None:
        """Somebody went; if the coming was not told yet, neither is."""
        if nick in self.joined:
            del self.joined[nick]
        else:
            self.left[nick] = reason

    def apart(self) -> dict[Link, None]:
        """Who is not told the same as all others, but only of the others."""
        causes = [link for link, _ in (*self.renamed, *self.away.values()) if link is not None]
        return dict.fromkeys((*self.newcomers, *causes))

    def views(self, room: str, count: int, most: int, skip: int = 0, to: Link | None = None) -> list[Presence]:
        """What is told of them, in views of about `most` bytes.

        Left out are the first `skip` of those who joined, and what the link `to` did itself.
        """
        views: list[Presence] = []
        lists: dict[str, list[Any]] = {}
        size = 0
        for kind, change, words in self.changes(skip, to):
            size += 4 * words + BYTES_OF_A_CHANGE  # no character takes more than 4 bytes
            if size > most and lists:
                views.append(Presence(room=room, count=count, **lists))
                lists, size = {}, 4 * words + BYTES_OF_A_CHANGE
            lists.setdefault(kind, []).append(change)
        return [*views, Presence(room=room, count=count, **lists)] if lists else views

    def changes(self, skip: int, to: Link | None) -> Iterator[tuple[str, Any, int]]:
        """Every change, by its field in a view, and how many characters its words have."""
        for nick in islice(self.joined, skip, None):
            yield "joined", nick, len(nick)
        for nick, reason in self.left.items():
            yield "left", Left(nick=nick, reason=reason), len(nick) + len(reason)
        for cause, change in self.renamed:
            if cause is None or cause is not to:
                yield "renamed", change, len(change.old) + len(change.new)
        for nick, (cause, message) in self.away.items():
            if cause is None or cause is not to:
                now = AwayNow(nick=nick, away=message is not None, message=message or UNSET)
                yield "away", now, len(nick) + len(message or "")


class Audience:
    """Who in this process is shown a room live, and what is waiting to be shown to them."""

    __slots__ = ("comings", "groups", "name", "pieces", "size", "timer")

    def __init__(self, name: str) -> None:
        self.name = name
        self.groups: dict[Any, dict[Link, None]] = {}
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
    """All audiences of this process.

    `answer` is called for each piece with a ticket, where the reply belongs; `overrun` for a link whose
    peer does not keep up, instead of writing to it; `wake` when there is something to flush.
    """

    log = Logger()

    def __init__(
        self,
        *,
        limits: Limits,
        reactor: Any,
        answer: Callable[[Ticket, Entry], None],
        overrun: Callable[[Link, str, list[Piece]], None],
        wake: Callable[[], None],
        members: Callable[[str], int],
    ) -> None:
        self.limits = limits
        self.reactor = reactor
        self.answer = answer
        self.overrun = overrun
        self.wake = wake
        self.members = members
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
        audience.add(link, encoder)

    def leave(self, room_id: str, link: Link) -> None:
        """Show the room to this link no longer; what is waiting is shown first."""
        encoder = link.rooms.pop(room_id, None)
        if encoder is None:
            return
        self.flush_room(room_id)
        audience = self.audiences[room_id]
        audience.remove(link, encoder)
        if audience.comings is not None:
            audience.comings.newcomers.pop(link, None)
        if not audience.size:
            self.forget(room_id, audience)

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
        self.leave(room_id, link)
        link.rooms[room_id] = None

    def forget(self, room_id: str, audience: Audience) -> None:
        """Drop an audience that nobody is in."""
        if audience.timer is not None:
            audience.timer.cancel()
        del self.audiences[room_id]
        self.dirty.pop(room_id, None)

    # -- what ---------------------------------------------------------------------------------------------

    def show(self, room_id: str, piece: Piece) -> None:
        """Show this to the room at the end of the turn."""
        audience = self.audiences.get(room_id)
        if audience is not None:
            audience.pieces.append(piece)
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
                self.flush_room(room_id)
            except Exception:  # one room's trouble is not the others'
                self.dirty.pop(room_id, None)
                self.log.failure("bug in showing a room")

    def tell_comings(self, room_id: str) -> None:
        """Show who came and went since the last time, merged."""
        audience = self.audiences[room_id]
        comings, audience.comings, audience.timer = audience.comings, None, None
        if comings is None or not audience.size:
            return
        self.flush_room(room_id)  # what was said before they came and went comes first
        count = self.members(room_id)
        names = audience.size < self.limits.presence_count_members
        most = self.limits.frame_bytes // 2
        views = comings.views(audience.name, count, most) if names else [Presence(room=audience.name, count=count)]
        apart = comings.apart()
        for encoder, group in audience.groups.items():
            blob = b"".join(map(encoder.encode, views))
            if blob:
                for link in group:
                    if link not in apart and not link.full:
                        link.connection.write(blob)
        place = {nick: n + 1 for n, nick in enumerate(comings.joined)}
        for link in apart:
            if names and not link.full and link.rooms.get(room_id) is not None:
                skip = place.get(comings.newcomers.get(link, ""), 0)
                later = comings.views(audience.name, count, most, skip=skip, to=link)
                link.connection.write(b"".join(map(link.rooms[room_id].encode, later)))
        self.wake()

    def flush_room(self, room_id: str) -> None:
        """Write what waits for one room: one blob for each dialect, and apart for those who wrote."""
        audience = self.dirty.get(room_id)
        if audience is None:
            return
        if audience.comings is None or audience.timer is not None:  # else they are still to be told in this turn
            del self.dirty[room_id]
        if not audience.pieces:
            return
        pieces, audience.pieces = audience.pieces, []
        authors = {piece.author for piece in pieces if piece.author}
        apart: list[Link] = []
        for encoder, group in audience.groups.items():
            encoded = [encoder.encode(piece.view) for piece in pieces]
            blob = b"".join(encoded)
            for link in group:
                if link.full:
                    apart.append(link)
                elif link.session is not None and link.session.user.id in authors:
                    self.write_to_author(link, audience.name, encoder, pieces, encoded)
                elif blob:
                    link.connection.write(blob)
        for piece in pieces:
            if piece.ticket is not None and piece.entry is not None:  # its owner is not shown the room live
                self.answer(piece.ticket, piece.entry)
                piece.ticket = None
        for link in apart:
            self.overrun(link, room_id, pieces)

    def write_to_author(self, link: Link, name: str, encoder: Any, pieces: list[Piece], encoded: list[bytes]) -> None:
        """Write to somebody who wrote: replies in the place of one's own, or one's own view to one's other sessions."""
        me = link.session.user.id if link.session is not None else ""
        write = link.connection.write
        for piece, blob in zip(pieces, encoded, strict=True):
            if piece.author != me:
                write(blob)
                continue
            mine = piece.ticket is not None and piece.ticket.link is link
            if mine and piece.ticket is not None and piece.entry is not None:
                self.answer(piece.ticket, piece.entry)
                piece.ticket = None
            if piece.entry is not None and (not mine or "echo" in link.caps):
                write(encoder.encode(view_of(piece.entry, name, own=True)))
