"""Accounts in every kind of journal: one owner for each name, invites that are used once, and where passwords lie."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from chatd.core.codes import Code
from chatd.core.events import (
    AccountDisabled,
    AccountMade,
    Event,
    InviteMade,
    PasswordChanged,
    PasswordRehashed,
    Proposal,
)
from chatd.core.questions import InviteWanted, StoredAccount, VerifierWanted
from chatd.errors import OperatorError
from chatd.journal import export, schema
from chatd.journal.accounts import AccountBatch
from chatd.journal.bring_in import bring_in
from chatd.journal.copies import backup
from chatd.journal.reader import answer_from
from chatd.journal.store import Store
from chatd.journal.verify import verify

ALICE = AccountMade("u-alice", "alice", "hash-1")


async def codes(followed: Any, *events: Event, time: int = 1_000) -> list[Any]:
    return [entry.code for entry in await followed.happen(*events, time=time)]


async def kept_of(followed: Any, user_id: str) -> Any:
    return await followed.journal.ask(VerifierWanted(user_id))


@pytest_twisted.ensureDeferred
async def test_a_name_has_one_owner_however_it_is_written(followed: Any) -> None:
    others = [AccountMade(f"u-{n}", name, "h") for n, name in enumerate(("Alice", "a1ice", "bob", "ALICE"))]
    told = await codes(followed, ALICE, *others)
    assert told == [None, Code.ACCOUNT_EXISTS, Code.NICK_CONFUSABLE, None, Code.ACCOUNT_EXISTS]
    assert await codes(followed, AccountMade("u-x", "aIice", "h")) == [Code.NICK_CONFUSABLE]
    assert await codes(followed, AccountMade("u-alice", "carol", "h")) == [Code.ACCOUNT_EXISTS]
    assert await kept_of(followed, "u-alice") == "hash-1"
    assert await kept_of(followed, "u-0") is None
    assert await kept_of(followed, "") is None


@pytest_twisted.ensureDeferred
async def test_a_password_changes_in_the_order_of_the_journal(followed: Any) -> None:
    await followed.happen(ALICE, PasswordChanged("u-alice", "hash-2"), PasswordRehashed("u-alice", "hash-3"))
    assert await kept_of(followed, "u-alice") == "hash-3"
    assert await codes(followed, PasswordChanged("u-nobody", "h"), AccountDisabled("u-nobody", True)) == [
        Code.NO_SUCH_USER,
        Code.NO_SUCH_USER,
    ]
    assert await kept_of(followed, "u-nobody") is None


@pytest_twisted.ensureDeferred
async def test_an_invite_makes_one_account_in_its_time(followed: Any) -> None:
    def invited(name: str, key: str) -> Event:
        return AccountMade(f"u-{name}", name, "h", key)

    await followed.happen(InviteMade("k1", 2_000), InviteMade("k2", 5_000), time=1_000)
    assert await followed.journal.ask(InviteWanted("k1")) == 2_000
    assert await codes(followed, invited("tom", "k1"), invited("jerry", "k1")) == [None, Code.AUTH_FAILED]
    assert await codes(followed, invited("spike", "no such")) == [Code.AUTH_FAILED]
    assert await codes(followed, invited("spike", "k2"), time=6_000) == [Code.AUTH_FAILED]
    assert await codes(followed, InviteMade("k3", 9_000), time=7_000) == [None]
    assert [await followed.journal.ask(InviteWanted(key)) for key in ("k1", "k2", "k3")] == [None, None, 9_000]


def filled(path: Path) -> None:
    store = Store(path, "fsync")
    store.open()
    events: list[Event] = [ALICE, AccountMade("u-bob", "Bob", "hash-b"), PasswordChanged("u-alice", "hash-2")]
    store.write([Proposal(event, 5_000_000 + n) for n, event in enumerate([*events, AccountDisabled("u-bob", True)])])
    store.close()


ACCOUNTS = [
    StoredAccount("u-alice", "alice", 5_000_000, 2),
    StoredAccount("u-bob", "Bob", 5_000_001, 1, True),
]


def test_accounts_are_there_after_a_restart_in_a_backup_and_for_verify(tmp_path: Path) -> None:
    filled(tmp_path / "a.db")
    told: list[str] = []
    found = backup(tmp_path / "a.db", tmp_path / "b.db", tell=told.append)
    assert (found.accounts, found.faults, told) == (2, 0, [])
    for path in (tmp_path / "a.db", tmp_path / "b.db"):
        store = Store(path, "fsync")
        assert store.open().accounts == ACCOUNTS
        store.close()


def test_verify_tells_what_does_not_fit(tmp_path: Path) -> None:
    filled(tmp_path / "a.db")
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as connection:
        connection.execute("UPDATE accounts SET name = 'mallory' WHERE user_id = 'u-alice'")
        connection.execute("DELETE FROM verifiers WHERE user_id = 'u-bob'")
        connection.execute("INSERT INTO verifiers VALUES ('u-x', 'h')")
        told: list[str] = []
        assert verify(connection, told.append).faults == 3
    assert told == [
        "account u-alice: it cannot be found by its name",
        "account u-bob: it has no password: give it one with chatd user passwd",
        "account u-x: there is a password, but no account",
    ]


@pytest.mark.parametrize("with_passwords", [False, True])
def test_an_export_has_passwords_only_if_that_is_wanted(tmp_path: Path, with_passwords: bool) -> None:
    filled(tmp_path / "a.db")
    with closing(schema.connect_reader(tmp_path / "a.db")) as reader:
        lines = [*export.lines(reader, [], lambda *_: None), *export.accounts(reader, with_passwords)]
    assert (b"hash" in b"".join(lines)) is with_passwords
    bring_in(lines, tmp_path / "b.db", name="it", tell=print)
    with closing(schema.connect_reader(tmp_path / "b.db")) as reader:
        assert answer_from(reader, VerifierWanted("u-alice")) == ("hash-2" if with_passwords else "")
    store = Store(tmp_path / "b.db", "fsync")
    assert store.open().accounts == ACCOUNTS
    store.close()
    with pytest.raises(OperatorError, match="alice is there already"):
        bring_in(lines, tmp_path / "b.db", name="it", tell=print)


def test_a_commit_in_doubt_is_found_by_its_last_statement(tmp_path: Path) -> None:

    filled(tmp_path / "a.db")
    with closing(schema.connect(tmp_path / "a.db", "fsync")) as connection:
        for change in (
            lambda batch: batch.make(StoredAccount("u-c", "carol", 1), "h"),
            lambda batch: batch.change("u-alice", "hash-9", 1),
            lambda batch: batch.disable("u-alice", True),
            lambda batch: batch.make_invite("k", 7),
        ):
            batch = AccountBatch(connection)
            change(batch)
            assert not batch.is_in(connection)
            batch.write()
            assert batch.is_in(connection)
