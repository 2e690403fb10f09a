"""Events: what has happened, and entries: events with their number and time.

There are three sorts. *Numbered* events are the durable events of a room: kept for ever and given the room's
next `seq`. *Kept* events are stored but have no number. *Passing* events are put in order with the others and
kept nowhere: comings and goings. The journal knows the sort and nothing else of what an event means, apart from
the few fields named in `chatd.interfaces`.

Stored forms are MessagePack arrays whose first word carries the version (`"message/1"`); fields are only ever
added at the end, with a default.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from msgspec import Struct

from chatd.core.codes import Code
from chatd.core.commands import Action, Kind, Rel


class Event(Struct, frozen=True, array_like=True):
    """Something that has happened."""


class Numbered(Event, frozen=True):
    """A durable event of a room. `author` is a user id; `nick` is what that user was called at the time."""

    room_id: str
    author: str
    nick: str


class Kept(Event, frozen=True):
    """Stored, without a number."""


class Passing(Event, frozen=True):
    """Ordered, not stored."""


# -- numbered --------------------------------------------------------------------------------------------


class MessageSent(Numbered, frozen=True, tag="message/1", gc=False):
    """Somebody said something. `msg_id` is unique for its author for as long as the message is kept."""

    kind: Kind
    body: str
    msg_id: str | None = None
    reply_to: int | None = None
    data: Any = None
    schema: str | None = None
    account: str | None = None
    bot: bool = False
    redacted: bool = False


class Related(Numbered, frozen=True, tag="relation/1"):
    """Somebody edited, redacted, pinned, or reacted to the message numbered `target`."""

    rel: Rel
    target: int
    body: str | None = None
    key: str | None = None
    reason: str | None = None
    msg_id: str | None = None
    account: str | None = None
    bot: bool = False
    redacted: bool = False


class RoomChanged(Numbered, frozen=True, tag="room/1"):
    """Somebody changed the room itself."""

    changes: dict[str, Any]


class Moderated(Numbered, frozen=True, tag="member/1"):
    """Somebody in charge did something about somebody: the record of it, and what holds from then on.

    `who` is whom it is about, as they were called; `key`, `user_id`, `folded` and `network` are those of the `Ruling`.
    `until` is in microseconds since 1970, 0 for ever. `role` is there with `role`, and the level with `lockdown`.
    """

    change: Action
    who: str
    key: str = ""
    user_id: str = ""
    folded: str = ""
    network: str = ""
    role: str = ""
    until: int = 0
    reason: str = ""


# -- kept ------------------------------------------------------------------------------------------------


class RoomMade(Kept, frozen=True, tag="room-made/1"):
    """A room is there to stay: proposed right before its first numbered event.

    `parties` is empty for a room with a name; for a direct room it holds the two users' (id, nick) pairs.
    `owner` is the id of who is in charge of it, if anybody is, and `owner_nick` what that user is called.
    A second one for the same room changes nothing.
    """

    room_id: str
    name: str
    parties: tuple[tuple[str, str], ...] = ()
    owner: str = ""
    owner_nick: str = ""


class Admitted(Kept, frozen=True, tag="admitted/1"):
    """These users, as (id, nick), may come into a room again whatever its door is like, for good or `until` then."""

    room_id: str
    users: tuple[tuple[str, str], ...]
    until: int = 0


class ReadMarked(Kept, frozen=True, tag="read/1"):
    """A user has read a room up to a number."""

    user_id: str
    room_id: str
    seq: int


class Purged(Kept, frozen=True, tag="purged/1"):
    """What a room had before the number `first_seq` has been removed, for good."""

    room_id: str
    first_seq: int


class Shown(Struct, frozen=True, array_like=True):
    """Up to which number somebody was shown a room. `name` is empty for a direct room."""

    room_id: str
    name: str
    seq: int


class Bookmark(Struct, frozen=True, array_like=True):
    """Where somebody was who can come back with a word; `key` is all that is kept of the word.

    `current` is the id of the room that was looked at. `is_exact` once nothing more was shown after it.
    """

    key: str
    user_id: str
    nick: str
    current: str = ""
    rooms: tuple[Shown, ...] = ()
    is_exact: bool = False


class BookmarksMoved(Kept, frozen=True, tag="bookmarks/1"):
    """These take the place of the earlier ones with their keys.

    Of all others, those go that are older than `drop_before` (microseconds since 1970), and, if `most` is not 0, the
    oldest beyond so many.
    """

    bookmarks: tuple[Bookmark, ...]
    drop_before: int = 0
    most: int = 0


class AccountMade(Kept, frozen=True, tag="account/1"):
    """From now on a name belongs to this user. `verifier` is what is kept of the password: never the password.

    With an `invite` (its key), that one is used up by it.
    """

    user_id: str
    name: str
    verifier: str
    invite: str = ""


class PasswordChanged(Kept, frozen=True, tag="password/1"):
    """An account has another password. What was given out to come back with before is no longer good for anything.

    All its sessions end but the one with this id.
    """

    user_id: str
    verifier: str
    session_id: str = ""


class PasswordRehashed(Kept, frozen=True, tag="rehash/1"):
    """What is kept of the same password was made anew, by other settings; nothing else changes."""

    user_id: str
    verifier: str


class IgnoredSet(Kept, frozen=True, tag="ignored/1"):
    """Whom the owner of an account does not want to hear: these names, and no others."""

    user_id: str
    names: tuple[str, ...]


class AccountDisabled(Kept, frozen=True, tag="disabled/1"):
    """An account cannot be used any more, or can again. Its name stays its own."""

    user_id: str
    disabled: bool


class InviteMade(Kept, frozen=True, tag="invite/1"):
    """Whoever has the word of this key can make one account until `expires` (microseconds since 1970)."""

    key: str
    expires: int


# -- passing ---------------------------------------------------------------------------------------------


class LoggedIn(Passing, frozen=True, tag="login/1"):
    """A session has begun. `node` is the run of the node where it is; empty where there is only one."""

    session_id: str
    user_id: str
    nick: str
    account: str | None = None
    bot: bool = False
    device: str = ""
    node: str = ""


class Became(Passing, frozen=True, tag="became/1"):
    """A session that was a guest's is an account's from now on, in the rooms where it is."""

    session_id: str
    user_id: str
    nick: str
    account: str
    device: str = ""


class LoggedOut(Passing, frozen=True, tag="logout/1"):
    """A session has ended."""

    session_id: str
    reason: str


class NickChanged(Passing, frozen=True, tag="nick/1"):
    """A user is called otherwise."""

    user_id: str
    nick: str


class Joined(Passing, frozen=True, tag="join/1"):
    """A session entered a room. If no room has the name yet, `room_id` is the new room's, and the user its owner if
    `owns`."""

    session_id: str
    room_id: str
    name: str
    owns: bool = False


class Parted(Passing, frozen=True, tag="part/1"):
    """A session left a room; `forced`, if it was sent away."""

    session_id: str
    room_id: str
    reason: str
    forced: bool = False


class AwayChanged(Passing, frozen=True, tag="away/1"):
    """A user went away (a message, perhaps empty) or came back (None)."""

    user_id: str
    message: str | None


STORED = (
    MessageSent
    | Related
    | RoomChanged
    | Moderated
    | RoomMade
    | Admitted
    | ReadMarked
    | Purged
    | BookmarksMoved
    | AccountMade
    | PasswordChanged
    | PasswordRehashed
    | IgnoredSet
    | AccountDisabled
    | InviteMade
)

# -- entries ---------------------------------------------------------------------------------------------


class Fate(Enum):
    """What became of a proposed event."""

    COMMITTED = auto()  # it happened; numbered ones have their seq
    REPEATED = auto()  # same author, msg_id and content as an earlier one: seq and time are the earlier one's
    REFUSED = auto()  # it did not happen; `code` says why


class Proposal(Struct, frozen=True, gc=False):
    """An event that is to happen. `time` in microseconds since 1970.

    `ticket` is whatever the proposer wants back with the entry; it stays in this process and is never stored.
    """

    event: Event
    time: int
    ticket: Any = None


class Entry(Struct, frozen=True, gc=False):
    """An event in its place: `seq` is the number in its room for numbered events, else 0."""

    event: Event
    time: int
    seq: int = 0
    ticket: Any = None
    fate: Fate = Fate.COMMITTED
    code: Code | None = None
