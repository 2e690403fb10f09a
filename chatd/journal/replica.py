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
from chatd.journal.streams import NAMES

POSITION = "position"
"""The key in `meta` of the place in the stream, and of the id of the message there: `17 ID`. With several streams there
are `position 1`, `position 2` and so on beside it."""

MOST_UNKEPT = 500
"""So many messages in which nothing was stored may be read again after a crash."""


class Followed(Struct):
    """A message of a stream that was read: its place and id, and what it proposes, if it counts.

    `own`: how many of them this node's hub still waits for. `secret`: the cluster's, in the first message.
    """

    position: int
    mark: str
    stream: int = NAMES
    proposals: Sequence[Proposal] = ()
    own: int = 0
    secret: bytes = b""


class Replica(Store):
    """A copy at `path` of the streams called so. Used by one thread."""

    follows = True

    def __init__(self, path: Path, streams: Sequence[str]) -> None:
        super().__init__(path, "normal")
        self.positions = [0 for _ in streams]
        self.marks = ["" for _ in streams]
        self.runs = Runs()
        self._stream = streams[NAMES]
        self._kept = list(self.positions)
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
        places = places_in(meta, len(self.positions))
        self.positions, self.marks = [place for place, _ in places], [mark for _, mark in places]
        self._kept = list(self.positions)
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
            batch.is_by_room = len(self.positions) > 1  # in two streams nothing is said before or after
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

    def _write(
        self, connection: sqlite3.Connection, batch: Batch, followed: Sequence[Followed], *, at_once: bool = False
    ) -> None:
        lasts = {one.stream: one for one in followed}
        self._secret = next((one.secret for one in followed if one.secret), self._secret)
        is_far = any(last.position - self._kept[stream] > MOST_UNKEPT for stream, last in lasts.items())
        if at_once or is_far or self._secret or not batch.is_empty:
            batch.meta |= self._progress(lasts)
            connection.execute("BEGIN IMMEDIATE")
            batch.write()
            connection.execute("COMMIT")
            for stream in range(len(self.positions)):
                self._kept[stream] = lasts[stream].position if stream in lasts else self.positions[stream]
            self._secret, self._is_marked = b"", True
            self.runs.are_kept()
        for stream, last in lasts.items():
            self.positions[stream], self.marks[stream] = last.position, last.mark

    def _progress(self, lasts: Mapping[int, Followed]) -> dict[str, Any]:
        progress: dict[str, Any] = {}
        for stream, kept in enumerate(self._kept):
            last = lasts.get(stream) or Followed(self.positions[stream], self.marks[stream])
            if last.position != kept:
                progress[key_of(stream)] = f"{last.position} {last.mark}"
        if not self._is_marked:
            progress[schema.STREAM] = self._stream
        if self._secret:
            progress["secret"] = self._secret
        return progress | self.runs.changed()

    def close(self) -> None:
        """Keep how far it has come, and let the file go."""
        if self._connection is not None and self.positions != self._kept:
            batch = Batch(self._connection, {}, self._rooms, [])
            try:
                self._write(self._connection, batch, [], at_once=True)
            except sqlite3.Error as error:
                self.log.error("cannot keep how far the copy has come: {error}", error=str(error))
        super().close()


def key_of(stream: int) -> str:
    """The key in `meta` of the place in a stream."""
    return f"{POSITION} {stream}" if stream else POSITION


def places_in(meta: Mapping[str, Any], streams: int) -> list[tuple[int, str]]:
    """How far a copy has come in each of so many streams, and the id of the message there."""
    found = []
    for stream in range(streams):
        position, _, mark = meta.get(key_of(stream), "0 ").partition(" ")
        found.append((int(position), mark))
    return found


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
