"""Exporting: reads what a journal's file keeps, room by room, for whoever writes it down in some form.

It only reads. A server may be running: what is told is the journal as it was at the first look. What is damaged is
left out, and named.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

import msgspec
from msgspec import Struct

from chatd.core.names import fold
from chatd.core.questions import VerifierWanted
from chatd.journal import rulings, salvage, schema
from chatd.journal.accounts import stored as accounts_of
from chatd.journal.accounts import verifier
from chatd.journal.exported import AccountLine, CursorLine, Head, LostLine, RoomLine, RulingLine, event_line, line_bytes
from chatd.journal.salvage import Read, Stretch
from chatd.journal.schema import SEQ_MASK, event_id

Lost = Callable[[str, int, int], None]
"""Hears of a room and the first and last number of what is damaged there."""

_PARTIES = msgspec.msgpack.Decoder(tuple[tuple[str, str], ...])


class Kept(Struct, frozen=True):
    """A room as it is exported: `first_seq` is the first number that is told, `link_before` the link before it."""

    no: int
    room_id: str
    name: str
    parties: tuple[tuple[str, str], ...]
    topic: str
    made: int
    first_seq: int
    link_before: bytes

    @property
    def title(self) -> str:
        """The room as people know it; a direct one has no name but that of the two."""
        return self.name or " and ".join(nick for _, nick in self.parties)


def rooms(connection: sqlite3.Connection, wanted: str | None = None, since: int = 0) -> list[Kept]:
    """The rooms in the order in which they were made, or the one that is called so or has that id.

    Of each, what is after the number `since`. From now on the connection sees the file as it is now.
    """
    connection.execute("BEGIN")
    found = []
    statement = "SELECT no, room_id, name, parties, topic, made, first_seq, link_before FROM rooms ORDER BY no"
    for no, room_id, name, parties, topic, made, first, before in connection.execute(statement):
        if wanted is None or room_id == wanted or (name and fold(name) in (fold(wanted), fold("#" + wanted))):
            if since >= first:
                first, before = _after(connection, no, since, first, before)
            found.append(Kept(no, room_id, name, _PARTIES.decode(parties), topic, made, first, before))
    return found


def _after(connection: sqlite3.Connection, no: int, since: int, first: int, before: bytes) -> tuple[int, bytes]:
    """The number after `since`, or after the last one, and the link before it."""
    statement = "SELECT id, link FROM events WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
    row = connection.execute(statement, (event_id(no, first), event_id(no, min(since, SEQ_MASK)))).fetchone()
    return (first, before) if row is None else ((row[0] & SEQ_MASK) + 1, row[1])


def events(connection: sqlite3.Connection, room: Kept) -> Iterator[Read | Stretch]:
    """The events of a room, ascending, and in their place the stretches that are damaged."""
    return salvage.walk(connection, salvage.Room(room.no, room.room_id, room.first_seq, room.link_before))


def lines(connection: sqlite3.Connection, told: list[Kept], lost: Lost) -> Iterator[bytes]:
    """These rooms in the form that can be imported again (`chatd.journal.exported`); `lost` hears what is damaged."""
    yield line_bytes(Head(by_room=schema.is_by_room(connection)))
    for room in told:
        yield line_bytes(
            RoomLine(
                room_id=room.room_id,
                name=room.name,
                made=room.made,
                parties=room.parties,
                topic=room.topic,
                first_seq=room.first_seq,
                link_before=room.link_before.hex(),
            )
        )
        for one in events(connection, room):
            if isinstance(one, Read):
                yield line_bytes(event_line(*one.row))
            else:
                yield line_bytes(LostLine(room_id=room.room_id, first=one[0], last=one[1]))
                if not salvage.is_known(salvage.known_of(connection, room.no), *one):
                    lost(room.title, *one)
        statement = "SELECT user_id, seq FROM cursors WHERE room_no = ? ORDER BY user_id"
        for user_id, seq in connection.execute(statement, (room.no,)):
            yield line_bytes(CursorLine(user_id=user_id, room_id=room.room_id, seq=seq))
        for ruling in rulings.of_room(connection, room.no):
            yield line_bytes(RulingLine(room_id=room.room_id, **msgspec.structs.asdict(ruling)))


def accounts(connection: sqlite3.Connection, with_passwords: bool) -> Iterator[bytes]:
    """The accounts in the same form; with what is kept of their passwords only if that is wanted."""
    for one in list(accounts_of(connection)):
        kept = verifier(connection, VerifierWanted(one.user_id)) if with_passwords else None
        yield line_bytes(
            AccountLine(
                user_id=one.user_id,
                name=one.name,
                made=one.made,
                generation=one.generation,
                disabled=one.disabled,
                ignored=one.ignored,
                verifier=kept or "",
            )
        )
