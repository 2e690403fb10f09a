"""Comebacks: those who were told a word, and where they are, put into the journal in time for them to come back.

What is bookmarked of a visit, and what coming back means, is for `visit` and `chatd.core.comeback` to say. Here it is
decided when bookmarks are moved: at the end of a visit, and every few seconds of it, so that a server that is killed
knows no worse than that. And how often somebody may guess.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from chatd.core.addresses import parsed
from chatd.core.codes import Code
from chatd.core.comeback import room_of
from chatd.core.events import Bookmark, BookmarksMoved, ReadMarked
from chatd.core.questions import BookmarkWanted, KeptBookmark, Question
from chatd.core.replay import plan
from chatd.core.state import Room
from chatd.core.views import Closing
from chatd.hub.guard import Bucket, Rate, too_fast
from chatd.hub.visit import Visit
from chatd.settings import LineSettings, Settings

if TYPE_CHECKING:
    from chatd.hub.hub import Hub
    from chatd.hub.link import Link

MOVE_SECONDS = 2.0
SLICE = 250  # visits looked at without a pause
PAUSE_SECONDS = 0.02
AGAIN_SECONDS = 10.0  # what the journal has not kept by then is proposed once more
FRESH_SECONDS = 3600.0  # as often the bookmark of somebody who is here is renewed: only those who left grow old
TIDY_SECONDS = 600.0
DAY = 86_400_000_000  # microseconds
TRUSTED_TIMES = 10  # as many more guesses are allowed in a trusted network


class Comebacks:
    """Everybody who can come back, as long as they are here, and until the bookmark of their end is kept."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.visits: dict[str, Visit] = {}  # by the key of the word
        self.line = LineSettings() if hub.settings is None else hub.settings.line
        self.guesses = Guesses(self.line.resume_guesses_per_minute)
        self._call: Any = None
        self._tidied_at = 0.0
        hub.on_change.append(self.settings_changed)

    def settings_changed(self, settings: Settings) -> None:
        """Other settings from now on."""
        self.line = settings.line
        self.guesses.change(self.line.resume_guesses_per_minute, self.hub.reactor.seconds())

    def stop(self) -> None:
        """Move no more bookmarks but those of visits that end."""
        if self._call is not None and self._call.active():
            self._call.cancel()

    # -- coming back ----------------------------------------------------------------------------------------

    def ask(self, link: Link, question: Question) -> Deferred[Any]:
        """Ask the journal. For a bookmark one may ask only so often, and those who are here know better."""
        asked: Deferred[Any]
        if not isinstance(question, BookmarkWanted):
            asked = self.hub.journal.ask(question)
            return asked
        now = self.hub.reactor.seconds()
        self.guesses.check(link.connection.address, now, trusted=link.trusted)
        visit = self.visits.get(question.key)
        if visit is not None:
            return succeed(KeptBookmark(visit.bookmark(), self.hub.now()))
        asked = self.hub.journal.ask(question)
        return asked.addCallback(self.judge, link, now)

    def judge(self, kept: KeptBookmark | None, link: Link, now: float) -> KeptBookmark | None:
        """What the journal has, if it is not too old; else it was a guess."""
        if kept is not None and self.hub.now() - kept.time <= self.line.resume_days * DAY:
            return kept
        self.guesses.count(link.connection.address, now, trusted=link.trusted)
        return None

    def begin(self, link: Link, word: str, bookmark: Bookmark, told: frozenset[str]) -> None:
        """Somebody with this word is in: go on with each room where the bookmark is. In `told` it is for sure."""
        before = self.visits.get(bookmark.key)
        if before is not None:
            at_last = {shown.room_id: shown for shown in self.displace(before).rooms}
            rooms = tuple(one if one.room_id in told else at_last.get(one.room_id, one) for one in bookmark.rooms)
            bookmark = Bookmark(bookmark.key, bookmark.user_id, bookmark.nick, bookmark.current, rooms)
        link.visit = visit = self.visits[bookmark.key] = Visit(word, bookmark, link, self.hub.state)
        for shown in bookmark.rooms:
            found = room_of(self.hub.state, shown)
            if found is not None and link.session is not None:
                room, since = found
                visit.places[room.id] = since
                self.hub.running.begin(link, room, plan(room, room.shown_to(link.session.user.id), since))
        self.go_on()

    def logged_in(self, link: Link, bookmark: Bookmark) -> None:
        """The owner of an account is in, or a guest has become one: the latest connection moves the bookmark."""
        visit = link.visit
        if visit is None:
            self.begin(link, "", bookmark, frozenset())
            return
        self.own(visit, bookmark.key, bookmark.user_id)
        for shown in bookmark.rooms:
            found = room_of(self.hub.state, shown)
            if found is not None and link.session is not None:
                room, since = found
                visit.places.setdefault(room.id, since)
                self.hub.running.begin(link, room, plan(room, room.shown_to(link.session.user.id), since))

    def own(self, visit: Visit, key: str, user_id: str = "") -> None:
        """A guest's visit is an account's from now on: its word leads nowhere."""
        before = self.visits.get(key)
        if before is not None:
            self.displace(before)
        if self.visits.get(visit.key) is visit:
            del self.visits[visit.key]
        visit.key, visit.word, visit.kept = key, "", None
        visit.user_id = user_id or visit.user_id
        self.visits[key] = visit

    def enters(self, link: Link, room: Room) -> None:
        """Somebody enters a room anew, and is to come back to it also if the server is killed right now."""
        visit = link.visit
        if visit is not None:
            visit.places.pop(room.id, None)
            self.hub.reactor.callLater(0, self.entered, visit)

    def entered(self, visit: Visit) -> None:
        if self.visits.get(visit.key) is visit and not visit.ended:
            self.propose([visit])

    def displace(self, visit: Visit) -> Bookmark:
        """End a visit whose person has come back by another connection. Where it was at last."""
        bookmark = visit.bookmark()
        link = visit.link
        link.visit = None
        if not visit.ended and visit.word:  # the connections of an account go on side by side
            self.hub.log_out(link, "came back by another connection")
            reason = "You came back by another connection; this one ends."
            link.connection.finish(Closing(code=Code.REPLACED, reason=reason))
        return bookmark

    # -- leaving --------------------------------------------------------------------------------------------

    def left(self, link: Link) -> None:
        """A session is about to end; its rooms are still there."""
        if link.visit is not None:
            link.visit.leave()

    def ended(self, link: Link) -> None:
        """A connection is gone: what it has acknowledged is known for good."""
        visit = link.visit
        if visit is not None:
            visit.ended = True
            self.propose([visit])
            if not visit.word:  # what was shown here is read for other ways in, too
                read = (shown for shown in visit.bookmark().rooms if not shown.name and shown.seq)
                self.hub.propose([ReadMarked(visit.user_id, shown.room_id, shown.seq) for shown in read], None)
            if len(self.visits) > self.line.resume_most:  # the journal keeps none now
                del self.visits[visit.key]

    def kept(self, bookmarks: tuple[Bookmark, ...]) -> None:
        """The journal has these."""
        for bookmark in bookmarks:
            visit = self.visits.get(bookmark.key)
            if visit is not None:
                visit.kept = bookmark
                if visit.ended and bookmark == visit.proposed and bookmark.is_exact:
                    del self.visits[bookmark.key]

    # -- every few seconds ----------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Look at every visit again in a while."""
        if (self._call is None or not self._call.active()) and not self.hub.stopping:
            self._call = self.hub.reactor.callLater(MOVE_SECONDS, self.look, None)

    def look(self, waiting: list[Visit] | None) -> None:
        """Move the bookmarks of visits that have moved, a slice at a time."""
        waiting = list(self.visits.values()) if waiting is None else waiting
        now = self.hub.reactor.seconds()
        self.propose([visit for visit in waiting[:SLICE] if self.has_moved(visit, now)])
        if waiting[SLICE:]:
            self._call = self.hub.reactor.callLater(PAUSE_SECONDS, self.look, waiting[SLICE:])
        elif self.visits:
            self._call = self.hub.reactor.callLater(MOVE_SECONDS, self.look, None)

    def has_moved(self, visit: Visit, now: float) -> bool:
        """Whether the journal should hear of a visit."""
        bookmark = visit.bookmark()
        since = now - visit.proposed_at
        if bookmark == visit.kept:
            return since > FRESH_SECONDS
        return bookmark != visit.proposed or since > AGAIN_SECONDS

    def propose(self, visits: list[Visit]) -> None:
        """Put where these are into the journal; from time to time, forget what is old."""
        if not visits:
            return
        now = self.hub.reactor.seconds()
        for visit in visits:
            visit.proposed, visit.proposed_at = visit.bookmark(), now
        bookmarks = tuple(visit.proposed for visit in visits if visit.proposed is not None)
        if now - self._tidied_at < TIDY_SECONDS:
            self.hub.propose((BookmarksMoved(bookmarks),), None)
            return
        self._tidied_at = now
        oldest = max(1, self.hub.now() - self.line.resume_days * DAY)
        self.hub.propose((BookmarksMoved(bookmarks, oldest, self.line.resume_most),), None)


class Guesses:
    """How often somebody may be wrong: so many at once, and then as many a minute. Each address pays for itself.

    Words that are looked up at the same time are all looked up; the wrong ones are paid for afterwards.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._rates = {times: Rate(per_minute * times / 60, per_minute * times) for times in (1, TRUSTED_TIMES)}

    def change(self, per_minute: int, now: float) -> None:
        """Another number from now on; what was used stays used."""
        self.per_minute = per_minute
        for times, rate in self._rates.items():
            rate.change(per_minute * times / 60, per_minute * times, now)

    def check(self, address: str, now: float, *, trusted: bool) -> None:
        """Refuse another try so soon after wrong ones."""
        rate, key = self._of(address, trusted)
        bucket = rate.buckets.get(key)
        if bucket is None:
            return
        tokens = bucket.tokens + (now - bucket.at) * rate.per_second
        if tokens < 1:
            most = self.per_minute * (TRUSTED_TIMES if trusted else 1)
            raise too_fast("resume_guesses_per_minute", most, "wrong words a minute", (1 - tokens) / rate.per_second)

    def count(self, address: str, now: float, *, trusted: bool) -> None:
        """It was wrong."""
        rate, key = self._of(address, trusted)
        if rate.wait(key, now):
            rate.buckets.setdefault(key, Bucket(0, now)).tokens -= 1

    def _of(self, address: str, trusted: bool) -> tuple[Rate, str]:
        place = parsed(address)
        if place is not None and place.version == 6:  # who has one address of a network has them all
            address = str(ipaddress.ip_network((place, 64), strict=False))
        return self._rates[TRUSTED_TIMES if trusted else 1], address
