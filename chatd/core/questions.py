"""Questions: what a rule needs to know from what is stored, and the answers.

`decide` may return a `Fetch` effect with one of these; the hub asks the journal and calls `decide` again with
the answer. Numbers are room numbers (`seq`), times are microseconds since 1970.
"""

from __future__ import annotations

from enum import Enum, auto

from msgspec import Struct

from chatd.core.charge import Ruling
from chatd.core.events import Bookmark, Entry


class Side(Enum):
    """From which side of a place a page is taken."""

    BEFORE = auto()  # the newest `limit` entries with seq < place
    AFTER = auto()  # the oldest `limit` entries with seq > place
    AROUND = auto()  # about half before and half from the place on


class Question(Struct, frozen=True):
    """Something to look up in what is stored."""


class PageWanted(Question, frozen=True):
    """A page of a room's numbered entries, always answered in ascending order: `Page`.

    `place` is a seq, or a time if `by_time`; None with BEFORE means the latest. `max_bytes` bounds the sum of
    the stored sizes (at least one entry is returned whatever its size). What comes after the number `last` is taken as
    not there: the journal may have more than has been shown to anybody.
    """

    room_id: str
    side: Side
    place: int | None
    limit: int
    by_time: bool = False
    max_bytes: int = 1 << 20
    last: int | None = None


class Page(Struct, frozen=True):
    """Entries ascending, and the range of numbers that the room still has (`first_seq` is `last_seq + 1` if none).

    `lost` are the stretches of the page that are damaged and cannot be had, each from one number to another.
    """

    entries: list[Entry]
    first_seq: int
    last_seq: int
    lost: tuple[tuple[int, int], ...] = ()

    @property
    def span(self) -> tuple[int, int]:
        """The numbers that the page answers for, from the first to the last; the last is lower if there are none."""
        lows = [low for low, _ in self.lost[:1]] + [entry.seq for entry in self.entries[:1]]
        highs = [high for _, high in self.lost[-1:]] + [entry.seq for entry in self.entries[-1:]]
        return min(lows, default=1), max(highs, default=0)


class EntryWanted(Question, frozen=True):
    """One numbered entry, answered with `Entry` or None."""

    room_id: str
    seq: int


class SearchWanted(Question, frozen=True):
    """The newest `limit` entries of a room in which all these words are, from an author if one is named: `Found`.

    With the side AFTER, the oldest after the number `place`; with BEFORE, the newest before it, if there is a place.
    What comes after the number `last` is taken as not there.
    """

    room_id: str
    query: str
    author: str
    side: Side
    place: int | None
    limit: int
    last: int | None = None


class Found(Struct, frozen=True):
    """Entries ascending, the first number that the room still has, and whether there are more on that side."""

    entries: list[Entry]
    first_seq: int
    more: bool


class CursorsWanted(Question, frozen=True):
    """How far a user has read in each room: `dict[room_id, seq]`."""

    user_id: str


class BookmarkWanted(Question, frozen=True):
    """The bookmark with this key, answered with `KeptBookmark` or None."""

    key: str


class KeptBookmark(Struct, frozen=True):
    """A bookmark, and when it was last true (microseconds since 1970)."""

    bookmark: Bookmark
    time: int


class VerifierWanted(Question, frozen=True):
    """What is kept of an account's password, answered with a string or None. Only the hub's proof asks for it."""

    user_id: str


class InviteWanted(Question, frozen=True):
    """Until when the invite with this key is good (microseconds since 1970), or None if there is none."""

    key: str


class Proof(Question, frozen=True):
    """Whether this is the password of an account; the hub sees to it, and how often. Answered `Proven` or None.

    `account` is the name as it was typed; `user_id` is empty if there is no such account, which takes as long.
    `key` is that of the bookmark that is wanted as well, `reads_as` whose cursors. With `scram`, the
    client-final-message (RFC 5802) takes the place of the password.
    """

    account: str
    user_id: str
    password: str
    reads_as: str = ""
    key: str = ""
    scram: str = ""


class Proven(Struct, frozen=True):
    """The password was right. `bookmark` and `cursors` are what was asked for with it; `scram` is the
    server-final-message."""

    cursors: dict[str, int]
    bookmark: KeptBookmark | None = None
    scram: str = ""


class ChallengeWanted(Question, frozen=True):
    """The server-first-message (RFC 5802) to this client-first-message; the hub sees to it. Answered `Challenge`.

    `account` and `user_id` are as in `Proof`.
    """

    account: str
    user_id: str
    message: str


class Challenge(Struct, frozen=True):
    """What the client is to answer with the password that it knows."""

    message: str


class HashWanted(Question, frozen=True):
    """What is to be kept of a password; the hub sees to it. With the key of an `invite`, only if that is good."""

    password: str
    invite: str = ""


class Hashed(Struct, frozen=True):
    """What is to be kept of a password; empty if the invite is not good."""

    verifier: str


class StoredAccount(Struct, frozen=True):
    """An account as the journal keeps it, without what is kept of its password. `made` in microseconds since 1970."""

    user_id: str
    name: str
    made: int
    generation: int = 1
    disabled: bool = False
    ignored: tuple[str, ...] = ()


class StoredRoom(Struct, frozen=True):
    """A room as the journal keeps it. `parties` as in `RoomMade`; `topic` as last changed."""

    room_id: str
    name: str
    parties: tuple[tuple[str, str], ...]
    first_seq: int
    last_seq: int
    topic: str


class PresentUser(Struct, frozen=True, array_like=True):
    """Somebody who is here, on whatever node; as `chatd.core.state.User`."""

    user_id: str
    nick: str
    account: str | None = None
    bot: bool = False
    away: str | None = None


class PresentSession(Struct, frozen=True, array_like=True):
    """A session of somebody who is here; `rooms` are ids."""

    session_id: str
    user_id: str
    rooms: tuple[str, ...]
    device: str
    node: str


class PresentRoom(Struct, frozen=True, array_like=True):
    """A room in which nothing was said so far, which is why no journal keeps it."""

    room_id: str
    name: str
    maker: tuple[str, str]
    rulings: tuple[Ruling, ...]


class Present(Struct, frozen=True, array_like=True):
    """What a cluster's nodes know at one place of the order and none of them keeps: who is here, and where.

    `nodes` are the runs that take part, each with the node that it is of.
    """

    nodes: tuple[tuple[str, str], ...] = ()
    users: tuple[PresentUser, ...] = ()
    sessions: tuple[PresentSession, ...] = ()
    rooms: tuple[PresentRoom, ...] = ()


class Snapshot(Struct, frozen=True):
    """What a hub starts from: all rooms, the secret with which tokens are signed (32 bytes), all accounts, and what was
    ordered, each with the id of its room; and who is here already, in a cluster."""

    rooms: list[StoredRoom]
    secret: bytes
    accounts: list[StoredAccount] = []
    rulings: list[tuple[str, Ruling]] = []
    present: Present = Present()


class UpToDate(Question, frozen=True):
    """Whether what the other nodes have committed by now has been shown here, too; answered True once it has.

    With some `seconds`, also what they commit within these.
    """

    seconds: float = 0.0
