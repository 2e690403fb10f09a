"""The commands for the journal's file, as they are typed, beside a server that runs and without one."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chatd.core.events import MessageSent, Proposal, RoomMade
from chatd.errors import Exit
from chatd.journal.schema import REPAIR, connect_known
from chatd.journal.store import Store

NO_SETTINGS = {"XDG_CONFIG_HOME": os.devnull}


def chatd(*words: object, status: Exit = Exit.OK) -> list[str]:
    """Run a command; what it printed, line by line. An error is one line."""
    command = [sys.executable, "-m", "chatd", *map(str, words)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=50, env=os.environ | NO_SETTINGS)
    assert ran.returncode == status, ran.stderr
    errors = ran.stderr.splitlines()
    assert len(errors) == (1 if status else 0)
    assert all(line.startswith("chatd: ") for line in errors)
    return ran.stdout.splitlines() + errors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a server that has stopped: two messages."""
    folder = tmp_path / "data"
    folder.mkdir()
    store = Store(folder / "chatd.db", "fsync")
    store.open()
    events = [RoomMade("r1", "#lobby"), *(MessageSent("r1", "ann", "ann", "text", body, body) for body in ("a", "b"))]
    store.write([Proposal(event, 1) for event in events])
    store.close()
    return folder


def damage(folder: Path) -> None:
    with sqlite3.connect(folder / "chatd.db") as connection:
        connection.execute("DELETE FROM events WHERE id & 1")
    connection.close()


def test_verify_tells_counts_or_faults(folder: Path) -> None:
    [line] = chatd("verify", "--data-dir", folder)
    assert line.startswith(f"{folder}/chatd.db: 1 room, 2 events (0 redacted), 0 faults; ")
    assert line.endswith(" events a second")
    damage(folder)
    fault, counts, error = chatd("verify", "-d", folder, status=Exit.DISK)
    assert fault == "#lobby 1: missing"
    assert "1 event (0 redacted), 1 fault;" in counts
    assert error == f"chatd: journal {folder}/chatd.db: it has faults; {REPAIR}"


def test_verify_and_backup_go_on_beside_a_server_and_restore_does_not(server: Any, tmp_path: Path) -> None:
    """What a program says is in the copy that is made right after it."""
    chatd("send", "--server", f"localhost:{server.port}", "--nick", "tom", "#lobby", "the cake is ready")
    folder = server.folder / "data"
    chatd("verify", "-d", folder)
    chatd("backup", "-d", folder, tmp_path / "copy.db")
    assert "in use by another chatd" in chatd("restore", "-d", folder, tmp_path / "copy.db", status=Exit.TRY_AGAIN)[0]
    [line] = chatd("restore", "-d", tmp_path / "elsewhere", tmp_path / "copy.db")
    assert line.endswith("1 room, 1 event (0 redacted), 0 faults")


def test_restore_keeps_what_was_there(folder: Path, tmp_path: Path) -> None:
    chatd("backup", "-d", folder, tmp_path / "copy.db")
    assert "with --force" in chatd("backup", "-d", folder, tmp_path / "copy.db", status=Exit.DISK)[0]
    assert "with --force" in chatd("restore", "-d", folder, tmp_path / "copy.db", status=Exit.DISK)[0]
    damage(folder)
    assert chatd("restore", "--force", "-d", folder, tmp_path / "copy.db")[1].endswith("chatd.db.old-1")
    chatd("verify", "-d", folder)


def test_the_file_is_found_as_a_server_finds_it(folder: Path, tmp_path: Path) -> None:
    settings = tmp_path / "chatd.toml"
    settings.write_text(f'[journal]\nurl = "sqlite:{folder}/chatd.db"\n')
    chatd("verify", "--config", settings, "-d", tmp_path / "empty")
    settings.write_text('[journal]\nurl = "memory:"\n')
    assert "it is in no file" in chatd("verify", "--config", settings, status=Exit.SETTINGS)[0]
    assert "there is no such file" in chatd("verify", "-d", tmp_path / "empty", status=Exit.DISK)[0]
    assert "see chatd verify --help" in chatd("verify", "--what", status=Exit.USAGE)[0]


def test_purge_removes_what_is_old(folder: Path) -> None:
    """The two messages are from 1970."""
    assert chatd("purge", "--older-than", "30000d", "-d", folder) == ["removed 0 events from 0 rooms"]
    assert "is no age" in chatd("purge", "--older-than", "soon", "-d", folder, status=Exit.USAGE)[0]
    assert "required: --older-than" in chatd("purge", "-d", folder, status=Exit.USAGE)[0]
    assert "no room" in chatd("purge", "--older-than", "30d", "--room", "ops", "-d", folder, status=Exit.USAGE)[0]
    assert chatd("purge", "--older-than", "30d", "--room", "lobby", "-d", folder) == ["removed 2 events from 1 room"]
    assert "1 room, 0 events" in chatd("verify", "-d", folder)[0]
    assert "no such file" in chatd("purge", "--older-than", "30d", "-d", folder / "data", status=Exit.DISK)[0]


def kept(folder: Path) -> tuple[int, int]:
    """The first number that #lobby has, and how many events there are."""
    with closing(connect_known(folder / "chatd.db")) as connection:
        [found] = connection.execute("SELECT first_seq, (SELECT count(*) FROM events) FROM rooms")
    return found


def test_a_server_removes_what_is_old_while_it_runs(start_server: Any) -> None:
    server = start_server(until="made", environ={"CHATD__JOURNAL__RETENTION": "1h"})
    server.data_dir.mkdir()
    store = Store(server.data_dir / "chatd.db", "fsync")
    store.open()
    now = int(time.time() * 1_000_000)
    events = [RoomMade("r1", "#lobby"), *(MessageSent("r1", "ann", "ann", "text", f"{n}") for n in range(1, 2_501))]
    store.write([Proposal(event, 1) for event in events])
    store.write([Proposal(MessageSent("r1", "ann", "ann", "text", "new"), now)])
    store.close()
    server.start()
    deadline = time.monotonic() + 20
    while kept(server.data_dir) != (2_501, 1) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert kept(server.data_dir) == (2_501, 1)
    history = chatd("history", "--server", f"localhost:{server.port}", "--nick", "tom", "#lobby")
    assert [line.split()[-1] for line in history] == ["new"]
    assert (
        "in use by another chatd"
        in chatd("purge", "--older-than", "1h", "-d", server.data_dir, status=Exit.TRY_AGAIN)[0]
    )
    chatd("verify", "-d", server.data_dir)
