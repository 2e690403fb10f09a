"""Passwords at a terminal: which are asked for one after the other, and the command that the answers make up.

Pure: what is asked and what was answered, without a socket. Whether the terminal shows what is typed is `telnet`'s to
say. An empty line ends it, and nothing was changed.
"""

from __future__ import annotations

from chatd.core import commands, replies
from chatd.core.codes import Code
from chatd.core.commands import Command
from chatd.core.text import clean_line

PASSWORD = "Password:"
PRESENT = "Your present password:"
CHOOSE = "A new password:"
AGAIN = "The same again:"

QUESTIONS = {
    "door": ("{word} belongs to an account. Its password, or an empty line if it is not yours:",),
    "login": (PASSWORD,),
    "register": (CHOOSE, AGAIN),
    "passwd": (PRESENT, CHOOSE, AGAIN),
}

NOTHING = "Nothing was changed."
DIFFERENT = "These were two different passwords. Nothing was changed."


class Asking:
    """One enquiry. `word` is the name of the account, or an invite; `otherwise` what one is called without it."""

    def __init__(self, purpose: str, word: str = "", account: str = "", otherwise: str = "") -> None:
        self.purpose = purpose
        self.word = word
        self.account = account
        self.otherwise = otherwise
        self._answers: list[str] = []

    @property
    def prompt(self) -> str:
        """What to ask next."""
        return QUESTIONS[self.purpose][len(self._answers)].format(word=clean_line(self.word))

    def answer(self, line: str) -> Command | str | None:
        """What the answers make up; words why they make nothing; None while more is to be asked."""
        if not line:
            return NOTHING
        answers = self._answers
        answers.append(line)
        if len(answers) < len(QUESTIONS[self.purpose]):
            return None
        if self.purpose in ("register", "passwd") and answers[-1] != answers[-2]:
            return DIFFERENT
        return self._command(answers)

    def _command(self, answers: list[str]) -> Command:
        first = answers[0]
        if self.purpose == "register":
            if self.word:
                return commands.Auth(mechanism="invite", password=first, token=self.word)
            return commands.Auth(mechanism="register", password=first)
        if self.purpose == "passwd":
            new = {"new": answers[1]}
            return commands.Auth(mechanism="password", account=self.account, password=first, data=new)
        return commands.LogIn(account=self.word, password=first)


def owned(command: Command, reply: replies.Reply) -> Asking | None:
    """What to ask somebody who chose a name that belongs to an account; None if it is anything else."""
    if not isinstance(reply, replies.Failure) or reply.error.code != Code.NICK_RESERVED:
        return None
    details = reply.error.details if isinstance(reply.error.details, dict) else {}
    account, suggestion = details.get("account"), details.get("suggestion")
    if type(command) not in (commands.Auth, commands.ComeIn) or not account or not suggestion:
        return None
    return Asking("door", account, otherwise=suggestion)
