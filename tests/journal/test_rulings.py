"""What those in charge ordered, in every kind of journal: kept, replaced, dropped, over, exported and imported."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from chatd.core.charge import Ruling
from chatd.core.events import AccountMade, Admitted, Event, IgnoredSet, Moderated, Proposal, RoomChanged, RoomMade
from chatd.errors import OperatorError
from chatd.journal import export
from chatd.journal.bring_in import bring_in
from chatd.journal.copies import backup
from chatd.journal.exported import read_line
from chatd.journal.schema import connect_known
from chatd.journal.store import Store
from chatd.journal.verify import verify

FAR = 1 << 62
MADE = RoomMade("r-den", "#den", (), "u-ann", "ann")


def moderated(change: Any, key: str, **more: Any) -> Moderated:
    return Moderated("r-den", "u-ann", "ann", change, key, key, **more)


EVENTS: tuple[Event, ...] = (
    MADE,
    moderated("ban", "tom", user_id="u-tom", folded="tom", until=FAR, reason="spam"),
    moderated("ban", "eve", folded="eve"),
    moderated("unban", "eve", folded="eve"),
    moderated("mute", "jerry", folded="jerry"),
    moderated("role", "u-bob", user_id="u-bob", role="operator"),
    RoomChanged("r-den", "u-ann", "ann", {"join": "invite", "slow": 10, "topic": "tea", "key": "hash"}),
    RoomChanged("r-den", "u-ann", "ann", {"slow": 0, "key": ""}),
    Admitted("r-den", (("u-bob", "bob"), ("u-tom", "tom")), FAR),
    moderated("kick", "tom", user_id="u-tom"),
)


def told(rulings: list[tuple[str, Ruling]]) -> list[tuple[str, str, str, str, int]]:
    return sorted((room, one.kind, one.key, one.value, one.until) for room, one in rulings)


WANTED = [
    ("r-den", "ban", "tom", "", FAR),
    ("r-den", "invite", "u-bob", "", FAR),
    ("r-den", "mute", "jerry", "", 0),
    ("r-den", "role", "u-ann", "owner", 0),
    ("r-den", "role", "u-bob", "operator", 0),
    ("r-den", "set", "join", "invite", 0),
]


@pytest_twisted.ensureDeferred
async def test_every_journal_keeps_what_holds_and_gives_each_act_a_number(followed: Any, kind: str, opens: Any) -> None:
    entries = await followed.happen(*EVENTS)
    assert [entry.seq for entry in entries] == [0, 1, 2, 3, 4, 5, 6, 7, 0, 8]
    await followed.journal.close()
    if kind != "memory:":
        followed = await opens(kind)
        assert told(followed.snapshot.rulings) == WANTED


def written(path: Path, *more: Event) -> None:
    store = Store(path, "fsync")
    store.open()
    now = int(time.time() * 1_000_000)
    account = (AccountMade("u-ann", "ann", "hash"), IgnoredSet("u-ann", ("tom", "jerry")))
    assert all(entry.code is None for entry in store.write([Proposal(one, now) for one in (*EVENTS, *account, *more)]))
    store.close()


def rulings_of(path: Path) -> list[tuple[str, Ruling]]:
    store = Store(path, "fsync")
    found = store.open()
    assert found.accounts[0].ignored == ("tom", "jerry")
    store.close()
    return found.rulings


def test_they_are_there_after_a_restart_in_a_backup_and_for_verify(tmp_path: Path) -> None:
    path = tmp_path / "chatd.db"
    written(path)
    assert told(rulings_of(path)) == WANTED
    faults: list[str] = []
    backup(path, tmp_path / "copy.db", tell=faults.append)
    assert told(rulings_of(tmp_path / "copy.db")) == WANTED
    [ban] = [one for _, one in rulings_of(path) if one.kind == "ban"]
    assert (ban.who, ban.user_id, ban.nick, ban.by, ban.reason) == ("tom", "u-tom", "tom", "ann", "spam")
    assert faults == []


def test_what_is_over_is_forgotten_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "chatd.db"
    written(path, moderated("ban", "old", folded="old", until=1_000))
    assert told(rulings_of(path)) == WANTED
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM rulings").fetchone() == (len(WANTED),)


def test_verify_tells_what_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "chatd.db"
    written(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO rulings VALUES (99, 'ban', 'x', 0, x'00')")
        connection.execute("UPDATE rulings SET ruling = x'c1' WHERE kind = 'mute'")
        connection.commit()
    faults: list[str] = []
    with closing(connect_known(path)) as connection:
        verify(connection, faults.append)
    assert len(faults) == 2
    assert "its room is not there" in faults[1]
    assert "it cannot be read" in faults[0]


def lines_of(path: Path) -> list[bytes]:
    with closing(connect_known(path)) as connection:
        lines = list(export.lines(connection, export.rooms(connection), lambda *_: None))
        return [*lines, *export.accounts(connection, with_passwords=True)]


def test_an_export_has_them_and_an_import_takes_them_up(tmp_path: Path) -> None:
    path, other = tmp_path / "chatd.db", tmp_path / "other.db"
    written(path)
    lines = lines_of(path)
    bring_in(lines, other, name="x", tell=lambda _: None)
    assert told(rulings_of(other)) == WANTED
    assert lines_of(other) == lines


@pytest.mark.parametrize(
    ("kind", "key", "value", "network"),
    [
        ("role", "u", "king", ""),
        ("set", "join", "never", ""),
        ("set", "slow", "fast", ""),
        ("ban", "x", "", "no network"),
        ("law", "x", "", ""),
    ],
)
def test_an_import_refuses_what_could_not_be_asked(
    tmp_path: Path, kind: str, key: str, value: str, network: str
) -> None:
    path, other = tmp_path / "chatd.db", tmp_path / "other.db"
    written(path)
    lines = lines_of(path)
    bad = (
        f'{{"line":"ruling","room_id":"r-den","kind":"{kind}","key":"{key}","value":"{value}","network":"{network}"}}\n'
    )
    place = next(n for n, line in enumerate(lines) if b'"ruling"' in line)
    lines.insert(place, bad.encode())
    with pytest.raises(OperatorError, match=f"line {place + 1}"):
        bring_in(lines, other, name="x", tell=lambda _: None)
    assert not other.exists()


def test_a_line_of_an_earlier_export_is_still_read() -> None:
    assert read_line(b'{"line":"account","user_id":"u","name":"n","made":1}')
