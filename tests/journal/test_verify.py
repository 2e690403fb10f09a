"""Verifying: whatever is not as it was written is told, with its room and number, and nothing else is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatd.core.events import Event, MessageSent, Proposal, ReadMarked, Related, RoomChanged, RoomMade
from chatd.errors import OperatorError
from chatd.journal import schema, verify
from chatd.journal.schema import event_id
from chatd.journal.store import Store
from chatd.journal.stored import encode


def said(body: str, msg_id: str | None = None, *, room: str = "r1", author: str = "ann") -> Event:
    return MessageSent(room, author, author, "text", body, msg_id)


def related(rel: Any, target: int, body: str | None = None, msg_id: str | None = None) -> Event:
    return Related("r1", "ann", "ann", rel, target, body=body, msg_id=msg_id)


def write(store: Store, *events: Event) -> None:
    entries = store.write([Proposal(event, 1_000 + n) for n, event in enumerate(events)])
    assert not any(entry.code for entry in entries)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An open store with three rooms: #lobby with everything that there is, a direct one, and one without events."""
    store = Store(tmp_path / "chatd.db", "fsync")
    store.open()
    rooms = RoomMade("r1", "#lobby"), RoomMade("r2", "", (("ann", "Ann"), ("bob", "Bob"))), RoomMade("r3", "#ops")
    topic = RoomChanged("r1", "ann", "ann", {"topic": "cakes"})
    write(store, *rooms, said("one", "1"), said("a secret", "2"), related("edit", 2, "another secret", "3"))
    write(store, topic, related("react", 1), said("four"), said("hello", "5", room="r2"), said("ho", "6", room="r2"))
    yield store
    store.close()


@pytest.fixture
def path(store: Store, tmp_path: Path) -> Path:
    return tmp_path / "chatd.db"


def found(path: Path) -> tuple[verify.Verified, list[str]]:
    lines: list[str] = []
    connection = schema.connect_known(path)
    what = verify.verify(connection, lines.append)
    connection.close()
    assert len(lines) == what.faults
    return what, lines


def faults(path: Path) -> list[str]:
    return found(path)[1]


def change(path: Path, statement: str, *more: Any) -> None:
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement, more).rowcount
    connection.close()


def test_what_is_right_has_no_faults_while_it_is_being_written(store: Store, path: Path) -> None:
    what, lines = found(path)
    assert lines == []
    assert (what.rooms, what.events, what.redacted) == (3, 8, 0)
    write(store, said("five"))
    assert found(path) == (verify.Verified(rooms=3, events=9), [])


@pytest.mark.parametrize("is_one_batch", [True, False])
def test_a_redaction_does_not_break_the_chain(store: Store, path: Path, is_one_batch: bool) -> None:
    events = said("x"), related("edit", 7, "y"), related("redact", 7), related("redact", 2), said("z")
    for part in [events] if is_one_batch else [[event] for event in events]:
        write(store, *part)
    what, lines = found(path)
    assert lines == []
    assert (what.events, what.redacted) == (13, 4)  # two messages and an edit of each


def test_the_chain_goes_on_after_reopening_and_after_a_failure(store: Store, path: Path) -> None:
    store._doubt(None)
    store._unsure.add("r1")
    write(store, said("after a failure"))
    store.close()
    again = Store(path, "fsync")
    again.open()
    write(again, said("after reopening"), said("in a room that was empty", room="r3"))
    again.close()
    assert found(path) == (verify.Verified(rooms=3, events=11), [])


CHANGED = encode(said("one!", "1"))


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (f"UPDATE events SET event = x'{CHANGED.hex()}' WHERE id = :1", "#lobby 1: changed or swapped"),
        ("UPDATE events SET time = time + 1 WHERE id = :3", "#lobby 3: changed or swapped"),
        ("UPDATE events SET event = x'00' WHERE id = :5", "#lobby 5: changed: it is no event any more"),
        ("UPDATE events SET event = 'words' WHERE id = :5", "#lobby 5: changed: it is no event any more"),
        ("DELETE FROM events WHERE id = :4", "#lobby 4: missing"),
        ("DELETE FROM events WHERE id BETWEEN :1 AND :3", "#lobby 1: missing, up to 3"),
        ("UPDATE rooms SET first_seq = 2 WHERE no = 1", "#lobby 1: left over: the room begins with 2"),
        ("UPDATE events SET target = NULL WHERE id = :5", "#lobby 5: it cannot be found by its target"),
        ("UPDATE events SET msg_key = 1 WHERE id = :2", "#lobby 2: it cannot be found by its msg_id"),
        ("UPDATE events SET digest = x'00' WHERE id = :2", "#lobby 2: it was redacted, but its content is there"),
        ("DELETE FROM rooms WHERE no = 1", "room number 1: has events, but there is no such room"),
        ("DELETE FROM rooms WHERE no = 2", "room number 2: has events, but there is no such room"),
    ],
)
def test_a_fault_is_told_with_its_room_and_number(path: Path, statement: str, told: str) -> None:
    for seq in range(1, 7):
        statement = statement.replace(f":{seq}", str(event_id(1, seq)))
    change(path, statement)
    assert told in "\n".join(faults(path))


def test_a_fault_is_told_once_and_not_of_all_that_follow(path: Path) -> None:
    change(path, "UPDATE events SET time = time + 1 WHERE id = ?", event_id(1, 2))
    assert faults(path) == ["#lobby 2: changed or swapped: it does not fit to the one before it"]


def test_swapped_events_are_found(path: Path) -> None:
    first, second = event_id(2, 1), event_id(2, 2)
    columns = "time, target, msg_key, link, event, digest"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET id = -1 WHERE id = ?", (first,))
        connection.execute("UPDATE events SET id = ? WHERE id = ?", (first, second))
        connection.execute("UPDATE events SET id = ? WHERE id = -1", (second,))
        assert connection.execute(f"SELECT {columns} FROM events").fetchone()
    connection.close()
    assert [line.partition(":")[0] for line in faults(path)] == ["r2 1", "r2 2"]


def test_an_event_that_was_copied_into_another_room_is_found(path: Path) -> None:
    copied = "INSERT INTO events SELECT ?, time, target, msg_key, link, event, digest FROM events WHERE id = ?"
    change(path, copied, event_id(3, 1), event_id(1, 1))
    assert faults(path) == [
        "#ops 1: it belongs to another room",
        "#ops 1: its author has used its msg_id before, for #lobby 1",
    ]


def test_a_missing_end_is_found_if_somebody_has_read_it(store: Store, path: Path) -> None:
    write(store, ReadMarked("ann", "r1", 6))
    change(path, "DELETE FROM events WHERE id = ?", event_id(1, 6))
    assert faults(path) == ["#lobby 6: missing, and somebody has read up to 6"]


def test_pages_that_cannot_be_read_are_told_and_the_walk_goes_on(store: Store, path: Path) -> None:
    write(store, *(said("a message " * 20, f"m{n}") for n in range(1000)))
    store.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 8192)
    told = faults(path)
    assert any(line.startswith("file: ") for line in told)
    assert any(line.startswith("#lobby ") for line in told)


def test_slices_are_joined_and_a_beginning_that_moves_meanwhile_is_no_fault(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_SLICE", verify._SLICE.replace(str(verify.SLICE), "2"))
    monkeypatch.setattr(verify, "SLICE", 2)
    assert found(path) == (verify.Verified(rooms=3, events=8), [])

    class Purging(verify._Walk):
        """Between two looks somebody takes the first four events of the room away."""

        def _event(self, room: Any, seq: int, *more: Any) -> None:
            super()._event(room, seq, *more)
            if (room.no, seq) == (1, 2):
                [(link,)] = self._connection.execute("SELECT link FROM events WHERE id = ?", (event_id(1, 4),))
                change(path, "DELETE FROM events WHERE id BETWEEN ? AND ?", event_id(1, 1), event_id(1, 4))
                change(path, "UPDATE rooms SET first_seq = 5, link_before = ? WHERE no = 1", link)

    lines: list[str] = []
    connection = schema.connect_known(path)
    Purging(connection, lines.append).rooms()
    connection.close()
    assert lines == []


@pytest.mark.parametrize("content", [None, b"", b"Dear diary, " * 1000])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "diary"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OperatorError, match=r"diary: (there is no such file|it is empty|it is no database)"):
        schema.connect_known(path)
