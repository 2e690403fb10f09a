"""The context of a decision: who asks, when, and what is known. Time, chance and ids come in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from chatd.core.codes import Code, Refusal
from chatd.core.limits import Rules
from chatd.core.state import Room, Session, State

UNASKED: Any = object()


class Context(Struct):
    """Everything `decide` may look at.

    `session` is None until logged in; `session_id` is the one it has then. `now` in microseconds since 1970.
    `ids` gives a new random id of 16 hexadecimal digits at each call. `known` is the answer to a `Fetch`.
    `trusted`: the peer comes from a network in which rates and connection caps do not hold; `address` is where it is.
    `paces` tells when a user last spoke in a room in which that counts: (room id, user id) to microseconds since 1970.
    `node` is the run of the node of a cluster, and empty where there is only one.
    """

    state: State
    rules: Rules
    session_id: str
    now: int
    ids: Callable[[], str]
    session: Session | None = None
    greeted: bool = False
    trusted: bool = False
    caps: frozenset[str] = frozenset()
    known: Any = UNASKED
    address: str = ""
    paces: Mapping[tuple[str, str], int] = {}
    node: str = ""

    @property
    def me(self) -> Session:
        """The session that asks; the table in `decide` lets nobody else come here."""
        assert self.session is not None
        return self.session

    def room_or_none(self, name: str) -> Room | None:
        """The room called so, a direct room by the other's name."""
        if name[:1] == "@":
            return self.state.direct_with(self.me.user.id, name[1:])
        return self.state.room_called(name)

    def find_room(self, name: str) -> Room:
        """The room called so; refuses if there is none."""
        room = self.room_or_none(name)
        if room is None:
            raise Refusal(Code.NO_SUCH_ROOM, f"there is no room {name!r}", details={"room": name})
        return room

    def my_room(self, name: str) -> Room:
        """A room that the session is in; refuses otherwise. One is always in one's direct rooms."""
        room = self.room_or_none(name) or self.find_room(name)
        if room.parties is None and room.id not in self.me.rooms:
            raise Refusal(Code.NOT_IN_ROOM, f"you are not in {room.name}; join it first", details={"room": room.name})
        return room
