"""The hub: takes commands from connections, lets the rules decide, runs the effects, and flushes once a turn.

It knows whose turn it is and whom to tell. It speaks to the journal and to connections through `interfaces`
alone, and leaves the rules to `core` and the dialects to `protocols`. Commands of one connection are carried out
in order: sends go on one behind the other; anything else waits until what is under way has been answered.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.core.answers import answer, refusal_of, said
from chatd.core.codes import Code, Refusal
from chatd.core.commands import Command, Send
from chatd.core.context import UNASKED, Context
from chatd.core.decide import decide
from chatd.core.effects import Append, Fetch
from chatd.core.events import Entry, Event, Fate, Passing, Proposal
from chatd.core.limits import Rules
from chatd.core.nodes import take_present
from chatd.core.questions import Snapshot
from chatd.core.state import State
from chatd.core.views import Closing, Error
from chatd.hub.accounts import Accounts
from chatd.hub.comebacks import Comebacks
from chatd.hub.counts import Counts
from chatd.hub.fanout import Fanout
from chatd.hub.farewell import say_goodbye
from chatd.hub.guard import Guard
from chatd.hub.keepalive import Keepalive
from chatd.hub.link import Link, Misread, Ticket
from chatd.hub.moderation import Moderation
from chatd.hub.replay import Replay
from chatd.hub.running import Running
from chatd.hub.turns import Turns
from chatd.settings import Settings


class Hub:
    """Who is connected here, and what is under way for them. `rules.limits` bound what one peer may ask."""

    log = Logger()

    def __init__(self, *, journal: Any, rules: Rules, reactor: Any, settings: Any = None, wall: Any = None) -> None:
        self.journal = journal
        self.rules = rules
        self.limits = rules.limits
        self.reactor, self.wall = reactor, wall or reactor.seconds  # what timers go by, and the time of day
        self.settings = settings
        self.state = State()
        self.links: dict[str, Link] = {}
        self.tick = 0.0  # a coarse clock, in seconds
        self.stopping = False
        self.stopped = False
        self.counts = Counts()
        self.fanout = Fanout(
            limits=rules.limits,
            counts=self.counts,
            reactor=reactor,
            answer=self.settle,
            overrun=lambda *behind: self.replay.overrun(*behind),
            wake=self.wake,
            members=self.state.count_members,
            links_of=lambda user_id: self.running.links_of(user_id),
        )
        self.replay = Replay(
            state=self.state,
            limits=rules.limits,
            counts=self.counts,
            fanout=self.fanout,
            reactor=reactor,
            ask=journal.ask,
            wake=self.wake,
        )
        self.running = Running(self)
        self.keepalive = Keepalive(self)
        self.guard = Guard(rules.limits, reactor.seconds)
        self.on_change: list[Callable[[Settings], None]] = []  # called when the settings have changed
        self.comebacks = Comebacks(self)
        self.accounts = Accounts(self)
        self.moderation = Moderation(self)
        self.turns = Turns(self)
        self.paces = self.moderation.paces
        self._proposals: list[Proposal] = []
        self.touched: list[Any] = []  # connections that have something to flush at the end of the turn
        self._ready: dict[Link, None] = {}
        self.awake = False  # the turn has an end at which everything is flushed
        self._now = 0  # the moment of this turn, once somebody has asked

    # -- beginning and end --------------------------------------------------------------------------------

    def start(self, snapshot: Snapshot) -> None:
        """Begin with the rooms and accounts that the journal keeps."""
        self.state.orders = self.journal.orders
        self.state.load_all(snapshot)
        take_present(self.state, snapshot.present)
        self.keepalive.start()

    def stop(self, reconnect_after: float = 1.0) -> Deferred[None]:
        """Take nothing new, finish what is under way, say goodbye to everyone, and wait until they are gone."""
        return ensureDeferred(say_goodbye(self, reconnect_after))

    # -- connections --------------------------------------------------------------------------------------

    def connected(self, connection: Any, *, greeted: bool) -> Link:
        """A peer is there."""
        link = Link(connection, secrets.token_hex(8), greeted, self.tick)
        self.links[link.id] = link
        link.trusted = self.guard.trusts(connection.address)
        refusal = self.guard.enter(connection.address, trusted=link.trusted)
        self.log.info(
            "connected session={session} protocol={protocol} address={address}",
            session=link.id,
            protocol=connection.protocol,
            address=connection.address,
        )
        if self.stopping:
            closing = Closing(code=Code.SHUTTING_DOWN, reason="the server is stopping")
            self.reactor.callLater(0, connection.finish, closing)
        elif refusal is not None:
            link.gone = True  # what it says before it is told is not carried out
            error = Error(code=refusal.code, message=refusal.message, details=refusal.details or UNSET)
            self.reactor.callLater(0, connection.finish, error)
        return link

    def disconnected(self, link: Link, reason: str) -> None:
        """A peer is gone."""
        self.links.pop(link.id, None)
        self.guard.leave(link.connection.address)
        link.waiting.clear()
        what = "disconnected session={session} reason={reason}" + (" dropped={dropped}" if link.dropped else "")
        self.log.info(what, session=link.id, reason=reason, dropped=link.dropped)
        self.log_out(link, reason)
        self.comebacks.ended(link)

    def log_out(self, link: Link, reason: str) -> None:
        """End a link's session, once."""
        if link.gone:
            return
        link.gone = True
        self.comebacks.left(link)
        for room_id in list(link.rooms):
            self.fanout.leave(room_id, link)
        link.rooms.clear()
        self.replay.forget(link)
        self._ready.pop(link, None)
        if link.session is not None or link.blocked:  # the login itself may be under way
            self.turns.leaves(link, reason)

    def regroup(self, link: Link) -> None:
        """What a link's connection is shown of its rooms is written otherwise from now on."""
        for room_id in list(link.rooms):
            self.fanout.regroup(room_id, link)

    def writable(self, link: Link) -> None:
        """The peer has read everything."""
        link.connection.heard = self.tick
        self.replay.reads_again(link)
        self.go_on(link)

    @property
    def outstanding(self) -> int:
        """How many events were proposed that have not come back yet."""
        return len(self._proposals) + int(self.journal.under_way)

    # -- commands -----------------------------------------------------------------------------------------

    def submit(self, link: Link, command: Command, size: int = 0) -> None:
        """A peer asks something, in so many bytes; it is carried out in its turn, and not before it reads."""
        if link.gone:
            return
        if link.blocked or link.waiting or link.full or (link.under_way and self.turns.waits(link, command)):
            link.waiting.append(command)
            link.waiting_bytes += size
        else:
            self.carry_out(link, command)
        if link.waiting or link.under_way > self.limits.requests_in_flight:
            self.turns.hold_back(link)

    def misread(self, link: Link, command_id: str | None, refusal: Refusal) -> None:
        """What a peer sent could not be read; it is told in its turn."""
        self.submit(link, Misread(id=command_id, refusal=refusal))

    def context(self, link: Link, known: Any = UNASKED) -> Context:
        who = (link.session, link.greeted, link.trusted, link.caps, known, link.connection.address, self.paces)
        return Context(self.state, self.rules, link.id, self._now or self.now(), new_id, *who, self.journal.node)

    def now(self) -> int:
        """Microseconds since 1970; while there is something to flush, it is one moment until then."""
        if not self.awake:
            return int(self.wall() * 1_000_000)
        self._now = self._now or int(self.wall() * 1_000_000)
        return self._now

    def carry_out(self, link: Link, command: Command, known: Any = UNASKED) -> None:
        """Let the rules decide about a command, and run what they say."""
        try:
            if type(command) is Misread:
                raise command.refusal
            if self.stopping and known is UNASKED:
                raise Refusal(Code.SHUTTING_DOWN, "the server is stopping", retry_after=1.0)
            if not link.trusted and known is UNASKED:
                user_id = None if link.session is None else link.session.user.id
                self.guard.check(command, user_id, link.connection.address)
            for effect in decide(self.context(link, known), command):
                if type(effect) is Append:
                    self.append(link, command, effect)
                elif type(effect) is Fetch:
                    self.fetch(link, command, effect)
                else:
                    self.running.run(link, command, effect)
        except Refusal as refusal:
            if link.under_way:  # replies come in the order of the requests
                link.waiting.insert(0, Misread(id=command.id, refusal=refusal))
            else:
                self.running.refuse(link, command, refusal)
        except Exception:
            self.broken(link, command)

    def append(self, link: Link, command: Command, effect: Append) -> None:
        """Propose the events of a command; it is answered when the last of them comes back."""
        ticket = Ticket(link, effect.command or command, effect.known)
        if type(command) is Send:
            self.turns.sent(link, command)
        else:
            link.blocked = True
        if effect.events:
            self.propose(effect.events, ticket)
        else:
            self.settle(ticket, Entry(Passing(), self.now()))

    def propose(self, events: Sequence[Event], ticket: Ticket | None) -> None:
        """Hand events to the journal at the end of the turn."""
        if self.stopped or not events:  # nobody is left to be told, and the journal is closed
            return
        now = self._now or self.now()
        if len(events) > 1:
            self._proposals += [Proposal(event, now) for event in events[:-1]]
        self._proposals.append(Proposal(events[-1], now, ticket))
        self.wake()

    def fetch(self, link: Link, command: Command, effect: Fetch) -> None:
        """Ask the journal, and decide again with its answer."""
        answered = self.accounts.ask(link, effect.question)
        link.blocked = True
        answered.addCallbacks(self.fetched, self.not_fetched, callbackArgs=(link, command), errbackArgs=(link, command))

    def fetched(self, known: Any, link: Link, command: Command) -> None:
        link.blocked = False
        if not link.gone:
            if link.full and not self.stopping:  # it is looked up again when the peer reads
                link.waiting.insert(0, command)
            else:
                self.carry_out(link, command, known)
            self.go_on(link)

    def not_fetched(self, reason: Failure, link: Link, command: Command) -> None:
        link.blocked = False
        refusal: Any = reason.value
        if not isinstance(refusal, Refusal):
            self.log.failure("cannot read the journal", reason)
            refusal = Refusal(Code.STORE_UNAVAILABLE, "the store cannot be read now; try again", retry_after=1.0)
        if not link.gone:
            self.running.refuse(link, command, refusal)
            self.go_on(link)

    def broken(self, link: Link, command: Command) -> None:
        """Our own mistake costs this one command, is logged, and never the house."""
        self.log.failure("bug in carrying out {command}", command=type(command).__name__)
        refusal = Refusal(Code.INTERNAL, "something went wrong in the server; it was logged")
        self.running.refuse(link, command, refusal)

    def go_on(self, link: Link) -> None:
        """At the end of the turn, carry out what waits behind a command that has been answered."""
        if link.waiting or link.paused:
            self._ready[link] = None
            self.wake()

    def carry_on(self, link: Link) -> None:
        """Carry out what waits, up to the next command that has to be waited for."""
        while link.waiting and not link.blocked and not link.gone and (not link.full or self.stopping):
            if link.under_way and self.turns.waits(link, link.waiting[0]):
                break
            self.carry_out(link, link.waiting.pop(0))
        if not link.waiting:
            link.waiting_bytes = 0
        few = link.waiting_bytes <= self.limits.send_queue_bytes
        if link.paused and few and len(link.waiting) + link.under_way <= self.limits.requests_in_flight // 2:
            link.paused = False
            if not link.gone:
                link.connection.heard = self.tick
                link.connection.resume()

    # -- entries ------------------------------------------------------------------------------------------

    def entries_received(self, entries: Sequence[Entry]) -> None:
        """Take what the journal has put in order."""
        for entry in entries:
            self.entry_received(entry)
        self.wake()

    def entry_received(self, entry: Entry) -> None:
        """One entry: apply it, run its effects, and answer its owner."""
        ticket: Ticket | None = entry.ticket
        if entry.fate is not Fate.COMMITTED:
            if ticket is not None:
                self.settle(ticket, entry)
            return
        try:
            answered = self.running.apply(entry, ticket)
        except Exception:
            self.log.failure("bug in applying {event}", event=type(entry.event).__name__)
            answered = False
        if ticket is not None and not answered:
            self.settle(ticket, entry)

    def settle(self, ticket: Ticket, entry: Entry, refusal: Refusal | None = None) -> None:
        """Answer a command whose event has come back, and go on with what waits behind it."""
        link, command = ticket.link, ticket.command
        if entry.fate is Fate.REFUSED:
            refusal = refusal_of(entry.code)
        if not link.gone:
            if link.session is None:
                self.begin_session(link)
            try:
                if refusal is None and link.session is None:
                    refusal = Refusal(Code.NICK_IN_USE, "this name was just taken")
                if refusal is not None:
                    raise refusal
                if type(command) is Send:
                    link.connection.reply(command, said(self.state, self.rules, command, entry))
                else:
                    link.connection.reply(command, answer(self.context(link), command, entry, ticket.known))
                    self.running.answered(link, command, ticket.known)
            except Refusal as found:
                self.running.refuse(link, command, found)
            except Exception:
                self.broken(link, command)
        if type(command) is Send:
            self.turns.came_back(link)
        else:
            link.blocked = False
        if link.waiting or link.paused:
            self.go_on(link)

    def begin_session(self, link: Link) -> None:
        """If the login of a link has come through, it has its session from now on."""
        link.session = session = self.state.sessions.get(link.id)
        if session is not None:
            self.accounts.entered(link, session.user)

    # -- the end of the turn ------------------------------------------------------------------------------

    def wake(self) -> None:
        """There is something to flush at the end of this turn."""
        if not self.awake:
            self.awake = True
            self.reactor.callLater(0, self.flush)

    def hand_over(self) -> None:
        """Give the journal what is proposed."""
        if self._proposals:
            proposals, self._proposals = self._proposals, []
            self.journal.append(proposals)

    def flush(self) -> None:
        """Write everything once: rooms to connections, connections to their peers, proposals to the journal."""
        try:
            self.hand_over()  # what is sent to many takes a while
            self.fanout.flush()
            while self._ready:
                ready, self._ready = self._ready, {}
                for link in ready:
                    self.carry_on(link)
                self.fanout.flush()
        finally:
            self.awake, self._now = False, 0
        self.hand_over()
        touched, self.touched = self.touched, []
        for connection in touched:
            try:
                connection.flush()
            except Exception:  # one connection's trouble is not the others', whose turn would not come again
                self.log.failure("bug in writing to a connection")
                connection.abort()


def new_id() -> str:
    """A random id of 16 hexadecimal digits."""
    return secrets.token_hex(8)


__all__ = ["Hub", "new_id"]
