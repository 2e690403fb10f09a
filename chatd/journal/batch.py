"""A batch: what one transaction is going to write, collected first, so that SQLite is called seldom.

To `settle` it is the shelf: it looks up in the file and in what the batch itself has put down so far. It knows
the tables; when a batch begins, is committed or fails is the store's business.

Every call into SQLite gives up the interpreter's lock, and getting it back from a busy reactor can take a while:
hence one question for all `msg_id`s of a batch, and many rows in one statement. (Measured with bench/journal.py:
half the cost of a row at a time.)
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from chatd.core.charge import Ruling
from chatd.core.cluster_events import BroughtEvent, RoomBrought
from chatd.core.events import Bookmark, Numbered, Proposal, Related, RoomMade
from chatd.core.orders import Orders
from chatd.journal.accounts import AccountBatch
from chatd.journal.chain import START, digest_of, link
from chatd.journal.order import Counter, Earlier
from chatd.journal.rulings import Place, places, write
from chatd.journal.schema import BY_ROOM, SEQ_BITS, SEQ_MASK, event_id
from chatd.journal.stored import Identified, decode, encode, msg_key

# Few sizes, so that their statements stay prepared; what is missing is filled up and left out. Numbers and bytearrays
# are bound as they are; for None and bytes the sqlite3 module looks for an adapter each time, at more than half the
# cost of the row.
SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)

# OR ROLLBACK: a row that is refused ends the transaction, which is what we would do ourselves. Otherwise SQLite
# prepares to take back the statement alone, and that costs as much again as the rows.
COLUMNS = 6
_ROW = f"({', '.join('?' * COLUMNS)})"
INSERT = {
    size: "INSERT OR ROLLBACK INTO events (id, time, target, msg_key, link, event)"
    " SELECT column1, column2, nullif(column3, 0), column4, column5, column6"
    f" FROM (VALUES {', '.join([_ROW] * size)}) WHERE column1"
    for size in SIZES
}
# CROSS JOIN: the keys lead. For `IN` SQLite would sort them into a table first, at twice the cost.
FIND = {
    size: "SELECT msg_key, id, time, event"
    f" FROM (VALUES {', '.join(['(?)'] * size)}) CROSS JOIN events ON msg_key = column1"
    for size in SIZES
}

BEGIN_WITH = """UPDATE rooms SET first_seq = max(first_seq, ?),
    link_before = coalesce((SELECT link FROM events WHERE id = ?), link_before) WHERE no = ?"""
"""A room's new first number, and the link before it, as long as that is there."""

KEEP_BOOKMARK = """INSERT INTO bookmarks VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET time = excluded.time, bookmark = excluded.bookmark"""
DROP_BOOKMARKS = "DELETE FROM bookmarks WHERE time < ?"
DROP_OLDEST = """DELETE FROM bookmarks
    WHERE key IN (SELECT key FROM bookmarks ORDER BY time DESC, key LIMIT -1 OFFSET ?)"""

Found = tuple[int, int, bytes]


class Batch:
    """The shelf of one batch of proposals; `write` puts it into the open transaction, or makes one of it."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        committed: Mapping[str, Counter],
        rooms: int,
        proposals: Sequence[Proposal],
    ) -> None:
        self.counters: dict[str, Counter] = {}
        """Of the rooms that the batch touches, as they will be."""
        self.rooms = rooms
        """The highest `no` of a room, as it will be."""
        self._connection = connection
        self._committed = committed
        self._keys = _msg_keys(proposals)
        self._found = _find(connection, list(set(self._keys.values())))
        self._said: dict[tuple[str, ...], int] = {}
        self._events: dict[int, list[Any]] = {}
        self._related: dict[int, list[int]] = {}
        self._replaced: dict[int, bytes] = {}
        self._digests: dict[int, bytes] = {}  # of what is replaced, as it was
        self._made: list[tuple[Any, ...]] = []
        self._begins: list[tuple[int, bytes, int]] = []  # of rooms that were elsewhere before
        self._topics: dict[int, str] = {}
        self._cursors: dict[tuple[str, int], int] = {}
        self._purged: dict[int, int] = {}  # what each room begins with then
        self._bookmarks: dict[str, tuple[str, int, bytes]] = {}
        self._bookmarks_from = 0  # no older ones are kept
        self._most_bookmarks = 0
        self.accounts = AccountBatch(connection)
        self._rulings: dict[Place, Ruling | None] = {}
        self.is_by_room = False
        """A `msg_id` is unique for its author in each room, and not in all of them."""
        self.meta: dict[str, Any] = {}
        """What is written beside it all, by its key."""

    @property
    def is_empty(self) -> bool:
        """There is nothing to write."""
        return not (self._events or self._has_more())

    @property
    def is_one_statement(self) -> bool:
        """All there is to write is messages, no more of them than one statement takes."""
        return 0 < len(self._events) <= SIZES[-1] and not self._has_more()

    def _has_more(self) -> bool:
        written = (
            self._replaced,
            self._made,
            self._topics,
            self._cursors,
            self._purged,
            self._bookmarks,
            self._rulings,
        )
        return any(written) or bool(self._bookmarks_from or self._most_bookmarks) or not self.accounts.is_empty

    def thinned(self) -> list[str]:
        """The ids of rooms in which something that was there before is taken back or removed."""
        numbers = {number >> SEQ_BITS for number in self._replaced} | self._purged.keys()
        return [room_id for room_id, counter in self.counters.items() if counter.no in numbers] if numbers else []

    # -- the shelf ----------------------------------------------------------------------------------------

    def counter(self, room_id: str) -> Counter | None:
        counter = self.counters.get(room_id)
        if counter is None:
            committed = self._committed.get(room_id)
            if committed is None:
                return None
            # A copy: what is committed stays as it is until this is.
            counter = self.counters[room_id] = Counter(committed.no, committed.last_seq, committed.link)
        return counter

    def earlier(self, event: Identified) -> Earlier | None:
        who = (event.author, event.msg_id or "")
        said = self._said.get((*who, event.room_id) if self.is_by_room else who)
        if said is None and not self._found:  # as mostly
            return None
        if said is not None and not self._is_gone(said):
            _, time, *_, blob = self._events[said]
            return Earlier(decode(blob), time, said & SEQ_MASK)
        elsewhere = None  # in another room; there may be one in this as well, if they were in several streams
        for found, time, blob in self._found.get(self._keys[who], ()):
            stored: Any = decode(self._replaced.get(found, blob))
            if (stored.author, stored.msg_id) == who and not self._is_gone(found):
                earlier = Earlier(stored, time, found & SEQ_MASK)
                if stored.room_id == event.room_id:
                    return earlier
                elsewhere = elsewhere or earlier
        return None if self.is_by_room else elsewhere

    def at(self, counter: Counter, seq: int) -> Numbered | None:
        blob = self._blob(event_id(counter.no, seq))
        return None if blob is None else decode(blob)

    def _is_gone(self, number: int) -> bool:
        return number & SEQ_MASK < self._purged.get(number >> SEQ_BITS, 0)

    def _blob(self, wanted: int) -> bytes | None:
        if self._is_gone(wanted):
            return None
        if (row := self._events.get(wanted)) is not None:
            blob: bytes = row[-1]
            return blob
        if (replaced := self._replaced.get(wanted)) is not None:
            return replaced
        stored = self._connection.execute("SELECT event FROM events WHERE id = ?", (wanted,)).fetchone()
        return None if stored is None else stored[0]

    def edits(self, counter: Counter, seq: int) -> Iterable[tuple[int, Related]]:
        target = event_id(counter.no, seq)
        stored = self._connection.execute("SELECT id FROM events WHERE target = ?", (target,)).fetchall()
        for related in [number for (number,) in stored] + self._related.get(target, []):
            event = decode(self._blob(related) or b"")
            if isinstance(event, Related) and event.rel == "edit" and not event.redacted:
                yield related & SEQ_MASK, event

    def make_room(self, made: RoomMade, time: int) -> None:
        self.rooms += 1
        self.counters[made.room_id] = Counter(self.rooms, 0, START)
        self._made.append((self.rooms, made.room_id, made.name, encode(made.parties), time))

    def put(self, counter: Counter, event: Numbered, time: int, blob: bytes, digest: bytes = b"") -> None:
        seq = counter.last_seq
        number = counter.no << SEQ_BITS | seq
        target, key = 0, None
        msg_id: str | None = getattr(event, "msg_id", None)
        if msg_id is not None:
            who = (event.author, msg_id)
            key = self._keys[who]
            self._said[(*who, event.room_id) if self.is_by_room else who] = number
        if type(event) is Related:
            target = event_id(counter.no, event.target)
            self._related.setdefault(target, []).append(number)
        counter.link = link(counter.link, event, seq, time, digest or digest_of(blob))
        self._events[number] = [number, time, target, key, bytearray(counter.link), bytearray(blob)]

    @property
    def bringing(self) -> Batch:
        return self

    def bring_room(self, brought: RoomBrought, time: int) -> None:
        self.rooms += 1
        first = brought.first_seq
        self.counters[brought.room_id] = Counter(self.rooms, first - 1, brought.link_before)
        self._made.append((self.rooms, brought.room_id, brought.name, encode(brought.parties), time))
        self._begins.append((first, brought.link_before, self.rooms))
        self._topics[self.rooms] = brought.topic
        if brought.by_room:
            self.meta[BY_ROOM] = 1

    def bring(self, counter: Counter, event: Numbered, row: BroughtEvent) -> None:
        msg_id: str | None = getattr(event, "msg_id", None)
        if msg_id is not None:
            self._keys[event.author, msg_id] = msg_key(event.author, msg_id)
        self.put(counter, event, row.time, row.blob, row.digest)
        if row.digest:
            self._digests[event_id(counter.no, row.seq)] = row.digest

    def replace(self, counter: Counter, seq: int, event: Numbered) -> None:
        number = event_id(counter.no, seq)
        self._digests[number] = digest_of(self._blob(number) or b"")
        if number in self._events:
            self._events[number][-1] = encode(event)
        else:
            self._replaced[number] = encode(event)

    def rule(self, counter: Counter, orders: Orders) -> None:
        self._rulings |= places(counter.no, orders)

    def set_topic(self, counter: Counter, topic: str) -> None:
        self._topics[counter.no] = topic

    def mark(self, counter: Counter, user_id: str, seq: int) -> None:
        cursor = (user_id, counter.no)
        self._cursors[cursor] = max(self._cursors.get(cursor, 0), seq)

    def purge(self, counter: Counter, first_seq: int) -> None:
        self._purged[counter.no] = max(self._purged.get(counter.no, 0), first_seq)

    def bookmark(self, bookmark: Bookmark, time: int) -> None:
        self._bookmarks[bookmark.key] = (bookmark.key, time, encode(bookmark))

    def forget_bookmarks(self, before: int, most: int) -> None:
        self._bookmarks_from = max(self._bookmarks_from, before)
        self._most_bookmarks = most or self._most_bookmarks

    # -- the transaction ----------------------------------------------------------------------------------

    def write(self) -> None:
        """Put everything into the open transaction; one statement needs none. Raises `sqlite3.Error`."""
        execute, many = self._connection.execute, self._connection.executemany
        if self._made:
            many("INSERT INTO rooms (no, room_id, name, parties, made) VALUES (?, ?, ?, ?, ?)", self._made)
        if self._begins:
            many("UPDATE rooms SET first_seq = ?, link_before = ? WHERE no = ?", self._begins)
        for size, rows in _portions(list(self._events.values())):
            execute(INSERT[size], [*chain.from_iterable(rows), *[0] * ((size - len(rows)) * COLUMNS)])
        if self._replaced:
            many("UPDATE events SET event = ? WHERE id = ?", [(blob, n) for n, blob in self._replaced.items()])
        if self._digests:
            many("UPDATE events SET digest = ? WHERE id = ?", [(digest, n) for n, digest in self._digests.items()])
        if self._topics:
            many("UPDATE rooms SET topic = ? WHERE no = ?", [(topic, no) for no, topic in self._topics.items()])
        if self._cursors:
            forward = "ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)"
            cursors = [(user_id, no, seq) for (user_id, no), seq in self._cursors.items()]
            many(f"INSERT INTO cursors VALUES (?, ?, ?) {forward}", cursors)
        for no, first in self._purged.items():
            execute(BEGIN_WITH, (first, event_id(no, first - 1), no))
            execute("DELETE FROM events WHERE id BETWEEN ? AND ?", (event_id(no, 0), event_id(no, first) - 1))
        self.accounts.write()
        write(self._connection, self._rulings)
        if self._bookmarks:
            many(KEEP_BOOKMARK, list(self._bookmarks.values()))
        if self._bookmarks_from:
            execute(DROP_BOOKMARKS, (self._bookmarks_from,))
        if self.meta:
            more = "ON CONFLICT DO UPDATE SET value = excluded.value"
            many(f"INSERT INTO meta VALUES (?, ?) {more}", list(self.meta.items()))
        if self._most_bookmarks:
            [(count,)] = execute("SELECT count(*) FROM bookmarks")
            if count > self._most_bookmarks:  # asked first: to sort them takes a while (100,000: 0.15 s)
                execute(DROP_OLDEST, (self._most_bookmarks,))

    def is_in(self, connection: sqlite3.Connection) -> bool:
        """Whether the file has this batch: a transaction is there as a whole or not at all."""
        if self._events:
            number, _, _, _, last, _ = next(reversed(self._events.values()))
            found = connection.execute("SELECT link FROM events WHERE id = ?", (number,)).fetchone()
            return bool(found == (last,))
        if self._made:
            made = connection.execute("SELECT 1 FROM rooms WHERE (no, room_id) = (?, ?)", self._made[-1][:2])
            return made.fetchone() is not None
        if not self.accounts.is_empty:
            return self.accounts.is_in(connection)
        return False  # cursors only move forward, and bookmarks are moved again: both may well be told twice


def _msg_keys(proposals: Iterable[Proposal]) -> dict[tuple[str, str], int]:
    """The key of every author and `msg_id` in these proposals."""
    keys = {}
    for proposal in proposals:
        msg_id = getattr(proposal.event, "msg_id", None)
        if msg_id is not None:
            author: str = proposal.event.author  # type: ignore[attr-defined]  # events with a msg_id have one
            keys[author, msg_id] = msg_key(author, msg_id)
    return keys


def _find(connection: sqlite3.Connection, keys: list[int]) -> dict[int, list[Found]]:
    """What is stored under these keys; several rows may share one."""
    found: dict[int, list[Found]] = {}
    for size, portion in _portions(keys):
        wanted = portion + [0] * (size - len(portion))
        for key, number, time, blob in connection.execute(FIND[size], wanted):
            found.setdefault(key, []).append((number, time, blob))
    return found


def _portions(things: list[Any]) -> Iterator[tuple[int, list[Any]]]:
    """The things in portions, each with the size of the statement that holds it."""
    for start in range(0, len(things), SIZES[-1]):
        portion = things[start : start + SIZES[-1]]
        yield SIZES[bisect_left(SIZES, len(portion))], portion
