"""The nodes of a cluster: what becomes of their sessions, and who is here as one node tells it to another.

All nodes take the same entries in the same order, and so agree on who is here, what everybody is called and which of
them take part. Who comes later is told all of that by one of those who know, as it was at one place of the order.
"""

from __future__ import annotations

from collections.abc import Iterator

from chatd.core import effects, orders
from chatd.core.charge import Charge, Ruling
from chatd.core.cluster_events import NodeCame, NodeGone
from chatd.core.codes import Code
from chatd.core.effects import Effect
from chatd.core.events import Entry
from chatd.core.questions import Present, PresentRoom, PresentSession, PresentUser
from chatd.core.state import Session, State, User, shared


def end_session(state: State, session: Session, reason: str) -> list[Effect]:
    """A session is over, in each of its rooms; with its last one its user is gone."""
    gone: list[Effect] = [orders.leave(state, session, room_id, reason) for room_id in sorted(session.rooms)]
    del state.sessions[session.id]
    user = session.user
    user.sessions = tuple(one for one in user.sessions if one != session.id)
    if not user.sessions:
        state.uncall(user)
        del state.users[user.id]
    return gone


def node_came(state: State, entry: Entry, event: NodeCame) -> list[Effect]:
    """A node takes part; what was left of an earlier run of it goes."""
    found: list[Effect] = []
    for earlier in [run for run, machine in state.nodes.items() if machine == event.machine and run != event.node]:
        found += _end(state, earlier, "the node was started anew")
    others = tuple(sorted(run for run in state.nodes if run != event.node))
    state.nodes[event.node] = event.machine
    return [*found, effects.NodeCame(event.node, event.attempt, others)]


def node_gone(state: State, entry: Entry, event: NodeGone) -> list[Effect]:
    return _end(state, event.node, event.reason)


def _end(state: State, node: str, reason: str) -> list[Effect]:
    if state.nodes.pop(node, None) is None:
        return []
    ended = sorted(session.id for session in state.sessions.values() if session.node == node)
    found: list[Effect] = [effects.Ended(tuple(ended), Code.SHUTTING_DOWN, reason)] if ended else []
    for session_id in ended:
        found += end_session(state, state.sessions[session_id], reason)
    return found


# -- who is here, told to a newcomer ------------------------------------------------------------------------------


def present(state: State) -> Present:
    """Everything of a state that no journal keeps."""
    users = [PresentUser(one.id, one.nick, one.account, one.bot, one.away) for one in state.users.values()]
    sessions = [
        PresentSession(one.id, one.user.id, tuple(sorted(one.rooms)), one.device, one.node)
        for one in state.sessions.values()
    ]
    rooms = [
        PresentRoom(room.id, room.name, room.maker, () if room.charge is None else tuple(rulings(room.charge)))
        for room in state.rooms.values()
        if not room.kept
    ]
    return Present(tuple(sorted(state.nodes.items())), tuple(users), tuple(sessions), tuple(rooms))


def rulings(charge: Charge) -> Iterator[Ruling]:
    """Everything that was ordered in a room."""
    for table in (charge.roles, charge.bans, charge.mutes, charge.admitted, charge.settings):
        yield from table.values()


def take_present(state: State, told: Present) -> None:
    """Take up what another node knows, into a state in which nobody is."""
    state.nodes.update(told.nodes)
    for room in told.rooms:
        if room.room_id not in state.rooms:
            taken = state.add_room(room.room_id, room.name)
            taken.maker = room.maker
            for ruling in room.rulings:
                taken.rule(ruling)
    for one in told.users:
        user = state.users[one.user_id] = User(one.user_id, one.nick, one.account, one.bot, one.away)
        state.call(user, one.nick)
    for session in told.sessions:
        user = state.users[session.user_id]
        rooms = shared(frozenset(room_id for room_id in session.rooms if room_id in state.rooms))
        state.sessions[session.session_id] = Session(session.session_id, user, rooms, session.device, session.node)
        user.sessions += (session.session_id,)
        for room_id in rooms:
            members = state.rooms[room_id].members
            members[user.id] = members.get(user.id, 0) + 1
