"""The registry holds together whatever happens, and is the same wherever the same entries are applied."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from chatd.core.apply import apply
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
    RoomChanged,
    RoomMade,
)
from chatd.core.state import State

ids = st.sampled_from([f"s{n}" for n in range(6)])
users = st.sampled_from([f"u{n}" for n in range(4)])
nicks = st.sampled_from(["tom", "Tom", "jerry", "spike", "tуm", "bot1", "botl"])
rooms = st.sampled_from(["r1", "r2", "r3"])
names = st.sampled_from(["#a", "#A", "#b"])
texts = st.text(max_size=5)

happenings = st.one_of(
    st.builds(LoggedIn, ids, users, nicks),
    st.builds(LoggedOut, ids, texts),
    st.builds(NickChanged, users, nicks),
    st.builds(Joined, ids, rooms, names),
    st.builds(Parted, ids, rooms, texts),
    st.builds(AwayChanged, users, st.none() | texts),
    st.builds(RoomMade, rooms, names),
    st.builds(RoomMade, st.just("d1"), st.just(""), st.just((("u0", "tom"), ("u1", "jerry")))),
    st.builds(MessageSent, rooms, users, nicks, st.just("text"), texts),
    st.builds(RoomChanged, rooms, users, nicks, st.fixed_dictionaries({"topic": texts})),
)


def picture(state: State) -> Any:
    """Everything that a state says, in a form that can be compared."""
    return {
        "users": {key: (one.nick, one.away, sorted(one.sessions)) for key, one in state.users.items()},
        "sessions": {key: (one.user.id, sorted(one.rooms)) for key, one in state.sessions.items()},
        "rooms": {key: msgspec.to_builtins(one) for key, one in state.rooms.items()},
        "names": (state.nicks, state.skeletons, state.by_name),
    }


def entries_of(events: list[Event]) -> list[Entry]:
    """The entries that a journal makes of them: the next number of its room for each numbered one."""
    seqs: dict[str, int] = {}
    entries = []
    for n, event in enumerate(events):
        seq = 0
        if isinstance(event, MessageSent | RoomChanged):
            seq = seqs[event.room_id] = seqs.get(event.room_id, 0) + 1
        entries.append(Entry(event, n, seq))
    return entries


@settings(max_examples=300, deadline=None)
@given(st.lists(happenings, max_size=60))
def test_all_nodes_agree(events: list[Event]) -> None:
    """The same entries give the same state and the same effects everywhere, and nothing contradicts itself."""
    first, second = State(), State()
    for entry in entries_of(events):
        assert apply(first, entry) == apply(second, entry)
        assert list(first.check()) == []
    assert picture(first) == picture(second)


@settings(max_examples=20, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # shrinking takes long
@given(st.lists(happenings, min_size=200, max_size=1000))
def test_a_thousand_comings_and_goings(events: list[Event]) -> None:
    """A34: joins, leaves, renames and kills in any order; the registry and the rooms never drift apart."""
    state = State()
    for entry in entries_of(events):
        apply(state, entry)
    assert list(state.check()) == []
    for session_id in list(state.sessions):
        apply(state, Entry(LoggedOut(session_id, "end"), 0))
    assert not state.users
    assert not state.nicks
    assert not state.skeletons


def test_of_two_with_one_name_the_earlier_wins() -> None:
    state = State()
    assert apply(state, Entry(LoggedIn("s1", "u1", "tom"), 0)) == []
    [rejected] = apply(state, Entry(LoggedIn("s2", "u2", "TOM"), 1))
    assert type(rejected).__name__ == "Rejected"
    assert list(state.sessions) == ["s1"]
