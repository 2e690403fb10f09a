"""The asyncio face of the client.

    async with connect("localhost:1234", nick="tom") as chat:
        await chat.join("#lobby")
        async for event in chat.events():
            ...

It dials, reads, writes and waits; what is said and why is `chatd.client.session`'s.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Generator
from types import TracebackType
from typing import Any, TypeVar, Unpack, cast

from chatd.client import verbs
from chatd.client.errors import ChatError
from chatd.client.face import Event, Face, Wishes
from chatd.client.happenings import Happening
from chatd.client.reasons import why_lost, why_not
from chatd.client.rooms import Since
from chatd.client.verbs import Item, Looking, Moderating, Relating, RoomChanges, Saying, Spot, TypingState
from chatd.core import commands, replies
from chatd.core.commands import Action, Command, Rel
from chatd.core.replies import Reply

DIAL_SECONDS = 10.0
GOODBYE_SECONDS = 2.0

R = TypeVar("R", bound=Reply)
T = TypeVar("T")


class connect:
    """Connect to a server: `async with connect(…) as chat`, or `chat = await connect(…)` and `await
    chat.close()`.

    `address` is `host`, `host:port`, `[v6]:port` or `unix:/path`; if empty, `$CHATD_SERVER` or localhost:1234. The
    keywords are those of `Wishes`. Raises `BadAddress` at once; waiting for it, `CannotConnect`, `WrongProtocol`, or
    `Refused` if the server does not let us in.
    """

    def __init__(self, address: str = "", **wishes: Unpack[Wishes]) -> None:
        self._address = address
        self._wishes = wishes
        self._chat: Chat | None = None

    def __await__(self) -> Generator[Any, None, Chat]:
        return self._open().__await__()

    async def __aenter__(self) -> Chat:
        self._chat = await self._open()
        return self._chat

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._chat is not None:
            await self._chat.close()

    async def _open(self) -> Chat:
        chat = Chat(self._address, asyncio.get_running_loop().time(), self._wishes)
        try:
            await chat._begin()
        except BaseException:
            await chat.close()
            raise
        return chat


class Chat(Face):
    """A conversation with a server, over as many connections as it takes. `connect` makes it."""

    def __init__(self, address: str, now: float, wishes: Wishes) -> None:
        super().__init__(address, now, wishes)
        self._loop = asyncio.get_running_loop()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._gate = asyncio.Lock()
        self._dialler: asyncio.Task[None] | None = None

    # -- what one can ask ------------------------------------------------------------------------------------

    async def join(
        self, room: str, *, key: str | None = None, since: Since = None, replay_limit: int | None = None
    ) -> replies.Joined:
        """Enter a room. `since`: a number, to be shown everything after it; `"last"`: from where one has read
        to.
        """
        return await self._ask(verbs.join(room, key, since, replay_limit), replies.Joined)

    async def part(self, room: str, reason: str | None = None) -> replies.Done:
        """Leave a room."""
        return await self._ask(verbs.part(room, reason), replies.Done)

    async def send(self, room: str, body: str, **saying: Unpack[Saying]) -> replies.Sent:
        """Say something in a room (or to `@nick`). Returns when it is committed; sent again after a lost
        connection.

        `data` is any value of None, bool, int, float, str, bytes, datetime, list and dict.
        """
        return await self._ask(verbs.send(room, body, **saying), replies.Sent)

    async def direct(self, nick: str, body: str, **saying: Unpack[Saying]) -> replies.Sent:
        """Say something to one person."""
        return await self._ask(verbs.direct(nick, body, **saying), replies.Sent)

    async def answer(self, event: Spot, body: str, **saying: Unpack[Saying]) -> replies.Sent:
        """Answer a message, once: a bot that crashed meanwhile may call this again and it is not said twice."""
        return await self._ask(self._answer(event, body, saying), replies.Sent)

    async def relate(self, room: str, target: int, rel: Rel, **relating: Unpack[Relating]) -> replies.Sent:
        """Say something about the message numbered `target`."""
        return await self._ask(verbs.relate(room, target, rel, **relating), replies.Sent)

    async def edit(self, what: Spot, body: str) -> replies.Sent:
        """Give one's own message another text."""
        return await self.relate(what.room, what.seq, "edit", body=body)

    async def redact(self, what: Spot, reason: str | None = None) -> replies.Sent:
        """Take one's own message back: its number stays, its text goes."""
        return await self.relate(what.room, what.seq, "redact", reason=reason)

    async def react(self, what: Spot, key: str) -> replies.Sent:
        """React to a message, with an emoji for example."""
        return await self.relate(what.room, what.seq, "react", key=key)

    async def unreact(self, what: Spot, key: str) -> replies.Sent:
        """Take a reaction back."""
        return await self.relate(what.room, what.seq, "unreact", key=key)

    async def history(self, room: str, **looking: Unpack[Looking]) -> replies.HistoryPage:
        """A page of a room, ascending; without a place (a number or a time), the latest."""
        return await self._ask(verbs.history(room, **looking), replies.HistoryPage)

    async def members(self, room: str) -> list[Item]:
        """Everyone in a room: `nick`, `away`, …"""
        return await self._walk(verbs.listing("members", room))

    async def rooms(self, prefix: str | None = None) -> list[Item]:
        """All rooms: `room`, `topic`, `members_count`, …"""
        return await self._walk(verbs.listing("rooms", prefix=prefix))

    async def users(self, prefix: str | None = None) -> list[Item]:
        """Everyone who is here."""
        return await self._walk(verbs.listing("users", prefix=prefix))

    async def whois(self, nick: str) -> Item:
        """What is known of somebody."""
        return await self._walk(verbs.whois(nick))

    async def topic(self, room: str, text: str) -> replies.Changed:
        """Change a room's topic."""
        return await self._ask(verbs.topic(room, text), replies.Changed)

    async def set_room(self, room: str, **changes: Unpack[RoomChanges]) -> replies.Changed:
        """Change how a room may be entered and spoken in; for its operators."""
        return await self._ask(verbs.set_room(room, **changes), replies.Changed)

    async def moderate(
        self, room: str | None, action: Action, target: str, **how: Unpack[Moderating]
    ) -> replies.Changed:
        """Kick, ban, mute, invite somebody, or give a role, in a room or (None) on the server; for operators."""
        return await self._ask(verbs.moderate(room, action, target, **how), replies.Changed)

    async def bans(self, room: str | None = None) -> list[Item]:
        """Who is banned or muted in a room, or without one on the server; for operators."""
        return await self._walk(verbs.listing("bans", room))

    async def away(self, message: str | bool = True) -> replies.Changed:
        """Be away, with a message or without; `False` is back."""
        return await self._ask(verbs.away(message), replies.Changed)

    async def typing(self, room: str, state: TypingState = "active") -> replies.Done:
        """Let others see that one is typing, or stopped."""
        return await self._ask(verbs.typing(room, state), replies.Done)

    async def change_nick(self, nick: str) -> replies.NickTaken:
        """Be called otherwise."""
        return await self._ask(commands.Nick(nick=nick), replies.NickTaken)

    async def mark_read(self, room: str, seq: int) -> replies.ReadMarked:
        """One has read up to here; the server remembers it, and never goes back."""
        return await self._ask(verbs.mark_read(room, seq), replies.ReadMarked)

    async def ping(self, data: Any = None) -> replies.Pong:
        """The server's time."""
        return await self._ask(commands.Ping(data=data), replies.Pong)

    def ask(self, command: Command) -> asyncio.Future[Any]:
        """Ask what has no verb here, or without waiting for each answer: order is kept, the reply comes later.

        `Refused` with LIMIT_EXCEEDED if a thousand are without an answer already; the verbs wait in that case.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        self._asked[self._submit(command, self._loop.time())] = future
        self._flush()
        return future

    async def quit(self, reason: str | None = None) -> None:
        """Leave, and close. What was not answered by then is given up."""
        if self.online:
            self.ask(commands.Quit(reason=reason)).add_done_callback(_look_away)
            try:
                async with asyncio.timeout(GOODBYE_SECONDS):
                    while not self._ended:
                        await self._change()
            except TimeoutError:
                pass
        self._take_in(self.session.end())
        if self._dialler is not None:
            self._dialler.cancel()
            await asyncio.gather(self._dialler, return_exceptions=True)
        self._release()

    close = quit

    # -- events ----------------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[Event]:
        """What happens, as it happens, each event once. Ends after `quit`; raises if the session cannot go on."""
        while True:
            event = await self.next_event()
            if event is None:
                return
            yield event

    async def next_event(self) -> Event | None:
        """The next event, or None when we have left. The one before it counts as handled."""
        while True:
            event = self._take(self._loop.time())
            if event is not None:
                self._flush()
                return event
            if self._ended:
                if self._error is not None:
                    raise self._error
                return None
            await self._change()

    # -- inside ----------------------------------------------------------------------------------------------

    async def _ask(self, command: Command, kind: type[R]) -> R:
        if self._gate.locked() or self.session.is_full:
            async with self._gate:  # one after the other, in the order in which they came here
                while self.session.is_full and not self._ended:
                    await self._change()
                future = self.ask(command)
        else:
            future = self.ask(command)
        return cast(R, await future)

    async def _walk(self, steps: Generator[Command, replies.Listed, T]) -> T:
        try:
            command = next(steps)
            while True:
                command = steps.send(await self.ask(command))
        except StopIteration as end:
            return cast(T, end.value)

    async def _begin(self) -> None:
        self._dialler = self._loop.create_task(self._dial())
        while not self.online:
            if self._ended:
                raise self._why_ended()
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _dial(self) -> None:
        """Connect, wait until the connection is lost, and so on, as the session wants it."""
        session = self.session
        while session.dial_at is not None:
            await asyncio.sleep(session.dial_at - self._loop.time())
            self._dialling()
            try:
                async with asyncio.timeout(DIAL_SECONDS):
                    wire = await self._connect()
            except OSError as error:
                self._take_in(session.failed(why_not(error, self.address), self._loop.time()))
                continue
            try:
                await wire.lost
            finally:
                wire.transport.abort()

    async def _connect(self) -> _Wire:
        def make() -> _Wire:
            return _Wire(self)

        address = self.address
        host = None if self._tls is None else address.host
        if address.path is not None:
            made = self._loop.create_unix_connection(make, address.path, ssl=self._tls, server_hostname=host)
            return (await made)[1]
        problem: OSError | None = None
        for found in await self._loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM):
            try:
                place = str(found[4][0])
                made = self._loop.create_connection(make, place, address.port, ssl=self._tls, server_hostname=host)
                return (await made)[1]
            except OSError as error:
                problem = problem or error
        raise problem or OSError(f"no address for {address.host}")

    def _take_in(self, happened: list[Happening]) -> None:
        self._digest(happened)
        self._flush()
        self._changed.set()

    def _flush(self) -> None:
        if self._transport is not None:
            blob = self.session.to_send()
            if blob:
                self._transport.write(blob)
            if self.session.hang_up:
                self._transport.abort()
        self._set_timer()

    def _set_timer(self) -> None:
        at = self.session.next_tick(self._loop.time())
        if self._timer is not None and (at is None or at < self._timer.when()):
            self._timer.cancel()
            self._timer = None
        if at is not None and self._timer is None:
            self._timer = self._loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.session.tick(self._loop.time())
        self._flush()

    def _settle(self, ticket: int, outcome: Reply | ChatError) -> None:
        future = self._asked.pop(ticket, None)
        if future is None or future.done():
            return
        if isinstance(outcome, ChatError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


class _Wire(asyncio.Protocol):
    """One connection: passes on what comes."""

    transport: asyncio.Transport

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self.lost: asyncio.Future[None] = chat._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = self._chat._transport = cast("asyncio.Transport", transport)
        self._chat.session.connected(self._chat._loop.time())
        self._chat._flush()

    def data_received(self, data: bytes) -> None:
        chat = self._chat
        chat._take_in(chat.session.receive(data, chat._loop.time()))

    def connection_lost(self, exc: Exception | None) -> None:
        chat = self._chat
        chat._transport = None
        chat._take_in(chat.session.lost(why_lost(exc), chat._loop.time()))
        if not self.lost.done():
            self.lost.set_result(None)


def _look_away(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
