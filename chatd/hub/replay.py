"""Feeds: a connection that is shown a room out of the journal until it has caught up with live.

A feed begins with a `since`, or where a slow reader was left. It asks the journal for a page, writes as much of it
as the peer keeps up with, and goes on when the peer has read it, so the memory for it stays constant. It ends in the
turn in which the next number to show is one that has not happened yet: from then on the link is in the audience, with
no hole and no overlap. Only a few pages are on their way at once, whoever they are for, and the feeds take turns: so
hundreds that catch up together hold up neither each other nor those who are live.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.core.limits import Limits
from chatd.core.questions import Page, PageWanted, Question, Side
from chatd.core.shown import view_of
from chatd.core.state import State
from chatd.core.views import CaughtUp, Gap
from chatd.hub.counts import Counts
from chatd.hub.fanout import Fanout, Piece
from chatd.hub.link import NO_FEEDS, Link

RETRY_SECONDS = 1.0
PAGES_AT_ONCE = 8  # asked for and not yet written, for all feeds together


class Feed:
    """How far a link has been shown a room. `announced`: the joint with live is marked for the peer.

    `asking`: a page is on its way, or its turn to ask will come.
    """

    __slots__ = ("announced", "asking", "next_seq", "room_id")

    def __init__(self, room_id: str, next_seq: int, announced: bool) -> None:
        self.room_id = room_id
        self.next_seq = next_seq
        self.announced = announced
        self.asking = False


class Replay:
    """Feeds what was missed to whoever missed it, and knows who does not keep up."""

    log = Logger()

    def __init__(
        self,
        *,
        state: State,
        limits: Limits,
        counts: Counts,
        fanout: Fanout,
        reactor: Any,
        ask: Callable[[Question], Deferred[Any]],
        wake: Callable[[], None],
    ) -> None:
        self.state = state
        self.limits = limits
        self.counts = counts
        self.fanout = fanout
        self.reactor = reactor
        self.ask = ask
        self.wake = wake
        self.asked = 0  # pages on their way
        self.queue: deque[tuple[Link, Feed]] = deque()  # feeds whose turn to ask will come

    # -- who keeps up -------------------------------------------------------------------------------------

    def fell_behind(self, link: Link, tick: float) -> None:
        """The peer does not read what waits for it: what rooms say comes to it out of the journal for now."""
        if not link.full and not link.gone:
            link.full, link.full_since = True, tick
            self.counts.slow_readers += 1
            self.counts.slow_readers_total += 1

    def reads_again(self, link: Link) -> None:
        """The peer has read everything: tell it what is true now, and go on with each of its feeds."""
        if link.full:
            link.full = False
            self.counts.slow_readers -= 1
            for room_id in link.missed:
                if link.rooms.get(room_id) is not None:  # of the others it is told when it is live there
                    self.fanout.tell_present(room_id, link)
        for feed in list(link.feeds.values()):
            self.pump(link, feed)

    def overrun(self, link: Link, room_id: str, pieces: list[Piece]) -> None:
        """A room said something to a link that does not keep up: the numbered part comes from the journal later."""
        numbers = [piece.entry.seq for piece in pieces if piece.entry is not None]
        if numbers and not link.gone:
            self.start(link, room_id, numbers[0], announced=False)

    def forget(self, link: Link) -> None:
        """It is gone."""
        if link.full:
            link.full = False
            self.counts.slow_readers -= 1
        for room_id in list(link.feeds):
            self.end(link, room_id)

    # -- feeds --------------------------------------------------------------------------------------------

    def start(self, link: Link, room_id: str, next_seq: int, *, announced: bool) -> None:
        """Show this link the room from `next_seq` on, out of the journal first and then live."""
        if link.rooms.get(room_id) is not None:
            self.fanout.suspend(room_id, link)
        before = link.feeds.get(room_id)
        if before is not None:  # only one at a time; what is under way for the older is thrown away
            announced = announced or before.announced
        else:
            self.counts.replays_started_total += 1
        link.feeds = link.feeds or {}
        feed = link.feeds[room_id] = Feed(room_id, next_seq, announced)
        self.pump(link, feed)

    def end(self, link: Link, room_id: str) -> None:
        """Feed it this room no more."""
        if room_id in link.feeds:
            del link.feeds[room_id]
            link.feeds = link.feeds or NO_FEEDS
            self.counts.replays_ended_total += 1

    def pump(self, link: Link, feed: Feed) -> None:
        """Take the next step of a feed, if it is time for one."""
        room = self.state.rooms.get(feed.room_id)
        if link.gone or link.feeds.get(feed.room_id) is not feed or feed.asking or link.full or room is None:
            return
        if feed.next_seq > room.last_seq:
            self.catch_up(link, feed)
            return
        feed.asking = True
        self.queue.append((link, feed))
        self.ask_for_pages()

    def ask_for_pages(self) -> None:
        """Let as many feeds ask for their next page as may be."""
        while self.queue and self.asked < PAGES_AT_ONCE:
            link, feed = self.queue.popleft()
            if link.gone or link.feeds.get(feed.room_id) is not feed:
                continue
            if link.full:  # it fell behind while it waited; `reads_again` takes it up
                feed.asking = False
                continue
            self.asked += 1
            most = self.limits.send_queue_bytes
            page = PageWanted(feed.room_id, Side.AFTER, feed.next_seq - 1, self.limits.history_page, max_bytes=most)
            self.ask(page).addCallbacks(
                self.page_came, self.page_failed, callbackArgs=(link, feed), errbackArgs=(link, feed)
            ).addErrback(self.page_broken, link)

    def page_came(self, page: Page, link: Link, feed: Feed) -> None:
        self.asked -= 1
        feed.asking = False
        self.reactor.callLater(0, self.ask_for_pages)  # after what else has happened in this turn
        room = self.state.rooms.get(feed.room_id)
        if link.gone or link.feeds.get(feed.room_id) is not feed or room is None or link.session is None:
            return
        me = link.session.user.id
        name = room.shown_to(me)
        encoder = link.connection.encoder(name)
        shown = [entry for entry in page.entries if entry.seq <= room.last_seq]  # the rest has not been applied yet
        for entry in shown:
            if link.full:  # the rest is asked for again when it has read this
                return
            self.leave_out(link, feed, entry.seq - 1, page.first_seq)
            own = getattr(entry.event, "author", "") == me
            link.connection.write(encoder.encode(view_of(entry, name, own=own)))
            feed.next_seq = entry.seq + 1
            if link.visit is not None:
                link.visit.shows(feed.room_id, entry.seq)
        _, last = page.span
        self.leave_out(link, feed, min(last or room.last_seq, room.last_seq), page.first_seq)
        if link.visit is not None:
            link.visit.shows(feed.room_id, feed.next_seq - 1)
        self.wake()
        self.reactor.callLater(0, self.pump, link, feed)  # after the flush, which tells whether the peer keeps up

    def leave_out(self, link: Link, feed: Feed, last: int, first_seq: int) -> None:
        """Announce the numbers up to `last` that were not shown: before `first_seq` they are no longer kept, from
        there on they are damaged."""
        room = self.state.rooms[feed.room_id]
        name = room.shown_to(link.session.user.id) if link.session is not None else room.name
        encoder = link.connection.encoder(name)
        if feed.next_seq <= last and feed.next_seq < first_seq:
            gone = Gap(room=name, first=feed.next_seq, last=min(last, first_seq - 1), reason="retention")
            link.connection.write(encoder.encode(gone))
            feed.next_seq = gone.last + 1
        if feed.next_seq <= last:
            lost = Gap(room=name, first=feed.next_seq, last=last, reason="skipped", damaged=True)
            link.connection.write(encoder.encode(lost))
            feed.next_seq = last + 1

    def page_failed(self, failure: Failure, link: Link, feed: Feed) -> None:
        self.asked -= 1
        feed.asking = False
        self.reactor.callLater(0, self.ask_for_pages)
        self.log.failure("cannot read history for a replay; trying again", failure)
        self.reactor.callLater(RETRY_SECONDS, self.pump, link, feed)

    def page_broken(self, failure: Failure, link: Link) -> None:
        """Our own mistake costs this one connection: it would be shown nothing more of the room."""
        self.log.failure("bug in showing a page of a replay", failure)
        link.connection.abort()

    def catch_up(self, link: Link, feed: Feed) -> None:
        """From now on live."""
        self.end(link, feed.room_id)
        room = self.state.rooms[feed.room_id]
        name = room.shown_to(link.session.user.id) if link.session is not None else room.name
        if feed.announced:
            marker = CaughtUp(room=name, seq=feed.next_seq - 1)
            link.connection.write(link.connection.encoder(name).encode(marker))
        if feed.room_id in link.rooms:
            self.fanout.enter(feed.room_id, room.name, link)
