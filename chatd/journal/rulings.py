"""What those in charge ordered, in a journal: where it is kept, in a file and in memory.

Which event orders what is for `chatd.core.orders` to say; here it is only kept, one ruling for each kind and key of a
room. What is over is left out when a server starts, and removed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from chatd.core.charge import Ruling
from chatd.core.orders import Orders

TABLES = """
CREATE TABLE rulings (
    room_no INTEGER NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    until INTEGER NOT NULL,
    ruling BLOB NOT NULL,
    PRIMARY KEY (room_no, kind, key)
) WITHOUT ROWID;
ALTER TABLE accounts ADD COLUMN ignored TEXT NOT NULL DEFAULT '';
"""

KEEP = """INSERT INTO rulings VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET until = excluded.until, ruling = excluded.ruling"""
DROP = "DELETE FROM rulings WHERE (room_no, kind, key) = (?, ?, ?)"

_DECODER = msgspec.msgpack.Decoder(Ruling)
_ENCODER = msgspec.msgpack.Encoder()

Place = tuple[int, str, str]
"""A room's own number, and the kind and the key of a ruling."""


def decode(blob: bytes) -> Ruling:
    """The inverse of what is stored. Raises `msgspec.MsgspecError`."""
    return _DECODER.decode(blob)


def write(connection: sqlite3.Connection, orders: Mapping[Place, Ruling | None]) -> None:
    """Put the last word on each place into the open transaction; None is that nothing holds. Raises `sqlite3.Error`."""
    for place, ruling in orders.items():
        if ruling is None:
            connection.execute(DROP, place)
        else:
            connection.execute(KEEP, row_of(place[0], ruling))


def places(no: int, orders: Orders) -> dict[Place, Ruling | None]:
    """What is ordered in a room, by where it is kept."""
    kept: dict[Place, Ruling | None] = {(no, ruling.kind, ruling.key): ruling for ruling in orders.kept}
    return kept | dict.fromkeys([(no, kind, key) for kind, key in orders.dropped])


def row_of(no: int, ruling: Ruling) -> tuple[Any, ...]:
    """The values of `KEEP`."""
    return (no, ruling.kind, ruling.key, ruling.until, _ENCODER.encode(ruling))


def is_there(connection: sqlite3.Connection) -> bool:
    """Whether a file has this table: an older one that nobody has opened since does not."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'rulings'").fetchone() is not None


def drop_old(connection: sqlite3.Connection, now: int) -> None:
    """Keep no longer what is over."""
    connection.execute("DELETE FROM rulings WHERE until BETWEEN 1 AND ?", (now,))


def stored(connection: sqlite3.Connection) -> Iterator[tuple[str, Ruling]]:
    """The rulings of a file, each with the id of its room, in the order of rooms."""
    if is_there(connection):
        statement = "SELECT room_id, ruling FROM rulings JOIN rooms ON no = room_no ORDER BY room_no, kind, key"
        for room_id, blob in connection.execute(statement):
            yield room_id, decode(blob)


def of_room(connection: sqlite3.Connection, no: int) -> list[Ruling]:
    """The rulings of one room of a file."""
    if not is_there(connection):
        return []
    statement = "SELECT ruling FROM rulings WHERE room_no = ? ORDER BY kind, key"
    return [decode(blob) for (blob,) in connection.execute(statement, (no,))]


def faults(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """What does not fit together in a file's rulings: where, and what."""
    if not is_there(connection):
        return
    statement = "SELECT room_id, kind, key, ruling FROM rulings LEFT JOIN rooms ON no = room_no"
    for room_id, kind, key, blob in connection.execute(statement):
        try:
            ruling = decode(blob)
        except msgspec.MsgspecError:
            ruling = None
        if room_id is None:
            yield f"{kind} of {key}", "its room is not there"
        elif ruling is None or (ruling.kind, ruling.key) != (kind, key):
            yield f"{kind} of {key}", "it cannot be read"
