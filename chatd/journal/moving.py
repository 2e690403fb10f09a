"""Moving in: takes a whole journal of one machine into a stream, under the numbers, ids and times that it has.

It takes part as a node does, and so leaves this machine with a copy that it can go on with. Everything is published so
that it can be published again: whoever is cut off begins anew, and nothing comes in twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
from twisted.python.failure import Failure

from chatd.core.cluster_events import AccountBrought, Brought, BroughtEvent, RoomBrought
from chatd.core.codes import Code
from chatd.core.events import BookmarksMoved, Entry, Event, Fate, InviteMade, Proposal, ReadMarked
from chatd.core.names import fold
from chatd.core.questions import Snapshot
from chatd.errors import Exit, OperatorError
from chatd.journal import accounts, rulings, schema
from chatd.journal.node import Node
from chatd.journal.replica import Replica
from chatd.journal.salvage import known_of
from chatd.journal.schema import SEQ_MASK, event_id
from chatd.journal.stored import decode_bookmark
from chatd.journal.streams import names_of
from chatd.journal.verify import verify

PIECE_BYTES = 200_000
PIECE_EVENTS = 1_000
ON_WAY = 32  # proposals that have not come back
SILENT_SECONDS = 60.0


def migrate(source: Path, path: Path, url: str, settings: Any, tell: Callable[[str], None]) -> tuple[int, int]:
    """Take the journal at `source` into the stream at `url`, and leave a copy of that at `path`; the numbers of rooms
    and of events. No server may be using either file. Raises `OperatorError`; then nothing is lost at the source."""
    with closing(schema.connect_known(source)) as connection:
        if source == path:
            raise _refused(source, "it is this node's copy of the stream already")
        found = verify(connection, tell)
        if found.faults or _has_lost(connection):
            raise _refused(source, "it is damaged; export what is good with chatd export, and import that elsewhere")
        [(secret,)] = connection.execute("SELECT value FROM meta WHERE key = 'secret'")
        mover = _Mover(path, url, msgspec.structs.replace(settings, hold_seconds=3600.0), secret)
        try:
            snapshot = mover.begin()
            if snapshot.secret != secret:
                tell("the stream has a secret of its own: who comes back has to log in anew")
            _check_names(connection, snapshot)
            for proposal in _everything(connection):
                mover.put(proposal)
            mover.wait_for(0)
        finally:
            mover.end()
        with closing(schema.connect_known(path)) as copy:
            _compare(connection, copy, source)
    return found.rooms, found.events


class _Mover:
    """A node without a hub."""

    def __init__(self, path: Path, url: str, settings: Any, secret: bytes) -> None:
        self._heard: SimpleQueue[Any] = SimpleQueue()
        self._on_way = 0
        self._node = Node(
            Replica(path, names_of(settings.stream, settings.shards)),
            path.parent,
            url=url,
            settings=settings,
            opened=self._heard.put,
            told=lambda entries, own: self._heard.put((entries, own)),
            ended=lambda: self._heard.put(None),
            secret=secret,
        )

    def begin(self) -> Snapshot:
        self._node.start()
        opened = self._next()
        if isinstance(opened, Failure):
            opened.raiseException()
        assert isinstance(opened, Snapshot)
        return opened

    def _next(self) -> Any:
        try:
            return self._heard.get(timeout=SILENT_SECONDS)
        except Empty:
            raise OperatorError("journal", "the stream does not take anything", "", Exit.UNAVAILABLE) from None

    def put(self, proposal: Proposal) -> None:
        """Publish this, when not too much is under way."""
        self.wait_for(ON_WAY)
        self._on_way += 1
        self._node.put((proposal,))

    def wait_for(self, most: int) -> None:
        while self._on_way > most:
            told = self._next()
            if told is None:
                raise OperatorError(
                    "journal", "the stream cannot be followed any more", "see the log", Exit.UNAVAILABLE
                )
            entries, own = told
            self._on_way -= own
            for entry in entries:
                _check(entry)

    def end(self) -> None:
        self._node.end()
        self._node.join()


def _check(entry: Entry) -> None:
    """What comes in a second time is refused in its place, and that is well."""
    if entry.fate is Fate.REFUSED and entry.ticket is not None and entry.code != Code.ACCOUNT_EXISTS:
        what = type(entry.event).__name__
        raise OperatorError("stream", f"it refused {what} with {entry.code}", "it holds something else", Exit.DISK)


def _everything(connection: sqlite3.Connection) -> Iterator[Proposal]:
    """All that a journal keeps, as proposals, each after what it needs."""
    ordered: dict[str, list[Any]] = {}
    for room_id, ruling in rulings.stored(connection):
        ordered.setdefault(room_id, []).append(ruling)
    parties = msgspec.msgpack.Decoder(tuple[tuple[str, str], ...])
    names: dict[int, str] = {}
    by_room = schema.is_by_room(connection)
    query = "SELECT no, room_id, name, parties, first_seq, link_before, topic, made FROM rooms ORDER BY no"
    for no, room_id, name, blob, first, before, topic, made in connection.execute(query).fetchall():
        names[no] = room_id
        settings = tuple(ordered.get(room_id, ()))
        room = RoomBrought(room_id, name, parties.decode(blob), first, before, topic, settings, by_room)
        yield Proposal(room, made, True)
        yield from _events(connection, no, room_id)
    verifiers = dict(connection.execute("SELECT user_id, verifier FROM verifiers"))
    for one in accounts.stored(connection):
        kept = (one.user_id, one.name, one.made, one.generation, one.disabled, one.ignored)
        yield Proposal(AccountBrought(*kept, verifiers.get(one.user_id, "")), one.made, True)
    others: list[tuple[Event, int]] = []
    for user_id, no, seq in connection.execute("SELECT user_id, room_no, seq FROM cursors"):
        others.append((ReadMarked(user_id, names[no], seq), 0))
    for time, blob in connection.execute("SELECT time, bookmark FROM bookmarks ORDER BY time"):
        others.append((BookmarksMoved((decode_bookmark(blob),)), time))
    for key, expires in connection.execute("SELECT key, expires FROM invites"):
        others.append((InviteMade(key, expires), 0))
    for event, time in others:
        yield Proposal(event, time, True)


def _events(connection: sqlite3.Connection, no: int, room_id: str) -> Iterator[Proposal]:
    piece: list[BroughtEvent] = []
    size = 0
    stretch = (event_id(no, 0), event_id(no, SEQ_MASK))
    query = "SELECT id, time, event, digest FROM events WHERE id BETWEEN ? AND ? ORDER BY id"
    for number, time, blob, digest in connection.execute(query, stretch):
        piece.append(BroughtEvent(number & SEQ_MASK, time, blob, digest or b""))
        size += len(blob) + 32
        if size >= PIECE_BYTES or len(piece) >= PIECE_EVENTS:
            yield Proposal(Brought(room_id, tuple(piece)), time, True)
            piece, size = [], 0
    if piece:
        yield Proposal(Brought(room_id, tuple(piece)), piece[-1].time, True)


def _has_lost(connection: sqlite3.Connection) -> bool:
    return any(known_of(connection, no) for (no,) in connection.execute("SELECT no FROM rooms").fetchall())


def _check_names(connection: sqlite3.Connection, snapshot: Snapshot) -> None:
    """Two rooms with one name would hide one of them."""
    there = {fold(room.name): room.room_id for room in snapshot.rooms if room.name}
    for room_id, name in connection.execute("SELECT room_id, name FROM rooms WHERE name != ''"):
        if there.get(fold(name), room_id) != room_id:
            raise OperatorError(
                f"room {name}", "the stream has another one that is called so", "nothing was moved", Exit.DISK
            )


LAST = f"""SELECT room_id, first_seq, (SELECT max(id) & {SEQ_MASK} FROM events
        WHERE id BETWEEN no << {schema.SEQ_BITS} AND (no << {schema.SEQ_BITS}) | {SEQ_MASK}),
    (SELECT link FROM events
        WHERE id BETWEEN no << {schema.SEQ_BITS} AND (no << {schema.SEQ_BITS}) | {SEQ_MASK} ORDER BY id DESC LIMIT 1)
    FROM rooms"""


def _compare(connection: sqlite3.Connection, copy: sqlite3.Connection, source: Path) -> None:
    """See that each room ends with the same number and the same link: then all before it is the same."""
    there = {room_id: rest for room_id, *rest in copy.execute(LAST)}
    for room_id, *rest in connection.execute(LAST):
        if there.get(room_id) != rest:
            raise _refused(source, f"its room {room_id} is not the same in the stream")


def _refused(source: Path, why: str) -> OperatorError:
    return OperatorError(f"journal {source}", why, "it stays as it is", Exit.DISK)
