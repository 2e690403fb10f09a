"""Purging: removes what is old from a journal's file on which no server runs, in the way a running one does it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from chatd.core.events import Proposal
from chatd.core.names import fold
from chatd.core.questions import Page, StoredRoom
from chatd.core.retention import oldest_kept, step
from chatd.errors import Exit, OperatorError
from chatd.journal import schema
from chatd.journal.reader import answer_from
from chatd.journal.store import Store


def purge(path: Path, before: int, wanted: str | None = None) -> list[int]:
    """Remove what is older than the time `before` from the beginning of every room, or of the one that is wanted.

    How many events were removed, for each room that had some. Raises `OperatorError`; what was removed until then
    is gone, and the journal is whole.
    """
    store = Store(path, "fsync")
    rooms = store.open().rooms
    try:
        chosen = [room for room in rooms if wanted is None or _is_called(room, wanted)]
        if wanted is not None and not chosen:
            raise OperatorError(
                "purge", f"there is no room {wanted[:100]!r}", "chatd export --format text names them", Exit.USAGE
            )
        with closing(schema.connect_reader(path)) as reader:
            removed = [_purge(store, reader, room.room_id, before) for room in chosen]
    except sqlite3.Error as error:
        raise schema.explain(path, error) from error
    finally:
        store.close()
    return [count for count in removed if count]


def _is_called(room: StoredRoom, wanted: str) -> bool:
    return room.room_id == wanted or (room.name != "" and fold(room.name) in (fold(wanted), fold("#" + wanted)))


def _purge(store: Store, reader: sqlite3.Connection, room_id: str, before: int) -> int:
    removed = 0
    while True:
        page: Page = answer_from(reader, oldest_kept(room_id, before))
        event = step(room_id, page)
        if event is None:
            return removed
        [entry] = store.write([Proposal(event, 0)])
        if entry.code:
            raise OperatorError("purge", "the journal cannot be written", "see that its disk has room", Exit.DISK)
        removed += event.first_seq - page.first_seq
