"""Journals that an earlier chatd wrote: opened, they are brought up to this version, and nothing is lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from chatd.core.events import Bookmark, BookmarksMoved, MessageSent, Proposal
from chatd.core.questions import BookmarkWanted, PageWanted, Side
from chatd.journal import schema
from chatd.journal.copies import backup
from chatd.journal.reader import answer_from
from chatd.journal.store import Store
from chatd.journal.verify import verify

SAMPLES = sorted((Path(__file__).parent / "samples").glob("schema-*.sql"))


@pytest.fixture(params=SAMPLES, ids=lambda sample: sample.stem)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A journal as an earlier chatd left it."""
    path = tmp_path / "chatd.db"
    connection = sqlite3.connect(path)
    connection.executescript(request.param.read_text())
    connection.close()
    return path


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    [(version,)] = connection.execute("PRAGMA user_version")
    connection.close()
    return int(version)


def test_there_is_a_sample_of_every_earlier_version() -> None:
    assert [sample.stem for sample in SAMPLES] == [f"schema-{n}" for n in range(1, schema.VERSION)]


def test_an_older_journal_is_brought_up_and_goes_on_where_it_was(path: Path) -> None:
    assert version_of(path) < schema.VERSION
    store = Store(path, "fsync")
    lobby, direct = store.open().rooms
    assert (lobby.room_id, lobby.name, lobby.topic, lobby.last_seq) == ("r1", "#lobby", "tea", 5)
    assert (direct.room_id, direct.last_seq) == ("d1", 1)
    bookmark = Bookmark("key", "ann", "ann")
    said = MessageSent("r1", "ann", "ann", "text", "again", "m2")
    repeated = MessageSent("r1", "ann", "ann", "text", "hello", "m1")
    proposals = [Proposal(event, 7) for event in (said, BookmarksMoved((bookmark,)), repeated)]
    assert [entry.seq for entry in store.write(proposals)] == [6, 0, 1]
    store.close()
    assert version_of(path) == schema.VERSION
    reader = schema.connect_reader(path)
    page = answer_from(reader, PageWanted("r1", Side.BEFORE, None, 10))
    assert [entry.seq for entry in page.entries] == [1, 2, 3, 4, 5, 6]
    assert answer_from(reader, BookmarkWanted("key")).bookmark == bookmark
    told: list[str] = []
    verify(reader, told.append)
    reader.close()
    assert told == []


def test_an_older_journal_that_nobody_opened_can_be_looked_at_and_copied(path: Path, tmp_path: Path) -> None:
    told: list[str] = []
    assert backup(path, tmp_path / "copy.db", tell=told.append).events == 6
    assert told == []
    assert version_of(path) == version_of(tmp_path / "copy.db") < schema.VERSION


def test_a_crash_on_the_way_up_leaves_the_journal_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = version_of(path)
    monkeypatch.setattr(schema, "STEPS", {n: f"{step} SELECT broken;" for n, step in schema.STEPS.items()})
    with pytest.raises(Exception, match="cannot be used"):
        Store(path, "fsync").open()
    assert version_of(path) == before
    monkeypatch.undo()
    store = Store(path, "fsync")
    assert len(store.open().rooms) == 2
    store.close()
