"""What a session tells besides the events of the room: its own fortunes, and answers to what was asked.

`events()` of every face gives `View`s of `chatd.core.views` and the `News` of this file, in the order in
which they came about. `Answered` and `Turned` never reach the user: a face turns them into results.
"""

from __future__ import annotations

from msgspec import Struct

from chatd.client.errors import ChatError
from chatd.core.replies import Reply, Welcome
from chatd.core.views import View


class News(Struct, frozen=True, kw_only=True):
    """Something that became of the connection."""


class Online(News, frozen=True):
    """The server knows us and takes requests. `again`: we had been here before and our rooms are taken up."""

    nick: str
    server: Welcome
    again: bool


class Offline(News, frozen=True):
    """There is no connection. The next attempt comes in `retry_in` seconds. `first`: it is news, not one more try."""

    reason: str
    retry_in: float
    first: bool


class KnownAs(News, frozen=True):
    """We are called otherwise than we asked for, and why."""

    wanted: str
    nick: str
    why: str


class Delayed(News, frozen=True):
    """The server asks for patience: what was asked as `ticket` is repeated in `retry_in` seconds."""

    ticket: int
    code: str
    message: str
    retry_in: float


class RoomLost(News, frozen=True):
    """A room in which we were before could not be taken up again."""

    room: str
    code: str
    message: str


class Rewound(News, frozen=True):
    """A room does not reach the number `seen`, up to which we had been shown it: the server went back to an older
    backup, or has lost it. All of it is shown again from the first number on, and numbers may stand for other messages.
    """

    room: str
    seen: int


class Ended(News, frozen=True):
    """The session is over and will not come back; `error` is None if we left ourselves."""

    error: ChatError | None


class Answered(Struct, frozen=True):
    """What was asked under this ticket has been done."""

    ticket: int
    reply: Reply


class Turned(Struct, frozen=True):
    """What was asked under this ticket has been turned down, or given up."""

    ticket: int
    error: ChatError


Happening = View | News | Answered | Turned
