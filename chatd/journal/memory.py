"""The memory journal: keeps everything in this process and forgets it with it. No thread, no disk.

The twin of the SQLite journal, under the same contract tests. It stores the same bytes, so that what cannot be
stored there is refused here as well. It grows with what is said and has no bound.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from chatd.core.charge import Ruling
from chatd.core.cluster_events import BroughtEvent, RoomBrought
from chatd.core.events import Bookmark, Entry, Numbered, Proposal, Related, RoomMade
from chatd.core.orders import Orders
from chatd.core.questions import (
    BookmarkWanted,
    CursorsWanted,
    EntryWanted,
    Found,
    InviteWanted,
    KeptBookmark,
    Page,
    PageWanted,
    Question,
    SearchWanted,
    Snapshot,
    StoredRoom,
    VerifierWanted,
)
from chatd.interfaces import Follower, IJournal
from chatd.journal import Alone, NotOpen
from chatd.journal.accounts import MemoryAccounts
from chatd.journal.commits import Commits
from chatd.journal.order import Counter, Earlier, settle
from chatd.journal.pages import Row, fill, span
from chatd.journal.rulings import Place, places
from chatd.journal.search import Index, being_read, expression, search
from chatd.journal.stored import Identified, decode, encode

SLICE = 5_000  # events that one search reads into the index


@implementer(IJournal)
class MemoryJournal(Alone):
    """A journal for tests and for servers that are to keep nothing."""

    log = Logger()

    def __init__(self, *, reactor: IReactorTime) -> None:
        self.durability = "memory"
        self.is_failing = False
        self.commits = Commits()  # none: there is no disk
        self.memory = Memory()
        self._reactor = reactor
        self._follower: Follower | None = None
        self._waiting: list[Proposal] = []

    def open(self, follower: Follower) -> Deferred[Snapshot]:
        if self._follower is not None:
            raise RuntimeError("the journal is open already")
        self._follower = follower
        return succeed(self.memory.snapshot())

    def append(self, proposals: Sequence[Proposal]) -> None:
        if self._follower is None:
            raise NotOpen
        if proposals and not self._waiting:
            self._reactor.callLater(0, self._go_on)
        self._waiting.extend(proposals)

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting or self._follower is None:
            return
        try:
            self._follower(self.memory.write(waiting))
        except Exception:
            self.log.failure("bug in the follower of the journal")

    @property
    def under_way(self) -> int:
        return len(self._waiting)

    def ask(self, question: Question) -> Deferred[Any]:
        if self._follower is None:
            return fail(NotOpen())
        # Later, as from every other kind: an answer never comes while the question is being asked.
        answered: Deferred[Any] = Deferred()
        self._reactor.callLater(0, answered.callback, question)
        return answered.addCallback(self.memory.answer)

    def close(self) -> Deferred[None]:
        self._go_on()
        self._follower = None
        return succeed(None)


class _Room(Struct):
    """A room, its counter, and its entries: the one numbered n at n - `first`."""

    made: RoomMade
    counter: Counter
    topic: str = ""
    first: int = 1
    times: list[int] = []
    blobs: list[bytes] = []

    def rows(self, low: int, high: int, descending: bool) -> Iterator[Row]:
        numbers = range(low, high + 1)
        for seq in reversed(numbers) if descending else numbers:
            yield Row(seq, self.times[seq - self.first], self.blobs[seq - self.first])

    def at(self, seq: int) -> Numbered | None:
        return decode(self.blobs[seq - self.first]) if self.first <= seq <= self.counter.last_seq else None

    def time_of(self, seq: int) -> int:
        return self.times[seq - self.first]


class _Readable:
    """A room as the index reads it."""

    def __init__(self, memory: Memory, room: _Room) -> None:
        self._memory, self._room = memory, room
        self.no, self.first, self.last = room.counter.no, room.first, room.counter.last_seq

    def mark(self, seq: int) -> bytes:
        return b""  # a memory is never set back

    def events(self, low: int, high: int) -> list[tuple[int, Numbered]]:
        return [(row.seq, decode(row.blob)) for row in self._room.rows(low, high, False)]

    def related(self, seq: int) -> list[int]:
        return self._memory.related(self.no, seq)

    def entry(self, seq: int) -> Entry | None:
        event = self._room.at(seq)
        return None if event is None else Entry(event, self._room.time_of(seq), seq)


class Memory:
    """What a memory journal keeps: settles batches (`chatd.journal.order.Shelf`) and answers questions."""

    def __init__(self) -> None:
        self.secret = os.urandom(32)
        self.accounts = MemoryAccounts()
        self._rulings: dict[Place, Ruling] = {}
        self._rooms: dict[str, _Room] = {}
        self._by_no: list[_Room] = []
        self._msg_ids: dict[tuple[str, str], tuple[_Room, int]] = {}
        self._related: dict[tuple[int, int], list[int]] = {}
        self._cursors: dict[str, dict[str, int]] = {}
        self._index: Index | None = None  # of what was said, once somebody has searched
        self._bookmarks: dict[str, KeptBookmark] = {}  # the one that was moved last at the end

    def snapshot(self) -> Snapshot:
        """What a hub starts from."""
        rooms = [
            StoredRoom(room_id, room.made.name, room.made.parties, room.first, room.counter.last_seq, room.topic)
            for room_id, room in self._rooms.items()
        ]
        rulings = [(self._by_no[no].made.room_id, ruling) for (no, _, _), ruling in sorted(self._rulings.items())]
        return Snapshot(rooms, self.secret, list(self.accounts.accounts.values()), rulings)

    def write(self, proposals: Sequence[Proposal]) -> list[Entry]:
        """The entries of these proposals; they are kept from now on."""
        return settle(proposals, self)

    def answer(self, question: Question) -> Any:
        """The answer, as `chatd.core.questions` says for each question."""
        if isinstance(question, PageWanted):
            return self._page(question)
        if isinstance(question, EntryWanted):
            return self._entry(question)
        if isinstance(question, SearchWanted):
            return self._search(question)
        if isinstance(question, CursorsWanted):
            return dict(self._cursors.get(question.user_id, {}))
        if isinstance(question, BookmarkWanted):
            return self._bookmarks.get(question.key)
        if isinstance(question, VerifierWanted):
            return self.accounts.verifiers.get(question.user_id)
        if isinstance(question, InviteWanted):
            return self.accounts.invites.get(question.key)
        raise TypeError(f"no journal answers {type(question).__name__}")

    def _search(self, question: SearchWanted) -> Found:
        expression(question.query, question.author)  # what cannot be meant is refused at once
        room = self._rooms.get(question.room_id)
        if room is None:
            return Found([], 1, False)
        if self._index is None:
            self._index = Index(sqlite3.connect(":memory:", isolation_level=None), b"")
        readable = _Readable(self, room)
        if not self._index.read_on(readable, SLICE):  # all on the reactor's thread: not too much at once
            raise being_read()
        return search(self._index, readable, question, readable.entry)

    def _page(self, question: PageWanted) -> Page:
        room = self._rooms.get(question.room_id)
        if room is None:
            return Page([], 1, 0)
        last = room.counter.last_seq
        rows = fill(span(question, room.first, last, room.time_of), room.rows, question.max_bytes)
        return Page([Entry(decode(blob), time, seq) for seq, time, blob in rows], room.first, last)

    def _entry(self, question: EntryWanted) -> Entry | None:
        room = self._rooms.get(question.room_id)
        event = None if room is None else room.at(question.seq)
        return None if room is None or event is None else Entry(event, room.time_of(question.seq), question.seq)

    def related(self, no: int, seq: int) -> list[int]:
        """The numbers of what relates to an event."""
        return self._related.get((no, seq), [])

    # -- the shelf ----------------------------------------------------------------------------------------

    def counter(self, room_id: str) -> Counter | None:
        room = self._rooms.get(room_id)
        return None if room is None else room.counter

    def earlier(self, event: Identified) -> Earlier | None:
        place = self._msg_ids.get((event.author, event.msg_id or ""))
        if place is None:
            return None
        room, seq = place
        said = room.at(seq)
        return None if said is None else Earlier(said, room.time_of(seq), seq)

    def at(self, counter: Counter, seq: int) -> Numbered | None:
        return self._by_no[counter.no].at(seq)

    def edits(self, counter: Counter, seq: int) -> Iterable[tuple[int, Related]]:
        room = self._by_no[counter.no]
        for number in self._related.get((counter.no, seq), ()):
            event = room.at(number)
            if isinstance(event, Related) and event.rel == "edit" and not event.redacted:
                yield number, event

    def make_room(self, made: RoomMade, time: int) -> None:
        room = _Room(made, Counter(len(self._by_no), 0))
        self._rooms[made.room_id] = room
        self._by_no.append(room)

    def put(self, counter: Counter, event: Numbered, time: int, blob: bytes) -> None:
        room = self._by_no[counter.no]
        room.times.append(time)
        room.blobs.append(blob)
        if isinstance(event, Related):
            self._related.setdefault((counter.no, event.target), []).append(counter.last_seq)
        msg_id = getattr(event, "msg_id", None)
        if msg_id is not None:
            self._msg_ids[event.author, msg_id] = (room, counter.last_seq)

    @property
    def bringing(self) -> Memory:
        return self

    def bring_room(self, brought: RoomBrought, time: int) -> None:
        made = RoomMade(brought.room_id, brought.name, brought.parties)
        self.make_room(made, time)
        room = self._rooms[brought.room_id]
        room.first, room.topic = brought.first_seq, brought.topic
        room.counter.last_seq = brought.first_seq - 1

    def bring(self, counter: Counter, event: Numbered, row: BroughtEvent) -> None:
        self.put(counter, event, row.time, row.blob)

    def replace(self, counter: Counter, seq: int, event: Numbered) -> None:
        room = self._by_no[counter.no]
        room.blobs[seq - room.first] = encode(event)

    def rule(self, counter: Counter, orders: Orders) -> None:
        for place, ruling in places(counter.no, orders).items():
            if ruling is None:
                self._rulings.pop(place, None)
            else:
                self._rulings[place] = ruling

    def set_topic(self, counter: Counter, topic: str) -> None:
        self._by_no[counter.no].topic = topic

    def mark(self, counter: Counter, user_id: str, seq: int) -> None:
        cursors = self._cursors.setdefault(user_id, {})
        room_id = self._by_no[counter.no].made.room_id
        cursors[room_id] = max(cursors.get(room_id, 0), seq)

    def purge(self, counter: Counter, first_seq: int) -> None:
        room = self._by_no[counter.no]
        gone = max(first_seq - room.first, 0)
        for seq, blob in enumerate(room.blobs[:gone], room.first):
            self._related.pop((counter.no, seq), None)
            event: Any = decode(blob)
            if getattr(event, "msg_id", None) is not None:
                self._msg_ids.pop((event.author, event.msg_id), None)
        del room.times[:gone], room.blobs[:gone]
        room.first += gone

    def bookmark(self, bookmark: Bookmark, time: int) -> None:
        self._bookmarks.pop(bookmark.key, None)
        self._bookmarks[bookmark.key] = KeptBookmark(bookmark, time)

    def forget_bookmarks(self, before: int, most: int) -> None:
        young = [kept for kept in self._bookmarks.values() if kept.time >= before]
        self._bookmarks = {kept.bookmark.key: kept for kept in young[-most if most else 0 :]}
