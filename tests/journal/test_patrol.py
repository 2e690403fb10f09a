"""The patrol: finds beside a running server what is damaged, says it in one line, and is gone when it should be."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.damage import break_page, change, journal
from twisted.logger import formatEvent, globalLogPublisher

from chatd.core.questions import StoredRoom
from chatd.journal import patrol, salvage, schema
from chatd.journal.patrol import Patrol
from chatd.journal.schema import event_id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    journal(tmp_path / "chatd.db")
    return tmp_path / "chatd.db"


@pytest.fixture
def told() -> Iterator[list[str]]:
    lines: list[str] = []

    def observer(event: dict[str, Any]) -> None:
        if event["log_namespace"] == "chatd.journal.patrol.Patrol":
            lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observer)
    yield lines
    globalLogPublisher.removeObserver(observer)


def rooms(path: Path, last_seq: int = 1 << 32) -> list[StoredRoom]:
    """All rooms, as if they had ended with this number when the journal was opened."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT room_id, name FROM rooms").fetchall()
    return [StoredRoom(room_id, name, (), 1, last_seq, "") for room_id, name in names]


def walk(path: Path, monkeypatch: pytest.MonkeyPatch, last_seq: int = 1 << 32) -> list[str]:
    monkeypatch.setattr(patrol, "FIRST_PAUSE", 0)
    monkeypatch.setattr(patrol, "SHARE", 1)
    walking = Patrol(path)
    walking.start(rooms(path, last_seq))
    walking._thread.join()
    assert walking.is_done
    return walking.found


def test_of_what_is_right_nothing_is_told(path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert walk(path, monkeypatch) == []
    assert told == []


def test_all_that_is_damaged_is_told_in_one_line(path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for words in ("#lobby message 199 ", "#lobby message 200 ", "#lobby message 201 ", "#few message 20 "):
        change(path, words)
    break_page(path, "#ops message 150 ")
    lobby, ops, few = walk(path, monkeypatch)
    assert (lobby, few) == ("#lobby 199 to 201", "#few 20")
    assert ops.startswith("#ops 1")
    [line] = told
    assert f"is damaged: {lobby}, {ops}, {few}; the rest is there; see chatd verify" in line


def test_what_cannot_be_looked_up_is_found(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repetition of it would be taken for something new."""
    with closing(schema.connect(path, "memory")) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        [(root,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events_by_msg_key'")
        connection.execute("DELETE FROM sqlite_master WHERE name = 'events_by_msg_key'")
        connection.execute("PRAGMA writable_schema = RESET")
        connection.execute("DELETE FROM events WHERE id = ?", (event_id(3, 7),))
        connection.execute("PRAGMA writable_schema = ON")
        index = "CREATE INDEX events_by_msg_key ON events (msg_key) WHERE msg_key IS NOT NULL"
        row = ("index", "events_by_msg_key", "events", root, index)
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", row)
        connection.execute("PRAGMA writable_schema = RESET")
        connection.execute(
            "INSERT INTO events SELECT ?, time, target, 99, link, event, digest FROM events WHERE id = ?",
            (event_id(3, 7), event_id(3, 8)),
        )
        connection.execute("UPDATE events SET msg_key = 98 WHERE id = ?", (event_id(3, 7),))
    assert walk(path, monkeypatch)[0].startswith("#few 7")


def test_it_ends_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patrol, "FIRST_PAUSE", 0)
    monkeypatch.setattr(patrol, "SHARE", 0.0001)
    walking = Patrol(path)
    walking.start(rooms(path))
    began = time.monotonic()
    walking.end()
    assert time.monotonic() - began < 1
    assert not walking.is_done


def test_nobody_waits_for_a_look_at_a_disk_that_stands_still(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, goes_on = threading.Event(), threading.Event()

    def stuck(*look: Any) -> dict[int, Any]:
        looks.set()
        goes_on.wait(10)
        return {}

    monkeypatch.setattr(patrol, "FIRST_PAUSE", 0)
    monkeypatch.setattr(patrol, "END_SECONDS", 0.1)
    monkeypatch.setattr(patrol, "good", stuck)
    walking = Patrol(path)
    walking.start(rooms(path))
    assert looks.wait(5)
    began = time.monotonic()
    walking.end()
    assert time.monotonic() - began < 2
    goes_on.set()
    walking._thread.join()


def test_a_disk_that_fails_is_not_taken_for_a_damaged_journal(
    path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*look: Any) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
        raise error

    monkeypatch.setattr(patrol, "FIRST_PAUSE", 0)
    monkeypatch.setattr(patrol, "good", fails)
    walking = Patrol(path)
    walking.start(rooms(path))
    walking._thread.join()
    assert not walking.is_done
    assert walking.found == []
    [line] = told
    assert "was not looked through to its end: disk I/O error" in line


def test_what_was_lost_before_an_import_is_passed_over(
    path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it is: what is behind it is looked at."""
    with closing(schema.connect(path, "memory")) as connection:
        key = schema.LOST.format(no=4, low=2)
        connection.execute("INSERT INTO meta VALUES (?, ?)", (key, 1_000_000_000))
        moved = (event_id(4, 1_000_000_001), event_id(3, 20))
        connection.execute("UPDATE events SET id = ? WHERE id = ?", moved)
    assert walk(path, monkeypatch) == ["#one 1000000001"]


def test_what_is_said_meanwhile_is_not_looked_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would never come to the end of a room in which more is said than it can look at."""
    copy = """INSERT OR IGNORE INTO events (id, time, link, event)
        SELECT max(id) + 1, time, zeroblob(16), event FROM events WHERE id BETWEEN ? AND ?"""
    looks = []

    def good(connection: sqlite3.Connection, room: Any, low: int, high: int) -> Any:
        looks.append((room.no, low, high))
        with closing(schema.connect(path, "memory")) as writing:
            writing.execute(copy, (event_id(room.no, 0), event_id(room.no, schema.SEQ_MASK)))
        return salvage.good(connection, room, low, high)

    monkeypatch.setattr(patrol, "good", good)
    assert walk(path, monkeypatch) == []
    assert len(looks) > len({no for no, _, _ in looks}), "no room was looked at in more than one slice"


def test_what_was_said_since_the_start_is_not_looked_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was just written; and a new server has something better to do than to read what it writes."""
    change(path, "#lobby message 100 ")
    change(path, "#lobby message 200 ")
    assert walk(path, monkeypatch, 150) == ["#lobby 100"]
    assert walk(path, monkeypatch, 99) == []
    monkeypatch.setattr(Patrol, "_room", None)
    walking = Patrol(path)
    walking.start([])
    walking._thread.join()
    assert walking.is_done, "rooms that were made since are not looked at either"


@pytest.mark.alone
def test_it_takes_its_share_and_no_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at 1,800 messages takes some 20 ms; a twentieth of a processor needs twenty times as long."""
    monkeypatch.setattr(patrol, "FIRST_PAUSE", 0)
    began, used = time.monotonic(), time.process_time()
    walking = Patrol(path)
    walking.start(rooms(path))
    walking._thread.join()
    used = time.process_time() - used
    assert time.monotonic() - began > used * 5
