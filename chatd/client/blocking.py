"""The blocking face of the client: for scripts, and for programs with a loop of their own, such as tkinter.

    with connect("localhost:1234", nick="tom") as chat:
        chat.join("#lobby")
        for event in chat.events():
            ...

The verbs are those of `chatd.client.aio`, where they are described; here each returns its answer. There are
no threads: the network is looked at while one waits for an answer or an event, and by `poll()`, which never
waits.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Any, TypeVar, Unpack, cast

from chatd.client import verbs
from chatd.client.errors import ChatError, TimedOut
from chatd.client.face import DURABLE, Event, Face, Wishes
from chatd.client.happenings import Happening
from chatd.client.rooms import Since
from chatd.client.sockets import Wire
from chatd.client.verbs import Item, Looking, Moderating, Relating, RoomChanges, Saying, Spot, TypingState
from chatd.core import commands, replies
from chatd.core.commands import Action, Command, Rel
from chatd.core.replies import Reply

GOODBYE_SECONDS = 2.0

R = TypeVar("R", bound=Reply)
T = TypeVar("T")


def connect(address: str = "", *, timeout: float | None = 30.0, **wishes: Unpack[Wishes]) -> Chat:
    """Connect to a server. Use it with `with`, or call `quit` in the end.

    `timeout`: how many seconds a verb waits for its answer before it raises `TimedOut`; None for ever. The
    other keywords are those of `Wishes`.
    """
    chat = Chat(address, timeout, wishes)
    try:
        chat._begin()
    except BaseException:
        chat.quit()
        raise
    return chat


class Chat(Face):
    """A conversation with a server, over as many connections as it takes. `connect` makes it."""

    def __init__(self, address: str, timeout: float | None, wishes: Wishes) -> None:
        super().__init__(address, time.monotonic(), wishes)
        self.timeout = timeout
        self._outcomes: dict[int, Reply | ChatError] = {}
        self._forgotten: set[int] = set()
        self._polled: dict[str, Event] = {}
        self._wire = Wire(self._tls)

    def __enter__(self) -> Chat:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.quit()

    # -- what one can ask ------------------------------------------------------------------------------------

    def join(
        self, room: str, *, key: str | None = None, since: Since = None, replay_limit: int | None = None
    ) -> replies.Joined:
        """Enter a room."""
        return self._ask(verbs.join(room, key, since, replay_limit), replies.Joined)

    def part(self, room: str, reason: str | None = None) -> replies.Done:
        """Leave a room."""
        return self._ask(verbs.part(room, reason), replies.Done)

    def send(self, room: str, body: str, **saying: Unpack[Saying]) -> replies.Sent:
        """Say something; returns when it is committed."""
        return self._ask(verbs.send(room, body, **saying), replies.Sent)

    def direct(self, nick: str, body: str, **saying: Unpack[Saying]) -> replies.Sent:
        """Say something to one person."""
        return self._ask(verbs.direct(nick, body, **saying), replies.Sent)

    def answer(self, event: Spot, body: str, **saying: Unpack[Saying]) -> replies.Sent:
        """Answer a message, once."""
        return self._ask(self._answer(event, body, saying), replies.Sent)

    def relate(self, room: str, target: int, rel: Rel, **relating: Unpack[Relating]) -> replies.Sent:
        """Say something about the message numbered `target`."""
        return self._ask(verbs.relate(room, target, rel, **relating), replies.Sent)

    def edit(self, what: Spot, body: str) -> replies.Sent:
        """Give one's own message another text."""
        return self.relate(what.room, what.seq, "edit", body=body)

    def redact(self, what: Spot, reason: str | None = None) -> replies.Sent:
        """Take one's own message back."""
        return self.relate(what.room, what.seq, "redact", reason=reason)

    def react(self, what: Spot, key: str) -> replies.Sent:
        """React to a message."""
        return self.relate(what.room, what.seq, "react", key=key)

    def unreact(self, what: Spot, key: str) -> replies.Sent:
        """Take a reaction back."""
        return self.relate(what.room, what.seq, "unreact", key=key)

    def history(self, room: str, **looking: Unpack[Looking]) -> replies.HistoryPage:
        """A page of a room, ascending."""
        return self._ask(verbs.history(room, **looking), replies.HistoryPage)

    def members(self, room: str) -> list[Item]:
        """Everyone in a room."""
        return self._walk(verbs.listing("members", room))

    def rooms(self, prefix: str | None = None) -> list[Item]:
        """All rooms."""
        return self._walk(verbs.listing("rooms", prefix=prefix))

    def users(self, prefix: str | None = None) -> list[Item]:
        """Everyone who is here."""
        return self._walk(verbs.listing("users", prefix=prefix))

    def whois(self, nick: str) -> Item:
        """What is known of somebody."""
        return self._walk(verbs.whois(nick))

    def topic(self, room: str, text: str) -> replies.Changed:
        """Change a room's topic."""
        return self._ask(verbs.topic(room, text), replies.Changed)

    def set_room(self, room: str, **changes: Unpack[RoomChanges]) -> replies.Changed:
        """Change how a room may be entered and spoken in; for its operators."""
        return self._ask(verbs.set_room(room, **changes), replies.Changed)

    def moderate(self, room: str | None, action: Action, target: str, **how: Unpack[Moderating]) -> replies.Changed:
        """Kick, ban, mute, invite somebody, or give a role, in a room or (None) on the server; for operators."""
        return self._ask(verbs.moderate(room, action, target, **how), replies.Changed)

    def bans(self, room: str | None = None) -> list[Item]:
        """Who is banned or muted in a room, or without one on the server; for operators."""
        return self._walk(verbs.listing("bans", room))

    def away(self, message: str | bool = True) -> replies.Changed:
        """Be away; `False` is back."""
        return self._ask(verbs.away(message), replies.Changed)

    def typing(self, room: str, state: TypingState = "active") -> replies.Done:
        """Let others see that one is typing, or stopped."""
        return self._ask(verbs.typing(room, state), replies.Done)

    def change_nick(self, nick: str) -> replies.NickTaken:
        """Be called otherwise."""
        return self._ask(commands.Nick(nick=nick), replies.NickTaken)

    def mark_read(self, room: str, seq: int) -> replies.ReadMarked:
        """One has read up to here."""
        return self._ask(verbs.mark_read(room, seq), replies.ReadMarked)

    def ping(self, data: Any = None) -> replies.Pong:
        """The server's time."""
        return self._ask(commands.Ping(data=data), replies.Pong)

    def ask(self, command: Command) -> Pending:
        """Ask without waiting for the answer; order is kept. Waits only while too many have no answer."""
        while self.session.is_full and not self._ended:
            self._turn(None)
        ticket = self._submit(command, time.monotonic())
        self._turn(0.0)
        return Pending(self, ticket)

    def quit(self, reason: str | None = None) -> None:
        """Leave, and close. What was not answered by then is given up."""
        if self.online:
            self.ask(commands.Quit(reason=reason)).forget()
            until = time.monotonic() + GOODBYE_SECONDS
            while not self._ended and time.monotonic() < until:
                self._turn(until - time.monotonic())
        self._digest(self.session.end())
        self._wire.end()
        self._release()

    close = quit

    # -- events ----------------------------------------------------------------------------------------------

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """What happens, as it happens, each event once.

        Ends after `quit`, or when nothing happened for `timeout` seconds; raises if the session cannot go on.
        """
        while True:
            event = self.next_event(timeout)
            if event is None:
                return
            yield event

    def next_event(self, timeout: float | None = None) -> Event | None:
        """The next event; None if none came in time, or we have left. The one before it counts as handled."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            event = self._take(time.monotonic())
            if event is not None:
                return event
            if self._ended:
                if self._error is not None:
                    raise self._error
                return None
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return None
            self._turn(left)

    def poll(self) -> list[Event]:
        """What has happened by now, without waiting. Call it when `fileno()` is readable, and at least every
        second.

        What is returned counts as handled at the next call. Raises if the session cannot go on.
        """
        for event in self._polled.values():
            self.done(event)
        self._polled.clear()
        self._turn(0.0)
        if self._ended and self._error is not None and not self._waiting:
            raise self._error
        events: list[Event] = []
        while (found := self._pop(time.monotonic())) is not None:
            events.append(found)
            if isinstance(found, DURABLE):
                self._polled[found.room] = found  # the last one of a room stands for all
        self._write()
        return events

    def fileno(self) -> int:
        """A file descriptor that is readable when `poll` has something to do; the same over all connections."""
        return self._wire.fileno()

    # -- inside ----------------------------------------------------------------------------------------------

    def _ask(self, command: Command, kind: type[R]) -> R:
        return cast(R, self.ask(command).result(self.timeout))

    def _walk(self, steps: Generator[Command, replies.Listed, T]) -> T:
        try:
            command = next(steps)
            while True:
                command = steps.send(self._ask(command, replies.Listed))
        except StopIteration as end:
            return cast(T, end.value)

    def _begin(self) -> None:
        while not self.online:
            if self._ended:
                raise self._why_ended()
            self._turn(None)

    def _turn(self, longest: float | None) -> None:
        """Look at the network once, waiting no longer than that for something to happen."""
        session, wire = self.session, self._wire
        now = time.monotonic()
        if session.dial_at is not None and now >= session.dial_at:
            self._dialling()
            wire.dial(self.address, now)
        self._write()
        times = [session.dial_at, session.next_tick(now), wire.dial_until]
        waits = [max(0.0, at - now) for at in times if at is not None] + ([] if longest is None else [longest])
        happened: list[Happening] = []
        for news in wire.wait(min(waits, default=None)):
            now = time.monotonic()
            if news.chunk is not None:
                happened += session.receive(news.chunk, now)
            elif news.lost is not None:
                happened += session.lost(news.lost, now)
            elif news.failed is not None:
                happened += session.failed(news.failed, now)
            else:
                session.connected(now)
        session.tick(time.monotonic())
        self._write()
        self._digest(happened)

    def _write(self) -> None:
        self._wire.write(self.session.to_send())
        if self.session.hang_up:
            self._wire.hang_up()

    def _settle(self, ticket: int, outcome: Reply | ChatError) -> None:
        if ticket in self._forgotten:
            self._forgotten.discard(ticket)
        else:
            self._outcomes[ticket] = outcome


class Pending:
    """An answer that is still to come."""

    def __init__(self, chat: Chat, ticket: int) -> None:
        self._chat = chat
        self._ticket = ticket

    @property
    def ready(self) -> bool:
        """Whether the answer is there."""
        return self._ticket in self._chat._outcomes

    def result(self, timeout: float | None = None) -> Any:
        """The reply; waits for it. Raises what it was refused with, or `TimedOut`."""
        chat = self._chat
        until = None if timeout is None else time.monotonic() + timeout
        while not self.ready:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                self.forget()
                where = "" if chat.online else "; the server is away"
                raise TimedOut(f"no answer within {timeout:g} s{where}")
            chat._turn(left)
        outcome = chat._outcomes.pop(self._ticket)
        if isinstance(outcome, ChatError):
            raise outcome
        return outcome

    def forget(self) -> None:
        """Nobody wants to know any more."""
        if self._chat._outcomes.pop(self._ticket, None) is None:
            self._chat._forgotten.add(self._ticket)
