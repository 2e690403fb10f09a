"""The SQLite journal over its threads: group commit, reopening, a crash, a full disk."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from chatd.core.codes import Code
from chatd.core.events import Fate, MessageSent, NickChanged, Proposal, ReadMarked, RoomChanged, RoomMade
from chatd.core.questions import CursorsWanted, EntryWanted, Side, StoredRoom
from chatd.errors import OperatorError
from chatd.journal import open_journal, schema
from chatd.journal.commits import EVENTS
from chatd.journal.sqlite import SqliteJournal
from chatd.journal.store import Store
from chatd.journal.writer import LARGEST_BATCH

LOBBY = RoomMade("r1", "#lobby")


def said(body: str, msg_id: str | None = None) -> Any:
    return MessageSent("r1", "ann", "ann", "text", body, msg_id)


def left(n: int) -> Any:
    return NickChanged("u1", f"ann{n}")


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """A store that writes only while this is set."""
    event = threading.Event()
    event.set()
    yield event
    event.set()


@pytest_twisted.ensureDeferred
async def test_what_is_appended_during_a_commit_is_committed_together(
    opens: Any, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Group commit: one transaction, and one call of the follower, for all that came meanwhile."""
    write = Store.write

    def wait_and_write(self: Store, proposals: Any) -> Any:
        held.wait()
        return write(self, proposals)

    monkeypatch.setattr(Store, "write", wait_and_write)
    followed = await opens("sqlite:")
    held.clear()
    followed.append(Proposal(LOBBY, 1))
    while not followed.journal._writer._queue.empty():
        pass  # until the writer has taken the first and is held
    for n in range(500):
        followed.append(Proposal(said(f"{n}"), 1))
    held.set()
    await followed.all_told()
    assert [len(batch) for batch in followed.batches] == [1, 500]
    commits = followed.journal.commits
    assert (commits.batches_total, commits.events_total, commits.events_most) == (2, 501, 500)
    assert (commits.by_events[0], commits.by_events[EVENTS.index(512)]) == (1, 1)
    assert sum(commits.by_seconds) == 2
    assert commits.seconds_total >= commits.seconds_most > 0
    assert "commit_batches_total=2 commit_events_total=501 commit_events_most=500 " in commits.told()


@pytest_twisted.ensureDeferred
async def test_one_message_waits_for_no_company(opens: Any) -> None:
    """At low load the latency is one commit: each is a batch of its own, at once."""
    followed = await opens("sqlite:")
    await followed.happen(LOBBY)
    for n in range(20):
        await followed.happen(said(f"{n}"))
    commits = followed.journal.commits
    assert (commits.batches_total, commits.events_most) == (21, 1)


@pytest_twisted.ensureDeferred
async def test_a_batch_has_its_limit(opens: Any, held: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatd.journal.writer.LARGEST_BATCH", 100)
    followed = await opens("sqlite:")
    followed.append(Proposal(LOBBY, 1), *(Proposal(said(f"{n}"), 1) for n in range(349)))
    followed.append(*(Proposal(said(f"{n}"), 1) for n in range(350, 400)))
    entries = await followed.all_told()
    assert max(len(batch) for batch in followed.batches) == 100
    assert [entry.seq for entry in entries] == list(range(400))[: len(entries)]
    assert LARGEST_BATCH == 10_000


@pytest_twisted.ensureDeferred
async def test_passing_events_need_no_thread_when_nothing_is_under_way(
    opens: Any, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = await opens("sqlite:")
    await followed.happen(LOBBY)
    monkeypatch.setattr(followed.journal._writer, "put", lambda proposals: pytest.fail("went to the writer"))
    entries = await followed.happen(left(1), left(2))
    assert [entry.event for entry in entries] == [left(1), left(2)]


@pytest_twisted.ensureDeferred
async def test_passing_events_are_told_first_even_if_the_disk_is_faster_than_the_reactor(opens: Any) -> None:
    followed = await opens("sqlite:")
    await turn()  # out of a timed call the reactor comes to what threads want before it comes to the next timed calls
    followed.append(Proposal(left(1), 1))
    followed.append(Proposal(LOBBY, 1))
    while not reactor.threadCallQueue:
        pass  # until the writer has committed and wants it told
    assert [entry.event for entry in await followed.all_told()] == [left(1), LOBBY]


@pytest_twisted.ensureDeferred
async def test_everything_is_there_again_after_reopening(opens: Any) -> None:
    """A53: the same order under the same numbers; and A49's direct rooms with their parties."""
    first = await opens("sqlite:")
    direct = RoomMade("r2", "", (("ann", "Ann"), ("bob", "Bob")))
    topic = RoomChanged("r1", "ann", "ann", {"topic": "cakes"})
    await first.happen(LOBBY, said("one", "1"), topic, direct, ReadMarked("ann", "r1", 2), RoomMade("r3", "#empty"))
    page = await first.page("r1")
    await first.journal.close()

    again = await opens("sqlite:")
    assert again.snapshot.secret == first.snapshot.secret
    assert again.snapshot.rooms == [
        StoredRoom("r1", "#lobby", (), 1, 2, "cakes"),
        StoredRoom("r2", "", (("ann", "Ann"), ("bob", "Bob")), 1, 0, ""),
        StoredRoom("r3", "#empty", (), 1, 0, ""),
    ]
    assert await again.page("r1") == page
    assert await again.journal.ask(CursorsWanted("ann")) == {"r1": 2}
    entries = await again.happen(said("one", "1"), said("other", "1"), said("two", "2"))
    assert [(entry.fate, entry.seq, entry.code) for entry in entries] == [
        (Fate.REPEATED, 1, None),
        (Fate.REFUSED, 0, Code.MSG_ID_REUSED),
        (Fate.COMMITTED, 3, None),
    ]


@pytest.mark.parametrize(("durability", "synchronous"), [("fsync", 2), ("normal", 1), ("memory", 0)])
@pytest_twisted.ensureDeferred
async def test_the_durability_that_is_told_is_the_one_that_is_kept(
    tmp_path: Path, durability: str, synchronous: int
) -> None:
    settings = SimpleNamespace(durability=durability)
    journal = open_journal("sqlite:", reactor=reactor, settings=settings, data_dir=tmp_path)
    assert journal.durability == durability
    connection = schema.connect(made(tmp_path), durability)
    assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
    connection.close()


def made(folder: Path) -> Path:
    schema.make(folder / "chatd.db")
    return folder / "chatd.db"


@pytest_twisted.ensureDeferred
async def test_a_url_may_name_the_file(opens: Any, tmp_path: Path) -> None:
    followed = await opens(f"sqlite:{tmp_path}/an odd name?#%.db")
    await followed.happen(LOBBY, said("one"))
    assert (tmp_path / "an odd name?#%.db").is_file()
    assert (await followed.page("r1")).last_seq == 1


@pytest_twisted.ensureDeferred
async def test_a_journal_that_cannot_be_opened_says_why_and_leaves_no_thread(opens: Any, tmp_path: Path) -> None:
    (tmp_path / "chatd.db").write_bytes(b"this is no database" * 1000)
    with pytest.raises(OperatorError, match="no database"):
        await opens("sqlite:")


@pytest_twisted.ensureDeferred
async def test_a_journal_may_be_closed_while_it_is_being_opened_or_was_never(tmp_path: Path) -> None:
    never = SqliteJournal(tmp_path / "a.db", reactor=reactor, durability="fsync")
    await never.close()
    hasty = SqliteJournal(tmp_path / "b.db", reactor=reactor, durability="fsync")
    opening, closing, again = hasty.open(lambda entries: None), hasty.close(), hasty.close()
    assert (await opening).rooms == []
    await closing
    await again
    with pytest.raises(RuntimeError):
        hasty.open(lambda entries: None)


@pytest_twisted.ensureDeferred
async def test_closing_takes_the_wal_away(opens: Any, tmp_path: Path) -> None:
    followed = await opens("sqlite:")
    await followed.happen(LOBBY, said("one"))
    await followed.page("r1")  # a reader is connected too
    await followed.journal.close()
    assert [path.name for path in tmp_path.iterdir()] == ["chatd.db"]


@pytest_twisted.ensureDeferred
async def test_a_question_that_cannot_be_answered_fails_and_the_next_one_does_not(opens: Any, tmp_path: Path) -> None:
    followed = await opens("sqlite:")
    await followed.happen(LOBBY, said("one"), said("two"))
    with pytest.raises(TypeError):
        await followed.journal.ask("how are you?")
    assert (await followed.journal.ask(EntryWanted("r1", 2))).event == said("two")


@pytest_twisted.ensureDeferred
async def test_a_full_disk_is_told_and_overcome(tmp_path: Path) -> None:
    """Nothing is lost silently, passing events pass, and when there is space again everything goes on."""
    pages = [1_000_000]

    def connect(path: Path, durability: str) -> sqlite3.Connection:
        connection = schema.connect(path, durability)
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")
        return connection

    told: list[Any] = []
    store = lambda path, durability: Store(path, durability, connect)  # noqa: E731  # as a class is given
    journal = SqliteJournal(tmp_path / "chatd.db", reactor=reactor, durability="fsync", store=store)
    await journal.open(told.extend)
    journal.append([Proposal(LOBBY, 1), *(Proposal(said("x" * 100), 1) for _ in range(10))])
    while len(told) < 11:
        await turn()
    pages[0] = 1
    journal._writer._store._drop()
    journal.append([Proposal(said("y" * 5000), 1), Proposal(left(1), 1), Proposal(said("z" * 5000), 1)])
    while len(told) < 14:
        await turn()
    assert [entry.code for entry in told[11:]] == [Code.STORE_UNAVAILABLE, None, Code.STORE_UNAVAILABLE]
    pages[0] = 1_000_000
    journal._writer._store._drop()
    journal.append([Proposal(said("y" * 5000), 1), Proposal(left(1), 1)])
    await journal.close()
    assert [entry.seq for entry in told] == [*range(11), 0, 0, 0, 11, 0]


async def turn() -> None:
    await deferLater(reactor, 0)


# -- other processes ----------------------------------------------------------------------------------------------

TALKER = """
import sys
from types import SimpleNamespace
from twisted.internet import reactor
from twisted.internet.task import deferLater
from chatd.core.events import Fate, MessageSent, Proposal, RoomMade
from chatd.journal import open_journal

journal = open_journal("sqlite:", reactor=reactor, settings=SimpleNamespace(durability="fsync"), data_dir=sys.argv[1])
ROOMS = 5
count = 0

def said(entries):
    for entry in entries:
        if entry.seq:
            print(entry.event.room_id, entry.seq, entry.event.msg_id, flush=True)

def talk():
    global count
    for _ in range(7):
        count += 1
        event = MessageSent(f"r{count % ROOMS}", "ann", "ann", "text", f"message {count}", f"{count}")
        journal.append([Proposal(event, count)])
    reactor.callLater(0, talk)

def opened(snapshot):
    journal.append([Proposal(RoomMade(f"r{n}", f"#{n}"), 1) for n in range(ROOMS)])
    talk()

journal.open(said).addCallback(opened)
reactor.run()
"""


@pytest_twisted.ensureDeferred
async def test_what_was_told_before_a_kill_is_there_once_and_under_its_number(opens: Any, tmp_path: Path) -> None:
    """A53: kill -9 in the middle of everything."""
    talker = subprocess.Popen(
        [sys.executable, "-c", TALKER, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert talker.stdout is not None
    lines = [talker.stdout.readline() for _ in range(2000)]
    talker.send_signal(signal.SIGKILL)
    lines += talker.stdout.read().splitlines(keepends=True)
    talker.wait()
    talker.stdout.close()
    told = [line.split() for line in lines if line.endswith("\n")]
    assert len(told) >= 2000

    followed = await opens("sqlite:")
    found = {}
    for room in followed.snapshot.rooms:
        page = await followed.page(room.room_id, Side.AFTER, 0, 1_000_000, max_bytes=1 << 40)
        assert [entry.seq for entry in page.entries] == [*range(1, room.last_seq + 1)]
        for entry in page.entries:
            event: Any = entry.event
            assert event.msg_id not in found, "twice"
            found[event.msg_id] = (room.room_id, entry.seq)
    assert {msg_id: (room, int(seq)) for room, seq, msg_id in told}.items() <= found.items()

    # Whoever heard no answer repeats, and learns the number.
    msg_id, (room, seq) = max(found.items(), key=lambda item: int(item[0]))
    [entry] = await followed.happen(MessageSent(room, "ann", "ann", "text", f"message {msg_id}", msg_id))
    assert (entry.fate, entry.seq) == (Fate.REPEATED, seq)


FORGETFUL = """
import sys
from types import SimpleNamespace
from twisted.internet import reactor
from twisted.internet.task import deferLater
from chatd.core.events import Proposal, RoomMade
from chatd.journal import open_journal

journal = open_journal("sqlite:", reactor=reactor, settings=SimpleNamespace(durability="fsync"), data_dir=sys.argv[1])

def opened(snapshot):
    journal.append([Proposal(RoomMade("r1", "#lobby"), 1)])
    reactor.callLater(0, reactor.stop)

journal.open(lambda entries: None).addCallback(opened)
reactor.run()
"""


def test_a_program_that_forgets_to_close_its_journal_ends_all_the_same(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORGETFUL, str(tmp_path)], check=True, timeout=20, env=environment())
    store = Store(tmp_path / "chatd.db", "fsync")
    assert [room.name for room in store.open().rooms] == ["#lobby"]
    store.close()


def environment() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(sys.path)}
