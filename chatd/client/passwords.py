"""Where the commands have a password from: the environment, or a person who is asked and is not shown what is typed.

Who has logged in before has a token, and is not asked.
"""

from __future__ import annotations

import getpass
import os
import sys

from msgspec import structs

from chatd.client.options import Choices
from chatd.client.profiles import Tokens
from chatd.errors import Exit, OperatorError

VARIABLE = "CHATD_PASSWORD"


def with_password(choices: Choices) -> Choices:
    """The same choices with the password that they need. Raises `OperatorError` if there is nobody to ask."""
    account = choices.account
    if account is None:
        return choices
    given = os.environ.get(VARIABLE)
    if not given and not choices.makes_account and Tokens().get(choices.server, choices.nick):
        return choices
    return structs.replace(choices, password=given or ask(account, is_new=choices.makes_account))


def ask(account: str, *, is_new: bool) -> str:
    """Ask whoever sits there; for a new password twice."""
    if not sys.stdin.isatty():
        reason = f"{account} has one, and there is no terminal to ask"
        raise OperatorError("password", reason, f"set ${VARIABLE}", Exit.USAGE)
    asked = getpass.getpass(f"Password of {account}: ")
    if is_new and getpass.getpass("The same again: ") != asked:
        raise OperatorError("password", "these were two different ones", "try again", Exit.USAGE)
    return asked


def forget(choices: Choices) -> None:
    """The token of an account is not good any more: the next time the password is asked for."""
    if choices.account is not None:
        Tokens().drop(choices.server, choices.nick)
