"""`chatd send`, `chatd tail` and `chatd history`: the chat as part of a pipeline.

What is said goes to standard output, one line at a time and at once; everything else to standard error.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from io import TextIOWrapper
from typing import Any, cast

from chatd.client import happenings, show, verbs, wire
from chatd.client.aio import Chat
from chatd.client.errors import ChatError, Refused
from chatd.client.face import Event
from chatd.client.lines import Typed, lines
from chatd.client.options import Choices
from chatd.client.outcome import exit_code, say
from chatd.client.rooms import Since
from chatd.client.visit import Visit
from chatd.core import views
from chatd.core.codes import Code
from chatd.core.names import fold
from chatd.core.replies import Joined
from chatd.core.views import Durable
from chatd.errors import Exit

UNDER_WAY = 200
PAGE = 200
HISTORY = 50


async def send(choices: Choices) -> int:
    """Send the text, or each line of the input; ends when every one is answered. Order is kept."""
    visit = Visit(choices)
    async with visit.connect() as chat:
        visit.keep_token(chat)
        [room] = choices.rooms
        if not room.startswith("@"):
            await chat.join(room)
        sender = Sender(chat, room)
        if choices.text:
            await sender.take(Typed(1, choices.text))
        else:
            async for typed in lines():
                await sender.take(typed)
        await sender.settle(0)
        return sender.status


class Sender:
    """Sends lines one behind the other without waiting for each, and tells which were refused, in order."""

    def __init__(self, chat: Chat, room: str) -> None:
        self.status: int = Exit.OK
        self._chat = chat
        self._room = room
        self._under_way: deque[tuple[int, asyncio.Future[Any] | ChatError]] = deque()

    async def take(self, typed: Typed) -> None:
        """Send a line; empty ones are passed over."""
        if not typed.fault and not typed.text.strip():
            return
        await self.settle(UNDER_WAY - 1)
        self._under_way.append((typed.number, self._ask(typed)))

    async def settle(self, most: int) -> None:
        """Wait until no more than so many are without an answer."""
        while self._under_way:
            number, answer = self._under_way[0]
            is_known = isinstance(answer, ChatError) or answer.done()
            if len(self._under_way) <= most and not is_known:
                return
            try:
                if isinstance(answer, ChatError):
                    raise answer
                await answer
            except ChatError as error:
                say(f"send: line {number} was not sent: {error}")
                self.status = self.status or exit_code(error)
            self._under_way.popleft()

    def _ask(self, typed: Typed) -> asyncio.Future[Any] | ChatError:
        if typed.fault:
            return Refused(Code.INVALID_PARAMS, typed.fault)
        try:
            return self._chat.ask(verbs.send(self._room, typed.text))
        except ChatError as error:
            return error


async def tail(choices: Choices) -> int:
    """Print what is said, as it is said, until we are stopped."""
    visit = Visit(choices)
    async with visit.connect() as chat:
        visit.keep_token(chat)
        printer = Printer(choices, chat)
        for room in choices.rooms:
            joined = await chat.join(room, since=cast(Since, choices.since))
            if choices.number is not None and choices.since is None:
                for earlier in await latest(chat, joined, choices.number):
                    printer.show(earlier)
                printer.flush()
        while (event := await chat.next_event()) is not None:
            printer.show(event)
            if not chat.has_more:
                printer.flush()
                printer.mark_read()
    return Exit.OK


async def latest(chat: Chat, joined: Joined, number: int) -> list[Durable]:
    """The last events up to the moment of joining."""
    return await backwards(chat, joined.room, joined.last_seq + 1, number)


async def backwards(chat: Chat, room: str, before: Any, number: int) -> list[Durable]:
    """So many events before a place, page by page, ascending."""
    found: list[Durable] = []
    while len(found) < number:
        page = await chat.history(room, before=before, limit=min(PAGE, number - len(found)))
        found[:0] = page.events
        if page.prev is None or not page.events:
            break
        before = page.prev
    return found


async def forwards(chat: Chat, room: str, after: Any, number: int) -> list[Durable]:
    """So many events after a place, page by page."""
    found: list[Durable] = []
    while len(found) < number:
        page = await chat.history(room, after=after, limit=min(PAGE, number - len(found)))
        found += page.events
        if page.next is None or not page.events:
            break
        after = page.next
    return found


async def history(choices: Choices) -> int:
    """Print a part of what was said."""
    visit = Visit(choices)
    async with visit.connect() as chat:
        visit.keep_token(chat)
        [room] = choices.rooms
        if not room.startswith("@"):
            if not any(fold(item["room"]) == fold(room) for item in await chat.rooms(prefix=room)):
                raise Refused(Code.NO_SUCH_ROOM, f"there is no room {room}")
            await chat.join(room)
        number = choices.number or HISTORY
        if choices.after is not None:
            events = await forwards(chat, room, choices.after, number)
        else:
            events = await backwards(chat, room, choices.before, number)
        printer = Printer(choices, chat)
        for event in events:
            printer.show(event)
        printer.flush()
    return Exit.OK


class Printer:
    """Prints events, as lines or as JSON; with `--since last`, the server is told how far we have come."""

    def __init__(self, choices: Choices, chat: Chat) -> None:
        self._choices = choices
        self._chat = chat
        self._read: dict[str, int] = {}
        if choices.json and isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # whatever this terminal speaks, JSON is UTF-8

    def show(self, event: Event) -> None:
        """Print an event of a room; what passes, such as who came and went, is for people only."""
        if isinstance(event, happenings.News | views.Typing | views.Read):
            return
        if self._choices.json:
            if isinstance(event, Durable | views.Gap | views.CaughtUp):
                sys.stdout.write(wire.view_to_json(event).decode() + "\n")
        else:
            for line in show.lines(event, self._chat.nick):
                sys.stdout.write(line.text(with_room=len(self._choices.rooms) > 1) + "\n")
        if isinstance(event, Durable):
            self._read[event.room] = event.seq

    def flush(self) -> None:
        """Let the next in the pipe have it."""
        sys.stdout.flush()

    def mark_read(self) -> None:
        """Only what was passed on counts as read."""
        if self._choices.since == "last":
            for room, seq in self._read.items():
                self._chat.ask(verbs.mark_read(room, seq)).add_done_callback(lambda done: done.exception())
        self._read.clear()
