"""The order: what becomes of each proposal, and under which number. The same for every kind of journal.

`settle` takes a batch in order and gives each proposal its one entry. It numbers, finds repetitions, checks the
targets of relations and clears what is redacted. It knows no storage: a `Shelf` looks up and puts down for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from msgspec import Struct
from twisted.logger import Logger

from chatd.core.cluster_events import Brought, BroughtEvent, RoomBrought
from chatd.core.codes import Code
from chatd.core.events import (
    Admitted,
    Bookmark,
    BookmarksMoved,
    Entry,
    Event,
    Fate,
    MessageSent,
    Moderated,
    Numbered,
    Passing,
    Proposal,
    Purged,
    ReadMarked,
    Related,
    RoomChanged,
    RoomMade,
)
from chatd.core.orders import Orders, rulings_of
from chatd.journal import accounts
from chatd.journal.stored import Identified, cleared, decode, encode, is_same

log = Logger()


class Counter(Struct):
    """How far a room has come. `no` is the room's own number in this store; `link` the last one of its chain
    (`chatd.journal.chain`), if the store keeps one."""

    no: int
    last_seq: int
    link: bytes = b""


class Earlier(Struct, frozen=True):
    """An event that was stored before, and its place."""

    event: Numbered
    time: int
    seq: int


class Shelf(Protocol):
    """What is stored, as it will be when the events before this one are committed."""

    @property
    def accounts(self) -> accounts.AccountShelf:
        """The part that is about accounts."""

    def counter(self, room_id: str) -> Counter | None:
        """The room's counter, to be moved on; None if the room was never made."""

    def earlier(self, event: Identified) -> Earlier | None:
        """What the same author said before under the same `msg_id`."""

    def at(self, counter: Counter, seq: int) -> Numbered | None:
        """The event with this number."""

    def edits(self, counter: Counter, seq: int) -> Iterable[tuple[int, Related]]:
        """Number and event of every edit of a message that has not been cleared yet."""

    def make_room(self, made: RoomMade, time: int) -> None:
        """Keep a room that has no counter yet."""

    def put(self, counter: Counter, event: Numbered, time: int, blob: bytes) -> None:
        """Keep an event under the number to which the counter has just been moved."""

    def replace(self, counter: Counter, seq: int, event: Numbered) -> None:
        """Keep this instead of what has the number."""

    def rule(self, counter: Counter, orders: Orders) -> None:
        """Keep what is ordered in the room."""

    def set_topic(self, counter: Counter, topic: str) -> None:
        """Keep the room's topic."""

    def mark(self, counter: Counter, user_id: str, seq: int) -> None:
        """Move a read cursor, if that is forward."""

    def purge(self, counter: Counter, first_seq: int) -> None:
        """Keep no longer what the room has before this number."""

    @property
    def bringing(self) -> Bringing:
        """The part that is about what was elsewhere before."""

    def bookmark(self, bookmark: Bookmark, time: int) -> None:
        """Keep this in the place of what has its key."""

    def forget_bookmarks(self, before: int, most: int) -> None:
        """Keep no bookmarks that are older than this, nor the oldest beyond so many; 0 is no bound."""


class Bringing(Protocol):
    """The part of a shelf that is about what was elsewhere before."""

    def bring_room(self, brought: RoomBrought, time: int) -> None:
        """Keep a room that has no counter yet."""

    def bring(self, counter: Counter, event: Numbered, row: BroughtEvent) -> None:
        """Keep an event under the number to which the counter has just been moved."""


def settle(proposals: Sequence[Proposal], shelf: Shelf) -> list[Entry]:
    """One entry for each proposal, in order. Whether they count is for the shelf's owner to see to."""
    entries = []
    for proposal in proposals:
        event = proposal.event
        place = PLACE.get(type(event))
        if place is None:
            entries.append(passed(proposal) if isinstance(event, Passing) else _bug(proposal, "no such sort"))
            continue
        try:
            blob = encode(event)
        except (TypeError, ValueError, OverflowError):
            entries.append(_bug(proposal, "no store could hold it"))
            continue
        entries.append(place(shelf, proposal, event, blob))
    return entries


def passed(proposal: Proposal) -> Entry:
    """The entry of an event that is not stored."""
    return Entry(proposal.event, proposal.time, 0, proposal.ticket)


def refused(proposal: Proposal, code: Code) -> Entry:
    """The entry of an event that did not happen."""
    return Entry(proposal.event, proposal.time, 0, proposal.ticket, Fate.REFUSED, code)


def not_stored(proposals: Iterable[Proposal], code: Code) -> list[Entry]:
    """The entries of a batch that could not be stored: passing events pass, all others did not happen."""
    return [
        passed(proposal) if isinstance(proposal.event, Passing) else refused(proposal, code) for proposal in proposals
    ]


def _bug(proposal: Proposal, why: str) -> Entry:
    log.error("bug: an event of type {type} was proposed: {why}", type=type(proposal.event).__name__, why=why)
    return refused(proposal, Code.INTERNAL)


def _sent(shelf: Shelf, proposal: Proposal, event: MessageSent, blob: bytes) -> Entry:
    counter = shelf.counter(event.room_id)
    if counter is None:
        return _bug(proposal, "its room was never made")
    if event.msg_id is not None:
        again = _again(shelf, proposal, event)
        if again is not None:
            return again
    return _numbered(shelf, counter, proposal, event, blob)


def _related(shelf: Shelf, proposal: Proposal, event: Related, blob: bytes) -> Entry:
    counter = shelf.counter(event.room_id)
    if counter is None:
        return _bug(proposal, "its room was never made")
    # A repeated redaction finds its target redacted, by itself: repetitions come first.
    again = _again(shelf, proposal, event)
    if again is not None:
        return again
    target = shelf.at(counter, event.target) if 0 < event.target <= counter.last_seq else None
    if target is None or not _may_relate(event, target):
        return refused(proposal, Code.NO_SUCH_MESSAGE)
    entry = _numbered(shelf, counter, proposal, event, blob)
    if event.rel == "redact":
        shelf.replace(counter, event.target, cleared(target))
        for seq, edit in shelf.edits(counter, event.target):
            shelf.replace(counter, seq, cleared(edit))
    return entry


def _may_relate(event: Related, target: Numbered) -> bool:
    # A relation of a relation means nothing, but what was said in one can be taken back like everything else.
    if isinstance(target, MessageSent):
        return not target.redacted
    return isinstance(target, Related) and event.rel == "redact" and not target.redacted


def _again(shelf: Shelf, proposal: Proposal, event: Identified) -> Entry | None:
    """The entry of an event whose `msg_id` its author has used before; None if it has not been used."""
    earlier = shelf.earlier(event) if event.msg_id is not None else None
    if earlier is None:
        return None
    if is_same(earlier.event, event):
        return Entry(event, earlier.time, earlier.seq, proposal.ticket, Fate.REPEATED)
    return refused(proposal, Code.MSG_ID_REUSED)


def _numbered(shelf: Shelf, counter: Counter, proposal: Proposal, event: Numbered, blob: bytes) -> Entry:
    counter.last_seq = seq = counter.last_seq + 1
    shelf.put(counter, event, proposal.time, blob)
    return Entry(event, proposal.time, seq, proposal.ticket)


def _room_changed(shelf: Shelf, proposal: Proposal, event: RoomChanged, blob: bytes) -> Entry:
    counter = shelf.counter(event.room_id)
    if counter is None:
        return _bug(proposal, "its room was never made")
    entry = _numbered(shelf, counter, proposal, event, blob)
    if "topic" in event.changes:
        shelf.set_topic(counter, event.changes["topic"] or "")
    shelf.rule(counter, rulings_of(event, proposal.time))
    return entry


def _moderated(shelf: Shelf, proposal: Proposal, event: Moderated, blob: bytes) -> Entry:
    counter = shelf.counter(event.room_id)
    if counter is None:
        return _bug(proposal, "its room was never made")
    entry = _numbered(shelf, counter, proposal, event, blob)
    shelf.rule(counter, rulings_of(event, proposal.time))
    return entry


def _admitted(shelf: Shelf, proposal: Proposal, event: Admitted, blob: bytes) -> Entry:
    counter = shelf.counter(event.room_id)
    if counter is None:
        return _bug(proposal, "its room was never made")
    shelf.rule(counter, rulings_of(event, proposal.time))
    return passed(proposal)


def _room_made(shelf: Shelf, proposal: Proposal, event: RoomMade, blob: bytes) -> Entry:
    if shelf.counter(event.room_id) is None:
        shelf.make_room(event, proposal.time)
        if event.owner and (counter := shelf.counter(event.room_id)) is not None:
            shelf.rule(counter, rulings_of(event, proposal.time))
    return passed(proposal)


def _read_marked(shelf: Shelf, proposal: Proposal, event: ReadMarked, blob: bytes) -> Entry:
    counter = shelf.counter(event.room_id)
    if counter is None:
        return _bug(proposal, "its room was never made")
    if not 0 <= event.seq <= counter.last_seq:
        return refused(proposal, Code.NO_SUCH_MESSAGE)
    shelf.mark(counter, event.user_id, event.seq)
    return passed(proposal)


def _purged(shelf: Shelf, proposal: Proposal, event: Purged, blob: bytes) -> Entry:
    counter = shelf.counter(event.room_id)
    if counter is None:
        return _bug(proposal, "its room was never made")
    if not 1 <= event.first_seq <= counter.last_seq + 1:
        return refused(proposal, Code.NO_SUCH_MESSAGE)
    shelf.purge(counter, event.first_seq)
    return passed(proposal)


def _bookmarks_moved(shelf: Shelf, proposal: Proposal, event: BookmarksMoved, blob: bytes) -> Entry:
    for bookmark in event.bookmarks:
        shelf.bookmark(bookmark, proposal.time)
    if event.drop_before or event.most:
        shelf.forget_bookmarks(event.drop_before, event.most)
    return passed(proposal)


def _room_brought(shelf: Shelf, proposal: Proposal, event: RoomBrought, blob: bytes) -> Entry:
    if shelf.counter(event.room_id) is None:
        shelf.bringing.bring_room(event, proposal.time)
        counter = shelf.counter(event.room_id)
        if counter is not None:
            shelf.rule(counter, Orders(event.rulings))
    return passed(proposal)


def _brought(shelf: Shelf, proposal: Proposal, event: Brought, blob: bytes) -> Entry:
    counter = shelf.counter(event.room_id)
    if counter is None:
        return _bug(proposal, "its room was never made")
    for row in event.events:
        if row.seq <= counter.last_seq:
            continue
        if row.seq != counter.last_seq + 1:
            return refused(proposal, Code.NO_SUCH_MESSAGE)
        counter.last_seq = row.seq
        shelf.bringing.bring(counter, decode(row.blob), row)
    return passed(proposal)


def _of_accounts(shelf: Shelf, proposal: Proposal, event: Event, blob: bytes) -> Entry:
    code = accounts.take(shelf.accounts, event, proposal.time)
    return passed(proposal) if code is None else refused(proposal, code)


PLACE: dict[type[Event], Callable[[Shelf, Proposal, Any, bytes], Entry]] = {
    MessageSent: _sent,
    Related: _related,
    RoomChanged: _room_changed,
    Moderated: _moderated,
    Admitted: _admitted,
    RoomMade: _room_made,
    ReadMarked: _read_marked,
    Purged: _purged,
    BookmarksMoved: _bookmarks_moved,
    RoomBrought: _room_brought,
    Brought: _brought,
    **dict.fromkeys(accounts.EVENTS, _of_accounts),
}
