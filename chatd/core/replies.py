"""Replies: what the one who asked is told, exactly one for each command.

The ok replies of PROTOCOL.md section 4, field for field, and `Failure`. `re` is the command's `id`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from chatd.core.codes import Refusal
from chatd.core.views import Durable, Gap


class Reply(Struct, frozen=True, kw_only=True):
    """What every reply has. `re` is None for a command that had no id: only a codec for people shows it."""

    re: str | None
    ok: bool = True


class Problem(Struct, frozen=True, kw_only=True):
    """What went wrong: a code for programs, a sentence for people."""

    code: str
    message: str
    retry_after: float | UnsetType = UNSET
    details: dict[str, Any] | UnsetType = UNSET


class Failure(Reply, frozen=True, kw_only=True):
    """The command was refused, and nothing of it was done."""

    error: Problem


class Done(Reply, frozen=True, kw_only=True):
    """It is done, and there is nothing more to say: `part`, `presence`, `quit`."""


class Welcome(Reply, frozen=True, kw_only=True):
    """To `hello`: what this server is and allows."""

    version: int
    caps: list[str]
    server: str
    server_version: str
    network: str
    time: datetime
    limits: dict[str, Any]
    auth: list[str]
    registration: str
    durability: str
    motd: str | UnsetType = UNSET


class KnownRoom(Struct, frozen=True, kw_only=True):
    """A room in which one has been before."""

    room: str
    last_seq: int
    read_seq: int


class LoggedIn(Reply, frozen=True, kw_only=True):
    """To `auth`: who one is now. `token` is the way back to this identity; `ignored` is kept with the account."""

    session: str
    nick: str
    rooms: list[KnownRoom]
    account: str | UnsetType = UNSET
    token: str | UnsetType = UNSET
    ignored: list[str] | UnsetType = UNSET
    data: dict[str, str] | UnsetType = UNSET  # of scram-sha-256: the server proves that it knows the password, too


class Challenged(Reply, frozen=True, kw_only=True):
    """To the first `auth` of scram-sha-256: `data.message` is what the second is to answer."""

    data: dict[str, str]


class CameIn(LoggedIn, frozen=True, kw_only=True):
    """To coming in on the line port: `word` is what one can come back with."""

    word: str


class CameBack(CameIn, frozen=True, kw_only=True):
    """To coming back with a word: the rooms one is in again, and where each goes on.

    `current` is the room one was looking at; `since` are the numbers up to which rooms were shown before; `missed`
    counts what came after them. `nick_before` is there if that one is taken now. `exact`: nothing comes twice.
    """

    current: str
    since: dict[str, int]
    missed: int
    exact: bool
    nick_before: str | UnsetType = UNSET


class Pong(Reply, frozen=True, kw_only=True):
    """To `ping`: the server's time, and what was sent along."""

    time: datetime
    data: Any = None


class NickTaken(Reply, frozen=True, kw_only=True):
    """To `nick`: the nick as it is now."""

    nick: str


class Joined(Reply, frozen=True, kw_only=True):
    """To `join`: the room as it is now. `limited`: not everything since can be replayed."""

    room: str
    room_id: str
    first_seq: int
    last_seq: int
    topic: str
    role: str
    members_count: int
    limited: bool


class Sent(Reply, frozen=True, gc=False):
    """To `send` and `relate`: committed, at this number."""

    room: str
    seq: int
    event_id: str
    time: datetime
    duplicate: bool
    durability: str


class HistoryPage(Reply, frozen=True, kw_only=True):
    """To `history`: events ascending. Go on with `before: prev` or `after: next`; null where the end is.

    `gaps`: numbers among them that cannot be had.
    """

    room: str
    events: list[Durable]
    prev: int | None
    next: int | None
    first_seq: int
    last_seq: int
    gaps: list[Gap] | UnsetType = UNSET


class ResumedRoom(Struct, frozen=True, kw_only=True):
    """How far a resumed room has come."""

    last_seq: int
    limited: bool


class Resumed(Reply, frozen=True, kw_only=True):
    """To `resume`. `expired`: the token given is not valid any more, the present identity stays. `refused`: rooms that
    do not let one in any more, and why."""

    rooms: dict[str, ResumedRoom]
    expired: bool
    refused: dict[str, Problem] | UnsetType = UNSET


class ReadMarked(Reply, frozen=True, kw_only=True):
    """To `mark_read`: where the cursor stands; it never goes back."""

    seq: int


class Listed(Reply, frozen=True, kw_only=True):
    """To `list`: a page of items; go on with `cursor: next`."""

    items: list[dict[str, Any]]
    next: str | None


class Changed(Reply, frozen=True, kw_only=True):
    """To `set` and `moderate`: the number of the event, where there is one."""

    seq: int | UnsetType = UNSET


ALL: tuple[type[Reply], ...] = (
    Failure,
    Done,
    Welcome,
    LoggedIn,
    Challenged,
    Pong,
    NickTaken,
    Joined,
    Sent,
    HistoryPage,
    Resumed,
    ReadMarked,
    Listed,
    Changed,
)


def problem_of(refusal: Refusal) -> Problem:
    """A refusal as it is told."""
    return Problem(
        code=refusal.code,
        message=refusal.message,
        retry_after=UNSET if refusal.retry_after is None else refusal.retry_after,
        details=refusal.details or UNSET,
    )


def failure(re: str | None, refusal: Refusal) -> Failure:
    """The reply that tells of a refusal."""
    return Failure(re=re, ok=False, error=problem_of(refusal))
