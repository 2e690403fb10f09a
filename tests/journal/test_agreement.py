"""The kinds of journal agree: chance writes journals, and every kind tells the same of them, however they are cut
into batches, and also after reopening."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chatd.core.events import Event, MessageSent, Parted, Proposal, Purged, ReadMarked, Related, RoomChanged, RoomMade
from chatd.core.questions import CursorsWanted, EntryWanted, PageWanted, Side
from chatd.journal.memory import Memory
from chatd.journal.reader import answer_from
from chatd.journal.schema import connect_reader
from chatd.journal.store import Store
from chatd.journal.verify import verify

ROOMS = st.sampled_from(["r1", "r2", "r3"])
USERS = st.sampled_from(["ann", "bob"])
NUMBERS = st.integers(0, 9)
WORDS = st.sampled_from(["", "a", "b"])
MSG_IDS = st.none() | st.sampled_from(["1", "2", "3", "4"])
RELS = st.sampled_from(["edit", "redact", "react", "unreact", "pin", "unpin"])

messages = st.builds(
    MessageSent,
    ROOMS,
    USERS,
    USERS,
    st.sampled_from(["text", "action"]),
    WORDS,
    MSG_IDS,
    st.none() | NUMBERS,
    st.none() | WORDS | st.dictionaries(WORDS, st.floats() | st.binary(max_size=3), max_size=3),
)
events: st.SearchStrategy[Event] = st.one_of(
    messages,
    messages,
    st.builds(Related, ROOMS, USERS, USERS, RELS, NUMBERS, WORDS, WORDS, WORDS, MSG_IDS),
    st.builds(RoomChanged, ROOMS, USERS, USERS, st.dictionaries(st.sampled_from(["topic", "slow"]), WORDS)),
    st.builds(RoomMade, ROOMS, WORDS),
    st.builds(ReadMarked, USERS, ROOMS, NUMBERS),
    st.builds(Purged, ROOMS, NUMBERS),
    st.builds(Parted, USERS, ROOMS, WORDS),
)
proposals = st.builds(Proposal, events, st.integers(0, 20), st.integers())
batches = st.lists(st.lists(proposals, min_size=1, max_size=12), max_size=8)
# A room that was never made refuses everything, which is soon boring: mostly they are all there.
beginnings = st.sampled_from([[], ["r1"], ["r1", "r2", "r3"], ["r1", "r2", "r3"]]).map(
    lambda rooms: [[Proposal(RoomMade(room, f"#{room}"), 0)] for room in rooms]
)
pages = st.builds(
    PageWanted,
    ROOMS,
    st.sampled_from(Side),
    st.none() | st.integers(-1, 25),
    st.integers(1, 12),
    st.booleans(),
    st.integers(1, 1000),
)
QUESTIONS = [
    *(CursorsWanted(user) for user in ("ann", "bob", "eve")),
    *(EntryWanted(room, seq) for room in ("r1", "r2", "r3") for seq in range(12)),
    *(PageWanted(room, Side.AFTER, 0, 1000) for room in ("r1", "r2", "r3")),
]


def spelled(answer: Any) -> str:
    """As text, in which a NaN is the same as another; a dictionary has no order."""
    return repr(sorted(answer.items()) if isinstance(answer, dict) else answer)


@given(beginnings, batches, st.lists(pages, max_size=20))
@settings(max_examples=100, deadline=None)
def test_the_kinds_agree(beginning: Any, batches: Any, pages: Any) -> None:
    """A53: what becomes of each proposal depends on what was before it, and on nothing else."""
    batches = [*beginning, *batches]
    memory = Memory()
    wanted = memory.write([proposal for batch in batches for proposal in batch])
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder, "chatd.db"), "memory")
        store.open()
        found = [entry for batch in batches for entry in store.write(batch)]
        assert spelled(found) == spelled(wanted)
        assert all(a.event is b.event and a.ticket is b.ticket for a, b in zip(found, wanted, strict=True))
        reader = connect_reader(Path(folder, "chatd.db"))
        for question in [*QUESTIONS, *pages]:
            assert spelled(answer_from(reader, question)) == spelled(memory.answer(question)), question
        faults: list[str] = []
        verify(reader, faults.append)
        assert faults == []
        reader.close()
        store.close()
        store = Store(Path(folder, "chatd.db"), "memory")
        assert store.open().rooms == memory.snapshot().rooms
        again = [Proposal(RoomMade("r1", "#r1"), 1), Proposal(MessageSent("r1", "ann", "ann", "text", "a", "1"), 1)]
        assert spelled(store.write(again)) == spelled(memory.write(again))
        store.close()
