"""What the three faces have in common: a session, the events that wait for the reader, and the cursor file.

A face adds a transport, a clock and its own way of waiting. It is told what happened, keeps what the reader
will want, and settles what was asked. It does no I/O of its own but for the cursor file.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import ssl
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypedDict

from msgspec.structs import replace

from chatd import __version__
from chatd.client import address as addresses
from chatd.client import happenings, verbs
from chatd.client.cursor import CursorFile, Remembered
from chatd.client.encrypted import context_of
from chatd.client.errors import ChatError, Disconnected
from chatd.client.happenings import Happening, News
from chatd.client.login import Login
from chatd.client.manner import Manner
from chatd.client.msgids import MsgIds
from chatd.client.nicks import default_nick
from chatd.client.session import Session
from chatd.client.verbs import Saying, Spot
from chatd.core import commands, views
from chatd.core.commands import Command
from chatd.core.replies import Joined, Reply, Welcome
from chatd.core.views import View

Event = View | News

MOST_EVENTS = 5000
_LOG = logging.getLogger("chatd.client")

DURABLE = (views.Message, views.Relation, views.Member, views.Room)


class Wishes(TypedDict, total=False):
    """What `connect` can be told, by keyword; the same for all three faces.

    - `nick`: what to be called. Without it, `$CHATD_NICK` or the name of the user of this machine.
    - `strict`: if the nick is taken, fail with `Refused` instead of taking the one that the server suggests.
    - `token`: the way back to a guest's identity, from `chat.token` of another time.
    - `account`, `password`: for those who have an account.
    - `tls`: encrypt. True for a server whose certificate this machine trusts, or a context, such as
      `chatd.client.encrypted.context_of` makes (False).
    - `secretly`: prove the password without sending it, if the server has scram-sha-256; without this wish, where the
      connection is not encrypted and leaves this machine.
    - `register`: make the account (False). `invite`: make it with this invite.
    - `reconnect`: come back when the connection is lost, with nothing missed and nothing sent twice (True).
    - `wait`: seconds to wait for a server that is not there yet; None for ever (10).
    - `away`: seconds to wait for one that went away; None for ever (None).
    - `cursor_file`: a path. What was handled is remembered there, over restarts; see `chat.done`.
    - `own`: show one's own messages among the events, too (False).
    - `bot`: be marked as a bot (False).
    - `client`: what this program is called.
    - `on_news`: called at once with every `News`, also before the first connection.
    """

    nick: str | None
    strict: bool
    token: str | None
    account: str | None
    password: str | None
    tls: ssl.SSLContext | bool
    secretly: bool
    register: bool
    invite: str | None
    reconnect: bool
    wait: float | None
    away: float | None
    cursor_file: str | os.PathLike[str] | None
    own: bool
    bot: bool
    client: str
    on_news: Callable[[News], object]


class Face(ABC):
    """The common part of every face. `now` is the moment on the face's steady clock."""

    def __init__(self, address: str, now: float, wishes: Wishes) -> None:
        self._places = addresses.Places(address or os.environ.get("CHATD_SERVER", ""))
        is_near = all(place.is_local for place in self._places.all)
        tls = wishes.get("tls", False)
        self._tls = context_of() if tls is True else tls or None
        path = wishes.get("cursor_file")
        self._cursor = None if path is None else CursorFile(path)
        kept = Remembered() if self._cursor is None else self._cursor.holds
        nick = wishes.get("nick")
        login = Login(
            nick or kept.nick or wishes.get("account") or default_nick(),
            token=wishes.get("token") or kept.token,
            account=wishes.get("account"),
            password=wishes.get("password"),
            register=wishes.get("register", False),
            invite=wishes.get("invite"),
            flexible=not wishes.get("strict", False),
            secretly=wishes.get("secretly", self._tls is None and not is_near),
        )
        self.session = Session(
            login,
            msg_ids=MsgIds(kept.root, secrets.token_hex(3)),
            chance=random.random,
            now=now,
            wall=time.time() - now,
            manner=Manner(
                client=wishes.get("client", "chatd.client"),
                client_version=__version__,
                bot=wishes.get("bot", False),
                own=wishes.get("own", False),
                reconnect=wishes.get("reconnect", True),
                wait=wishes.get("wait", 10.0),
                places=len(self._places.all),
                away=wishes.get("away"),
            ),
        )
        self._waiting: deque[Event] = deque()
        self._handed_out: Event | None = None
        self._ended = False
        self._error: ChatError | None = None
        self._on_news = wishes.get("on_news", _log)

    # -- what is known ---------------------------------------------------------------------------------------

    @property
    def address(self) -> addresses.Address:
        """Where the server is that we speak to, or tried last."""
        return self._places.now

    def _dialling(self) -> None:
        """We are about to connect, perhaps somewhere else."""
        self.session.dialling()
        self._places.turn(self.session.link.alternate)
        self.session.link.alternate = ""

    @property
    def nick(self) -> str:
        """What we are called."""
        return self.session.nick

    @property
    def token(self) -> str | None:
        """The way back to this identity. As good as a password: keep it to yourself."""
        return self.session.login.token

    @property
    def online(self) -> bool:
        """Whether the server is there just now."""
        return self.session.online

    @property
    def server(self) -> Welcome | None:
        """What the server said of itself: version, limits, durability; None before the first connection."""
        return self.session.server

    @property
    def lag(self) -> float | None:
        """Seconds from asking to answer, as last measured."""
        return self.session.link.lag

    @property
    def skew(self) -> float | None:
        """Seconds that the server's clock is ahead of ours."""
        return self.session.link.skew

    @property
    def unanswered(self) -> int:
        """How many requests have no answer yet; they wait while the server is away."""
        return self.session.waiting

    @property
    def has_more(self) -> bool:
        """Whether the next event is there already."""
        return bool(self._waiting)

    # -- events ----------------------------------------------------------------------------------------------

    def done(self, event: Event) -> None:
        """This event is handled: with a cursor file, it will not be shown again after a restart.

        Asking for the next event does the same for the last one, so a loop need not call this, unless it
        leaves the loop, or counts an event as handled earlier than at its end.
        """
        if event is self._handed_out:
            self._handed_out = None
        if self._cursor is not None and isinstance(event, DURABLE):
            self._cursor.done(event)

    def _take(self, now: float) -> Event | None:
        """The next event for the reader, if there is one. The one before it counts as handled."""
        if self._handed_out is not None:
            self.done(self._handed_out)
        self._handed_out = self._pop(now)
        return self._handed_out

    def _pop(self, now: float) -> Event | None:
        if not self._waiting:
            return None
        event = self._waiting.popleft()
        if self.session.rooms.full and len(self._waiting) <= MOST_EVENTS // 2:
            self.session.make_room(now)
        return event

    def _digest(self, happened: Iterable[Happening]) -> None:
        """Take in what happened: settle what was asked, keep what is to be shown."""
        for thing in happened:
            match thing:
                case happenings.Answered():
                    if isinstance(thing.reply, Joined) and self._cursor is not None:
                        self._begin_cursor(thing.reply)
                    self._settle(thing.ticket, thing.reply)
                case happenings.Turned():
                    self._settle(thing.ticket, thing.error)
                case happenings.Ended():
                    self._ended, self._error = True, thing.error
                case _:
                    if isinstance(thing, happenings.Online | happenings.KnownAs) and self._cursor is not None:
                        self._cursor.known_as(self.nick, self.token)
                    elif isinstance(thing, happenings.Rewound) and self._cursor is not None:
                        self._cursor.rewind(thing.room)
                    self._waiting.append(thing)
            if isinstance(thing, News):
                self._on_news(thing)
        if len(self._waiting) >= MOST_EVENTS:
            self.session.rooms.full = True

    def _begin_cursor(self, joined: Joined) -> None:
        """From the moment of joining on, nothing is to be missed, even if we stop before anything is said."""
        assert self._cursor is not None
        track = self.session.rooms.get(joined.room)
        if track is not None and track.began is not None:  # not `seen`: what came with the reply is not handled yet
            self._cursor.start(joined.room, joined.room_id, track.began)

    def _answer(self, event: Spot, body: str, saying: Saying) -> commands.Send:
        """The answer to a message, with an id that is made from the message's."""
        saying.setdefault("reply_to", event.seq)
        event_id = getattr(event, "event_id", f"{event.room}:{event.seq}")
        saying.setdefault("msg_id", self.session.msg_ids.answer(event_id))
        return verbs.send(event.room, body, **saying)

    # -- asking ----------------------------------------------------------------------------------------------

    def _submit(self, command: Command, now: float) -> int:
        """Ask, and get the ticket. A room that the cursor file knows is joined from where we were."""
        if not isinstance(command, commands.Join) or self._cursor is None:
            return self.session.ask(command, now)
        place = self._cursor.place(command.room)
        if place is None or self.session.rooms.get(place.room) is not None:
            return self.session.ask(command, now)
        self.session.rooms.known(place.room, place.room_id, place.seq)
        return self.session.ask(replace(command, since=place.seq), now, elastic=True)

    @abstractmethod
    def _settle(self, ticket: int, outcome: Reply | ChatError) -> None:
        """Give the outcome to the one who asked."""

    def _release(self) -> None:
        """Let another program use the cursor file."""
        if self._cursor is not None:
            self._cursor.close()

    def _why_ended(self) -> ChatError:
        return self._error or Disconnected("the session is over")


def _log(news: News) -> None:
    """Somebody whose program seems to do nothing, or whose name is another, should find out why."""
    match news:
        case happenings.Offline(first=True):
            _LOG.warning("%s; trying again", news.reason)
        case happenings.KnownAs():
            _LOG.warning("we are called %s, not %s (%s)", news.nick, news.wanted, news.why)
        case happenings.Rewound():
            _LOG.warning("%s has no number %s any more; it is shown again from the first", news.room, news.seen)
