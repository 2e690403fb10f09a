"""Which way in to try next, and what to do when it is barred.

A token is the way back to who one was; without one, or with one that is not valid any more, one comes as a guest, or
to one's account with its password. A nick that is taken is exchanged for the one that the server suggests, if that was
allowed or if we had been inside before: a client that comes back must not be shut out by its own name.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, auto

from chatd.client.errors import Refused
from chatd.client.proof import MECHANISM, Proof
from chatd.core.codes import Code
from chatd.core.commands import Auth
from chatd.core.replies import Challenged, LoggedIn
from chatd.core.views import Presence

MOST_SUGGESTIONS = 5

_NICK = frozenset({Code.NICK_IN_USE, Code.NICK_INVALID, Code.NICK_RESERVED, Code.NICK_CONFUSABLE})
_TOKEN = frozenset({Code.SESSION_EXPIRED, Code.AUTH_FAILED})
# The server cannot just now; none of these is about us.
LATER = frozenset(
    {
        Code.RATE_LIMITED,
        Code.LIMIT_EXCEEDED,
        Code.STORE_UNAVAILABLE,
        Code.OUTCOME_UNKNOWN,
        Code.SHUTTING_DOWN,
        Code.INTERNAL,
    }
)


class Verdict(Enum):
    """What a refusal means."""

    AT_ONCE = auto()  # try the next way on this connection
    LATER = auto()  # close, wait, and try again
    NEVER = auto()  # give up


class Login:
    """Who we want to be. `flexible`: another nick will do from the start.

    With `register` or an `invite` the account is made the first time. `secretly`: the password is proved rather than
    told, if the server knows how.
    """

    def __init__(
        self,
        nick: str,
        *,
        token: str | None = None,
        account: str | None = None,
        password: str | None = None,
        register: bool = False,
        invite: str | None = None,
        flexible: bool = True,
        secretly: bool = False,
    ) -> None:
        self.wanted = nick
        self.nick = nick
        self.token = token
        self.account = account
        self.password = password
        self.register = register or invite is not None
        self.invite = invite
        self.been_inside = False
        self.why = ""  # why we are not called as we wanted
        self._flexible = flexible
        self._secretly = secretly
        self._proof: Proof | None = None
        self._suggestions = 0

    @property
    def waits(self) -> bool:
        """Whether the server's mechanisms have to be known first."""
        return self._secretly and self.token is None and self.password is not None and not self.register

    def request(self, mechanisms: Collection[str] = ()) -> Auth:
        """The next attempt, with a server that has these mechanisms. Raises `Refused` if there can be none."""
        self._proof = None
        if self.waits and MECHANISM in mechanisms and self.password is not None:
            self._proof = Proof(self.password)
            return self._with_proof(self._proof.first)
        if self.token is not None:
            return Auth(mechanism="token", token=self.token, nick=self.nick)
        if self.password is not None:
            return self._with_password(self.account or self.wanted)
        return Auth(mechanism="guest", nick=self.nick)

    def _with_password(self, account: str) -> Auth:
        if self.invite is not None and self.register:
            return Auth(mechanism="invite", account=account, password=self.password, token=self.invite)
        if self.register:
            return Auth(mechanism="register", account=account, password=self.password)
        nick = None if self.nick == account else self.nick
        return Auth(mechanism="password", account=account, nick=nick, password=self.password)

    def _with_proof(self, message: str) -> Auth:
        account = self.account or self.wanted
        nick = None if self.nick == account else self.nick
        return Auth(mechanism="scram-sha-256", account=account, nick=nick, data={"message": message})

    def reply_kind(self, request: Auth) -> type[LoggedIn | Challenged]:
        """What an ok reply to a request of ours looks like."""
        first = None if self._proof is None else {"message": self._proof.first}
        return Challenged if first is not None and request.data == first else LoggedIn

    def challenged(self, reply: Challenged) -> Auth:
        """The second request of two. Raises `WrongProtocol`."""
        assert self._proof is not None  # by `reply_kind`
        return self._with_proof(self._proof.answer(reply))

    def accepted(self, reply: LoggedIn) -> None:
        """We are inside, called so, and have a way back. Raises `WrongProtocol` if the server is not who it was."""
        if self._proof is not None:
            self._proof.check(reply)
            self._proof = None
        self.register = False
        self.been_inside = True
        self._suggestions = 0
        self.renamed(reply.nick)
        if isinstance(reply.token, str):
            self.token = reply.token

    def renamed(self, nick: str) -> None:
        """We are called so now, and mean to be after the next login as well."""
        self.nick = self.wanted = nick

    def others_changed(self, presence: Presence) -> None:
        """Somebody was renamed; perhaps it was us, by another of our sessions."""
        for renamed in presence.renamed or ():
            if renamed.old == self.nick:
                self.renamed(renamed.new)

    def refused(self, refusal: Refused) -> Verdict:
        """Learn from a refusal."""
        if refusal.code in LATER:
            return Verdict.LATER
        if refusal.code in _TOKEN and self.token is not None:
            self.token = None
            self.why = f"the server no longer knows us: {refusal.message}"
            return Verdict.AT_ONCE if self.account is None or self.password is not None else Verdict.NEVER
        suggestion = refusal.suggestion
        bending = self._flexible or self.been_inside
        bending = bending and self.account is None  # nobody else will do
        if refusal.code in _NICK and bending and suggestion and self._suggestions < MOST_SUGGESTIONS:
            self._suggestions += 1
            self.why = refusal.message
            self.nick = suggestion
            return Verdict.AT_ONCE
        return Verdict.NEVER
