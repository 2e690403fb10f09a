"""The replica: a node's own copy of the stream, in a file like that of the SQLite journal.

History, search and `msg_id`s are looked up here. How far it has come is committed with what came, so that it always is
what the stream was at one place; it need not be synced, for whatever it lacks is read from the stream again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any

from msgspec import Struct

from chatd.core.codes import Code
from chatd.core.events import Entry, Proposal
from chatd.core.questions import Snapshot
from chatd.errors import Exit, OperatorError
from chatd.journal import schema
from chatd.journal.batch import Batch
from chatd.journal.order import not_stored, settle
from chatd.journal.runs import Runs
from chatd.journal.store import Store

POSITION = "position"
"""The key in `meta` of the place in the stream, and of the id of the message there: `17 ID`."""

MOST_UNKEPT = 500
"""So many messages in which nothing was stored may be read again after a crash."""


class Followed(Struct):
    """A message of the stream that was read: its place and id, and what it proposes, if it counts.

    `own`: how many of them this node's hub still waits for. `secret`: the cluster's, in the first message.
    """

    position: int
    mark: str
    proposals: Sequence[Proposal] = ()
    own: int = 0
    secret: bytes = b""


class Replica(Store):
    """A copy at `path` of the stream called so. Used by one thread."""

    follows = True

    def __init__(self, path: Path, stream: str) -> None:
        super().__init__(path, "normal")
        self.position = 0
        self.mark = ""
        self.runs = Runs()
        self._stream = stream
        self._kept = 0
        self._is_marked = False
        self._secret = b""

    def open(self) -> Snapshot:
        snapshot = super().open()
        assert self._connection is not None
        meta = dict(self._connection.execute("SELECT key, value FROM meta"))
        stream = meta.get(schema.STREAM)
        if stream is None and snapshot.rooms:
            why = "it is a journal of its own, and no copy of a stream"
            self._let_go()
            raise OperatorError(f"journal {self._path}", why, "chatd migrate takes it into a stream", Exit.DISK)
        if stream is not None and stream != self._stream:
            self._let_go()
            why = f"it is a copy of the stream {stream}, not of {self._stream}"
            raise OperatorError(f"journal {self._path}", why, "see journal.stream, or move it away", Exit.SETTINGS)
        self.position, self.mark = place_in(meta)
        self._kept = self.position
        self._is_marked = stream is not None
        self.runs.load(meta)
        return snapshot

    def take(self, followed: Sequence[Followed]) -> list[Entry]:
        """The entries of what came, in order, once it is in the file. Raises `sqlite3.Error`, `OSError` or
        `OperatorError` if it could not be written: then it is to be tried again."""
        proposals = [proposal for one in followed for proposal in one.proposals]
        batch = None
        try:
            connection = self._connection or self._reconnect()
            batch = Batch(connection, self._counters, self._rooms, proposals)
            entries = settle(proposals, batch)
            self._write(connection, batch, followed)
        except (sqlite3.Error, OperatorError, OSError):
            self._doubt(batch)
            raise
        except Exception:
            self._doubt(batch)
            if len(followed) > 1:
                return [entry for one in followed for entry in self.take([one])]
            self.log.failure("bug in storing message {position} of the stream", position=followed[0].position)
            return not_stored(proposals, Code.INTERNAL)
        self._counters.update(batch.counters)
        self._rooms = batch.rooms
        if self.thinned is not None and (rooms := batch.thinned()):
            self.thinned(rooms)
        return entries

    def _write(self, connection: sqlite3.Connection, batch: Batch, followed: Sequence[Followed]) -> None:
        last = followed[-1]
        self._secret = next((one.secret for one in followed if one.secret), self._secret)
        if not batch.is_empty or self._secret or last.position - self._kept > MOST_UNKEPT:
            batch.meta = self._progress(last)
            connection.execute("BEGIN IMMEDIATE")
            batch.write()
            connection.execute("COMMIT")
            self._kept, self._secret, self._is_marked = last.position, b"", True
            self.runs.are_kept()
        self.position, self.mark = last.position, last.mark

    def _progress(self, last: Followed) -> dict[str, Any]:
        progress: dict[str, Any] = {POSITION: f"{last.position} {last.mark}"}
        if not self._is_marked:
            progress[schema.STREAM] = self._stream
        if self._secret:
            progress["secret"] = self._secret
        return progress | self.runs.changed()

    def close(self) -> None:
        """Keep how far it has come, and let the file go."""
        if self._connection is not None and self.position > self._kept:
            batch = Batch(self._connection, {}, self._rooms, [])
            try:
                self._write(self._connection, batch, [Followed(self.position, self.mark, secret=self._secret)])
            except sqlite3.Error as error:
                self.log.error("cannot keep how far the copy has come: {error}", error=str(error))
        super().close()


def place_in(meta: Mapping[str, Any]) -> tuple[int, str]:
    """How far a copy has come, and the id of the message there."""
    position, _, mark = meta.get(POSITION, "0 ").partition(" ")
    return int(position), mark


def machine_of(folder: Path) -> str:
    """What this node is called in the cluster, for as long as its data folder is there. Raises `OperatorError`.

    It lies beside the copy and not in it: a backup of one node's copy is brought to another.
    """
    path = folder / "node"
    try:
        if not path.exists():
            draft = path.with_name("node.new")
            draft.write_text(token_hex(4) + "\n")
            draft.rename(path)
            schema.sync(folder)
        name = path.read_text().strip()
    except OSError as error:
        raise OperatorError(f"node {path}", f"cannot be written ({error.strerror})", "", Exit.DISK) from error
    if len(name) != 8 or not name.isalnum():
        raise OperatorError(f"node {path}", "it holds no name of a node", "remove it: a new one is made", Exit.DISK)
    return name
