"""The Twisted face of the client: every verb returns a Deferred.

    chat = await connect(reactor, "localhost:1234", nick="tom")
    await chat.join("#lobby")
    async for event in chat.events():
        ...

The verbs are those of `chatd.client.aio`, where they are described. Events come by `next_event()`, by the
loop above, or one by one to a function that was given to `on_event`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, TypeVar, Unpack, cast

from twisted.internet import error
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.client import verbs
from chatd.client.address import Address
from chatd.client.errors import ChatError, Disconnected
from chatd.client.face import Event, Face, Wishes
from chatd.client.happenings import Happening
from chatd.client.reasons import shown, why_lost, why_not
from chatd.client.rooms import Since
from chatd.client.tx_wire import DIAL_SECONDS, Wire
from chatd.client.verbs import Item, Looking, Moderating, Relating, RoomChanges, Saying, Spot, TypingState
from chatd.core import commands, replies
from chatd.core.commands import Action, Command, Rel
from chatd.core.replies import Reply

GOODBYE_SECONDS = 2.0

R = TypeVar("R", bound=Reply)
T = TypeVar("T")


def connect(reactor: Any, address: str | IStreamClientEndpoint = "", **wishes: Unpack[Wishes]) -> Deferred[Chat]:
    """Connect to a server, given by address or endpoint; fires with the `Chat` once we are inside.

    The keywords are those of `Wishes`. Fails as the asyncio face raises.
    """
    text = address if isinstance(address, str) else ""
    chat = Chat(reactor, text, None if isinstance(address, str) else address, wishes)
    return chat._begin()


class Chat(Face):
    """A conversation with a server, over as many connections as it takes. `connect` makes it."""

    def __init__(self, reactor: Any, address: str, endpoint: IStreamClientEndpoint | None, wishes: Wishes) -> None:
        super().__init__(address, reactor.seconds(), wishes)
        self.reactor = reactor
        self._endpoint = endpoint or self._usual_endpoint()
        self._asked: dict[int, Deferred[Any]] = {}
        self._wire: Wire | None = None
        self._opening: Wire | None = None  # there is no encryption yet
        self._timer: IDelayedCall | None = None
        self._dial_timer: IDelayedCall | None = None
        self._waiters: list[Deferred[None]] = []
        self._begun: Deferred[Chat] | None = None
        self._on_event: Callable[[Event], object] | None = None
        self._pouring = False

    # -- what one can ask ------------------------------------------------------------------------------------

    def join(
        self, room: str, *, key: str | None = None, since: Since = None, replay_limit: int | None = None
    ) -> Deferred[replies.Joined]:
        """Enter a room."""
        return self._ask(verbs.join(room, key, since, replay_limit), replies.Joined)

    def part(self, room: str, reason: str | None = None) -> Deferred[replies.Done]:
        """Leave a room."""
        return self._ask(verbs.part(room, reason), replies.Done)

    def send(self, room: str, body: str, **saying: Unpack[Saying]) -> Deferred[replies.Sent]:
        """Say something; fires when it is committed."""
        return self._ask(verbs.send(room, body, **saying), replies.Sent)

    def direct(self, nick: str, body: str, **saying: Unpack[Saying]) -> Deferred[replies.Sent]:
        """Say something to one person."""
        return self._ask(verbs.direct(nick, body, **saying), replies.Sent)

    def answer(self, event: Spot, body: str, **saying: Unpack[Saying]) -> Deferred[replies.Sent]:
        """Answer a message, once."""
        return self._ask(self._answer(event, body, saying), replies.Sent)

    def relate(self, room: str, target: int, rel: Rel, **relating: Unpack[Relating]) -> Deferred[replies.Sent]:
        """Say something about the message numbered `target`."""
        return self._ask(verbs.relate(room, target, rel, **relating), replies.Sent)

    def edit(self, what: Spot, body: str) -> Deferred[replies.Sent]:
        """Give one's own message another text."""
        return self.relate(what.room, what.seq, "edit", body=body)

    def redact(self, what: Spot, reason: str | None = None) -> Deferred[replies.Sent]:
        """Take one's own message back."""
        return self.relate(what.room, what.seq, "redact", reason=reason)

    def react(self, what: Spot, key: str) -> Deferred[replies.Sent]:
        """React to a message."""
        return self.relate(what.room, what.seq, "react", key=key)

    def unreact(self, what: Spot, key: str) -> Deferred[replies.Sent]:
        """Take a reaction back."""
        return self.relate(what.room, what.seq, "unreact", key=key)

    def history(self, room: str, **looking: Unpack[Looking]) -> Deferred[replies.HistoryPage]:
        """A page of a room, ascending."""
        return self._ask(verbs.history(room, **looking), replies.HistoryPage)

    def members(self, room: str) -> Deferred[list[Item]]:
        """Everyone in a room."""
        return self._walk(verbs.listing("members", room))

    def rooms(self, prefix: str | None = None) -> Deferred[list[Item]]:
        """All rooms."""
        return self._walk(verbs.listing("rooms", prefix=prefix))

    def users(self, prefix: str | None = None) -> Deferred[list[Item]]:
        """Everyone who is here."""
        return self._walk(verbs.listing("users", prefix=prefix))

    def whois(self, nick: str) -> Deferred[Item]:
        """What is known of somebody."""
        return self._walk(verbs.whois(nick))

    def topic(self, room: str, text: str) -> Deferred[replies.Changed]:
        """Change a room's topic."""
        return self._ask(verbs.topic(room, text), replies.Changed)

    def set_room(self, room: str, **changes: Unpack[RoomChanges]) -> Deferred[replies.Changed]:
        """Change how a room may be entered and spoken in; for its operators."""
        return self._ask(verbs.set_room(room, **changes), replies.Changed)

    def moderate(
        self, room: str | None, action: Action, target: str, **how: Unpack[Moderating]
    ) -> Deferred[replies.Changed]:
        """Kick, ban, mute, invite somebody, or give a role, in a room or (None) on the server; for operators."""
        return self._ask(verbs.moderate(room, action, target, **how), replies.Changed)

    def bans(self, room: str | None = None) -> Deferred[list[Item]]:
        """Who is banned or muted in a room, or without one on the server; for operators."""
        return self._walk(verbs.listing("bans", room))

    def away(self, message: str | bool = True) -> Deferred[replies.Changed]:
        """Be away; `False` is back."""
        return self._ask(verbs.away(message), replies.Changed)

    def typing(self, room: str, state: TypingState = "active") -> Deferred[replies.Done]:
        """Let others see that one is typing, or stopped."""
        return self._ask(verbs.typing(room, state), replies.Done)

    def change_nick(self, nick: str) -> Deferred[replies.NickTaken]:
        """Be called otherwise."""
        return self._ask(commands.Nick(nick=nick), replies.NickTaken)

    def mark_read(self, room: str, seq: int) -> Deferred[replies.ReadMarked]:
        """One has read up to here."""
        return self._ask(verbs.mark_read(room, seq), replies.ReadMarked)

    def ping(self, data: Any = None) -> Deferred[replies.Pong]:
        """The server's time."""
        return self._ask(commands.Ping(data=data), replies.Pong)

    def ask(self, command: Command) -> Deferred[Any]:
        """Ask what has no verb here."""
        try:
            ticket = self._submit(command, self.reactor.seconds())
        except (ChatError, ValueError, TypeError):
            return _failed()
        answer = self._asked[ticket] = Deferred()
        self._flush()
        return answer

    @inlineCallbacks
    def quit(self, reason: str | None = None) -> Generator[Deferred[Any], Any, None]:
        """Leave, and close. What was not answered by then is given up."""
        if self.online:
            self.ask(commands.Quit(reason=reason)).addErrback(lambda _: None)
            patience = self.reactor.callLater(GOODBYE_SECONDS, self._end)
            while not self._ended:
                yield self._change()
            if patience.active():
                patience.cancel()
        self._end()
        while self._wire is not None:
            yield self._change()
        self._release()

    close = quit

    # -- events ----------------------------------------------------------------------------------------------

    def on_event(self, listener: Callable[[Event], object]) -> None:
        """Call this with every event from now on. Returning counts as having handled it; raising ends the session."""
        self._on_event = listener
        self._pour()

    async def events(self) -> AsyncIterator[Event]:
        """What happens, as it happens, each event once. Ends after `quit`; raises if the session cannot go on."""
        while True:
            event = await self.next_event()
            if event is None:
                return
            yield event

    @inlineCallbacks
    def next_event(self) -> Generator[Deferred[Any], Any, Event | None]:
        """The next event, or None when we have left. The one before it counts as handled."""
        while True:
            event = self._take(self.reactor.seconds())
            if event is not None:
                self._flush()
                return event
            if self._ended:
                if self._error is not None:
                    raise self._error
                return None
            yield self._change()

    # -- inside ----------------------------------------------------------------------------------------------

    def _usual_endpoint(self) -> IStreamClientEndpoint:
        if self.address.path is not None:
            path, seconds = self.address.path, int(DIAL_SECONDS)
            return UNIXClientEndpoint(self.reactor, path, seconds)  # type: ignore[no-untyped-call]
        return HostnameEndpoint(self.reactor, self.address.host, self.address.port, timeout=DIAL_SECONDS)

    def _ask(self, command: Command, kind: type[R]) -> Deferred[R]:
        return cast("Deferred[R]", self.ask(command))

    @inlineCallbacks
    def _walk(self, steps: Generator[Command, replies.Listed, T]) -> Generator[Deferred[Any], Any, T]:
        try:
            command = next(steps)
            while True:
                page = yield self.ask(command)
                command = steps.send(page)
        except StopIteration as end:
            return cast(T, end.value)

    def _begin(self) -> Deferred[Chat]:
        self._begun = Deferred(lambda _: self._end())
        begun = self._begun
        self._dial_when_due()
        return begun

    def _change(self) -> Deferred[None]:
        waiter: Deferred[None] = Deferred(self._waiters.remove)
        self._waiters.append(waiter)
        return waiter

    def _end(self) -> None:
        self._take_in(self.session.end())
        if self._dial_timer is not None and self._dial_timer.active():
            self._dial_timer.cancel()
        if self._opening is not None:
            self._opening.give_up(Disconnected("the session is over"))

    def _dial_when_due(self) -> None:
        at = self.session.dial_at
        if at is not None:
            self._dial_timer = self.reactor.callLater(max(0.0, at - self.reactor.seconds()), self._dial)

    def _dial(self) -> None:
        self._dialling()
        factory = Factory.forProtocol(Wire)
        factory.chat = self  # type: ignore[attr-defined]  # Twisted gives its protocols their factory
        self._endpoint.connect(factory).addErrback(self._not_connected)

    def _not_connected(self, failure: Failure) -> None:
        reason = _why_not(failure, self.address)
        self._take_in(self.session.failed(reason, self.reactor.seconds()))
        self._dial_when_due()

    def _connection_lost(self, reason: Failure) -> None:
        self._wire = None
        clean = isinstance(reason.value, error.ConnectionDone)
        words = why_lost(None if clean else reason.value)
        self._take_in(self.session.lost(words, self.reactor.seconds()))
        self._dial_when_due()

    def _take_in(self, happened: list[Happening]) -> None:
        self._digest(happened)
        self._flush()
        if self._begun is not None and (self.online or self._ended):
            begun, self._begun = self._begun, None
            if self.online:
                begun.callback(self)
            elif not begun.called:
                self._release()
                begun.errback(self._why_ended())
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)
        self._pour()

    def _pour(self) -> None:
        """Give what is waiting to the listener, if there is one."""
        if self._on_event is None or self._pouring:
            return
        self._pouring = True
        try:
            while self._on_event is not None and (event := self._take(self.reactor.seconds())) is not None:
                self._on_event(event)
        except Exception:
            self._on_event = None
            Logger().failure("the listener failed; the session is ended")
            self._end()
        finally:
            self._pouring = False
        self._flush()

    def _flush(self) -> None:
        if self._wire is not None and self._wire.transport is not None:
            blob = self.session.to_send()
            if blob:
                self._wire.write(blob)
            if self.session.hang_up:
                self._wire.transport.abortConnection()  # type: ignore[attr-defined]  # every stream has it
        self._set_timer()

    def _set_timer(self) -> None:
        at = self.session.next_tick(self.reactor.seconds())
        timer = self._timer
        if timer is not None and timer.active() and (at is None or at < timer.getTime()):
            timer.cancel()
        if at is not None and (timer is None or not timer.active()):
            self._timer = self.reactor.callLater(max(0.0, at - self.reactor.seconds()), self._tick)

    def _tick(self) -> None:
        self.session.tick(self.reactor.seconds())
        self._flush()

    def _settle(self, ticket: int, outcome: Reply | ChatError) -> None:
        answer = self._asked.pop(ticket, None)
        if answer is None:
            return
        if isinstance(outcome, ChatError):
            answer.errback(outcome)
        else:
            answer.callback(outcome)


def _failed() -> Deferred[Any]:
    """A Deferred with the exception that is being handled."""
    failed: Deferred[Any] = Deferred()
    failed.errback()
    return failed


def _why_not(failure: Failure, address: Address) -> str:
    problem = failure.value
    if isinstance(problem, error.ConnectionRefusedError):
        return f"nothing is listening at {shown(address)}"
    if isinstance(problem, error.DNSLookupError):
        return f"no machine is called {address.host}"
    if isinstance(problem, error.TimeoutError):
        return f"no answer from {shown(address)}"
    return why_not(getattr(problem, "osError", None) or problem, address)
