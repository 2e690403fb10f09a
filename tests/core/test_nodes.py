"""Nodes of a cluster: the same people everywhere, whoever came first and whoever was told."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chatd.core import effects
from chatd.core.apply import apply
from chatd.core.cluster_events import NodeCame, NodeGone, Typed
from chatd.core.codes import Code
from chatd.core.effects import Effect
from chatd.core.events import (
    AwayChanged,
    Entry,
    Event,
    Joined,
    LoggedIn,
    LoggedOut,
    MessageSent,
    NickChanged,
    Parted,
    RoomMade,
)
from chatd.core.nodes import present, take_present
from chatd.core.questions import StoredRoom
from chatd.core.state import State

sessions = st.sampled_from(["s0", "s1", "s2", "s3"])
users = st.sampled_from(["u0", "u1", "u2"])
nodes = st.sampled_from(["n0", "n1"])
names = st.sampled_from(["tom", "Tom", "kim", "k1m"])
rooms = st.sampled_from([("r0", "#one"), ("r1", "#two")])

happenings = st.one_of(
    st.builds(lambda s, u, nick, n: LoggedIn(s, u, nick, node=n), sessions, users, names, nodes),
    st.builds(LoggedOut, sessions, st.just("gone")),
    st.builds(lambda s, room: Joined(s, *room, True), sessions, rooms),
    st.builds(lambda s, room: Parted(s, room[0], "left"), sessions, rooms),
    st.builds(NickChanged, users, names),
    st.builds(AwayChanged, users, st.sampled_from([None, "tea"])),
    st.builds(lambda room: RoomMade(*room), rooms),
    st.builds(lambda room, u: MessageSent(room[0], u, "tom", "text", "hello"), rooms, users),
    st.builds(lambda n: NodeCame(n, f"machine {n}", b""), nodes),
    st.builds(NodeGone, nodes, st.just("silent")),
)


class Place:
    """The order: an event at a time, and the numbers that it gives."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.seqs: dict[str, int] = {}
        self.time = 0

    def entry(self, event: Event) -> Entry | None:
        """Its entry; none if a journal would refuse it."""
        self.time += 1
        if isinstance(event, RoomMade):
            self.made.add(event.room_id)
        if not isinstance(event, MessageSent):
            return Entry(event, self.time)
        if event.room_id not in self.made:
            return None
        seq = self.seqs[event.room_id] = self.seqs.get(event.room_id, 0) + 1
        return Entry(event, self.time, seq)


def picture(state: State) -> Any:
    """Who is here, and where."""
    charges = {key: None if one.charge is None else dict(one.charge.roles) for key, one in state.rooms.items()}
    return {
        "nodes": state.nodes,
        "users": {key: (one.nick, one.away, one.account, sorted(one.sessions)) for key, one in state.users.items()},
        "sessions": {key: (one.user.id, sorted(one.rooms), one.node) for key, one in state.sessions.items()},
        "rooms": {key: (one.name, one.members, one.last_seq, one.kept) for key, one in state.rooms.items()},
        "charges": {key: roles for key, roles in charges.items() if roles},
        "names": (state.nicks, state.skeletons, state.by_name),
    }


def newcomer(state: State) -> State:
    """A node that knows what its copy keeps, and is told the rest."""
    fresh = State()
    for room in state.rooms.values():
        if room.kept:
            fresh.load(StoredRoom(room.id, room.name, (), room.first_seq, room.last_seq, room.topic))
            for ruling in [] if room.charge is None else room.charge.roles.values():
                fresh.rooms[room.id].rule(ruling)
    take_present(fresh, present(state))
    return fresh


@settings(max_examples=300, deadline=None)
@given(st.lists(happenings, max_size=40), st.lists(happenings, max_size=40))
def test_who_is_told_goes_on_as_who_was_there(before: list[Event], after: list[Event]) -> None:
    order, first = Place(), State()
    for event in before:
        if (entry := order.entry(event)) is not None:
            apply(first, entry)
    second = newcomer(first)
    assert list(second.check()) == []
    assert picture(second) == picture(first)
    for event in after:
        entry = order.entry(event)
        if entry is not None:
            assert apply(second, entry) == apply(first, entry)
    assert picture(second) == picture(first)
    assert list(first.check()) == []


def at(state: State, *events: Event) -> list[Effect]:
    found: list[Effect] = []
    for event in events:
        found = apply(state, Entry(event, 1))
    return found


def test_with_a_node_its_sessions_go_and_nobody_elses() -> None:
    state = State()
    at(state, NodeCame("n1", "m1", b""), NodeCame("n2", "m2", b""))
    at(state, LoggedIn("s1", "u1", "tom", node="n1"), LoggedIn("s2", "u2", "kim", node="n2"))
    at(state, Joined("s1", "r", "#lobby"), Joined("s2", "r", "#lobby"))
    found = at(state, NodeGone("n1", "silent"))
    assert [type(one) for one in found] == [effects.Ended, effects.Gone]
    assert list(state.sessions) == ["s2"]
    assert at(state, NodeGone("n1", "silent")) == []


def test_a_node_that_is_started_anew_has_lost_its_sessions() -> None:
    state = State()
    at(state, NodeCame("n1", "m1", b""), LoggedIn("s1", "u1", "tom", node="n1"))
    at(state, NodeCame("n2", "m1", b""))
    assert (list(state.sessions), list(state.nodes)) == ([], ["n2"])


def test_nobody_logs_in_on_a_node_that_was_given_up() -> None:
    state = State()
    [rejected] = at(state, LoggedIn("s1", "u1", "tom", node="n1"))
    assert isinstance(rejected, effects.Rejected)
    assert rejected.code == Code.SHUTTING_DOWN


def test_somebody_types_where_there_is_a_room() -> None:
    state = State()
    typing = Typed("r", "u1", "tom", "active")
    assert at(state, typing) == []
    at(state, RoomMade("r", "#lobby"))
    assert at(state, typing) == [effects.Show(typing)]
