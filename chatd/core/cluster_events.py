"""Events that only a cluster has: its nodes come and go, and what was elsewhere before is brought into the stream.

They are told apart from `chatd.core.events` as the journal of one machine never sees them.
"""

from __future__ import annotations

from msgspec import Struct

from chatd.core.charge import Ruling
from chatd.core.events import (
    STORED,
    AwayChanged,
    Became,
    Joined,
    Kept,
    LoggedIn,
    LoggedOut,
    NickChanged,
    Parted,
    Passing,
)

# -- kept ------------------------------------------------------------------------------------------------


class RoomBrought(Kept, frozen=True, tag="room-brought/1"):
    """A room that was elsewhere before, as it was there, up to its first number. Nothing, if a room has its id.

    `link_before` is where its chain begins (`chatd.journal.chain`). `by_room`: an author may have one `msg_id` in
    several of the rooms that come with it (`chatd.journal.schema.BY_ROOM`).
    """

    room_id: str
    name: str
    parties: tuple[tuple[str, str], ...]
    first_seq: int
    link_before: bytes
    topic: str
    rulings: tuple[Ruling, ...]
    by_room: bool = False


class BroughtEvent(Struct, frozen=True, array_like=True):
    """A numbered event as it was stored elsewhere. `digest` is that of the content, if it is not there any more."""

    seq: int
    time: int
    blob: bytes
    digest: bytes = b""


class Brought(Kept, frozen=True, tag="brought/1"):
    """What such a room has, under the numbers that it had. What is there already is left as it is."""

    room_id: str
    events: tuple[BroughtEvent, ...]


class AccountBrought(Kept, frozen=True, tag="account-brought/1"):
    """An account that was elsewhere before. Nothing, if there is one with its id, or with its name."""

    user_id: str
    name: str
    made: int
    generation: int
    disabled: bool
    ignored: tuple[str, ...]
    verifier: str


# -- passing ---------------------------------------------------------------------------------------------


class NodeCame(Passing, frozen=True, tag="node-came/1"):
    """A node takes part in the cluster from now on: this is one run of it, and every earlier one is over.

    `node` names the run, `machine` the node itself, for as long as its folder is there. `secret` is the one with which
    the cluster signs tokens, if it has none yet. `attempt` counts how often the run has asked who is here.
    """

    node: str
    machine: str
    secret: bytes
    attempt: int = 0


class NodeGone(Passing, frozen=True, tag="node-gone/1"):
    """A run of a node is over, and with it every session that it had; what it proposes from now on does not count."""

    node: str
    reason: str


class Typed(Passing, frozen=True, tag="typed/1"):
    """A user is typing in a room, or stopped. It has no place in the order: other nodes may never hear it."""

    room_id: str
    user_id: str
    nick: str
    state: str


PROPOSED = (
    STORED
    | RoomBrought
    | Brought
    | AccountBrought
    | LoggedIn
    | Became
    | LoggedOut
    | NickChanged
    | Joined
    | Parted
    | AwayChanged
    | NodeCame
    | NodeGone
)
"""What one node can propose and all others have to understand."""
