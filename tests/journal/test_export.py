"""Out of one journal and into another: everything is as it was, or nothing comes in."""

from __future__ import annotations

import datetime
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec import MsgspecError

from chatd.core.codes import Code
from chatd.core.events import Entry, Event, Fate, MessageSent, Proposal, ReadMarked, Related, RoomChanged, RoomMade
from chatd.core.questions import CursorsWanted, EntryWanted, PageWanted, Side
from chatd.errors import Exit, OperatorError
from chatd.journal import export, schema
from chatd.journal.bring_in import bring_in
from chatd.journal.exported import event_line
from chatd.journal.reader import answer_from
from chatd.journal.store import Store
from chatd.journal.verify import Verified

ODD = {"b": b"\x00\xff", "t": datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC), 1: float("nan"), b"k": 1.0}
EVENTS = [
    RoomMade("r1", "#lobby"),
    RoomMade("r2", "", (("ann", "Ann"), ("bob", "Bob"))),
    MessageSent(
        "r1",
        "ann",
        "Ann",
        "text",
        "one\ntwo \u202e \N{BIRTHDAY CAKE}",
        "1",
    ),
    MessageSent("r1", "bob", "Bob", "action", "waves", "1", reply_to=1, data={"n": [1, 1.0, None, True]}, schema="s/1"),
    MessageSent("r1", "bob", "Bob", "text", "a secret", "2", data=ODD),
    Related("r1", "bob", "Bob", "edit", 3, body="another secret", msg_id="3"),
    Related("r1", "bob", "Bob", "redact", 3, reason="oops"),
    MessageSent("r1", "bob", "Bob", "notice", "", data=ODD, account="bob", bot=True),
    RoomChanged("r1", "ann", "Ann", {"topic": "cakes"}),
    Related("r1", "ann", "Ann", "react", 1, key="\N{BIRTHDAY CAKE}"),
    MessageSent("r2", "ann", "Ann", "text", "between us", "4"),
    ReadMarked("ann", "r1", 5),
]


def write(store: Store, *events: Event) -> list[Entry]:
    return store.write([Proposal(event, 1_000_000 + n) for n, event in enumerate(events)])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An open store with all that there is."""
    store = Store(tmp_path / "chatd.db", "fsync")
    store.open()
    assert not any(entry.code for entry in write(store, *EVENTS))
    yield store
    store.close()


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Where there is no journal yet."""
    (tmp_path / "other").mkdir()
    return tmp_path / "other" / "chatd.db"


def lines(store: Store, **what: Any) -> list[bytes]:
    with closing(schema.connect_known(store._path)) as connection:
        return list(export.lines(connection, export.rooms(connection, **what), lambda *lost: pytest.fail(f"{lost}")))


def comes_in(told: list[bytes], path: Path) -> Verified:
    return bring_in(told, path, name="export", tell=lambda line: pytest.fail(line))


def kept(path: Path) -> list[Any]:
    """Everything in the file, apart from the secret."""
    with closing(sqlite3.connect(path)) as connection:
        tables = ("rooms", "events", "cursors")
        return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]


def refused(words: str) -> pytest.RaisesExc[OperatorError]:
    return pytest.raises(OperatorError, match=words, check=lambda error: error.exit_code is Exit.DISK)


def test_everything_is_as_it_was(store: Store, other: Path) -> None:
    told = lines(store)
    assert [json.loads(line)["line"] for line in told] == [
        "chatd-export/1",
        *("room", *["event"] * 8, "cursor"),
        *("room", "event"),
    ]
    assert comes_in(told, other) == Verified(rooms=2, events=9, redacted=2)
    assert kept(other) == kept(store._path)
    assert b"secret" not in b"".join(told)


def test_the_room_goes_on_where_it_was(store: Store, other: Path) -> None:
    """Numbers, repetitions and redactions."""
    comes_in(lines(store), other)
    again = Store(other, "fsync")
    assert [(room.last_seq, room.topic) for room in again.open().rooms] == [(8, "cakes"), (1, "")]
    entries = write(
        again, EVENTS[2], MessageSent("r1", "ann", "Ann", "text", "new"), Related("r1", "a", "A", "redact", 1)
    )
    assert [(entry.fate, entry.seq) for entry in entries] == [
        (Fate.REPEATED, 1),
        (Fate.COMMITTED, 9),
        (Fate.COMMITTED, 10),
    ]
    again.close()
    assert len(lines(again)) == 15


def test_a_line_can_be_read_by_people_and_programs(store: Store) -> None:
    line = json.loads(lines(store)[3])
    del line["link"]
    assert line == {
        "line": "event",
        "seq": 2,
        "time": 1_000_003,
        "at": "1970-01-01T00:00:01+00:00",
        "event": {
            "type": "message/1",
            "room_id": "r1",
            "author": "bob",
            "nick": "Bob",
            "kind": "action",
            "body": "waves",
            "msg_id": "1",
            "reply_to": 1,
            "data": {"n": [1, 1.0, None, True]},
            "schema": "s/1",
        },
    }


def test_only_what_json_cannot_say_is_there_as_it_is_stored(store: Store) -> None:
    assert [n for n, line in enumerate(lines(store), -1) if b'"stored"' in line] == [6]


@pytest.mark.parametrize("blob", [b"\x93", b"words"])
def test_what_is_no_event_is_not_exported(blob: bytes) -> None:
    with pytest.raises(MsgspecError):
        event_line(1, 1, blob, b"", None)


@pytest.mark.parametrize("wanted", ["#lobby", "lobby", "#LOBBY", "r1"])
def test_one_room_is_exported_from_a_number_on(store: Store, other: Path, wanted: str) -> None:
    assert comes_in(lines(store, wanted=wanted, since=5), other) == Verified(rooms=1, events=3)
    with closing(schema.connect_reader(other)) as reader:
        page = answer_from(reader, PageWanted("r1", Side.AFTER, 0, 100))
        assert ([entry.seq for entry in page.entries], page.first_seq, page.last_seq) == ([6, 7, 8], 6, 8)
        assert answer_from(reader, EntryWanted("r1", 5)) is None
        assert answer_from(reader, CursorsWanted("ann")) == {"r1": 5}


def test_a_room_of_which_nothing_is_new_keeps_its_place(store: Store, other: Path) -> None:
    comes_in(lines(store, wanted="r1", since=100), other)
    again = Store(other, "fsync")
    again.open()
    assert [entry.seq for entry in write(again, MessageSent("r1", "ann", "Ann", "text", "new"))] == [9]
    again.close()


def test_other_rooms_are_added(store: Store, other: Path) -> None:
    there = Store(other, "fsync")
    there.open()
    write(there, RoomMade("r9", "#ops"), MessageSent("r9", "eve", "Eve", "text", "hi"))
    there.close()
    assert comes_in(lines(store), other) == Verified(rooms=3, events=10, redacted=2)


def room(room_id: str = "r5", name: str = "#ops", **more: Any) -> bytes:
    return json.dumps({"line": "room", "room_id": room_id, "name": name, "made": 1} | more).encode()


def event(seq: int, room_id: str = "r5", **more: Any) -> bytes:
    said = {"type": "message/1", "room_id": room_id, "author": "ann", "nick": "Ann", "kind": "text", "body": "hi"}
    return json.dumps({"line": "event", "seq": seq, "time": 1, "event": said | more}).encode()


HEAD = b'{"line": "chatd-export/1"}'


def test_an_export_can_be_written_by_others(other: Path) -> None:
    """Without links: they are made."""
    assert comes_in([HEAD, room(), event(1), event(2, msg_id="1")], other) == Verified(rooms=1, events=2)


def test_rooms_that_were_in_several_streams_keep_what_was_said_under_one_msg_id(other: Path) -> None:
    """An author may have one there in each room. Each is found again, and a third is refused."""
    said = [
        line
        for n, name in ((1, "#one"), (2, "#two"))
        for line in (room(f"q{n}", name), event(1, room_id=f"q{n}", body=name, msg_id="1"))
    ]
    with pytest.raises(OperatorError, match="it would have faults"):
        bring_in([HEAD, *said], other, name="export", tell=lambda line: None)
    by_room = b'{"line": "chatd-export/1", "by_room": true}'
    assert comes_in([by_room, *said], other) == Verified(rooms=2, events=2)
    again = Store(other, "fsync")
    again.open()
    assert json.loads(lines(again)[0])["by_room"], "it is told on"
    sent = [
        MessageSent("q1", "ann", "Ann", "text", "#one", "1"),
        MessageSent("q2", "ann", "Ann", "text", "#two", "1"),
        RoomMade("q3", "#three"),
        MessageSent("q3", "ann", "Ann", "text", "#three", "1"),
    ]
    repeated, too, _, refused = write(again, *sent)
    assert [(entry.fate, entry.seq) for entry in (repeated, too)] == [(Fate.REPEATED, 1)] * 2
    assert refused.code is Code.MSG_ID_REUSED
    again.close()


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ([], "it is empty"),
        ([room()], "line 1: the first line, and no other, says what this is"),
        ([HEAD, HEAD], "line 2: the first line, and no other, says what this is"),
        ([b"Dear diary"], "line 1: JSON is malformed"),
        ([b'{"line": "chatd-export/2"}'], "line 1: Invalid value 'chatd-export/2'"),
        ([HEAD, event(1)], "line 2: its room is not among the lines before it"),
        ([HEAD, room(), room()], "line 3: the room #ops is there already"),
        ([HEAD, room(), room("r6", "#OPS")], "line 3: the room #OPS is there already"),
        ([HEAD, room("r1", "#other")], "line 2: the room #other is there already"),
        ([HEAD, room("r5", "", parties=[["bob", "b"], ["ann", "a"]])], "line 2: the room r5 is there already"),
        ([HEAD, room(first_seq=0)], "line 2: first_seq is no number of an event"),
        ([HEAD, room(link_before="00")], "line 2: link_before must have 16 bytes"),
        ([HEAD, room(), event(2)], "line 3: its number is 2, and 1 is next"),
        ([HEAD, room(), event(1), event(1)], "line 4: its number is 1, and 2 is next"),
        ([HEAD, room(), event(1, type="message/9")], "line 3: there is no such type of event"),
        ([HEAD, room(), event(1, body=5)], "line 3: Expected `str`, got `int`"),
        ([HEAD, room(), event(1, mood="good")], "line 3: .*mood"),
        ([HEAD, room(), event(1, author="ann", msg_id="1")], "it would have faults"),
        (
            [HEAD, room(), b'{"line": "cursor", "user_id": "u", "room_id": "r5", "seq": 1}'],
            "line 3: nobody can have read",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_nothing_comes_in(store: Store, told: list[bytes], why: str) -> None:
    before = kept(store._path)
    faults: list[str] = []
    with refused(f"(export export|journal .*).*{why}"):
        bring_in(told, store._path, name="export", tell=faults.append)
    assert kept(store._path) == before
    assert faults == (["#ops 1: its author has used its msg_id before, for #lobby 1"] if "faults" in why else [])


def test_an_export_that_was_changed_is_refused_and_leaves_no_journal(store: Store, other: Path) -> None:
    told = [line.replace(b"waves", b"waved") for line in lines(store)]
    with refused("line 4: it was changed"):
        comes_in(told, other)
    assert os.listdir(other.parent) == []


def test_a_cursor_that_is_there_twice_is_refused(store: Store, other: Path) -> None:
    told = lines(store)
    place = next(n for n, line in enumerate(told) if b'"cursor"' in line)
    with refused(f"line {place + 2}: this user has a cursor in this room already"):
        comes_in([*told[: place + 1], *told[place:]], other)
    assert not other.exists()
