"""Importing: takes rooms out of an export (`chatd.journal.exported`) into a journal's file that does not have them.

Everything is as it was: ids, numbers, times, `msg_id`s, what relates to what, and the chain. All of it comes in or
nothing does, and only after the whole file has been verified with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from chatd.core.charge import Ruling, check
from chatd.core.codes import Refusal
from chatd.core.events import Numbered, Related
from chatd.core.names import check_nick, fold
from chatd.core.questions import StoredAccount
from chatd.core.views import moment
from chatd.errors import Exit, OperatorError
from chatd.journal import accounts, chain, rulings, schema
from chatd.journal.exported import (
    AccountLine,
    CursorLine,
    EventLine,
    Head,
    LostLine,
    RoomLine,
    RulingLine,
    blob_of,
    read_line,
)
from chatd.journal.schema import SEQ_MASK, event_id
from chatd.journal.stored import decode, encode, msg_key
from chatd.journal.verify import Tell, Verified, verify

AT_ONCE = 2_000


class _Coming(Struct):
    """A room that is coming in, and how far it has come."""

    no: int
    at: int
    link: bytes
    is_torn: bool = False


def bring_in(lines: Iterable[bytes], path: Path, *, name: str, tell: Tell) -> Verified:
    """Take all rooms of an export into the journal at `path`, which is made if it is not there.

    No server may be using it. `name` is what the export is called in errors. Raises `OperatorError` for what is no
    export, for a room that is there already, and for faults, which are told; then nothing has come in.
    """
    is_new = not path.exists()
    is_done = False
    try:
        if is_new:
            schema.make(path)
        with closing(schema.connect(path, "fsync")) as connection:
            connection.execute("BEGIN IMMEDIATE")
            _Import(connection, name).take(lines)
            found = verify(connection, tell)
            if found.faults:
                raise _refused(f"journal {path}", "it would have faults, see above, and is as it was")
            connection.execute("COMMIT")
        is_done = True
        return found
    except (OSError, sqlite3.Error) as error:
        raise schema.explain(path, error) from error
    finally:
        if is_new and not is_done:
            path.unlink(missing_ok=True)


class _Import:
    """One import, inside a transaction."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._where = name
        self._coming: dict[str, _Coming] = {}
        self._rows: list[tuple[Any, ...]] = []
        self._there: set[Any] = set()
        self._rooms = 0
        parties = msgspec.msgpack.Decoder(tuple[tuple[str, str], ...])
        for no, room_id, room, blob in connection.execute("SELECT no, room_id, name, parties FROM rooms"):
            self._there.update(_taken(room_id, room, parties.decode(blob)))
            self._rooms = max(self._rooms, no)

    def take(self, lines: Iterable[bytes]) -> None:
        """Put in what the lines say."""
        number = 0
        for number, raw in enumerate(lines, 1):
            try:
                self._line(number, raw)
            except (ValueError, TypeError, OverflowError, RecursionError, Refusal) as error:  # msgspec's own among them
                raise _refused(f"export {self._where}, line {number}", " ".join(str(error).split())) from error
        if not number:
            raise _refused(f"export {self._where}", "it is empty")
        self._flush()

    def _line(self, number: int, raw: bytes) -> None:
        line = read_line(raw)
        if (number == 1) is not isinstance(line, Head):
            raise ValueError("the first line, and no other, says what this is: see chatd export")
        if isinstance(line, Head):
            self._head(line)
        elif isinstance(line, RoomLine):
            self._room(line)
        elif isinstance(line, EventLine):
            self._event(line)
        elif isinstance(line, LostLine):
            self._lost(line)
        elif isinstance(line, CursorLine):
            self._cursor(line)
        elif isinstance(line, RulingLine):
            self._ruling(line)
        elif isinstance(line, AccountLine):
            self._account(line)

    def _head(self, line: Head) -> None:
        if line.by_room:
            self._connection.execute("INSERT OR IGNORE INTO meta VALUES (?, 1)", (schema.BY_ROOM,))

    def _room(self, line: RoomLine) -> None:
        wanted = _taken(line.room_id, line.name, line.parties)
        if not self._there.isdisjoint(wanted):
            raise ValueError(f"the room {line.name or line.room_id} is there already")
        if not 1 <= line.first_seq <= SEQ_MASK:
            raise ValueError("first_seq is no number of an event")
        _check_time(line.made)
        self._there.update(wanted)
        self._rooms += 1
        before = _hash(line.link_before, "link_before") or chain.START
        self._coming[line.room_id] = _Coming(self._rooms, line.first_seq, before)
        self._connection.execute(
            "INSERT INTO rooms (no, room_id, name, parties, first_seq, link_before, topic, made)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self._rooms, line.room_id, line.name, encode(line.parties), line.first_seq, before, line.topic, line.made),
        )

    def _event(self, line: EventLine) -> None:
        blob = line.stored if line.stored is not None else blob_of(line.event)
        event = decode(blob)
        room = self._coming_room(event.room_id)
        if line.seq != room.at or line.seq > SEQ_MASK:
            raise ValueError(f"its number is {line.seq}, and {room.at} is next")
        _check_time(line.time)
        if isinstance(event, Related) and not 0 <= event.target <= SEQ_MASK:
            raise ValueError(f"there is no message {event.target}")
        digest = _hash(line.digest, "digest")
        if digest is None and getattr(event, "redacted", False):
            digest = chain.digest_of(blob)
        given = _hash(line.link, "link")
        if room.is_torn and given is not None:
            room.link = given
        else:
            room.link = chain.link(room.link, event, line.seq, line.time, digest or chain.digest_of(blob))
        room.is_torn = False
        if line.link and line.link != room.link.hex():
            raise ValueError("it was changed: its link does not fit to the event before it")
        target = event_id(room.no, event.target) if isinstance(event, Related) else None
        number = event_id(room.no, line.seq)
        self._rows.append((number, line.time, target, _key(event), room.link, blob, digest))
        room.at += 1
        if len(self._rows) >= AT_ONCE:
            self._flush()

    def _lost(self, line: LostLine) -> None:
        """Numbers that stay empty. What comes after them is tied to what nobody can read, and taken as it is."""
        room = self._coming_room(line.room_id)
        if line.first != room.at or not line.first <= line.last < SEQ_MASK:
            raise ValueError(f"its first number is {line.first}, and {room.at} is next")
        key = schema.LOST.format(no=room.no, low=line.first)
        self._connection.execute("INSERT INTO meta VALUES (?, ?)", (key, line.last))
        room.at = line.last + 1
        room.is_torn = True

    def _cursor(self, line: CursorLine) -> None:
        room = self._coming_room(line.room_id)
        if not 0 <= line.seq < room.at:
            raise ValueError(f"nobody can have read up to {line.seq}")
        try:
            self._connection.execute("INSERT INTO cursors VALUES (?, ?, ?)", (line.user_id, room.no, line.seq))
        except sqlite3.IntegrityError:
            raise ValueError("this user has a cursor in this room already") from None

    def _ruling(self, line: RulingLine) -> None:
        room = self._coming_room(line.room_id)
        fields = {name: getattr(line, name) for name in Ruling.__struct_fields__}
        check(Ruling(**fields))
        self._connection.execute(rulings.KEEP, rulings.row_of(room.no, Ruling(**fields)))

    def _account(self, line: AccountLine) -> None:
        """An account without what is kept of its password has one that nothing fits."""
        _check_time(line.made)
        account = StoredAccount(
            line.user_id, check_nick(line.name), line.made, line.generation, line.disabled, line.ignored
        )
        try:
            self._connection.execute(accounts.INSERT, accounts.row_of(account))
        except sqlite3.IntegrityError:
            raise ValueError(f"the account {line.name} is there already, or one that looks like it") from None
        self._connection.execute(accounts.VERIFY, (line.user_id, line.verifier))

    def _coming_room(self, room_id: str) -> _Coming:
        if room_id not in self._coming:
            raise ValueError("its room is not among the lines before it")
        return self._coming[room_id]

    def _flush(self) -> None:
        statement = "INSERT INTO events (id, time, target, msg_key, link, event, digest) VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._connection.executemany(statement, self._rows)
        self._rows.clear()


def _taken(room_id: str, name: str, parties: tuple[tuple[str, str], ...]) -> set[Any]:
    """What no second room may have: the id, the name, and for a direct room the two users."""
    return {("id", room_id), frozenset(party for party, _ in parties) if parties else fold(name)}


def _check_time(time: int) -> None:
    """What is no time could be kept, and never be shown."""
    with suppress(OverflowError):
        if 1 < moment(time).year < 9999:  # in some time zone the first and the last of years are outside
            return
    raise ValueError(f"{time} is no time that can be shown")


def _key(event: Numbered) -> int | None:
    msg_id: str | None = getattr(event, "msg_id", None)
    return None if msg_id is None else msg_key(event.author, msg_id)


def _hash(text: str, what: str) -> bytes | None:
    if not text:
        return None
    found = bytes.fromhex(text)
    if len(found) != chain.SIZE:
        raise ValueError(f"{what} must have {chain.SIZE} bytes")
    return found


def _refused(what: str, why: str) -> OperatorError:
    return OperatorError(what, why, "nothing was imported", Exit.DISK)
