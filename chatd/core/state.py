"""The state of a chat: users, sessions and rooms, as `apply` has left them.

There is one, and with it one registry of users. Only `apply` writes to it. Sessions, users and memberships live
as long as they last; a room with at least one numbered event is there for ever (`kept`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

from chatd.core.accounts import Accounts
from chatd.core.charge import MACHINE, MACHINE_RANK, RANKS, SERVER_ID, SERVER_RANK, Charge, Ruling
from chatd.core.names import fold, skeleton
from chatd.core.questions import Snapshot, StoredAccount, StoredRoom


@dataclass(slots=True)
class User:
    """Somebody who is here, with one session or more. `away` is None while present."""

    id: str
    nick: str
    account: str | None = None
    bot: bool = False
    away: str | None = None
    sessions: tuple[str, ...] = ()  # mostly one: a set of it would take four times as much


@dataclass(slots=True)
class Session:
    """One logged-in connection somewhere; `rooms` are room ids."""

    id: str
    user: User
    rooms: frozenset[str] = frozenset()
    device: str = ""
    node: str = ""  # the run of the node where it is

    @property
    def reads_as(self) -> str:
        """Whose read cursors are its own: each device of an account has some."""
        return reads_as(self.user.id, self.device)

    def enter(self, room_id: str) -> None:
        """It is in this room from now on."""
        self.rooms = shared(self.rooms | {room_id})

    def leave(self, room_id: str) -> None:
        """It is not in this room any more."""
        self.rooms = shared(self.rooms - {room_id})


@lru_cache(maxsize=1024)
def shared(rooms: frozenset[str]) -> frozenset[str]:
    """These rooms, as one set for all who are in the same: one for each would take more than the rest of a session."""
    return rooms


@dataclass(slots=True)
class Room:
    """A room. `members` maps user ids to how many of their sessions are in it.

    `parties` is None for a room with a name; a direct room maps its two user ids to their last nicks. `charge` is None
    as long as nobody is in charge and nothing was ordered. `maker` is the id and the nick of who made it.
    """

    id: str
    name: str
    parties: dict[str, str] | None = None
    topic: str = ""
    first_seq: int = 1
    last_seq: int = 0
    kept: bool = False
    members: dict[str, int] = field(default_factory=dict)
    charge: Charge | None = None
    maker: tuple[str, str] = ("", "")

    def rule(self, ruling: Ruling) -> None:
        """This was ordered here."""
        if self.charge is None:
            self.charge = Charge()
        self.charge.keep(ruling)

    def shown_to(self, user_id: str) -> str:
        """The room's name as this user sees it: a direct room is called after the other one."""
        if self.parties is None:
            return self.name
        others = [nick for party, nick in self.parties.items() if party != user_id]
        return "@" + (others[0] if others else self.parties[user_id])


class State:
    """Everything that is known now. Reading is free; writing is `apply`'s."""

    __slots__ = (
        "accounts",
        "by_name",
        "directs",
        "nicks",
        "nodes",
        "orders",
        "rooms",
        "server",
        "sessions",
        "skeletons",
        "users",
    )

    def __init__(self) -> None:
        self.accounts = Accounts()
        self.users: dict[str, User] = {}
        self.sessions: dict[str, Session] = {}
        self.rooms: dict[str, Room] = {}
        self.nicks: dict[str, str] = {}  # folded nick -> user id
        self.skeletons: dict[str, str] = {}  # skeleton of the nick -> user id
        self.by_name: dict[str, str] = {}  # folded room name -> room id
        self.directs: dict[str, set[str]] = {}  # user id -> ids of direct rooms
        self.server: Charge | None = None  # what holds on the whole server
        self.orders = 1  # in how many orders entries come: with more, what is in a room is not ordered with the rest
        self.nodes: dict[str, str] = {}  # the runs of a cluster's nodes -> the node; none where there is only one

    # -- reading ------------------------------------------------------------------------------------------

    def user_called(self, nick: str) -> User | None:
        """Who has this nick now."""
        user_id = self.nicks.get(fold(nick))
        return None if user_id is None else self.users[user_id]

    def room_called(self, name: str) -> Room | None:
        """The room with this name."""
        # Most names come as they are kept, and folding those again does nothing.
        room_id = self.by_name.get(name) or self.by_name.get(fold(name))
        return None if room_id is None else self.rooms[room_id]

    def nick_taken(self, nick: str, user_id: str) -> str:
        """Empty if this user may be called so; else why not.

        `owned`: it is the name of another's account; `same`: another has it now; `alike`: it looks like one of these.
        """
        folded, look = fold(nick), skeleton(nick)
        owned = self.accounts.taken(folded, look, user_id)
        if owned == "owned":
            return owned
        if self.nicks.get(folded, user_id) != user_id:
            return "same"
        return owned if self.skeletons.get(look, user_id) == user_id else "alike"

    def person_called(self, name: str) -> tuple[str, str] | None:
        """The id and the nick of who has this nick now, or owns this name and may be away."""
        user = self.user_called(name)
        if user is not None:
            return user.id, user.nick
        account = self.accounts.called(name)
        if account is None or account.disabled:
            return None
        user = self.users.get(account.id)
        return account.id, account.name if user is None else user.nick

    def count_members(self, room_id: str) -> int:
        """How many users are in a room; none if there is no such room."""
        room = self.rooms.get(room_id)
        return 0 if room is None else len(room.members)

    def rooms_of(self, user: User) -> tuple[str, ...]:
        """The ids of the named rooms that any session of the user is in, in a steady order."""
        return tuple(sorted({room for session in user.sessions for room in self.sessions[session].rooms}))

    def is_operator(self, user_id: str) -> bool:
        """Whether somebody is an operator of the server."""
        if user_id == MACHINE:
            return True
        charge = self.server
        return charge is not None and RANKS[charge.role(user_id)] >= RANKS["operator"]

    def rank(self, room: Room, user_id: str) -> int:
        """How much somebody may do in a room: more than those with less."""
        charge = room.charge
        if user_id == MACHINE:
            return MACHINE_RANK
        if room.id != SERVER_ID and self.is_operator(user_id):
            return SERVER_RANK
        return 0 if charge is None else RANKS[charge.role(user_id)]

    def direct_with(self, user_id: str, nick: str) -> Room | None:
        """The user's direct room with the one who is, or was last, called so, or owns the name."""
        other = self.person_called(nick)
        wanted = fold(nick)
        for room_id in sorted(self.directs.get(user_id, ())):
            room = self.rooms[room_id]
            parties = room.parties or {}
            partner = next((party for party in parties if party != user_id), user_id)  # perhaps oneself
            if other[0] == partner if other is not None else fold(parties[partner]) == wanted:
                return room
        return None

    def check(self) -> Iterator[str]:
        """What does not fit together; nothing, unless there is a bug. For tests."""
        for user in self.users.values():
            if self.nicks.get(fold(user.nick)) != user.id or self.skeletons.get(skeleton(user.nick)) != user.id:
                yield f"{user.id} is not registered under its nick"
            if not user.sessions or any(self.sessions[one].user is not user for one in user.sessions):
                yield f"{user.id} and its sessions differ"
        if not len(self.nicks) == len(self.skeletons) == len(self.users):
            yield "the nicks of users who are gone are still taken"
        for room in self.rooms.values():
            there: dict[str, int] = {}
            for session in self.sessions.values():
                if room.id in session.rooms:
                    there[session.user.id] = there.get(session.user.id, 0) + 1
            if there != room.members:
                yield f"the members of {room.id} and the rooms of its members differ"
            if room.parties is None and not room.kept and not room.members:
                yield f"{room.id} is empty and was never used"

        for name, room_id in self.by_name.items():
            if room_id not in self.rooms or fold(self.rooms[room_id].name) != name:
                yield f"{name} names no room"

    # -- writing: for apply and start ---------------------------------------------------------------------

    def load(self, stored: StoredRoom) -> None:
        """Take up a room as the journal kept it."""
        room = self.add_room(stored.room_id, stored.name, stored.parties)
        room.kept = True
        room.topic, room.first_seq, room.last_seq = stored.topic, stored.first_seq, stored.last_seq

    def load_all(self, snapshot: Snapshot) -> None:
        """Take up what the journal kept."""
        for room in snapshot.rooms:
            self.load(room)
        for account in snapshot.accounts:
            self.load_account(account)
        for room_id, ruling in snapshot.rulings:
            self.rooms[room_id].rule(ruling)

    def load_account(self, stored: StoredAccount) -> None:
        """Take up an account as the journal kept it; its direct rooms are called after it."""
        self.accounts.add(stored)
        for room_id in self.directs.get(stored.user_id, ()):
            parties = self.rooms[room_id].parties
            if parties is not None:
                parties[stored.user_id] = stored.name

    def add_room(self, room_id: str, name: str, parties: tuple[tuple[str, str], ...] = ()) -> Room:
        """A new room with a new id. If another room has its name already, that one goes on being found by it."""
        room = self.rooms[room_id] = Room(room_id, name, dict(parties) if parties else None)
        if room.parties is None:
            self.by_name.setdefault(fold(name), room_id)
        for party in room.parties or ():
            self.directs.setdefault(party, set()).add(room_id)
        if room_id == SERVER_ID:
            for setting, value in (("join", "invite"), ("visibility", "hidden")):
                room.rule(Ruling("set", setting, value=value))
            self.server = room.charge
        return room

    def drop_room(self, room: Room) -> None:
        """Forget a room that nothing was ever said in."""
        del self.rooms[room.id]
        if self.by_name.get(fold(room.name)) == room.id:
            del self.by_name[fold(room.name)]

    def call(self, user: User, nick: str) -> None:
        """Give a user a nick, and free the old one. The user's direct rooms are called after it."""
        self.uncall(user)
        user.nick = nick
        for room_id in self.directs.get(user.id, ()):
            parties = self.rooms[room_id].parties
            if parties is not None:
                parties[user.id] = nick
        self.nicks[fold(nick)] = user.id
        self.skeletons[skeleton(nick)] = user.id

    def uncall(self, user: User) -> None:
        """Free a user's nick."""
        for table, key in ((self.nicks, fold(user.nick)), (self.skeletons, skeleton(user.nick))):
            if table.get(key) == user.id:
                del table[key]


def reads_as(user_id: str, device: str) -> str:
    """The name of a user's read cursors on a device."""
    return f"{user_id}.{blake2b(device.encode(), digest_size=8).hexdigest()}" if device else user_id


def event_id(room_id: str, seq: int) -> str:
    """The id of a durable event, for ever."""
    return f"{room_id}:{seq}"


__all__ = ["Room", "Session", "State", "User", "event_id", "reads_as"]
