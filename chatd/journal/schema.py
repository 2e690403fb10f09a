"""The file of the SQLite journal: its tables, how it is made, opened and recognised, and what can be wrong with it.

What cannot be used is refused in one line and left as it is: a file of something else, of a newer chatd, a broken
or an emptied one is never written over, and never taken for a new one.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from chatd.errors import Exit, OperatorError
from chatd.journal.accounts import TABLES as ACCOUNTS
from chatd.journal.rulings import TABLES as RULINGS

APPLICATION_ID = 0x63686174
"""Marks the file as ours (https://www.sqlite.org/pragma.html#pragma_application_id): "chat" in ASCII."""

VERSION = 4
"""Of the tables; kept in `user_version`.

`link` is an event's place in the chain (`chatd.journal.chain`), `link_before` the one before a room's `first_seq`.
`digest` is there only once the content is not: else it is the digest of `event`.
"""

SEQ_BITS = 36
"""An event's id is its room's `no` shifted by this, and its `seq`: a page is one stretch of one b-tree. That leaves
134 million rooms of 68 thousand million events each."""

SEQ_MASK = (1 << SEQ_BITS) - 1

BUSY_SECONDS = 5.0
CHECKPOINT_PAGES = 4000
"""The WAL goes into the file when it has 16 MB: a page that many batches wrote is then written once."""

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE rooms (
    no INTEGER PRIMARY KEY,
    room_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    parties BLOB NOT NULL,
    first_seq INTEGER NOT NULL DEFAULT 1,
    link_before BLOB NOT NULL DEFAULT (zeroblob(16)),
    topic TEXT NOT NULL DEFAULT '',
    made INTEGER NOT NULL
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    target INTEGER,
    msg_key INTEGER,
    link BLOB NOT NULL,
    event BLOB NOT NULL,
    digest BLOB
);
CREATE INDEX events_by_target ON events (target) WHERE target IS NOT NULL;
CREATE INDEX events_by_msg_key ON events (msg_key) WHERE msg_key IS NOT NULL;
CREATE TABLE cursors (
    user_id TEXT NOT NULL,
    room_no INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (user_id, room_no)
) WITHOUT ROWID;
"""

LOST = "lost {no} {low}"
"""The key in `meta` of a stretch that was damaged before a room was imported, from the number `low` on; its value is
the last number of it. It stays empty, and is no fault."""

STREAM = "stream"
"""The key in `meta` of the name of the stream that a file is a copy of."""

BY_ROOM = "msg_id by room"
"""The key in `meta` of a file in which an author may have one `msg_id` in several rooms: they were in several streams
once, and came in by an export."""

BOOKMARKS = """
CREATE TABLE bookmarks (key TEXT PRIMARY KEY, time INTEGER NOT NULL, bookmark BLOB NOT NULL) WITHOUT ROWID;
"""

STEPS = {1: BOOKMARKS, 2: ACCOUNTS, 3: RULINGS}
"""What makes a file of each earlier version one of the next."""


def tables_of(version: int) -> str:
    """What makes the tables of a version."""
    return TABLES + "".join(STEPS[step] for step in range(1, version))


REPAIR = "restore it from a backup, or save what can be saved with chatd export"
_MEND = "restore it from a backup; what else can be tried is in docs/how-to/repair.md"

# `off` still outlives this process; what it gives up is the order in which the disk sees the writes.
SYNCHRONOUS = {"fsync": "FULL", "normal": "NORMAL", "memory": "OFF"}


def event_id(no: int, seq: int) -> int:
    """The key of a room's event; see `SEQ_BITS`."""
    return no << SEQ_BITS | seq


def make(path: Path) -> None:
    """Make a new journal file, with a secret of its own and for this user only.

    It gets its name when it is whole, so that a file with that name is never half made.
    """
    if _size(_wal(path)):
        raise _broken(path, f"it is gone, but {_wal(path).name} is there", "bring it back, or move that file away")
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        connection.executescript(f"BEGIN; {tables_of(VERSION)}")
        connection.execute("INSERT INTO meta VALUES ('secret', ?)", (os.urandom(32),))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    finally:
        connection.close()
    draft.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Bring a file to the disk, or the names that are in a folder: a file's own sync does not do that for its name."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def see_that_writable(path: Path) -> None:
    """Asked before SQLite is: that would leave files behind beside it, as read-only as this one."""
    for needed in (path, path.parent):
        if needed.exists() and not os.access(needed, os.R_OK | os.W_OK):
            raise _broken(path, f"{needed} cannot be written", "make the file and its folder writable")


def connect(path: Path, durability: str) -> sqlite3.Connection:
    """A connection that writes. Raises `sqlite3.Error`, or `OperatorError` if the file is not a journal of ours."""
    see_that_writable(path)
    connection = _connect(path, "rw")
    try:
        recognise(connection, path)
        [(mode,)] = connection.execute("PRAGMA journal_mode = WAL")
        if mode != "wal":
            raise _broken(path, "it cannot be kept in WAL mode there", "put it on a local disk")
        _bring_up(connection)
        connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA secure_delete = ON")  # what is redacted does not stay behind in the file
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -8000")
    except BaseException:
        connection.close()
        raise
    return connection


def _bring_up(connection: sqlite3.Connection) -> None:
    """Make a file that an earlier chatd wrote one of this version: all of it, or nothing."""
    [(version,)] = connection.execute("PRAGMA user_version")
    if version == VERSION:
        return
    connection.execute("PRAGMA synchronous = FULL")
    steps = "".join(STEPS[step] for step in range(version, VERSION))
    connection.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT")


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, and sees what is committed."""
    return _connect(path, "ro")


def connect_known(path: Path) -> sqlite3.Connection:
    """A connection that only reads a file that is known to be a journal. Raises `OperatorError` if it is none.

    A server may be running on it.
    """
    if not path.is_file():
        raise _broken(path, "there is no such file", "name its folder with --data-dir")
    try:
        connection = connect_reader(path)
        try:
            recognise(connection, path)
        except BaseException:
            connection.close()
            raise
    except (OSError, sqlite3.Error) as error:
        raise explain(path, error) from error
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # With mode=rw SQLite makes no file where there is none.
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=BUSY_SECONDS,
    )


def recognise(connection: sqlite3.Connection, path: Path) -> None:
    """Raises `OperatorError` if the file is not a journal of ours, or one that is cut off."""
    size = path.stat().st_size
    # SQLite takes an empty file for a new database; ours are never empty.
    if size == 0:
        raise _broken(path, "it is empty", "restore it from a backup, or remove it to begin anew")
    [(application,)] = connection.execute("PRAGMA application_id")
    [(version,)] = connection.execute("PRAGMA user_version")
    if application != APPLICATION_ID:
        raise _broken(path, "it is a database of something else", "choose another file with --journal")
    if version > VERSION:
        why = f"a newer chatd wrote it (schema {version}, this one knows {VERSION})"
        raise _broken(path, why, "install the newer chatd")
    if version < 1:
        raise damaged(path, "it has no version")
    # SQLite takes what is missing of the last page for zeros. With a WAL that may be right: the rest is there.
    [(page,)] = connection.execute("PRAGMA page_size")
    if size % page and not _size(_wal(path)):
        raise _cut_off(path)


def is_replica(connection: sqlite3.Connection) -> bool:
    """Whether a journal's file is a copy of a stream."""
    return connection.execute("SELECT 1 FROM meta WHERE key = ?", (STREAM,)).fetchone() is not None


def is_by_room(connection: sqlite3.Connection) -> bool:
    """Whether an author may have one `msg_id` in several rooms: they are in several streams, or were."""
    found = connection.execute("SELECT 1 FROM meta WHERE key = ? OR key GLOB 'position [0-9]*'", (BY_ROOM,))
    return found.fetchone() is not None


def beside(path: Path, ending: str) -> Path:
    """What SQLite keeps beside a file: `-wal` or `-shm`."""
    return path.with_name(path.name + ending)


def _wal(path: Path) -> Path:
    return beside(path, "-wal")


def _size(path: Path) -> int:
    """Of a file that need not be there."""
    return path.stat().st_size if path.exists() else 0


def _broken(path: Path, why: str, remedy: str) -> OperatorError:
    return OperatorError(f"journal {path}", why, remedy, Exit.DISK)


def damaged(path: Path, what: str) -> OperatorError:
    """The file is not as it was written."""
    return _broken(path, f"it is damaged ({what})", REPAIR)


def _cut_off(path: Path) -> OperatorError:
    """Nothing reads such a file, not even an export."""
    return _broken(path, "it is damaged (its end is missing)", _MEND)


def _is_cut_off(path: Path) -> bool:
    """Whether a file is shorter than its head says: https://www.sqlite.org/fileformat.html"""
    with path.open("rb") as opened:
        head = opened.read(32)
    return _size(path) < int.from_bytes(head[16:18]) * int.from_bytes(head[28:32])


def explain(path: Path, error: OSError | sqlite3.Error) -> OperatorError:
    """What went wrong with the file, for the operator."""
    if isinstance(error, OSError):
        return _broken(path, f"it cannot be made ({error.strerror})", "make its folder writable")
    # The lower byte is the kind of error, the rest of the code is detail (https://www.sqlite.org/rescode.html).
    code = getattr(error, "sqlite_errorcode", 1) & 0xFF
    if code == sqlite3.SQLITE_CORRUPT and path.is_file() and not _size(_wal(path)) and _is_cut_off(path):
        return _cut_off(path)
    why, remedy = REASONS.get(code, ("it cannot be used", ""))
    return _broken(path, f"{why} ({error})", remedy)


REASONS = {
    sqlite3.SQLITE_NOTADB: (
        "it is no database, or its beginning is damaged",
        "name another file, or restore it from a backup",
    ),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", REPAIR),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "see that chatd may read and write it and its folder"),
    sqlite3.SQLITE_PERM: ("it cannot be opened", "see that chatd may read and write it and its folder"),
    sqlite3.SQLITE_READONLY: ("it cannot be written", "make it and its folder writable"),
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space"),
    sqlite3.SQLITE_BUSY: ("another program is writing to it", "stop that one"),
    sqlite3.SQLITE_LOCKED: ("another program is writing to it", "stop that one"),
    sqlite3.SQLITE_IOERR: ("the disk fails", "see the kernel's log"),
}
