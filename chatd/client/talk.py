"""A person's conversation, whatever screen it is on: rooms, what is unread, what is typed, what happens.

The screen gives lines that were typed and gets lines to show. Commands are in `slash`. What is typed while
the server is away is kept and sent when it is back.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec import UNSET

from chatd.client import happenings, show, verbs
from chatd.client.aio import Chat
from chatd.client.errors import ChatError
from chatd.client.face import Event
from chatd.client.show import Line
from chatd.core import views
from chatd.core.commands import Kind
from chatd.core.names import fold
from chatd.core.views import Durable

EARLIER = 20  # events shown on entering a room
KEPT = 300  # lines kept of a room that is not looked at
MOST_MEMBERS = 1000  # of larger rooms the names are not kept
TYPING_SECONDS = 8.0


class Screen(Protocol):
    """Where lines are shown."""

    all_rooms: bool  # show what is said in other rooms at once

    def show(self, lines: Iterable[Line]) -> None:
        """Show these lines."""


@dataclass
class RoomView:
    """A room as this person sees it."""

    name: str
    topic: str = ""
    members: set[str] = field(default_factory=set)
    unread: int = 0
    loud: bool = False
    kept: deque[Line] = field(default_factory=lambda: deque(maxlen=KEPT))
    last_seq: int = 0
    last_own: int | None = None
    typing: dict[str, float] = field(default_factory=dict)


class Talk:
    """The conversation. `current` is the name of the room that what is typed goes to."""

    def __init__(self, chat: Chat, screen: Screen) -> None:
        self.chat = chat
        self.screen = screen
        self.rooms: dict[str, RoomView] = {}
        self.known_rooms: set[str] = set()
        self.current = ""
        self.numbers = False
        self.leaving = False
        self.offline: tuple[str, float] | None = None  # why, and when the next attempt is made
        self._sending: set[asyncio.Future[Any]] = set()

    @property
    def room(self) -> RoomView | None:
        """The room that is looked at."""
        return self.rooms.get(self.current)

    async def begin(self, rooms: list[str]) -> None:
        """Say where one is, and enter these rooms; the first is looked at."""
        server = self.chat.server
        if server is not None:
            self.tell(f"you are {self.chat.nick} on {server.network}, at {self.chat.address}")
            for line in (server.motd or "").splitlines():
                self.tell(line)
        self.tell("type to talk; /help tells the commands, Tab completes names, Ctrl-D leaves")
        for room in rooms:
            try:
                await self.enter(room, look=not self.current)
            except ChatError as error:
                self.tell(f"{room}: {error}")

    # -- rooms -----------------------------------------------------------------------------------------------

    async def enter(self, name: str, *, look: bool = True, key: str | None = None) -> None:
        """Be in a room, and look at it. If we are there already, only look."""
        known = self.find(name)
        if known is None and name.startswith("@"):
            known = self._view(name)
        room = known or await self._join(name, key)
        if look:
            self.look_at(room)

    async def _join(self, name: str, key: str | None) -> RoomView:
        joined = await self.chat.join(name, key=key)
        room = self._view(joined.room)
        self.known_rooms.add(joined.room)
        room.topic = joined.topic
        room.last_seq = max(room.last_seq, joined.last_seq)
        if joined.members_count <= MOST_MEMBERS:
            room.members = {item["nick"] for item in await self.chat.members(room.name)}
        if joined.last_seq:
            page = await self.chat.history(room.name, before=joined.last_seq + 1, limit=EARLIER)
            earlier = [line for event in page.events for line in show.lines(event, self.chat.nick)]
            room.kept.extendleft(reversed(earlier))
        about = f": {joined.topic}" if joined.topic else ""
        people = "1 person is" if joined.members_count == 1 else f"{joined.members_count:,} people are"
        room.kept.append(show.notice(f"{joined.room}{about} ({people} here)"))
        return room

    async def leave(self, name: str, reason: str | None) -> None:
        """Leave a room, and look at another."""
        if not name.startswith("@"):
            await self.chat.part(name, reason)
        self._forget(name)

    def find(self, name: str) -> RoomView | None:
        """The room called so, among those we are in."""
        return next((room for room in self.rooms.values() if fold(room.name) == fold(name)), None)

    def look_at(self, room: RoomView) -> None:
        """Show what is unread there; what is typed goes there from now on."""
        if self.current and self.current != room.name:
            self.tell(f"now in {room.name}")
        self.current = room.name
        unread, room.unread, room.loud = list(room.kept), 0, False
        room.kept.clear()
        self.show(unread)

    # -- what is typed ---------------------------------------------------------------------------------------

    async def say(self, room: str, text: str, kind: Kind = "text") -> None:
        """Say something without waiting for the answer; if it is refused, the person is told what was lost."""
        try:
            answer = self.chat.ask(verbs.send(room, text, kind=kind))
        except ChatError as error:
            self._not_said(text, error)
            return
        if not self.chat.online:
            self.show([show.waiting(self.chat.nick, text)])
        self._sending.add(answer)
        answer.add_done_callback(lambda done: self._said(done, text))

    async def settle(self) -> None:
        """Wait until everything that was said is answered."""
        while self._sending:
            await asyncio.wait(self._sending)

    def _said(self, answer: asyncio.Future[Any], text: str) -> None:
        self._sending.discard(answer)
        if not answer.cancelled() and (error := answer.exception()) is not None:
            self._not_said(text, error)

    def _not_said(self, text: str, error: BaseException) -> None:
        shortened = text if len(text) <= 60 else text[:57] + "…"
        self.tell(f"not sent: {shortened}: {error}")

    # -- what happens ----------------------------------------------------------------------------------------

    def happened(self, event: Event) -> None:
        """Take in an event, and show it where it belongs."""
        match event:
            case happenings.Offline():
                self._went_away(event)
            case happenings.Online():
                self._came_back(event)
            case happenings.RoomLost():
                self.show(show.lines(event, self.chat.nick))
                self._forget(event.room)
            case views.Presence():
                self._came_and_went(event)
            case views.Typing():
                self._typing(event)
            case _:
                self._said_in_room(event)

    def _said_in_room(self, event: Event) -> None:
        name = getattr(event, "room", "")
        lines = show.lines(event, self.chat.nick)
        if not name or isinstance(event, views.Invite):
            self.show(lines)
            return
        room = self._view(name)
        if isinstance(event, Durable):
            room.last_seq = max(room.last_seq, event.seq)
        if isinstance(event, views.Message):
            room.typing.pop(event.author.nick, None)
            if self.chat.session.msg_ids.is_own(event):
                room.last_own = event.seq
        if isinstance(event, views.Room):
            room.topic = event.changes.get("topic", room.topic)
        if isinstance(event, views.Member) and event.who == self.chat.nick and event.change in ("kick", "ban"):
            self.show(lines)
            self._forget(name)
            return
        self._show_in(room, lines)

    def _show_in(self, room: RoomView, lines: list[Line]) -> None:
        """Show lines of a room now, or keep them until it is looked at. What is for us alone is shown at once."""
        if room.name == self.current or self.screen.all_rooms:
            self.show(lines)
            return
        loud = any(line.loud for line in lines)
        if loud or room.name.startswith("@"):
            self.show(lines)
        else:
            room.kept.extend(lines)
        room.unread += bool(lines)
        room.loud = room.loud or loud

    def _came_and_went(self, event: views.Presence) -> None:
        lines = show.lines(event, self.chat.nick)
        for room in self.rooms.values():
            if event.room in (room.name, UNSET):
                room.members |= set(event.joined or ())
                room.members -= {one.nick for one in event.left or ()}
            for renamed in event.renamed or ():
                if renamed.old in room.members:
                    room.members = (room.members - {renamed.old}) | {renamed.new}
        if not event.room or event.room == self.current or self.screen.all_rooms:
            self.show(lines)

    def _typing(self, event: views.Typing) -> None:
        room = self.find(event.room)
        if room is not None and event.state == "active":
            room.typing[event.who] = time.monotonic() + TYPING_SECONDS
        elif room is not None:
            room.typing.pop(event.who, None)

    def _went_away(self, news: happenings.Offline) -> None:
        self.offline = (news.reason, time.monotonic() + news.retry_in)
        if news.first:
            self.tell(f"the server is away ({news.reason}); what you type is kept until it is back")

    def _came_back(self, news: happenings.Online) -> None:
        self.offline = None
        if news.again:
            waiting = self.chat.unanswered
            self.tell("the server is back" + (f"; sending what you typed ({waiting})" if waiting else ""))

    # -- showing ---------------------------------------------------------------------------------------------

    def show(self, lines: Iterable[Line]) -> None:
        """Show lines now."""
        self.screen.show(lines)

    def tell(self, text: str) -> None:
        """Show a line of our own."""
        self.show([show.notice(text)])

    def _view(self, name: str) -> RoomView:
        room = self.rooms.get(name)
        if room is None:
            room = self.rooms[name] = RoomView(name)
        return room

    def _forget(self, name: str) -> None:
        room = self.find(name)
        if room is None:
            return
        del self.rooms[room.name]
        if self.current == room.name:
            self.current = ""
            others = list(self.rooms.values())
            if others:
                self.look_at(others[-1])
