"""Rooms with orders of their own: nodes that read the streams at different times come to the same state."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from chatd.core import effects
from chatd.core.apply import apply
from chatd.core.cluster_events import NodeCame, NodeGone
from chatd.core.events import (
    Admitted,
    Entry,
    Event,
    Joined,
    LoggedIn,
    LoggedOut,
    MessageSent,
    Moderated,
    NickChanged,
    Numbered,
    Parted,
    RoomChanged,
    RoomMade,
)
from chatd.core.orders import is_banned
from chatd.core.state import State

NAMES, ROOMS = 0, 1
END = 1 << 40


class Message(NamedTuple):
    """An event in a stream; how far its node had come in both."""

    event: Event
    after: tuple[int, int]


class Node:
    """A node: reads both streams, each in its order, and nothing before what its author knew."""

    def __init__(self, name: str, streams: list[list[Message]]) -> None:
        self.name, self.streams = name, streams
        self.state = State()
        self.state.orders = 2
        self.reached = [0, 0]
        self.seqs: dict[str, int] = {}
        self.sent_away: list[effects.SentAway] = []

    def propose(self, event: Event) -> None:
        stream = ROOMS if isinstance(event, Numbered | Admitted) else NAMES
        self.streams[stream].append(Message(event, (self.reached[0], self.reached[1])))

    def can_read(self, stream: int) -> bool:
        if self.reached[stream] == len(self.streams[stream]):
            return False
        after = self.streams[stream][self.reached[stream]].after
        return all(there >= needed for there, needed in zip(self.reached, after, strict=True))

    def read(self, stream: int) -> None:
        event = self.streams[stream][self.reached[stream]].event
        self.reached[stream] += 1
        seq = 0
        if isinstance(event, Numbered):
            assert self.state.rooms[event.room_id].kept, "a room is there before what happens in it"
            seq = self.seqs[event.room_id] = self.seqs.get(event.room_id, 0) + 1
        time = sum(self.reached) if stream == NAMES else self.reached[ROOMS]
        for effect in apply(self.state, Entry(event, time, seq)):
            if isinstance(effect, effects.SentAway):
                self.send_away(effect)

    def send_away(self, effect: effects.SentAway) -> None:
        for session_id in effect.session_ids:
            session = self.state.sessions.get(session_id)
            if session is not None and session.node == self.name:
                self.propose(Parted(session_id, effect.room_id, effect.reason, True))


def happening(chance: random.Random, node: Node) -> Event:
    """Something that a node could propose, as far as it knows."""
    state = node.state
    session, user = f"{node.name}-{chance.randrange(3)}", f"u{chance.randrange(3)}"
    room_id, name = chance.choice([("r0", "#one"), ("r1", "#two"), (f"r-{node.name}", "#one")])
    room = state.rooms.get(room_id)
    if room is not None and room.kept and chance.random() < 0.5:
        banned = Moderated(room_id, "u9", "op", "ban", "", user, user, until=END)
        kicked = Moderated(room_id, "u9", "op", "kick", "", user, user)
        unbanned = Moderated(room_id, "u9", "op", "unban", "", user, user)
        said = MessageSent(room_id, user, user, "text", "hello")
        changed = RoomChanged(room_id, user, user, {"topic": user})
        return chance.choice([banned, kicked, unbanned, said, changed, Admitted(room_id, ((user, user),))])
    return chance.choice(
        [
            LoggedIn(session, user, user, node=node.name),
            LoggedOut(session, "gone"),
            Joined(session, room_id, name),
            Joined(session, room_id, name),
            Parted(session, room_id, "left"),
            NickChanged(user, f"{user}{chance.randrange(3)}"),
            RoomMade(room_id, name),
        ]
    )


def picture(state: State) -> Any:
    return {
        "users": {key: (one.nick, sorted(one.sessions)) for key, one in state.users.items()},
        "sessions": {key: (one.user.id, sorted(one.rooms)) for key, one in state.sessions.items()},
        "rooms": {
            key: (one.name, one.members, one.last_seq, one.kept, one.topic, bans(one))
            for key, one in state.rooms.items()
        },
        "names": (state.nicks, state.by_name),
    }


def bans(room: Any) -> Any:
    return None if room.charge is None else (sorted(room.charge.bans), sorted(room.charge.admitted))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 32))
def test_whoever_reads_what_first_all_come_to_the_same(seed: int) -> None:
    chance = random.Random(seed)
    streams: list[list[Message]] = [[], []]
    nodes = [Node(name, streams) for name in ("n0", "n1", "n2")]
    for node in nodes:
        node.propose(NodeCame(node.name, node.name, b""))
    for _ in range(chance.randrange(200)):
        node = chance.choice(nodes)
        if chance.random() < 0.5:
            node.propose(happening(chance, node))
        else:
            able = [stream for stream in (NAMES, ROOMS) if node.can_read(stream)]
            if able:
                node.read(chance.choice(able))
    if chance.random() < 0.3:
        nodes[1].propose(NodeGone("n2", "silent"))
    while any(node.reached != [len(streams[0]), len(streams[1])] for node in nodes):
        node = chance.choice(nodes)
        able = [stream for stream in (NAMES, ROOMS) if node.can_read(stream)]
        if able:
            node.read(chance.choice(able))
        assert able or any(other.can_read(one) for other in nodes for one in (NAMES, ROOMS)), "all wait for each other"
    first = nodes[0].state
    assert list(first.check()) == []
    for node in nodes[1:]:
        assert picture(node.state) == picture(first)
    for room in first.rooms.values():
        for user_id in room.members:
            assert not is_banned(first, room, first.users[user_id], 1), "who is banned is not there"
