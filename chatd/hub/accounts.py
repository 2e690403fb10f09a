"""The hub's part in accounts: proves and hashes passwords beside the loop, and ends sessions that must not go on.

The rules ask by questions, as they ask the journal; what is kept of a password comes from the journal and goes no
further than here.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from chatd.core import effects
from chatd.core.codes import Code, Refusal
from chatd.core.comeback import account_key
from chatd.core.events import PasswordRehashed
from chatd.core.names import fold
from chatd.core.questions import (
    BookmarkWanted,
    Challenge,
    ChallengeWanted,
    CursorsWanted,
    Hashed,
    HashWanted,
    InviteWanted,
    KeptBookmark,
    Proof,
    Proven,
    Question,
    VerifierWanted,
)
from chatd.core.views import Closing, Renamed
from chatd.hub import scram
from chatd.hub.guesses import Guesses
from chatd.hub.hashing import Hasher
from chatd.settings import AccountSettings, Settings

if TYPE_CHECKING:
    from chatd.core.state import User
    from chatd.hub.hub import Hub
    from chatd.hub.link import Link


class Accounts:
    """What the hub does for those who have an account, or want one."""

    log = Logger()

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        settings = AccountSettings() if hub.settings is None else hub.settings.accounts
        self.hasher = Hasher(settings, hub.reactor)
        self.guesses = Guesses(settings.guesses_per_minute)
        hub.on_change.append(self.settings_changed)
        hub.running.applied |= {
            effects.Became: self.became,
            effects.AccountChanged: self.changed,
            effects.InviteKept: self.invite_kept,
            effects.Ended: self.ended,
        }
        self._waiting: dict[str, list[Deferred[None]]] = {}
        self._queue: list[Deferred[None]] = []  # tries that wait for others to be over

    def settings_changed(self, settings: Settings) -> None:
        """Other settings from now on."""
        self.hasher.change(settings.accounts)
        self.guesses.change(settings.accounts.guesses_per_minute, self.hub.reactor.seconds())

    # -- questions ----------------------------------------------------------------------------------------

    def ask(self, link: Link, question: Question) -> Deferred[Any]:
        """Answer what is about passwords; everything else is for others."""
        if isinstance(question, Proof | HashWanted):
            self.hasher.check_free(len(self._queue))
        if isinstance(question, ChallengeWanted):
            return ensureDeferred(self.challenge(link, question))
        if isinstance(question, Proof):
            return ensureDeferred(self.prove(link, question))
        if isinstance(question, HashWanted):
            return ensureDeferred(self.hash(question))
        return self.hub.comebacks.ask(link, question)

    async def prove(self, link: Link, question: Proof) -> Proven | None:
        """Whether the password is right, if it may be tried so soon. Raises `Refusal`."""
        account, address, seconds = question.account, link.connection.address, self.hub.reactor.seconds
        while (turn := self.guesses.begin(account, address, seconds())) is None:
            waiting: Deferred[None] = Deferred()
            self._queue.append(waiting)
            await waiting
        is_guess = False
        try:
            proven = await self._proven(link, question)
            is_guess = proven is None
        finally:
            self.guesses.end(turn, is_guess=is_guess)
            queue, self._queue = self._queue, []
            for waiting in queue:
                self.hub.reactor.callLater(0, waiting.callback, None)
        if proven is not None:
            self.guesses.remember(account, address)
        return proven

    async def _proven(self, link: Link, question: Proof) -> Proven | None:
        """Wrong passwords and nobody's take the same way and the same time."""
        journal = self.hub.journal
        kept = await journal.ask(VerifierWanted(question.user_id))
        is_old, signature = False, None
        if question.scram:
            signature = self.signature(link, question, kept or "")
            is_right = signature is not None
        else:
            is_right, is_old = await self.hasher.is_right(kept, question.password)
        if not is_right:
            self.hub.counts.wrong_passwords_total += 1
            self.log.info("wrong password session={session}", session=link.id)
            return None
        if is_old:
            anew = PasswordRehashed(question.user_id, await self.hasher.hashed(question.password))
            self.hub.propose((anew,), None)
        cursors = await journal.ask(CursorsWanted(question.reads_as))
        if not question.key:
            return Proven(cursors, scram=signature or "")
        visit = self.hub.comebacks.visits.get(question.key)
        if visit is not None:  # by another connection, or one that has just ended
            return Proven(cursors, KeptBookmark(visit.bookmark(), self.hub.now()))
        return Proven(cursors, await journal.ask(BookmarkWanted(question.key)))

    async def challenge(self, link: Link, question: ChallengeWanted) -> Challenge:
        """Begin an exchange of scram-sha-256; nobody's account is asked what somebody's is. Raises `Refusal`."""
        kept = await self.hub.journal.ask(VerifierWanted(question.user_id)) or ""
        name, iterations = fold(question.account), self.hasher.scram_iterations
        keys = scram.keys(kept.partition(" ")[2]) or scram.nobodys(self.hub.rules.secret, name, iterations)
        link.exchange = scram.Exchange(name, kept, keys, question.message)
        return Challenge(link.exchange.challenge)

    def signature(self, link: Link, question: Proof, kept: str) -> str | None:
        """The server-final-message, if the exchange that was begun ends well. Raises `Refusal`."""
        exchange, link.exchange = link.exchange, None
        if exchange is None or exchange.account != fold(question.account):
            raise Refusal(Code.INVALID_PARAMS, "the exchange begins with a client-first-message, for the same account")
        signature = exchange.finish(question.scram)
        return signature if hmac.compare_digest(exchange.kept, kept) else None  # it was changed meanwhile

    async def hash(self, question: HashWanted) -> Hashed:
        """What is to be kept of a password, if the invite that may be there is good."""
        if question.invite:
            expires = await self.hub.journal.ask(InviteWanted(question.invite))
            if expires is None or expires < self.hub.now():
                return Hashed("")
        return Hashed(await self.hasher.hashed(question.password))

    # -- who comes ----------------------------------------------------------------------------------------

    def entered(self, link: Link, user: User) -> None:
        """Somebody has come in."""
        self.hub.counts.logged_in(user.account)
        self.log.info("logged in session={session} nick={nick}", session=link.id, nick=user.nick)
        self.remember(link, user)

    def remember(self, link: Link, user: User) -> None:
        """The owner of an account is there: guesses from elsewhere do not count against this place."""
        if user.account is not None:
            self.guesses.remember(user.account, link.connection.address)

    # -- effects ------------------------------------------------------------------------------------------

    def became(self, effect: effects.Became, cause: Link | None) -> None:
        """A guest has become the owner of an account: in each room one is called otherwise, or goes, or comes."""
        self.log.info("logged in session={session} nick={nick}", session=effect.session_id, nick=effect.new)
        fanout = self.hub.fanout
        for room_id in sorted({*effect.left, *effect.entered}):
            comings = fanout.comings(room_id)
            if comings is None:
                continue
            if room_id not in effect.entered:
                comings.leave(effect.old, f"is {effect.new} now")
            elif room_id not in effect.left:
                comings.join(effect.new)
            else:
                comings.renamed.append((cause, Renamed(old=effect.old, new=effect.new)))
        if cause is not None and cause.session is not None:
            self.remember(cause, cause.session.user)

    def changed(self, effect: effects.AccountChanged, cause: Link | None) -> None:
        self._tell(effect.user_id)
        if cause is not None and cause.session is not None:
            self.remember(cause, cause.session.user)
            if cause.visit is not None and cause.session.user.id == effect.user_id:
                self.hub.comebacks.own(cause.visit, account_key(self.hub.rules.secret, effect.user_id))

    def invite_kept(self, effect: effects.InviteKept, cause: Link | None) -> None:
        self._tell(effect.key)

    def ended(self, effect: effects.Ended, cause: Link | None) -> None:
        """End these sessions, and say why."""
        for session_id in effect.session_ids:
            link = self.hub.links.get(session_id)
            if link is not None and not link.gone:
                self.hub.log_out(link, effect.reason)
                link.connection.finish(Closing(code=effect.code, reason=effect.reason))

    # -- for the operator ---------------------------------------------------------------------------------

    def when(self, key: str) -> Deferred[None]:
        """Fires when something of this account, or this invite, is committed."""
        waiting: Deferred[None] = Deferred()
        self._waiting.setdefault(key, []).append(waiting)
        return waiting

    def _tell(self, key: str) -> None:
        for waiting in self._waiting.pop(key, ()):
            if not waiting.called:
                waiting.callback(None)
