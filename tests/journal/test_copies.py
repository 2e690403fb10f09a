"""Backups: whole, verified and for their owner only; and the way back, which loses nothing that was there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatd.core.events import MessageSent, Proposal, RoomMade
from chatd.errors import Exit, OperatorError
from chatd.journal.copies import backup, restore
from chatd.journal.store import Store


def write(store: Store, *bodies: str) -> None:
    events = [RoomMade("r1", "#lobby"), *(MessageSent("r1", "ann", "ann", "text", body) for body in bodies)]
    assert not any(entry.code for entry in store.write([Proposal(event, 1) for event in events]))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "chatd.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """An open store with two messages."""
    store = Store(path, "fsync")
    store.open()
    write(store, "one", "two")
    yield store
    store.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a backup goes."""
    return tmp_path / "backup.db"


def told(line: str) -> None:
    pytest.fail(f"a fault was told: {line}")


def last(path: Path) -> int:
    """The last number in the journal, as a server finds it."""
    store = Store(path, "fsync")
    [room] = store.open().rooms
    store.close()
    return room.last_seq


def refused(words: str) -> pytest.RaisesExc[OperatorError]:
    return pytest.raises(OperatorError, match=words, check=lambda error: error.exit_code is Exit.DISK)


def test_a_backup_out_of_a_journal_in_use_stands_alone(store: Store, path: Path, file: Path, tmp_path: Path) -> None:
    found = backup(path, file, tell=told)
    assert (found.events, found.faults) == (2, 0)
    assert sorted(os.listdir(tmp_path)) == ["backup.db", "data"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    write(store, "three")
    assert last(file) == 2


def test_a_backup_that_is_there_is_overwritten_only_on_demand(store: Store, path: Path, file: Path) -> None:
    file.write_bytes(b"Dear diary")
    with refused("is there already"):
        backup(path, file, tell=told)
    assert file.read_bytes() == b"Dear diary"
    backup(path, file, tell=told, is_forced=True)
    assert last(file) == 2


def test_the_journal_is_not_overwritten_with_itself(store: Store, path: Path, tmp_path: Path) -> None:
    (tmp_path / "other").symlink_to(path)
    for name in (path, tmp_path / "other"):
        with refused("is the journal itself"):
            backup(path, name, tell=told, is_forced=True)
        with refused("is the journal itself"):
            restore(name, path, tell=told, is_forced=True)


def test_what_has_faults_is_neither_copied_nor_restored(store: Store, path: Path, file: Path, tmp_path: Path) -> None:
    """And what has its place stays there."""
    backup(path, file, tell=told)
    before = file.read_bytes()
    assert store._connection is not None
    store._connection.execute("DELETE FROM events WHERE id & 1")
    lines: list[str] = []
    with refused("has faults"):
        backup(path, file, tell=lines.append, is_forced=True)
    with refused("has faults"):
        restore(path, tmp_path / "other.db", tell=lines.append)
    assert lines == ["#lobby 1: missing"] * 2
    assert file.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["backup.db", "data"]


@pytest.mark.parametrize("content", [None, b"", b"Dear diary, " * 1000])
def test_what_is_no_journal_is_not_restored(path: Path, file: Path, content: bytes | None) -> None:
    if content is not None:
        file.write_bytes(content)
    with refused("backup.db: (there is no such file|it is empty|it is no database)"):
        restore(file, path, tell=told)
    assert os.listdir(path.parent) == []


def test_a_restored_journal_is_the_one_that_was_copied(store: Store, path: Path, file: Path, tmp_path: Path) -> None:
    backup(path, file, tell=told)
    other = tmp_path / "other.db"
    assert restore(file, other, tell=told)[1] is None
    assert stat.S_IMODE(other.stat().st_mode) == 0o600
    assert last(other) == 2
    again = Store(other, "fsync")
    secret = again.open().secret
    write(again, "three")
    again.close()
    store.close()
    assert Store(path, "fsync").open().secret == secret
    assert backup(other, tmp_path / "more.db", tell=told).events == 3


def test_a_journal_that_is_there_is_kept_with_all_that_belongs_to_it(store: Store, path: Path, file: Path) -> None:
    backup(path, file, tell=told)
    write(store, "three")
    wal = path.with_name("chatd.db-wal").read_bytes()  # as after kill -9: what was said last is only there
    database = path.read_bytes()
    store.close()
    path.write_bytes(database)
    path.with_name("chatd.db-wal").write_bytes(wal)
    with refused("is there already"):
        restore(file, path, tell=told)
    _, aside = restore(file, path, tell=told, is_forced=True)
    assert aside == path.with_name("chatd.db.old-1")
    assert sorted(os.listdir(path.parent)) == ["chatd.db", "chatd.db.old-1", "chatd.db.old-1-wal"]
    assert (last(path), last(aside)) == (2, 3)
    _, another = restore(file, path, tell=told, is_forced=True)
    assert another == path.with_name("chatd.db.old-2")


def test_a_wal_that_is_left_is_not_played_into_what_is_restored(store: Store, path: Path, file: Path) -> None:
    backup(path, file, tell=told)
    store.close()
    path.unlink()
    path.with_name("chatd.db-wal").write_bytes(b"something")
    with refused("is there already"):
        restore(file, path, tell=told)
    restore(file, path, tell=told, is_forced=True)
    assert sorted(os.listdir(path.parent)) == ["chatd.db", "chatd.db.old-1-wal"]


def test_a_folder_that_is_not_there_is_told(store: Store, path: Path, tmp_path: Path) -> None:
    with refused("cannot be written"):
        backup(path, tmp_path / "nowhere" / "backup.db", tell=told)
