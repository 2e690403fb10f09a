"""Effects: what the rules want done. `decide` and `apply` return them and do nothing else; the hub runs them."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from chatd.core.cluster_events import Typed
from chatd.core.codes import Code
from chatd.core.commands import Command
from chatd.core.events import Bookmark, Entry, Event, Moderated
from chatd.core.questions import Question
from chatd.core.replies import Reply


class Effect(Struct, frozen=True):
    """Something to be done."""


# -- of decide -------------------------------------------------------------------------------------------


class Append(Effect, frozen=True, gc=False):
    """Propose events to the journal, in this order; the command is answered when the last comes back.

    `command` stands for the one that was given, if what it asks became clearer on the way. `known` is what the
    answer will need of what was fetched. With no events at all the command is answered in its turn.
    """

    events: tuple[Event, ...]
    command: Command | None = None
    known: Any = None


class Answer(Effect, frozen=True):
    """Answer the command now."""

    reply: Reply


class Fetch(Effect, frozen=True):
    """Look this up, then decide again with the answer."""

    question: Question


class Greet(Effect, frozen=True):
    """The peer has said hello: these capabilities hold for it from now on."""

    caps: frozenset[str]


class Subscribe(Effect, frozen=True):
    """Show, or show no longer, comings and goings to this session."""

    wanted: bool


class Show(Effect, frozen=True):
    """Show a room what is seen only while it happens, but not to who does it."""

    event: Typed


class Paced(Effect, frozen=True):
    """The user speaks in this room now, where one may only do so every few seconds."""

    room_id: str


class Leave(Effect, frozen=True):
    """The session wants to go: say goodbye and close."""

    reason: str


# -- of apply --------------------------------------------------------------------------------------------


class Deliver(Effect, frozen=True, gc=False):
    """Show a numbered entry to everyone in its room."""

    room_id: str
    entry: Entry


class Entered(Effect, frozen=True):
    """A session is in a room from now on. `first`: no other session of the same user was there before."""

    room_id: str
    session_id: str
    nick: str
    first: bool


class Gone(Effect, frozen=True):
    """A session is in a room no longer, because it was sent away if `forced`. `last`: no other session of the same user
    is there."""

    room_id: str
    session_id: str
    nick: str
    reason: str
    last: bool
    forced: bool = False


class Ordered(Effect, frozen=True):
    """Something that somebody in charge did is committed."""

    event: Moderated


class Invited(Effect, frozen=True):
    """Somebody was asked into a room by another who is called so."""

    user_id: str
    room_id: str
    by: str


class Expelled(Effect, frozen=True):
    """Who is connected from this network, and not in charge, has to leave the room, or the server if it is its room."""

    room_id: str
    network: str
    code: Code
    reason: str


class SentAway(Effect, frozen=True):
    """These sessions have to leave the room: the node where each of them is says so in the order of people."""

    room_id: str
    session_ids: tuple[str, ...]
    reason: str


class Renamed(Effect, frozen=True):
    """A user who is in these rooms has another nick."""

    rooms: tuple[str, ...]
    old: str
    new: str


class Became(Effect, frozen=True):
    """A session is another user's now. In `left` the old one is no longer, in `entered` the new one was not before."""

    session_id: str
    left: tuple[str, ...]
    entered: tuple[str, ...]
    old: str
    new: str


class AccountChanged(Effect, frozen=True):
    """Something of an account is committed: it was made, disabled, or has another password."""

    user_id: str


class InviteKept(Effect, frozen=True):
    """From now on this invite is good."""

    key: str


class Ended(Effect, frozen=True):
    """These sessions must not go on; they are told why."""

    session_ids: tuple[str, ...]
    code: Code
    reason: str


class NodeCame(Effect, frozen=True):
    """A node takes part from now on, and wants to know who is here. `others` are those who could tell it."""

    node: str
    attempt: int
    others: tuple[str, ...]


class AwayChanged(Effect, frozen=True):
    """A user who is in these rooms went away (a message) or came back (None)."""

    rooms: tuple[str, ...]
    nick: str
    message: str | None


class CursorMoved(Effect, frozen=True):
    """A user has read a room up to this number."""

    user_id: str
    room_id: str
    seq: int


class BookmarksKept(Effect, frozen=True):
    """From now on these are stored."""

    bookmarks: tuple[Bookmark, ...]


class Rejected(Effect, frozen=True):
    """The event lost against an earlier one and changed nothing; its owner is told."""

    code: Code
    message: str
