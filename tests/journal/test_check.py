"""The check before a start: what is cut off or torn apart is refused and stays as it is, or what is gone is said."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.damage import PAGE, Truth, break_page, change, flip, journal, message
from support.disk import Disk as FailingDisk

from chatd.core.events import Proposal
from chatd.errors import Exit, OperatorError
from chatd.journal import check as checking
from chatd.journal import schema
from chatd.journal.check import check
from chatd.journal.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "chatd.db"
    journal(path)
    return path


@pytest.fixture
def killed(path: Path, tmp_path: Path) -> Path:
    """What `kill -9` leaves: forty messages are only in the WAL."""
    store = Store(path, "fsync")
    store.open()
    for seq in range(301, 341):
        store.write([Proposal(message("#ops", seq), 1)])
    left = tmp_path / "killed"
    left.mkdir()
    for name in ("chatd.db", "chatd.db-wal"):
        shutil.copy(path.with_name(name), left / name)
    store.close()
    return left / "chatd.db"


def files(path: Path) -> dict[str, bytes]:
    """All that says something: SQLite may have put an empty WAL beside the file."""
    return {
        one.name: one.read_bytes()
        for one in path.parent.iterdir()
        if not one.name.endswith("-shm") and one.stat().st_size
    }


def refusal(path: Path) -> str:
    """What the operator is told; it is one line, and every file stays as it is."""
    before = files(path)
    with pytest.raises(OperatorError) as refused:
        Store(path, "fsync").open()
    assert refused.value.exit_code is Exit.DISK
    assert files(path) == before
    assert "\n" not in str(refused.value)
    return str(refused.value)


def change_with(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def last(path: Path, room: str) -> int:
    store = Store(path, "fsync")
    [found] = [one.last_seq for one in store.open().rooms if one.room_id == room]
    store.close()
    return found


def test_nothing_is_said_of_what_is_right(path: Path, killed: Path) -> None:
    assert check(path) == check(killed) == []
    assert last(killed, "#ops") == 340


@pytest.mark.parametrize("pages", [1, 10, 50])
def test_a_file_that_lost_whole_pages_is_refused(path: Path, pages: int) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - pages * PAGE)
    assert "it is damaged" in refusal(path)


@pytest.mark.parametrize("size", [PAGE * 40, PAGE * 40 + 7, PAGE])
def test_a_wal_does_not_make_up_for_a_file_that_is_cut_off(
    killed: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite takes the number of pages from the WAL, and what is missing for zeros."""
    monkeypatch.setattr(checking, "SMALL", 0)
    with killed.open("r+b") as file:
        file.truncate(size)
    assert "it is damaged (its end is missing)" in refusal(killed)


def test_a_damaged_wal_is_told_and_kept(killed: Path) -> None:
    """SQLite would leave out what is behind the damage, say nothing, and write over it."""
    wal = killed.with_name("chatd.db-wal")
    before = wal.read_bytes()
    flip(wal, 8 * (len(before) // 2))
    [line] = check(killed)
    assert "commits in chatd.db-wal cannot be read; it is kept as chatd.db-wal.damaged-1" in line
    assert len(killed.with_name("chatd.db-wal.damaged-1").read_bytes()) == len(before)
    assert check(killed) == [line], "a start that goes no further keeps no second copy"
    assert 301 <= last(killed, "#ops") < 340


def test_a_wal_whose_end_a_crash_has_cut_off_is_nothing_to_tell(killed: Path) -> None:
    wal = killed.with_name("chatd.db-wal")
    with wal.open("r+b") as file:
        file.truncate(wal.stat().st_size - 1000)
    assert check(killed) == []
    assert last(killed, "#ops") == 339


FAILING = """
import os, sys
from pathlib import Path
from chatd.core.events import MessageSent, Proposal, RoomMade
from chatd.journal.store import Store

store = Store(Path(sys.argv[1]), "fsync")
store.open()
store.write([Proposal(RoomMade("r1", "#lobby"), 1)])
for line in sys.stdin:
    entries = store.write([Proposal(MessageSent("r1", "ann", "ann", "text", "x" * 3000), 1)] * int(line))
    print(entries[-1].code or entries[-1].seq, flush=True)
os._exit(0)
"""


def test_what_failed_commits_have_left_in_a_wal_is_nothing_to_tell(tmp_path: Path, faults: Path) -> None:
    """Their fsync failed, and they were told to have failed; each was written over by shorter ones."""
    disk = FailingDisk(faults, tmp_path / "disk")
    path = disk.root / "chatd.db"
    command = [sys.executable, "-c", FAILING, str(path)]
    environ = {"PYTHONPATH": os.pathsep.join(sys.path), **disk.environ}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as failing:
        assert failing.stdin is not None
        assert failing.stdout is not None
        told = []
        for count in (1, 40, 1, 20, 1, 10, 1):
            if count > 1:
                disk.fail(sync=errno.EIO, times=1)
            failing.stdin.write(f"{count}\n")
            failing.stdin.flush()
            told.append(failing.stdout.readline().strip())
        failing.stdin.close()
    assert told == ["1", "STORE_UNAVAILABLE", "2", "STORE_UNAVAILABLE", "3", "STORE_UNAVAILABLE", "4"]
    assert check(path) == []


def test_a_wal_of_another_file_is_refused(killed: Path, path: Path, tmp_path: Path) -> None:
    """SQLite would play it into this one."""
    other = tmp_path / "other" / "chatd.db"
    other.parent.mkdir()
    store = Store(other, "memory")
    store.open()
    store.close()
    shutil.copy(killed.with_name("chatd.db-wal"), other.with_name("chatd.db-wal"))
    assert "it is damaged" in refusal(other)


@pytest.mark.parametrize("words", ["#ops message 150 ", "#few message 3 "])
def test_a_small_file_with_a_broken_page_is_refused(path: Path, words: str) -> None:
    break_page(path, words)
    assert "it is damaged" in refusal(path)


def test_a_large_file_with_a_broken_page_is_not_looked_through(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is for the patrol; the ends of its rooms are looked at all the same."""
    monkeypatch.setattr(checking, "SMALL", 0)
    break_page(path, "#ops message 150 ")
    assert check(path) == []
    change(path, "#ops message 300 ")
    assert check(path) == ["#ops 300: the room's end is damaged"]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM rooms WHERE no = 2", "a room is gone"),
        ("DELETE FROM rooms WHERE no = 4", "a room is gone, and what was said there is not"),
        ("DELETE FROM meta", "it has no secret"),
        ("ALTER TABLE events RENAME COLUMN digest TO digesu", "it has no events digest"),
        ("DROP INDEX events_by_msg_key", "it has no events_by_msg_key"),
        ("DROP TABLE cursors", "it has no cursors"),
    ],
)
def test_what_a_server_cannot_do_without_is_missed_at_the_start(path: Path, statement: str, told: str) -> None:
    change_with(path, statement)
    with pytest.raises(OperatorError, match=told):
        Store(path, "fsync").open()


def test_a_room_without_its_beginning_is_told(path: Path) -> None:
    change_with(path, f"DELETE FROM events WHERE id BETWEEN {schema.event_id(2, 1)} AND {schema.event_id(2, 9)}")
    assert check(path) == ["#ops 1: the room's beginning is not there"]
    assert last(path, "#ops") == 300


def test_the_look_at_the_rooms_has_its_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "SECONDS", -1)
    change(path, "#few message 20 ")
    assert check(path) == []


def test_the_truth_is_what_was_said(tmp_path: Path) -> None:
    truth: Truth = journal(tmp_path / "new" / "chatd.db")
    assert truth["#ops", 300].body.startswith("#ops message 300 ")
