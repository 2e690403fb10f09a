"""The admin socket: what an operator sees and does while the server runs. `chatd admin`, `chatd user` and
`chatd invite` speak to it.

It is a Unix socket in the data folder, for this user alone. Each line is an object of JSON, and so is each answer. It
shows what the parts know, and what it changes goes the ways that everything goes: accounts through the journal, people
by a goodbye. What is said by people is not shown here, nor are passwords.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

import chatd
from chatd.admin_order import AdminOrder
from chatd.core import identity, names, tokens
from chatd.core.accounts import Account
from chatd.core.codes import Code, Refusal
from chatd.core.context import Context
from chatd.core.events import AccountDisabled, AccountMade, Event, InviteMade, PasswordChanged
from chatd.core.text import clean_line
from chatd.core.views import Closing, Notice, moment
from chatd.hub import Hub
from chatd.hub.hub import new_id
from chatd.hub.link import Link
from chatd.listeners import Listener

if TYPE_CHECKING:
    from chatd.certificates import Certificate

MOST_BYTES = 65_536  # of a line
MOST_SHOWN = 1000  # sessions or rooms in one answer
MOST_CHARACTERS = 400  # of an announcement or a reason
PATIENCE_SECONDS = 10.0  # for the journal

Json = dict[str, Any]


ROLES = {"operator": "operator", "owner": "owner"}  # of the server


class Refused(Exception):
    """What is asked cannot be done; the text says why."""


class Admin:
    """Answers the questions of operators. `drain` and `set_level` are the service's, where there is one."""

    log = Logger()

    def __init__(
        self,
        hub: Hub,
        listeners: Sequence[Listener] = (),
        certificate: Callable[[], Certificate | None] = lambda: None,
        *,
        drain: Callable[[], None] | None = None,
        set_level: Callable[[str], None] | None = None,
    ) -> None:
        self.hub = hub
        self.listeners = listeners
        self.certificate = certificate
        self.is_draining = False
        self._drain = drain
        self._set_level = set_level
        self._began = time.monotonic()
        self.commands: dict[str, Callable[[Json], Json | Awaitable[Json]]] = {
            "status": self.status,
            "sessions": self.sessions,
            "rooms": self.rooms,
            "kick": self.kick,
            "announce": self.announce,
            "drain": self.drain,
            "log": self.log_level,
            "user list": self.user_list,
            "user add": self.user_add,
            "user passwd": self.user_passwd,
            "user disable": self.user_disable,
            "user enable": self.user_enable,
            "user token": self.user_token,
            "invite": self.invite,
        }
        self.order = AdminOrder(hub)
        self.commands |= self.order.commands

    async def answer(self, request: Json) -> Json:
        """What is asked, done; `ok` says whether, and `error` why not."""
        command = self.commands.get(str(request.get("command")))
        if command is None:
            return {"ok": False, "error": f"there is no command {str(request.get('command'))[:40]!r}"}
        try:
            found = command(request)
            return {"ok": True, **(found if isinstance(found, dict) else await found)}
        except Refused as refused:
            return {"ok": False, "error": str(refused)}
        except Refusal as refusal:
            return {"ok": False, "error": refusal.message, "code": refusal.code}
        except Exception:
            self.log.failure("bug in an admin command")
            return {"ok": False, "error": "something went wrong in the server; it was logged"}

    # -- seeing ---------------------------------------------------------------------------------------------

    def status(self, request: Json) -> Json:
        """How the server is."""
        hub = self.hub
        counts, commits = hub.counts, hub.journal.commits
        batches = max(1, commits.batches_total)
        return {
            "version": chatd.__version__,
            "seconds": round(time.monotonic() - self._began),
            "state": self._state(),
            "listeners": [msgspec.to_builtins(one) for one in self.listeners],
            "connections": dict(Counter(link.connection.protocol for link in hub.links.values())),
            "nodes": max(1, len(hub.state.nodes)),
            "users": len(hub.state.users),
            "accounts": len(hub.state.accounts.by_id),
            "rooms": len(hub.state.rooms),
            "messages": counts.messages_total,
            "deliveries": counts.deliveries_total,
            "refused": dict(counts.refused_total),
            "slow_readers": counts.slow_readers,
            "replays": counts.replays_started_total - counts.replays_ended_total,
            "requests_waiting": sum(len(link.waiting) for link in hub.links.values()),
            "events_outstanding": hub.outstanding,
            "durability": hub.rules.durability,
            "commit_ms_mean": round(commits.seconds_total / batches * 1000, 3),
            "commit_ms_most": round(commits.seconds_most * 1000, 3),
            "commit_events_mean": round(commits.events_total / batches, 2),
        }

    def _state(self) -> str:
        if self.hub.stopping:
            return "stopping"
        if self.hub.journal.is_failing:
            return "the journal cannot be written"
        return "draining" if self.is_draining else "running"

    def sessions(self, request: Json) -> Json:
        """Who is connected, longest first."""
        links = list(self.hub.links.values())
        return {"sessions": list(map(self._session, links[:MOST_SHOWN])), "count": len(links)}

    def _session(self, link: Link) -> Json:
        session = link.session
        return {
            "session": link.id,
            "nick": None if session is None else session.user.nick,
            "account": None if session is None else session.user.account,
            "protocol": link.connection.protocol,
            "address": link.connection.address,
            "seconds": round(self.hub.tick - link.since),
            "rooms": 0 if session is None else len(session.rooms),
            "waiting": len(link.waiting),
            "slow": link.full,
        }

    def rooms(self, request: Json) -> Json:
        """The rooms with a name, fullest first."""
        named = [room for room in self.hub.state.rooms.values() if room.parties is None]
        named.sort(key=lambda room: (-len(room.members), room.name))
        shown = [
            {"room": room.name, "members": len(room.members), "last_seq": room.last_seq} for room in named[:MOST_SHOWN]
        ]
        return {"rooms": shown, "count": len(named)}

    # -- doing ----------------------------------------------------------------------------------------------

    async def kick(self, request: Json) -> Json:
        """End the sessions of somebody, by nick, or one by its id."""
        who, reason = text_of(request, "who"), clean_line(str(request.get("reason") or ""))[:MOST_CHARACTERS]
        user = self.hub.state.user_called(who)
        if user is not None:
            count = len(user.sessions)
            await self.order.moderate({"action": "kick", "target": who, "reason": reason})
            return {"ended": count}
        link = self.hub.links.get(who)
        if link is None or link.gone:
            raise Refused(f"nobody here is called {who[:40]!r}, and no session has that id")
        reason = reason or "an operator ended the session"
        self.log.info("kicked session={session}", session=link.id)
        self.hub.log_out(link, reason)
        link.connection.finish(Closing(code=Code.KICKED, reason=reason))
        return {"ended": 1}

    def announce(self, request: Json) -> Json:
        """Say something to everyone who is here."""
        words = clean_line(text_of(request, "text"))
        if len(words) > MOST_CHARACTERS:
            raise Refused(f"an announcement has at most {MOST_CHARACTERS} characters, this one has {len(words)}")
        told = 0
        for link in self.hub.links.values():
            if link.session is not None and not link.gone:
                if link.full:
                    self.hub.fanout.drop(link)
                else:
                    link.connection.show(Notice(code="ANNOUNCEMENT", message=words))
                    told += 1
        self.log.info("announced to {told} sessions", told=told)
        return {"told": told}

    def drain(self, request: Json) -> Json:
        """Let nobody in any more; who is here stays."""
        if self._drain is None:
            raise Refused("no server is running")
        if not self.is_draining:
            self.is_draining = True
            self._drain()
            self.log.info("draining: nobody is let in any more")
        return {"inside": len(self.hub.links)}

    def log_level(self, request: Json) -> Json:
        """Write less or more into the log, until it is read again."""
        level = text_of(request, "level")
        if self._set_level is None:
            raise Refused("this server's log is twistd's, which has options of its own")
        if level not in ("debug", "info", "warn", "error", "critical"):
            raise Refused(f"there is no level {level[:20]!r}: debug, info, warn, error or critical")
        self._set_level(level)
        return {"level": level}

    # -- accounts -------------------------------------------------------------------------------------------

    def user_list(self, request: Json) -> Json:
        """All accounts, by name."""
        state = self.hub.state
        users = [
            {
                "account": account.name,
                "made": moment(account.made).isoformat(timespec="seconds"),
                "disabled": account.disabled,
                "role": "" if state.server is None else ROLES.get(state.server.role(account.id), ""),
                "sessions": len(state.users[account.id].sessions) if account.id in state.users else 0,
            }
            for account in sorted(state.accounts.by_id.values(), key=lambda one: names.fold(one.name))
        ]
        return {"accounts": users, "count": len(users)}

    async def user_add(self, request: Json) -> Json:
        """Make an account, whoever may register."""
        context, user_id = self._context(), new_id()
        name = identity.free_name(context, text_of(request, "account"), user_id)
        verifier = await self._verifier(context, request, name)
        await self._happen(user_id, AccountMade(user_id, name, verifier))
        if user_id not in self.hub.state.accounts.by_id:
            raise Refused("somebody else took this name just now")
        return {"account": name}

    async def user_passwd(self, request: Json) -> Json:
        """Give an account another password; all its sessions end."""
        account = self._account(request)
        verifier = await self._verifier(self._context(), request, account.name)
        await self._happen(account.id, PasswordChanged(account.id, verifier))
        return {"account": account.name}

    async def user_disable(self, request: Json) -> Json:
        """An account that cannot be used any more; its sessions end, and its name stays its own."""
        return await self._set_disabled(request, True)

    async def user_enable(self, request: Json) -> Json:
        """An account that can be used again."""
        return await self._set_disabled(request, False)

    async def _set_disabled(self, request: Json, disabled: bool) -> Json:
        account = self._account(request)
        await self._happen(account.id, AccountDisabled(account.id, disabled))
        return {"account": account.name, "disabled": disabled}

    def user_token(self, request: Json) -> Json:
        """A token with which a program is this account, or writes into one room as it, until the password changes."""
        account, room = self._account(request), str(request.get("room") or "")
        if account.disabled:
            raise Refused(f"the account {account.name} is disabled")
        if room:
            room = names.check_room(room)
        now = self.hub.now() // 1_000_000
        token = tokens.sign(
            self.hub.rules.secret, tokens.Identity(account.id, account.name, now, account.generation, room=room)
        )
        return {"account": account.name, "room": room, "token": token}

    async def invite(self, request: Json) -> Json:
        """A word with which one account can be made, and where it can be said."""
        settings = self.hub.settings
        days = request.get("days") or (7.0 if settings is None else settings.accounts.invite_days)
        if not isinstance(days, int | float) or not 0 < days <= 3650:
            raise Refused("an invite is good for more than 0 and at most 3,650 days")
        word = "-".join("".join(secrets.choice(identity.INVITE_LETTERS) for _ in range(4)) for _ in range(4))
        key = identity.invite_key(self.hub.rules.secret, word)
        expires = self.hub.now() + int(days * 86_400_000_000)
        await self._happen(key, InviteMade(key, expires))
        shown = self.certificate()
        return {
            "invite": word,
            "expires": moment(expires).isoformat(timespec="minutes"),
            "host": "" if settings is None else settings.server.host,
            "certificate": None
            if shown is None
            else {"names": shown.names, "fingerprint": shown.fingerprint, "is_own": shown.is_own},
            "listeners": [msgspec.to_builtins(one) for one in self.listeners],
            "registration": self.hub.rules.registration,
        }

    def _context(self) -> Context:
        return Context(self.hub.state, self.hub.rules, "", self.hub.now(), new_id)

    def _account(self, request: Json) -> Account:
        name = text_of(request, "account")
        account = self.hub.state.accounts.called(name[:256])
        if account is None:
            raise Refused(f"there is no account {name[:40]!r}")
        return account

    async def _verifier(self, context: Context, request: Json, name: str) -> str:
        password = text_of(request, "password")
        identity.check_password(context, password, name)
        return await self.hub.accounts.hasher.hashed(password)

    async def _happen(self, key: str, event: Event) -> None:
        """Propose an event, and wait until it is committed. Raises `Refused` if it is not."""
        done: Deferred[None] = self.hub.accounts.when(key)
        self.hub.propose((event,), None)
        try:
            await done.addTimeout(PATIENCE_SECONDS, self.hub.reactor)
        except TimeoutError:
            raise Refused("the journal did not keep this; see the log") from None


def text_of(request: Json, key: str) -> str:
    """A text that must be there. Raises `Refused`."""
    found = request.get(key)
    if not isinstance(found, str) or not found.strip():
        raise Refused(f"{key} is missing")
    return found


class AdminProtocol(LineOnlyReceiver):
    """One operator's program. It waits for each answer before it asks again."""

    delimiter = b"\n"
    MAX_LENGTH = MOST_BYTES
    factory: Any
    transport: Any

    def lineReceived(self, line: bytes) -> None:
        try:
            request = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            request = None
        if not isinstance(request, dict):
            self._tell({"ok": False, "error": "each line is an object of JSON"})
            return
        answered = ensureDeferred(self.factory.admin.answer(request))
        answered.addCallbacks(self._tell, self._failed)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._tell({"ok": False, "error": f"a line has at most {MOST_BYTES} bytes"})
        self.transport.loseConnection()

    def _tell(self, answer: Json) -> None:
        self.sendLine(msgspec.json.encode(answer))  # type: ignore[no-untyped-call]

    def _failed(self, failure: Failure) -> None:
        self.factory.admin.log.failure("bug in answering an operator", failure)
        self.transport.loseConnection()


class AdminFactory(Factory):
    """What answers behind the socket."""

    noisy = False

    def __init__(self, admin: Admin) -> None:
        self.admin = admin

    def buildProtocol(self, addr: IAddress | None) -> AdminProtocol:
        made = AdminProtocol()
        made.factory = self
        return made
