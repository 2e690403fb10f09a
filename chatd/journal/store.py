"""The store: one connection that writes batches into the file of the SQLite journal, and what holds when it fails.

It is used by one thread and knows of none. A batch is written as a whole or not at all, and its entries tell the
truth about the file, whatever the disk does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from time import time
from typing import Any

import msgspec
from twisted.logger import Logger

from chatd.core.codes import Code
from chatd.core.events import Entry, Proposal, Purged
from chatd.core.questions import Snapshot, StoredRoom
from chatd.errors import Exit, OperatorError
from chatd.journal import accounts, rulings, schema
from chatd.journal.batch import Batch
from chatd.journal.check import check
from chatd.journal.order import Counter, not_stored, settle
from chatd.journal.salvage import damaged, known_of
from chatd.journal.stored import IDENTIFIED

Connect = Callable[[Path, str], sqlite3.Connection]

_NEWEST = f"""FROM events
    WHERE id BETWEEN no << {schema.SEQ_BITS} AND (no << {schema.SEQ_BITS}) | {schema.SEQ_MASK}
    ORDER BY id DESC LIMIT 1"""
_LAST = f"""
    coalesce((SELECT id & {schema.SEQ_MASK} {_NEWEST}), first_seq - 1),
    coalesce((SELECT link {_NEWEST}), link_before)"""
"""A room's last number and last link. They are stored nowhere else, so that nothing can disagree with them."""


class Store:
    """The writing side of a journal file. `write` never raises."""

    log = Logger()
    follows = False  # whether it is a copy of what is kept elsewhere

    def __init__(self, path: Path, durability: str, connect: Connect = schema.connect) -> None:
        self._path = path
        self._durability = durability
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._counters: dict[str, Counter] = {}
        self._rooms = 0
        self._unsure: set[str] = set()
        self._unknown: set[tuple[str, str]] = set()  # author and `msg_id` of what may be in the file, or may not
        self._anchor: sqlite3.Connection | None = None
        self.is_failing = False
        self.thinned: Callable[[list[str]], None] | None = None  # hears of rooms in which something was taken back

    def open(self) -> Snapshot:
        """Open the file, or make it; tell what is in it. Raises `OperatorError`."""
        try:
            if self._path.is_file():
                schema.see_that_writable(self._path)
                for line in check(self._path):
                    self.log.error("the journal is damaged: {line}; see what else is: chatd verify", line=line)
            elif not self._path.exists():
                schema.make(self._path)
            self._connection = connection = self._connect(self._path, self._durability)
            self._settle(connection)
            if not self.follows and schema.is_replica(connection):
                why = "it is a copy of a stream, which other nodes go on writing to"
                raise OperatorError(f"journal {self._path}", why, "see journal.url", Exit.SETTINGS)
            rulings.drop_old(connection, int(time() * 1_000_000))
            snapshot = self.snapshot()
            self._count(connection, "opened")  # whether it can be written shows now, not at the first message
            schema.sync(self._path.parent)  # the name of the WAL; SQLite does so, too, but does not mind if it fails
            return snapshot
        except (OSError, sqlite3.Error) as error:
            self._let_go()
            raise schema.explain(self._path, error) from error
        except BaseException:
            self._let_go()
            raise

    def snapshot(self) -> Snapshot:
        """What is in the file, which is open."""
        connection = self._connection
        assert connection is not None
        [(secret,)] = connection.execute("SELECT value FROM meta WHERE key = 'secret'")
        found = (list(accounts.stored(connection)), list(rulings.stored(connection)))
        return Snapshot(self._load(connection), secret, *found)

    def _settle(self, connection: sqlite3.Connection) -> None:
        """Make sure of what is found in the WAL, and that it is never read anew while this store is open.

        What a process before this one has left there may be in the kernel's memory only, if its fsync failed or it was
        killed: in the file itself, and synced there, it is safe. And as long as any connection is open, a commit that
        failed stays unseen; a first connection would take its pages for committed, though they are not on the disk.
        """
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._anchor = schema.connect_reader(self._path)
        self._anchor.execute("SELECT count(*) FROM meta").fetchone()

    def _load(self, connection: sqlite3.Connection) -> list[StoredRoom]:
        parties = msgspec.msgpack.Decoder(tuple[tuple[str, str], ...])
        rooms = []
        for no, room_id, name, blob, first_seq, topic, last_seq, link in connection.execute(
            f"SELECT no, room_id, name, parties, first_seq, topic, {_LAST} FROM rooms ORDER BY no"
        ):
            counter = self._counters[room_id] = _counter(connection, no, last_seq, link)
            rooms.append(StoredRoom(room_id, name, parties.decode(blob), first_seq, counter.last_seq, topic))
            self._rooms = no
        return rooms

    def write(self, proposals: Sequence[Proposal]) -> list[Entry]:
        """The entries of these proposals, in order, when all of them are committed or none is."""
        batch = None
        is_settling = is_committing = False
        try:
            connection = self._connection or self._reconnect()
            is_settling = True
            batch = Batch(connection, self._counters, self._rooms, proposals)
            entries = settle(proposals, batch)
            is_settling = False
            if batch.is_one_statement:  # it commits by itself, and most batches are no more than that
                is_committing = True
                batch.write()
            elif not batch.is_empty:
                connection.execute("BEGIN IMMEDIATE")
                batch.write()
                is_committing = True
                connection.execute("COMMIT")
        except (sqlite3.Error, OperatorError, OSError) as error:
            if is_settling and damaged(error):
                return self._refuse_damaged(proposals, error)
            if (
                batch is not None
                and not is_committing
                and damaged(error)
                and len(parts := _around_purges(proposals)) > 1
            ):
                self._doubt(batch)
                return [entry for part in parts for entry in self.write(part)]
            self._tell_failing(error, len(proposals))
            self._doubt(batch)
            if batch is None or not is_committing or not _leaves_doubt(error):
                return self._refuse(proposals)
            is_there = self._is_there(batch)
            if not is_there:
                return self._refuse(proposals, is_known=is_there is not None)
        except Exception:
            self._doubt(batch)
            return self._write_apart(proposals)
        else:
            self._counters.update(batch.counters)
            self._rooms = batch.rooms
            self._tell_well(not batch.is_empty)
            if self.thinned is not None and (rooms := batch.thinned()):
                self.thinned(rooms)
        return entries

    def _write_apart(self, proposals: Sequence[Proposal]) -> list[Entry]:
        """After a bug in the batch: halve it until only the event that it is about is refused."""
        if len(proposals) == 1:
            self.log.failure("bug in storing an event of type {type}", type=type(proposals[0].event).__name__)
            return not_stored(proposals, Code.INTERNAL)
        return self._write_halves(proposals)

    def _write_halves(self, proposals: Sequence[Proposal]) -> list[Entry]:
        half = len(proposals) // 2
        return self.write(proposals[:half]) + self.write(proposals[half:])

    def _refuse_damaged(self, proposals: Sequence[Proposal], error: Exception) -> list[Entry]:
        """Some of these ask for what is damaged: refuse only them. Nothing was begun, so nothing is in doubt."""
        if len(proposals) > 1:
            return self._write_halves(proposals)
        self._tell_failing(error, len(proposals))
        return self._refuse(proposals)

    # -- when it fails ------------------------------------------------------------------------------------

    def _refuse(self, proposals: Sequence[Proposal], *, is_known: bool = True) -> list[Entry]:
        """The entries of a batch that is not there, or (not `is_known`) perhaps is. What is perhaps there from an
        earlier attempt is not said to be missing because a repetition of it fails."""
        if not is_known:
            self._unknown.update(filter(None, map(_identity, proposals)))
            return not_stored(proposals, Code.OUTCOME_UNKNOWN)
        entries = []
        for proposal in proposals:
            is_doubtful = self._unknown and _identity(proposal) in self._unknown
            entries += not_stored([proposal], Code.OUTCOME_UNKNOWN if is_doubtful else Code.STORE_UNAVAILABLE)
        return entries

    def _tell_failing(self, error: Exception, count: int) -> None:
        if not self.is_failing:
            self.is_failing = True
            reason = error if isinstance(error, OperatorError) else schema.explain(self._path, error)  # type: ignore[arg-type]  # these are all that `write` passes
            self.log.error("{count} events were not stored: {reason}", count=count, reason=str(reason))

    def _tell_well(self, has_written: bool) -> None:
        if self.is_failing and has_written:
            self.is_failing = False
            self.log.info("the journal can be written again")

    def _doubt(self, batch: Batch | None) -> None:
        """Trust neither the connection nor the counters that the batch touched."""
        if batch is not None:
            self._unsure.update(batch.counters)
        self._drop()

    def _drop(self) -> None:
        """Close the connection, which takes back what it has not committed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as error:
                self.log.error("cannot close the journal: {error}", error=str(error))

    def _reconnect(self) -> sqlite3.Connection:
        """Open the file anew, make sure that it can be written, and take from it whatever is unsure.

        A COMMIT whose fsync failed has left its pages at the end of the WAL. This process sees them no more, but
        after a crash they would count. A commit of our own takes their place: then what was refused stays refused.
        And while that fails, nothing else is tried: what is refused then cannot be anywhere.
        """
        connection = self._connect(self._path, self._durability)
        try:
            self._count(connection, "doubts")
            for room_id in self._unsure:
                found = connection.execute(f"SELECT no, {_LAST} FROM rooms WHERE room_id = ?", (room_id,)).fetchone()
                if found is None:
                    self._counters.pop(room_id, None)
                else:
                    self._counters[room_id] = _counter(connection, *found)
            [(self._rooms,)] = connection.execute("SELECT coalesce(max(no), 0) FROM rooms")
        except BaseException:
            connection.close()
            raise
        self._unsure.clear()
        self._unknown.clear()
        self._connection = connection
        return connection

    def _is_there(self, batch: Batch) -> bool | None:
        """Whether a batch is in the file after its COMMIT failed; None if that cannot be known now."""
        try:
            return batch.is_in(self._reconnect())
        except (sqlite3.Error, OperatorError, OSError):
            self._drop()
            return None

    def _count(self, connection: sqlite3.Connection, what: str) -> None:
        """Commit something small."""
        more = "ON CONFLICT DO UPDATE SET value = value + 1"
        connection.execute(f"INSERT INTO meta VALUES (?, 1) {more}", (what,))

    def close(self) -> None:
        """Bring everything into the file itself, and let it go."""
        if self._connection is not None:
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                self.log.error("what is in the WAL of the journal stays there: {error}", error=str(error))
        self._let_go()

    def _let_go(self) -> None:
        """Close everything. The connection that writes goes last: with it SQLite takes the WAL away."""
        anchor, self._anchor = self._anchor, None
        if anchor is not None:
            anchor.close()
        self._drop()


def _counter(connection: sqlite3.Connection, no: int, last_seq: int, link: bytes) -> Counter:
    """How far a room has come, with what was lost at its end: those numbers are not given again."""
    return Counter(no, max([last_seq, *(last for _, last in known_of(connection, no))]), link)


def _around_purges(proposals: Sequence[Proposal]) -> list[list[Proposal]]:
    """The proposals, in order, with those that remove something on their own: only they touch so much that is old,
    and what is damaged there is nobody else's concern."""
    return [list(part) for _, part in groupby(proposals, lambda proposal: isinstance(proposal.event, Purged))]


def _identity(proposal: Proposal) -> tuple[str, str] | None:
    """Author and `msg_id` of what can be repeated."""
    event: Any = proposal.event
    is_repeatable = type(event) in IDENTIFIED and event.msg_id is not None
    return (event.author, event.msg_id) if is_repeatable else None


def _leaves_doubt(error: Exception) -> bool:
    """Whether a COMMIT that failed so may be found in the file after a crash.

    What makes a transaction valid is written as its last piece: if a write failed, it is not there.
    """
    return getattr(error, "sqlite_errorcode", 0) not in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
