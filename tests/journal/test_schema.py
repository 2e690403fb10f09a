"""The journal's file: made for its user alone, and never written over when it is not what it should be."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from twisted.internet import reactor

from chatd.core.events import MessageSent, Proposal, RoomMade
from chatd.errors import Exit, OperatorError
from chatd.journal import open_journal, schema
from chatd.journal.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with a thousand messages, closed."""
    path = tmp_path / "chatd.db"
    store = Store(path, "fsync")
    store.open()
    messages = [MessageSent("r1", "ann", "ann", "text", "a message " * 20, str(n)) for n in range(1000)]
    store.write([Proposal(event, 1) for event in (RoomMade("r1", "#lobby"), *messages)])
    store.close()
    return path


def refusal(path: Path) -> str:
    """What the operator is told when this is opened. It is one line, and the file stays as it is."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(OperatorError) as refused:
        Store(path, "fsync").open()
    assert refused.value.exit_code is Exit.DISK
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    return str(refused.value)


@pytest.mark.parametrize("url", ["nats:", "sqlite", "sqlite:here.db", "memory", "memory:x", "postgres:", ""])
def test_a_kind_that_is_not_there_is_refused_with_those_that_are(url: str, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"sqlite: .*memory:") as refused:
        open_journal(url, reactor=reactor, settings=SimpleNamespace(durability="fsync"), data_dir=tmp_path)
    assert refused.value.exit_code is Exit.SETTINGS


def test_the_package_loads_neither_kind_by_itself() -> None:
    program = "import sys, chatd.journal; assert not {'sqlite3', 'chatd.journal.memory'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": os.pathsep.join(sys.path)})


def test_the_file_is_made_for_its_user_alone(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["chatd.db"]


def test_the_secret_is_made_once(path: Path, tmp_path: Path) -> None:
    secrets = []
    for name in ("chatd.db", "chatd.db", "other.db"):
        store = Store(tmp_path / name, "fsync")
        secrets.append(store.open().secret)
        store.close()
    assert secrets[0] == secrets[1] != secrets[2]
    assert len(secrets[0]) == 32


def test_a_file_that_was_left_half_made_is_made_again(tmp_path: Path) -> None:
    """A crash while the file is being made leaves it under another name."""
    (tmp_path / "chatd.db.new").write_bytes(b"half")
    store = Store(tmp_path / "chatd.db", "fsync")
    assert store.open().rooms == []
    store.close()


def test_what_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)
    assert "no database" in refusal(path)


def test_an_emptied_file_is_refused(path: Path) -> None:
    os.truncate(path, 0)
    assert "it is empty" in refusal(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_shortened_file_is_refused(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))
    assert "it is damaged (its end is missing); restore it from a backup; what else can be tried is in" in refusal(path)


def test_a_file_whose_tables_are_damaged_is_refused(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    assert "damaged" in refusal(path)


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chatd.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name)")
    connection.close()
    assert "something else" in refusal(path)


def test_a_journal_without_its_tables_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE rooms")
    connection.close()
    assert "it has no rooms" in refusal(path)


def test_a_newer_journal_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    connection.close()
    assert "a newer chatd wrote it" in refusal(path)


def test_a_wal_without_its_file_is_refused(path: Path) -> None:
    """It may hold what was said last, and would be played into a new file."""
    path.with_name("chatd.db-wal").write_bytes(b"something")
    path.unlink()
    assert "it is gone, but chatd.db-wal is there" in refusal(path)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    assert "cannot be opened" in refusal(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "No such file or directory" in refusal(tmp_path / "nowhere" / "chatd.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "Permission denied" in refusal(tmp_path / "chatd.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_journal_that_cannot_be_written_is_refused(path: Path, what: str) -> None:
    (path if what == "file" else path.parent).chmod(0o500)
    assert "cannot be" in refusal(path)
    path.parent.chmod(0o700)


def test_a_journal_that_another_program_is_writing_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.01)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "another program is writing" in refusal(path)
    other.close()
