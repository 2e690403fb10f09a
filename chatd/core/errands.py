"""Errands: what somebody may read and say in a room without being there, for one command or one stream.

Who asks is known by a token, or is nobody, who may read what a guest may. The doors are those that others come in by:
what keeps one out of the server, or out of the room, keeps one from this. But nobody is told of a coming or going.
"""

from __future__ import annotations

from chatd.core.codes import Code, Refusal
from chatd.core.context import Context
from chatd.core.doors import Who, check_enter, check_entry
from chatd.core.entrance import enter_by_token
from chatd.core.state import Room, Session, User


def visitor(context: Context, token: str | None, name: str) -> tuple[Session, Room]:
    """Who asks, and the room that is asked for; raises `Refusal`. The session is in the room, and on no register."""
    user = owner_of(context, token, name) if token is not None else nobody(context)
    room = room_for(context, user, name)
    return Session(context.session_id, user, frozenset({room.id})), room


def owner_of(context: Context, token: str, name: str) -> User:
    """Whose token this is; it may be good for one room only."""
    login = enter_by_token(context, token, None, room=name)
    return User(login.user_id, login.nick, login.account, login.bot)


def nobody(context: Context) -> User:
    """Somebody without a name, as far as the server lets such in. The id is of no user; rates are counted by it."""
    user = User(f"at {context.address}", "")
    check_entry(context, Who(user.id, user.nick))
    return user


def room_for(context: Context, user: User, name: str) -> Room:
    """The room with this name, if its door is open to this user."""
    room = context.state.room_called(name)
    if room is None:
        raise Refusal(Code.NO_SUCH_ROOM, f"there is no room {name!r}; joining makes it", details={"room": name})
    check_enter(context, room, name, Who(user.id, user.nick, user.account))
    return room


def is_published(room: Room) -> bool:
    """Whether everybody may read the room as a page, as those in charge of it have set."""
    return room.charge is not None and room.charge.get("visibility") == "published"
