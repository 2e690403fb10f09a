"""Feeds: a connection that is shown a room out of the journal until it has caught up with live.

A feed begins with a `since`, or where a slow reader was left. It asks the journal for a page, writes it, and goes
on when the peer has read it, so the memory for it stays constant. It ends in the turn in which the next number to
show is one that has not happened yet: from then on the link is in the audience, with no hole and no overlap.
"""

from __future__ import annotations

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
from chatd.hub.fanout import Fanout
from chatd.hub.link import Link

RETRY_SECONDS = 1.0


class Feed:
    """How far a link has been shown a room. `announced`: the joint with live is marked for the peer."""

    __slots__ = ("announced", "asking", "next_seq", "room_id")

    def __init__(self, room_id: str, next_seq: int, announced: bool) -> None:
        self.room_id = room_id
        self.next_seq = next_seq
        self.announced = announced
        self.asking = False


class Replay:
    """Feeds what was missed to whoever missed it."""

    log = Logger()

    def __init__(
        self,
        *,
        state: State,
        limits: Limits,
        fanout: Fanout,
        reactor: Any,
        ask: Callable[[Question], Deferred[Any]],
        wake: Callable[[], None],
    ) -> None:
        self.state = state
        self.limits = limits
        self.fanout = fanout
        self.reactor = reactor
        self.ask = ask
        self.wake = wake

    def start(self, link: Link, room_id: str, next_seq: int, *, announced: bool) -> None:
        """Show this link the room from `next_seq` on, out of the journal first and then live."""
        if link.rooms.get(room_id) is not None:
            self.fanout.suspend(room_id, link)
        before = link.feeds.get(room_id)
        if before is not None:  # only one at a time; what is under way for the older is thrown away
            announced = announced or before.announced
        feed = link.feeds[room_id] = Feed(room_id, next_seq, announced)
        self.pump(link, feed)

    def go_on(self, link: Link) -> None:
        """The peer has read what was written: go on with each of its feeds."""
        for feed in list(link.feeds.values()):
            self.pump(link, feed)

    def pump(self, link: Link, feed: Feed) -> None:
        """Take the next step of a feed, if it is time for one."""
        room = self.state.rooms.get(feed.room_id)
        if link.gone or link.feeds.get(feed.room_id) is not feed or feed.asking or link.full or room is None:
            return
        if feed.next_seq > room.last_seq:
            self.catch_up(link, feed)
            return
        feed.asking = True
        most = max(4096, self.limits.send_queue_bytes // 4)
        page = PageWanted(feed.room_id, Side.AFTER, feed.next_seq - 1, self.limits.history_page, max_bytes=most)
        self.ask(page).addCallbacks(
            self.page_came, self.page_failed, callbackArgs=(link, feed), errbackArgs=(link, feed)
        )

    def page_came(self, page: Page, link: Link, feed: Feed) -> None:
        feed.asking = False
        room = self.state.rooms.get(feed.room_id)
        if link.gone or link.feeds.get(feed.room_id) is not feed or room is None or link.session is None:
            return
        me = link.session.user.id
        name = room.shown_to(me)
        encoder = link.connection.encoder(name)
        shown = [entry for entry in page.entries if entry.seq <= room.last_seq]  # the rest has not been applied yet
        for entry in shown:
            if entry.seq > feed.next_seq:
                gap = Gap(room=name, first=feed.next_seq, last=entry.seq - 1, reason="retention")
                link.connection.write(encoder.encode(gap))
            own = getattr(entry.event, "author", "") == me
            link.connection.write(encoder.encode(view_of(entry, name, own=own)))
            feed.next_seq = entry.seq + 1
        if not shown and feed.next_seq <= room.last_seq:
            gap = Gap(room=name, first=feed.next_seq, last=room.last_seq, reason="retention")
            link.connection.write(encoder.encode(gap))
            feed.next_seq = room.last_seq + 1
        self.wake()
        self.reactor.callLater(0, self.pump, link, feed)  # after the flush, which tells whether the peer keeps up

    def page_failed(self, failure: Failure, link: Link, feed: Feed) -> None:
        feed.asking = False
        self.log.failure("cannot read history for a replay; trying again", failure)
        self.reactor.callLater(RETRY_SECONDS, self.pump, link, feed)

    def catch_up(self, link: Link, feed: Feed) -> None:
        """From now on live."""
        del link.feeds[feed.room_id]
        room = self.state.rooms[feed.room_id]
        name = room.shown_to(link.session.user.id) if link.session is not None else room.name
        if feed.announced:
            marker = CaughtUp(room=name, seq=feed.next_seq - 1)
            link.connection.write(link.connection.encoder(name).encode(marker))
        if feed.room_id in link.rooms:
            self.fanout.enter(feed.room_id, room.name, link)
