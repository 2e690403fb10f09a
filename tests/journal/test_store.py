"""The store when the disk does not do what it should: what is refused is not there, what is there was told."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.damage import break_page, journal, message
from support.disk import Disk as FailingDisk
from twisted.logger import globalLogPublisher

from chatd.core.codes import Code
from chatd.core.events import Event, Fate, LoggedOut, MessageSent, Proposal, Purged, ReadMarked, Related, RoomMade
from chatd.core.questions import Page, PageWanted, Side
from chatd.journal import check, schema, stored
from chatd.journal.reader import answer_from
from chatd.journal.store import Store

LOBBY = RoomMade("r1", "#lobby")
OPS = RoomMade("r2", "#ops")
GONE = LoggedOut("s1", "gone")


def said(body: str, msg_id: str | None = None, *, room: str = "r1", author: str = "ann") -> Event:
    return MessageSent(room, author, author, "text", body, msg_id)


def write(store: Store, *events: Event) -> list[Any]:
    """Write these as one batch; their numbers, or why they were refused."""
    entries = store.write([Proposal(event, 1) for event in events])
    assert [entry.event for entry in entries] == list(events)
    return [entry.code or entry.seq for entry in entries]


def numbers(path: Path, room: str = "r1") -> list[int]:
    """The numbers that a reader finds in a room."""
    connection = schema.connect_reader(path)
    page: Page = answer_from(connection, PageWanted(room, Side.AFTER, 0, 100_000, max_bytes=1 << 40))
    connection.close()
    assert page.last_seq == len(page.entries)
    return [entry.seq for entry in page.entries]


class Connection:
    """A connection to the real file on which calls can be made to fail. Everything else is the real thing."""

    def __init__(self, connection: sqlite3.Connection, fail: dict[str, str]) -> None:
        self._connection = connection
        self._fail = fail

    def execute(self, statement: str, *more: Any) -> Any:
        way = self._fail.get(statement)
        if statement.startswith("INSERT OR ROLLBACK INTO events") and not self._connection.in_transaction:
            way = self._fail.get("BEGIN IMMEDIATE") or self._fail.get("COMMIT")  # it is a transaction by itself
        if way == "late":  # done, but the answer is lost
            self._connection.execute(statement, *more)
        if way:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error
        return self._connection.execute(statement, *more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Disk:
    """Where a store's file is: `pages` is how large it may get, `fail` which statements fail, `is_gone` whether it
    can be opened at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pages = 1_000_000
        self.fail: dict[str, str] = {}
        self.is_gone = False
        self.opened = 0

    def connect(self, path: Path, durability: str) -> Any:
        if self.is_gone:
            raise sqlite3.OperationalError("disk I/O error")
        self.opened += 1
        connection = schema.connect(path, durability)
        connection.execute(f"PRAGMA max_page_count = {self.pages}")
        return Connection(connection, self.fail)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "chatd.db")


@pytest.fixture
def store(disk: Disk) -> Iterator[Store]:
    """An open store with two rooms and a message in the first."""
    store = Store(disk.path, "fsync", disk.connect)
    store.open()
    assert write(store, LOBBY, OPS, said("first", "1")) == [0, 0, 1]
    # Another connection, as in life: the WAL stays when the writer opens the file anew.
    reader = schema.connect_reader(disk.path)
    reader.execute("SELECT count(*) FROM rooms").fetchall()
    yield store
    reader.close()
    store.close()


def reopened(disk: Disk) -> dict[str, int]:
    """The last number of each room, as a new process finds them."""
    store = Store(disk.path, "fsync")
    rooms = store.open().rooms
    store.close()
    return {room.room_id: room.last_seq for room in rooms}


def test_a_full_disk_refuses_the_whole_batch_and_takes_no_number(disk: Disk, store: Store) -> None:
    """SQLITE_FULL, for real. Passing events pass."""
    disk.pages = 1
    store._drop()
    large = [said("x" * 1000, f"m{n}") for n in range(100)]
    unavailable = Code.STORE_UNAVAILABLE
    assert write(store, said("a"), GONE, *large, ReadMarked("ann", "r1", 1)) == [unavailable, 0, *[unavailable] * 101]
    assert write(store, GONE, *large) == [0, *[unavailable] * 100]
    assert numbers(disk.path) == [1]
    disk.pages = 1_000_000
    store._drop()
    assert write(store, *large, said("b")) == [*range(2, 103)]
    assert numbers(disk.path) == [*range(1, 103)]


def test_a_msg_id_that_was_refused_is_free_again(disk: Disk, store: Store) -> None:
    disk.fail["BEGIN IMMEDIATE"] = "early"
    assert write(store, said("hello", "2"), said("hello", "2")) == [Code.STORE_UNAVAILABLE] * 2
    disk.fail.clear()
    entries = store.write([Proposal(said("hello", "2"), 1), Proposal(said("hello", "2"), 1)])
    assert [(entry.fate, entry.seq) for entry in entries] == [(Fate.COMMITTED, 2), (Fate.REPEATED, 2)]


def test_a_room_that_was_refused_can_be_made_again(disk: Disk, store: Store) -> None:
    new = [RoomMade("r3", "#new"), said("one", room="r3"), said("two", room="r3")]
    disk.fail["BEGIN IMMEDIATE"] = "early"
    assert write(store, *new) == [Code.STORE_UNAVAILABLE] * 3
    disk.fail.clear()
    assert write(store, *new) == [0, 1, 2]
    assert write(store, RoomMade("r4", "#newer"), said("one", room="r4")) == [0, 1]
    assert numbers(disk.path, "r3") == [1, 2]
    assert numbers(disk.path, "r4") == [1]


def test_a_commit_that_fails_leaves_nothing_behind(disk: Disk, store: Store) -> None:
    """An fsync that failed leaves pages in the WAL that a crash would bring back: they are written over."""
    disk.fail["COMMIT"] = "early"
    assert write(store, said("two"), said("one", room="r2")) == [Code.STORE_UNAVAILABLE] * 2
    assert (numbers(disk.path), numbers(disk.path, "r2")) == ([1], [])
    disk.fail.clear()
    assert write(store, said("two"), said("one", room="r2")) == [2, 1]


def test_a_commit_that_is_there_in_spite_of_its_error_is_told_as_it_is(disk: Disk, store: Store) -> None:
    disk.fail["COMMIT"] = "late"
    new = [said("two"), RoomMade("r3", "#new"), said("one", room="r3")]
    assert write(store, *new) == [2, 0, 1]
    disk.fail.clear()
    assert write(store, said("three"), said("two", room="r3"), *new[1:]) == [3, 2, 0, 3]
    assert numbers(disk.path, "r3") == [1, 2, 3]


def test_a_room_that_is_there_in_spite_of_its_error_is_not_made_twice(disk: Disk, store: Store) -> None:
    disk.fail["COMMIT"] = "late"
    assert write(store, RoomMade("r3", "#new")) == [0]
    disk.fail.clear()
    assert write(store, RoomMade("r3", "#new"), said("one", room="r3")) == [0, 1]


def test_an_outcome_that_cannot_be_known_is_told_as_such(disk: Disk, store: Store) -> None:
    class Dying(dict[str, str]):
        def get(self, statement: str, default: Any = None) -> Any:
            if statement == "COMMIT":
                disk.is_gone = True
            return super().get(statement, default)

    disk.fail = Dying(COMMIT="early")
    store._drop()
    assert write(store, said("two"), GONE) == [Code.OUTCOME_UNKNOWN, 0]
    assert write(store, said("two"), GONE) == [Code.STORE_UNAVAILABLE, 0]
    disk.is_gone, disk.fail = False, {}
    assert write(store, said("two")) == [2]
    assert numbers(disk.path) == [1, 2]


def test_numbers_are_taken_from_the_file_after_a_failure(disk: Disk, store: Store) -> None:
    """Whoever else wrote there: two events never get one number, and the store goes on."""
    other = Store(disk.path, "fsync")
    other.open()
    assert write(other, said("from another process")) == [2]
    other.close()
    assert write(store, said("two")) == [Code.STORE_UNAVAILABLE]
    assert write(store, said("two")) == [3]
    assert numbers(disk.path) == [1, 2, 3]


def test_it_is_told_once_that_nothing_can_be_stored_and_once_that_it_can(disk: Disk, store: Store) -> None:
    told: list[str] = []

    def observer(event: Any) -> None:
        told.append(event["log_level"].name)

    globalLogPublisher.addObserver(observer)
    disk.is_gone = True
    store._drop()
    for _ in range(10):
        assert write(store, said("hello")) == [Code.STORE_UNAVAILABLE]
    disk.is_gone = False
    for n in range(10):
        assert write(store, said("hello")) == [2 + n]
    globalLogPublisher.removeObserver(observer)
    assert told == ["error", "info"]


def test_a_bug_in_storing_one_event_costs_that_event_alone(store: Store, disk: Disk, logged_errors: Any) -> None:
    bad = MessageSent("r1", "ann", "ann", "text", "hi", 7)  # type: ignore[arg-type]  # the mistake
    good = [said(f"{n}") for n in range(50)]
    assert write(store, *good[:20], bad, *good[20:]) == [*range(2, 22), Code.INTERNAL, *range(22, 52)]
    assert len(logged_errors.take(AttributeError)) == 1
    assert numbers(disk.path) == [*range(1, 52)]


def test_messages_whose_keys_collide_are_told_apart(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of a `msg_id` has 64 bits; the real author and `msg_id` decide."""
    monkeypatch.setattr("chatd.journal.batch.msg_key", lambda author, msg_id: 7)
    assert write(store, said("a", "x"), said("b", "y"), said("c", "x", author="bob")) == [2, 3, 4]
    again = [said("a", "x"), said("b", "y"), said("c", "x", author="bob"), said("d", "z")]
    entries = store.write([Proposal(event, 1) for event in again])
    assert [entry.seq for entry in entries] == [2, 3, 4, 5]
    assert [entry.fate for entry in entries] == [Fate.REPEATED] * 3 + [Fate.COMMITTED]


def test_keys_are_signed_numbers_of_64_bits_and_keep_together_what_was_counted() -> None:
    keys = [stored.msg_key("ann", f"root.run.{n}") for n in range(1000, 2000)]
    assert len(set(keys)) == 1000
    assert len({key >> 40 for key in keys}) == 10
    assert stored.msg_key("ann", "1") != stored.msg_key("bob", "1")
    assert all(-(1 << 63) <= stored.msg_key(f"{n}", "\ud800") < 1 << 63 for n in range(1000))


def test_what_is_redacted_is_not_left_in_the_file(disk: Disk, store: Store) -> None:
    """Neither in the rows nor in what lies free between them."""
    write(store, said("a very secret word", "2"), said("an ordinary word", "3"))
    assert write(store, Related("r1", "ann", "ann", "redact", 2)) == [4]
    store._drop()
    closing = sqlite3.connect(disk.path)
    closing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    closing.close()
    everything = b"".join(path.read_bytes() for path in disk.path.parent.iterdir())
    assert b"very secret" not in everything
    assert b"an ordinary word" in everything


def test_closing_brings_everything_into_the_file_itself(tmp_path: Path) -> None:
    store = Store(tmp_path / "chatd.db", "fsync")
    store.open()
    write(store, LOBBY, *(said(f"{n}") for n in range(1000)))
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["chatd.db"]
    assert reopened(Disk(tmp_path / "chatd.db")) == {"r1": 1000}


def test_closing_does_so_even_if_somebody_else_is_reading(disk: Disk, store: Store) -> None:
    """A copy of the file alone is then a good copy."""
    write(store, said("two"))
    store.close()
    copy = disk.path.with_name("copy.db")
    copy.write_bytes(disk.path.read_bytes())
    assert reopened(Disk(copy)) == {"r1": 2, "r2": 0}


def test_many_rooms_are_found_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "chatd.db", "fsync")
    store.open()
    rooms = [RoomMade(f"r{n}", f"#room{n}", (("ann", "Ann"), ("bob", "Bob")) if n % 2 else ()) for n in range(3000)]
    write(store, *rooms, *(said("hi", room=f"r{n}") for n in range(0, 3000, 3)))
    store.close()
    found = Store(tmp_path / "chatd.db", "fsync")
    snapshot = found.open()
    found.close()
    assert [(r.room_id, r.name, r.parties) for r in snapshot.rooms] == [(r.room_id, r.name, r.parties) for r in rooms]
    assert [(r.first_seq, r.last_seq) for r in snapshot.rooms] == [(1, int(n % 3 == 0)) for n in range(3000)]


def test_who_asks_for_what_is_damaged_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data" / "chatd.db"
    journal(path)
    break_page(path, "#ops message 150 ")
    monkeypatch.setattr(check, "SMALL", 0)  # of a larger file the damage is not seen at the start
    store = Store(path, "fsync")
    store.open()
    before = [message("#few", 21), message("#few", 22)]
    lost = Related("#ops", "ann", "ann", "react", 150, key="x")
    unavailable = Code.STORE_UNAVAILABLE
    assert write(store, *before, lost, message("#few", 23), lost) == [21, 22, unavailable, 23, unavailable]
    removed = Purged("#ops", 290)  # the broken page is among what is to go
    assert write(store, message("#few", 24), removed, message("#few", 25)) == [24, unavailable, 25]
    assert write(store, removed, removed) == [unavailable, unavailable]
    assert write(store, message("#few", 26)) == [26]
    store.close()


CRASHING = """
import os, sys
from pathlib import Path
from chatd.core.events import MessageSent, Proposal, RoomMade
from chatd.journal.store import Store

store = Store(Path(sys.argv[1]), "fsync")
store.open()

def write(*events):
    print(*(entry.code or entry.seq for entry in store.write([Proposal(event, 1) for event in events])), flush=True)

write(RoomMade("r1", "#lobby"), MessageSent("r1", "ann", "ann", "text", "one", "1"))
sys.stdin.readline()
write(MessageSent("r1", "ann", "ann", "text", "two", "2"))
write(MessageSent("r1", "ann", "ann", "text", "two", "2"), MessageSent("r1", "ann", "ann", "text", "three", "3"))
os._exit(0)
"""


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (1, ["STORE_UNAVAILABLE", "2 3"]),
        (2, ["OUTCOME_UNKNOWN", "2 3"]),
        (3, ["OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN STORE_UNAVAILABLE"]),
    ],
)
def test_what_was_refused_does_not_come_back_with_a_crash(
    times: int, told: list[str], tmp_path: Path, faults: Path
) -> None:
    """A real error of fdatasync(2), once or more: without a commit on top, the pages that it left in the WAL would
    count at recovery. While none succeeds, only what was never tried is said not to be there."""
    disk = FailingDisk(faults, tmp_path / "disk")
    path = disk.root / "chatd.db"
    command = [sys.executable, "-c", CRASHING, str(path)]
    environ = {"PYTHONPATH": os.pathsep.join(sys.path), **disk.environ}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as crashing:
        assert crashing.stdin is not None
        assert crashing.stdout is not None
        assert crashing.stdout.readline() == "0 1\n"
        disk.fail(sync=errno.EIO, times=times)
        crashing.stdin.write("\n")
        crashing.stdin.flush()
        assert crashing.stdout.read().splitlines() == told
    assert reopened(Disk(path)) == {"r1": 3 if told[-1] == "2 3" else 1}


LIMITED = """
import resource, sys
from pathlib import Path
from chatd.core.events import MessageSent, Proposal, RoomMade
from chatd.journal.store import Store

store = Store(Path(sys.argv[1]), "fsync")
store.open()
print(store.write([Proposal(RoomMade("r1", "#lobby"), 1)])[0].fate.name)
message = [Proposal(MessageSent("r1", "ann", "ann", "text", "x" * 3000), 1) for _ in range(10)]
largest = Path(sys.argv[1] + "-wal").stat().st_size + 300_000
resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
for n in range(30):
    print(*(entry.code or entry.seq for entry in store.write(message)))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(*(entry.code or entry.seq for entry in store.write(message)))
"""


def test_writes_that_fail_in_the_kernel_are_refused_until_they_succeed(tmp_path: Path) -> None:
    """A real error of write(2), at the COMMIT, in a process that may write no larger files."""
    path = tmp_path / "chatd.db"
    command = [sys.executable, "-c", LIMITED, str(path)]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=paths)
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert lines.pop(0) == ["COMMITTED"]
    refused = [line for line in lines if "STORE_UNAVAILABLE" in line]
    assert refused
    assert all(line == ["STORE_UNAVAILABLE"] * 10 for line in refused)
    told = [int(seq) for line in lines if line not in refused for seq in line]
    assert len(lines[-1]) == 10
    assert told == [*range(1, len(told) + 1)] == numbers(path)
