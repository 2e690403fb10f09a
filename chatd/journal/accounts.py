"""Accounts in a journal: what becomes of their events, and where they are kept, in a file and in memory.

What is kept of passwords lies apart from the accounts, in a table that one question reads and nothing lists: an export
leaves it out unless it is asked for, and what goes wrong elsewhere cannot show it. It comes in the events all the same,
and not in a file beside the journal, because whoever has the order has everything: a backup is whole, and every node
that follows the order knows each password from the same moment on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Protocol

from msgspec import structs

from chatd.core.cluster_events import AccountBrought
from chatd.core.codes import Code
from chatd.core.events import (
    AccountDisabled,
    AccountMade,
    Event,
    IgnoredSet,
    InviteMade,
    PasswordChanged,
    PasswordRehashed,
)
from chatd.core.names import fold, skeleton
from chatd.core.questions import InviteWanted, StoredAccount, VerifierWanted

TABLES = """
CREATE TABLE accounts (
    user_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL UNIQUE,
    look TEXT NOT NULL UNIQUE,
    made INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    disabled INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE verifiers (user_id TEXT PRIMARY KEY, verifier TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE invites (key TEXT PRIMARY KEY, expires INTEGER NOT NULL) WITHOUT ROWID;
"""


class AccountShelf(Protocol):
    """What is stored of accounts, as it will be when the events before this one are committed."""

    def has(self, user_id: str) -> bool:
        """Whether this user has an account."""

    def owner(self, folded: str, look: str) -> Code | None:
        """Why no other account can have this name; None if one can."""

    def invite(self, key: str) -> int | None:
        """Until when this invite is good."""

    def make(self, account: StoredAccount, verifier: str) -> None:
        """Keep a new account."""

    def change(self, user_id: str, verifier: str, generations: int) -> None:
        """Keep another verifier, so many generations later."""

    def disable(self, user_id: str, disabled: bool) -> None:
        """Keep whether the account can be used."""

    def ignore(self, user_id: str, names: tuple[str, ...]) -> None:
        """Keep whom somebody does not want to hear."""

    def make_invite(self, key: str, expires: int) -> None:
        """Keep an invite."""

    def drop_invites(self, key: str, before: int) -> None:
        """Keep this invite no longer, nor those that were good until then."""


# -- what becomes of each event ---------------------------------------------------------------------------------------


def take(shelf: AccountShelf, event: Any, time: int) -> Code | None:
    """Put an event of `EVENTS` down; the code if it is refused."""
    if isinstance(event, AccountMade):
        return _made(shelf, event, time)
    if isinstance(event, InviteMade):
        shelf.drop_invites("", time)
        shelf.make_invite(event.key, event.expires)
        return None
    if isinstance(event, AccountBrought):
        return _brought(shelf, event)
    if not shelf.has(event.user_id):
        return Code.NO_SUCH_USER
    if isinstance(event, AccountDisabled):
        shelf.disable(event.user_id, event.disabled)
    elif isinstance(event, IgnoredSet):
        shelf.ignore(event.user_id, event.names)
    else:
        shelf.change(event.user_id, event.verifier, int(isinstance(event, PasswordChanged)))
    return None


def _brought(shelf: AccountShelf, event: AccountBrought) -> Code | None:
    if shelf.has(event.user_id) or shelf.owner(fold(event.name), skeleton(event.name)):
        return Code.ACCOUNT_EXISTS
    brought = (event.user_id, event.name, event.made, event.generation, event.disabled, event.ignored)
    shelf.make(StoredAccount(*brought), event.verifier)
    return None


def _made(shelf: AccountShelf, event: AccountMade, time: int) -> Code | None:
    if shelf.has(event.user_id):
        return Code.ACCOUNT_EXISTS
    if code := shelf.owner(fold(event.name), skeleton(event.name)):
        return code
    if event.invite:
        expires = shelf.invite(event.invite)
        if expires is None or expires < time:
            return Code.AUTH_FAILED
        shelf.drop_invites(event.invite, time)
    shelf.make(StoredAccount(event.user_id, event.name, time), event.verifier)
    return None


EVENTS: tuple[type[Event], ...] = (
    AccountMade,
    PasswordChanged,
    PasswordRehashed,
    AccountDisabled,
    IgnoredSet,
    InviteMade,
    AccountBrought,
)


# -- in a file --------------------------------------------------------------------------------------------------------

INSERT = """INSERT INTO accounts (user_id, name, folded, look, made, generation, disabled, ignored)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
VERIFY = "INSERT INTO verifiers VALUES (?, ?) ON CONFLICT DO UPDATE SET verifier = excluded.verifier"


def row_of(account: StoredAccount) -> tuple[Any, ...]:
    """The values of `INSERT`."""
    name = account.name
    rest = (account.made, account.generation, int(account.disabled), " ".join(account.ignored))
    return (account.user_id, name, fold(name), skeleton(name), *rest)


class AccountBatch:
    """The accounts' part of a batch: statements for the transaction, and what they will have done."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._statements: list[tuple[str, tuple[Any, ...]]] = []
        self._made: dict[str, tuple[Any, ...]] = {}
        self._invites: dict[str, int | None] = {}
        self._proof: tuple[str, tuple[Any, ...]] = ("SELECT 1", ())

    @property
    def is_empty(self) -> bool:
        return not self._statements

    def _do(self, statement: str, *values: Any) -> None:
        self._statements.append((statement, values))

    def has(self, user_id: str) -> bool:
        return user_id in self._made or self._one("SELECT 1 FROM accounts WHERE user_id = ?", user_id) is not None

    def owner(self, folded: str, look: str) -> Code | None:
        looks = [(row[2], row[3]) for row in self._made.values()]
        if folded in [one for one, _ in looks] or self._one("SELECT 1 FROM accounts WHERE folded = ?", folded):
            return Code.ACCOUNT_EXISTS
        if look in [one for _, one in looks] or self._one("SELECT 1 FROM accounts WHERE look = ?", look):
            return Code.NICK_CONFUSABLE
        return None

    def _one(self, statement: str, *values: Any) -> Any:
        return self._connection.execute(statement, values).fetchone()

    def invite(self, key: str) -> int | None:
        if key in self._invites:
            return self._invites[key]
        found = self._one("SELECT expires FROM invites WHERE key = ?", key)
        return None if found is None else int(found[0])

    def make(self, account: StoredAccount, verifier: str) -> None:
        self._made[account.user_id] = row_of(account)
        self._do(INSERT, *self._made[account.user_id])
        self._keep(account.user_id, verifier)

    def _keep(self, user_id: str, verifier: str) -> None:
        self._do(VERIFY, user_id, verifier)
        self._proof = ("SELECT 1 FROM verifiers WHERE (user_id, verifier) = (?, ?)", (user_id, verifier))

    def change(self, user_id: str, verifier: str, generations: int) -> None:
        self._do("UPDATE accounts SET generation = generation + ? WHERE user_id = ?", generations, user_id)
        self._keep(user_id, verifier)

    def disable(self, user_id: str, disabled: bool) -> None:
        self._do("UPDATE accounts SET disabled = ? WHERE user_id = ?", int(disabled), user_id)
        self._proof = ("SELECT 1 FROM accounts WHERE (user_id, disabled) = (?, ?)", (user_id, int(disabled)))

    def ignore(self, user_id: str, names: tuple[str, ...]) -> None:
        self._do("UPDATE accounts SET ignored = ? WHERE user_id = ?", " ".join(names), user_id)
        self._proof = ("SELECT 1 FROM accounts WHERE (user_id, ignored) = (?, ?)", (user_id, " ".join(names)))

    def make_invite(self, key: str, expires: int) -> None:
        self._invites[key] = expires
        self._do("INSERT OR REPLACE INTO invites VALUES (?, ?)", key, expires)
        self._proof = ("SELECT 1 FROM invites WHERE key = ?", (key,))

    def drop_invites(self, key: str, before: int) -> None:
        self._invites[key] = None
        self._do("DELETE FROM invites WHERE key = ? OR expires < ?", key, before)

    def write(self) -> None:
        """Put everything into the open transaction. Raises `sqlite3.Error`."""
        for statement, values in self._statements:
            self._connection.execute(statement, values)

    def is_in(self, connection: sqlite3.Connection) -> bool:
        """Whether the file has this batch, judged by the last of it."""
        statement, values = self._proof
        return not self.is_empty and connection.execute(statement, values).fetchone() is not None


def is_there(connection: sqlite3.Connection) -> bool:
    """Whether a file has these tables: an older one that nobody has opened since does not."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'verifiers'").fetchone() is not None


def stored(connection: sqlite3.Connection) -> Iterator[StoredAccount]:
    """The accounts of a file, in the order in which they were made."""
    if is_there(connection):
        ignored = "ignored" if has_ignored(connection) else "''"
        statement = f"SELECT user_id, name, made, generation, disabled, {ignored} FROM accounts ORDER BY made, user_id"
        for user_id, name, made, generation, disabled, words in connection.execute(statement):
            yield StoredAccount(user_id, name, made, generation, bool(disabled), tuple(words.split()))


def has_ignored(connection: sqlite3.Connection) -> bool:
    """Whether a file keeps whom people ignore: an older one does not."""
    columns = connection.execute("SELECT name FROM pragma_table_info('accounts')")
    return ("ignored",) in columns.fetchall()


def verifier(connection: sqlite3.Connection, question: VerifierWanted, _: Any = None) -> str | None:
    """The answer out of a file."""
    found = connection.execute("SELECT verifier FROM verifiers WHERE user_id = ?", (question.user_id,)).fetchone()
    return None if found is None else str(found[0])


def invite(connection: sqlite3.Connection, question: InviteWanted, _: Any = None) -> int | None:
    """The answer out of a file."""
    found = connection.execute("SELECT expires FROM invites WHERE key = ?", (question.key,)).fetchone()
    return None if found is None else int(found[0])


def faults(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """What does not fit together in a file's accounts: where, and what."""
    if not is_there(connection):
        return
    statement = "SELECT user_id, name, folded, look, verifier FROM accounts LEFT JOIN verifiers USING (user_id)"
    for user_id, name, folded, look, kept in connection.execute(statement):
        if fold(str(name)) != folded or skeleton(str(name)) != look:
            yield f"account {user_id}", "it cannot be found by its name"
        if not isinstance(kept, str):
            yield f"account {user_id}", "it has no password: give it one with chatd user passwd"
    lone = "SELECT user_id FROM verifiers WHERE user_id NOT IN (SELECT user_id FROM accounts)"
    for (user_id,) in connection.execute(lone):
        yield f"account {user_id}", "there is a password, but no account"


# -- in memory --------------------------------------------------------------------------------------------------------


class MemoryAccounts:
    """The twin in memory."""

    def __init__(self) -> None:
        self.accounts: dict[str, StoredAccount] = {}
        self.verifiers: dict[str, str] = {}
        self.invites: dict[str, int] = {}
        self._names: set[str] = set()
        self._looks: set[str] = set()

    def has(self, user_id: str) -> bool:
        return user_id in self.accounts

    def owner(self, folded: str, look: str) -> Code | None:
        if folded in self._names:
            return Code.ACCOUNT_EXISTS
        return Code.NICK_CONFUSABLE if look in self._looks else None

    def invite(self, key: str) -> int | None:
        return self.invites.get(key)

    def make(self, account: StoredAccount, verifier: str) -> None:
        self.accounts[account.user_id] = account
        self.verifiers[account.user_id] = verifier
        self._names.add(fold(account.name))
        self._looks.add(skeleton(account.name))

    def change(self, user_id: str, verifier: str, generations: int) -> None:
        was = self.accounts[user_id]
        self.make(structs.replace(was, generation=was.generation + generations), verifier)

    def disable(self, user_id: str, disabled: bool) -> None:
        self.accounts[user_id] = structs.replace(self.accounts[user_id], disabled=disabled)

    def ignore(self, user_id: str, names: tuple[str, ...]) -> None:
        self.accounts[user_id] = structs.replace(self.accounts[user_id], ignored=names)

    def make_invite(self, key: str, expires: int) -> None:
        self.invites[key] = expires

    def drop_invites(self, key: str, before: int) -> None:
        self.invites = {one: expires for one, expires in self.invites.items() if one != key and expires >= before}
