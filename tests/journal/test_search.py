"""Searching, in every kind of journal: words, phrases, authors, places; what was taken back is not found."""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from chatd.core.codes import Refusal
from chatd.core.events import MessageSent, Purged, Related, RoomMade
from chatd.core.questions import Found, SearchWanted, Side
from chatd.journal import memory, searcher
from chatd.journal.search import expression, spaced
from chatd.journal.searcher import index_path

ROOMS = (RoomMade("r-lobby", "#lobby"), RoomMade("r-ops", "#ops"))
WORDS = (
    ("ann", "the quick brown fox"),
    ("bob", "a lazy dog"),
    ("ann", "The Dog and the fox, again"),
    ("bob", "naïve café"),
    ("ann", "我们今天喝茶"),
    ("bob", 'quoted "and" OR * NEAR('),
)


def said(n: int, author: str, body: str, room: str = "r-lobby") -> MessageSent:
    return MessageSent(room, f"u-{author}", author, "text", body, f"m{n}")


async def filled(followed: Any) -> None:
    others = [said(90, "ann", "a dog of another room", "r-ops")]
    await followed.happen(*ROOMS, *(said(n, *one) for n, one in enumerate(WORDS)), *others)


async def found(followed: Any, query: str = "", author: str = "", **more: Any) -> list[int]:
    page = await look(followed, query, author, **more)
    return [entry.seq for entry in page.entries]


async def look(followed: Any, query: str = "", author: str = "", **more: Any) -> Found:
    wanted = {"side": Side.BEFORE, "place": None, "limit": 10} | more
    answer: Found = await followed.journal.ask(SearchWanted("r-lobby", query, author, **wanted))
    return answer


@pytest.mark.parametrize(
    ("query", "author", "seqs"),
    [
        ("fox", "", [1, 3]),
        ("FOX dog", "", [3]),
        ('"quick brown"', "", [1]),
        ('"brown quick"', "", []),
        ("bro*", "", [1]),
        ("bro", "", []),
        ("cafe", "", [4]),
        ("NAIVE", "", [4]),
        ("喝茶", "", [5]),
        ("茶喝", "", []),
        ("", "bob", [2, 4, 6]),
        ("dog", "Ann", [3]),
        ("dog", "carol", []),
        ("nothing", "", []),
        ("and OR near", "", [6]),
        ('fox"', "", [1, 3]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_words_are_found(followed: Any, query: str, author: str, seqs: list[int]) -> None:
    await filled(followed)
    assert await found(followed, query, author) == seqs


@pytest.mark.parametrize("query", ["!!!", '""', "*", " ".join(["word"] * 21)])
def test_what_has_no_words_is_refused(query: str) -> None:
    with pytest.raises(Refusal):
        expression(query, "")


def test_nothing_to_look_for_is_refused() -> None:
    with pytest.raises(Refusal):
        expression("", "")


@pytest.mark.parametrize(
    "query", ["body:x", "nick : ann", "x NOT y", "(x", "a^b", "{body nick} : x", "-x", '"a" + "b"', "\0"]
)
@pytest_twisted.ensureDeferred
async def test_nothing_of_the_index_own_language_gets_in(followed: Any, query: str) -> None:
    await filled(followed)
    with contextlib.suppress(Refusal):  # of what has no words at all
        assert await found(followed, query) == []


def test_words_without_spaces_are_taken_apart() -> None:
    assert spaced("喝tea茶").split() == ["喝", "tea", "茶"]


@pytest_twisted.ensureDeferred
async def test_pages_go_both_ways_and_say_whether_there_is_more(followed: Any) -> None:
    await followed.happen(*ROOMS, *(said(n, "ann", f"word {n}") for n in range(1, 8)))
    page = await look(followed, "word", limit=3)
    assert ([one.seq for one in page.entries], page.more) == ([5, 6, 7], True)
    page = await look(followed, "word", limit=3, place=2)
    assert ([one.seq for one in page.entries], page.more) == ([1], False)
    page = await look(followed, "word", limit=3, side=Side.AFTER, place=2)
    assert ([one.seq for one in page.entries], page.more) == ([3, 4, 5], True)
    page = await look(followed, "word", limit=4, side=Side.AFTER, place=3)
    assert ([one.seq for one in page.entries], page.more) == ([4, 5, 6, 7], False)
    page = await look(followed, "word", last=3)
    assert [one.seq for one in page.entries] == [1, 2, 3]


@pytest_twisted.ensureDeferred
async def test_what_was_said_after_the_last_look_is_found_and_what_was_taken_back_is_not(followed: Any) -> None:
    await filled(followed)
    assert await found(followed, "fox") == [1, 3]
    edit = Related("r-lobby", "u-ann", "ann", "edit", 1, "the quick brown hare", msg_id="e")
    await followed.happen(said(20, "bob", "a fox at last"), edit)
    assert await found(followed, "fox") == [1, 3, 7]
    assert await found(followed, "hare") == [8]
    await followed.happen(Related("r-lobby", "u-ann", "ann", "redact", 1, msg_id="d"))
    assert await found(followed, "fox") == [3, 7]
    assert await found(followed, "hare") == []
    await followed.happen(Purged("r-lobby", 4))
    assert await found(followed, "fox") == [7]


# -- on disk ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chatd.db"


@pytest_twisted.ensureDeferred
async def test_the_index_is_used_again_and_made_anew_if_it_is_gone_or_damaged(opens: Any, path: Path) -> None:
    followed = await opens(f"sqlite:{path}")
    await filled(followed)
    assert await found(followed, "fox") == [1, 3]
    await followed.journal.close()
    index = index_path(path)
    assert index.stat().st_mode & 0o777 == 0o600
    for harm in (b"", b"no database at all" * 1000):
        index.write_bytes(harm)
        followed = await opens(f"sqlite:{path}")
        assert await found(followed, "fox") == [1, 3]
        await followed.journal.close()
    index.unlink()
    followed = await opens(f"sqlite:{path}")
    assert await found(followed, "fox") == [1, 3]


@pytest_twisted.ensureDeferred
async def test_the_index_of_another_journal_is_not_believed(opens: Any, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    for one in (path, other):
        followed = await opens(f"sqlite:{one}")
        await followed.happen(*ROOMS, said(1, "ann", f"only in {one.stem}"))
        assert await found(followed, one.stem) == [1]
        await followed.journal.close()
    index_path(path).write_bytes(index_path(other).read_bytes())
    followed = await opens(f"sqlite:{path}")
    assert await found(followed, "other") == []
    assert await found(followed, "chatd") == [1]


@pytest_twisted.ensureDeferred
async def test_what_was_taken_back_is_not_in_the_file_either(opens: Any, path: Path) -> None:
    followed = await opens(f"sqlite:{path}")
    await followed.happen(*ROOMS, said(1, "ann", "unmistakable"))
    assert await found(followed, "unmistakable") == [1]
    await followed.happen(Related("r-lobby", "u-ann", "ann", "redact", 1, msg_id="d"))
    assert await found(followed, "anything") == []
    await followed.journal.close()
    with closing(sqlite3.connect(index_path(path))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [(count,)] = connection.execute("SELECT count(*) FROM words")
    assert count == 0
    assert b"unmistakable" not in index_path(path).read_bytes()


@pytest_twisted.ensureDeferred
async def test_who_asks_for_much_at_first_is_told_to_come_again(
    opens: Any, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searcher, "PATIENCE_SECONDS", -1.0)
    monkeypatch.setattr(searcher, "SLICE", 2)
    followed = await opens(f"sqlite:{path}")
    await filled(followed)
    with pytest.raises(Refusal) as refused:
        await found(followed, "fox")
    assert refused.value.retry_after
    for _ in range(200):
        try:
            assert await found(followed, "fox") == [1, 3]
        except Refusal:
            continue
        return
    raise AssertionError("the room is never read")


@pytest_twisted.ensureDeferred
async def test_a_journal_that_was_set_back_is_read_anew(opens: Any, path: Path, tmp_path: Path) -> None:
    """What the index knows of numbers that are other messages now does not count."""
    followed = await opens(f"sqlite:{path}")
    await followed.happen(*ROOMS, said(1, "ann", "before"))
    await followed.journal.close()
    (tmp_path / "kept.db").write_bytes(path.read_bytes())
    followed = await opens(f"sqlite:{path}")
    await followed.happen(said(2, "ann", "wrong"), said(3, "ann", "wrong"))
    assert await found(followed, "wrong") == [2, 3]
    await followed.journal.close()
    path.write_bytes((tmp_path / "kept.db").read_bytes())
    followed = await opens(f"sqlite:{path}")
    await followed.happen(*(said(n, "bob", "right") for n in (12, 13, 14)))
    assert await found(followed, "wrong") == []
    assert await found(followed, "right") == [2, 3, 4]


@pytest_twisted.ensureDeferred
async def test_what_is_damaged_is_left_out_and_the_rest_is_found(opens: Any, path: Path) -> None:
    followed = await opens(f"sqlite:{path}")
    await filled(followed)
    await followed.journal.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE events SET event = x'c1' WHERE id = (SELECT min(id) FROM events)")
        connection.commit()
    followed = await opens(f"sqlite:{path}")
    assert await found(followed, "fox") == [3]
    assert await found(followed, "dog") == [2, 3]


@pytest_twisted.ensureDeferred
async def test_an_index_that_breaks_while_it_is_used_is_made_anew(opens: Any, path: Path) -> None:
    followed = await opens(f"sqlite:{path}")
    await filled(followed)
    assert await found(followed, "fox") == [1, 3]
    with closing(sqlite3.connect(index_path(path))) as connection:
        connection.execute("DROP TABLE words_data")
        connection.commit()
    assert await found(followed, "fox") == [1, 3]


@pytest_twisted.ensureDeferred
async def test_in_memory_not_too_much_is_read_at_once(opens: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SLICE", 4)
    followed = await opens("memory:")
    await filled(followed)
    with pytest.raises(Refusal):
        await found(followed, "fox")
    assert await found(followed, "fox") == [1, 3]


@pytest_twisted.ensureDeferred
async def test_what_is_taken_back_leaves_the_index_though_nobody_looks(opens: Any, path: Path) -> None:
    followed = await opens(f"sqlite:{path}")
    await followed.happen(*ROOMS, said(1, "ann", "unmistakable"), said(2, "ann", "also here", "r-ops"))
    assert await found(followed, "unmistakable") == [1]
    redactions = [Related(room, "u-ann", "ann", "redact", 1, msg_id=room) for room in ("r-lobby", "r-ops")]
    await followed.happen(*redactions)
    for _ in range(500):
        with closing(sqlite3.connect(index_path(path))) as connection:
            [(count,)] = connection.execute("SELECT count(*) FROM words")
            [(rooms,)] = connection.execute("SELECT count(*) FROM progress")
        if not count:
            break
        await deferLater(reactor, 0.01)
    assert (count, rooms) == (0, 1)  # a room in which nobody ever looked is not read for that
