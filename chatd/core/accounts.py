"""Accounts: which names belong to whom, as `apply` has left it.

An account is a user whose name is kept while nobody is there. What is kept of its password is not here: the rules never
see it, and so nothing that they show, list or log can tell it.
"""

from __future__ import annotations

from dataclasses import dataclass

from chatd.core.names import fold, skeleton
from chatd.core.questions import StoredAccount


@dataclass(slots=True)
class Account:
    """A name and its owner. Tokens of an earlier `generation` are not good any more."""

    id: str
    name: str
    made: int
    generation: int = 1
    disabled: bool = False
    ignored: tuple[str, ...] = ()


class Accounts:
    """All accounts, by id, by name, and by what the name looks like."""

    __slots__ = ("by_id", "by_look", "by_name")

    def __init__(self) -> None:
        self.by_id: dict[str, Account] = {}
        self.by_name: dict[str, str] = {}  # folded name -> id
        self.by_look: dict[str, str] = {}  # skeleton of the name -> id

    def called(self, name: str) -> Account | None:
        """The account with this name."""
        user_id = self.by_name.get(fold(name))
        return None if user_id is None else self.by_id[user_id]

    def taken(self, folded: str, look: str, user_id: str) -> str:
        """Empty if no other user owns this name; else `owned`, or `alike` if it only looks like one that is."""
        if self.by_name.get(folded, user_id) != user_id:
            return "owned"
        return "" if self.by_look.get(look, user_id) == user_id else "alike"

    def add(self, stored: StoredAccount) -> Account:
        """A new account; whether it may be is decided already."""
        account = Account(stored.user_id, stored.name, stored.made, stored.generation, stored.disabled, stored.ignored)
        self.by_id[account.id] = account
        self.by_name[fold(account.name)] = account.id
        self.by_look[skeleton(account.name)] = account.id
        return account

    def is_good(self, user_id: str, generation: int) -> bool:
        """Whether what was given out to this user then is good now; a guest has generation 0."""
        account = self.by_id.get(user_id)
        if account is None:
            return generation == 0
        return not account.disabled and account.generation == generation
