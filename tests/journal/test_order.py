"""Repetitions, relations, redactions and read cursors, asked of each kind of journal."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from chatd.core.codes import Code
from chatd.core.events import (
    Entry,
    Event,
    Fate,
    MessageSent,
    ReadMarked,
    Related,
    RoomChanged,
    RoomMade,
)
from chatd.core.questions import CursorsWanted, EntryWanted, Side

LOBBY = RoomMade("r-lobby", "#lobby")
OPS = RoomMade("r-ops", "#ops")


def said(body: str, msg_id: str | None = None, *, room: str = "r-lobby", author: str = "u-ann", **more: Any) -> Event:
    return MessageSent(room, author, author[2:], "text", body, msg_id, **more)


def related(rel: Any, target: int, msg_id: str | None = None, *, room: str = "r-lobby", **more: Any) -> Event:
    return Related(room, "u-ann", "ann", rel, target, msg_id=msg_id, **more)


def fates(entries: list[Entry]) -> list[Any]:
    """What became of each: its number, or why it was refused."""
    return [entry.code or (entry.seq if entry.fate is Fate.COMMITTED else (entry.fate, entry.seq)) for entry in entries]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after another"])
@pytest.mark.parametrize(
    ("first", "again", "fate"),
    [
        (said("hi", "1"), said("hi", "1"), (Fate.REPEATED, 1)),
        (said("hi", "1"), MessageSent("r-lobby", "u-ann", "annie", "text", "hi", "1"), (Fate.REPEATED, 1)),
        (said("hi", "1"), said("ho", "1"), Code.MSG_ID_REUSED),
        (said("hi", "1"), said("hi", "1", room="r-ops"), Code.MSG_ID_REUSED),
        (said("hi", "1"), said("hi", "1", author="u-bob"), 2),
        (said("hi", "1"), said("hi", "2"), 2),
        (said("hi"), said("hi"), 2),
        (said("hi", "1", reply_to=3), said("hi", "1", reply_to=4), Code.MSG_ID_REUSED),
        (said("hi", "1", schema="a"), said("hi", "1", schema="b"), Code.MSG_ID_REUSED),
        (said("hi", "1", data={"a": 1, "b": [2.5]}), said("hi", "1", data={"b": [2.5], "a": 1}), (Fate.REPEATED, 1)),
        (said("hi", "1", data={"a": 1}), said("hi", "1", data={"a": True}), Code.MSG_ID_REUSED),
        (said("hi", "1", data=float("nan")), said("hi", "1", data=float("nan")), (Fate.REPEATED, 1)),
        (said("hi", "1", data={1: 2, "a": b"3"}), said("hi", "1", data={1: 2, "a": b"3"}), (Fate.REPEATED, 1)),
        (related("react", 1, "1", key="+"), related("react", 1, "1", key="+"), (Fate.REPEATED, 1)),
        (related("react", 1, "1", key="+"), related("react", 1, "1", key="-"), Code.MSG_ID_REUSED),
        (related("react", 1, "1", key="+"), related("unreact", 1, "1", key="+"), Code.MSG_ID_REUSED),
        (related("edit", 1, "1", body="a"), related("edit", 1, "1", body="b"), Code.MSG_ID_REUSED),
        (related("redact", 1, "1", reason="a"), related("redact", 1, "1", reason="b"), Code.MSG_ID_REUSED),
        (said("hi", "1"), related("pin", 1, "1"), Code.MSG_ID_REUSED),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_msg_id_makes_a_repetition_harmless(
    followed: Any, first: Any, again: Any, fate: Any, together: bool
) -> None:
    """The second comes back with the place of the first, or is refused if it is something else."""
    await followed.happen(LOBBY, OPS, said("a message to relate to", author="u-old"))
    if together:
        entries = await followed.happen(first, again, time=5_000)
    else:
        entries = await followed.happen(first, time=5_000) + await followed.happen(again, time=6_000)
    wanted = fate + 1 if isinstance(fate, int) else (fate[0], fate[1] + 1) if isinstance(fate, tuple) else fate
    if followed.journal.orders > 1 and first.room_id != again.room_id:
        assert sorted(fates(entries)) == [1, 2]  # between two rooms nothing is before or after
        return
    assert fates(entries) == [2, wanted]
    if entries[1].fate is Fate.REPEATED:
        assert entries[1].time == 5_000
        assert entries[1].event is again
    assert fates(await followed.happen(said("next", "9"))) == [3 if not isinstance(fate, int) else 4]


@pytest_twisted.ensureDeferred
async def test_a_message_is_the_same_when_it_was_redacted_meanwhile(followed: Any) -> None:
    await followed.happen(LOBBY, OPS, said("hi", "1"), related("redact", 1, "2"))
    repeated = [said("hi", "1"), said("anything", "1"), related("redact", 1, "2")]
    assert fates(await followed.happen(*repeated)) == [(Fate.REPEATED, 1), (Fate.REPEATED, 1), (Fate.REPEATED, 2)]
    elsewhere = fates(await followed.happen(said("hi", "1", room="r-ops")))
    assert elsewhere == [Code.MSG_ID_REUSED if followed.journal.orders == 1 else 1]


@pytest_twisted.ensureDeferred
async def test_a_message_is_the_same_when_it_is_redacted_right_before(followed: Any) -> None:
    await followed.happen(LOBBY, said("hi", "1"))
    assert fates(await followed.happen(related("redact", 1), said("anything", "1"))) == [2, (Fate.REPEATED, 1)]


@pytest.mark.parametrize("rel", ["edit", "redact", "react", "unreact", "pin", "unpin"])
@pytest.mark.parametrize("together", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_relation_needs_a_message_in_its_room(followed: Any, rel: str, together: bool) -> None:
    await followed.happen(LOBBY, OPS, said("elsewhere", room="r-ops"), said("elsewhere", room="r-ops"))
    changed = RoomChanged("r-lobby", "u-ann", "ann", {"topic": "t"})
    events = [changed, *(related(rel, target) for target in (-1, 0, 1, 2, 3, 1 << 60)), said("hi"), related(rel, 2)]
    entries = await followed.happen(*events) if together else [(await followed.happen(event))[0] for event in events]
    assert fates(entries) == [1, *[Code.NO_SUCH_MESSAGE] * 6, 2, 3]


@pytest_twisted.ensureDeferred
async def test_what_is_redacted_can_be_related_to_no_more(followed: Any) -> None:
    await followed.happen(LOBBY, said("hi"), related("redact", 1))
    for rel in ("edit", "redact", "react", "unreact", "pin", "unpin"):
        assert fates(await followed.happen(related(rel, 1))) == [Code.NO_SUCH_MESSAGE]
    together = [said("ho"), related("redact", 3), related("react", 3, key="+"), related("redact", 3)]
    assert fates(await followed.happen(*together)) == [3, 4, Code.NO_SUCH_MESSAGE, Code.NO_SUCH_MESSAGE]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after another"])
@pytest_twisted.ensureDeferred
async def test_a_redaction_clears_the_message_and_its_edits_and_nothing_else(followed: Any, together: bool) -> None:
    """The number, the time and who it was stay."""
    events = [
        LOBBY,
        said("sweet", "1", data={"x": 1}, schema="s", reply_to=1, bot=True),
        said("other", "2"),
        related("edit", 1, "3", body="sweeter"),
        related("react", 1, "4", key="+"),
        related("edit", 2, "5", body="an other"),
        related("edit", 1, "6", body="sweetest"),
        related("redact", 1, "7", reason="sour"),
    ]
    if together:
        entries = await followed.happen(*events, time=100)
    else:
        entries = [(await followed.happen(event, time=100 + n))[0] for n, event in enumerate(events)]
    assert fates(entries) == [0, 1, 2, 3, 4, 5, 6, 7]
    page = await followed.page("r-lobby")
    assert [entry.event for entry in page.entries] == [
        said("", "1", reply_to=1, bot=True, redacted=True),
        events[2],
        related("edit", 1, "3", redacted=True),
        events[4],
        events[5],
        related("edit", 1, "6", redacted=True),
        events[7],
    ]
    assert [entry.time for entry in page.entries] == list(range(101, 108))
    assert await followed.journal.ask(EntryWanted("r-lobby", 1)) == page.entries[0]


@pytest_twisted.ensureDeferred
async def test_what_was_said_in_a_relation_can_be_redacted_but_not_related_to(followed: Any) -> None:
    await followed.happen(LOBBY, said("hi"), related("edit", 1, body="bad"), related("react", 1, key="bad"))
    assert fates(await followed.happen(related("react", 2), related("edit", 2))) == [Code.NO_SUCH_MESSAGE] * 2
    assert fates(await followed.happen(related("redact", 2), related("redact", 3), related("redact", 2))) == [
        4,
        5,
        Code.NO_SUCH_MESSAGE,
    ]
    page = await followed.page("r-lobby", Side.AFTER, 0, 3)
    assert [entry.event for entry in page.entries] == [
        said("hi"),
        related("edit", 1, redacted=True),
        related("react", 1, redacted=True),
    ]


@pytest_twisted.ensureDeferred
async def test_a_cursor_only_moves_forward_and_no_further_than_the_room(followed: Any) -> None:
    def read(seq: int, room: str = "r-lobby", user: str = "u-ann") -> Event:
        return ReadMarked(user, room, seq)

    async def cursors(user: str = "u-ann") -> Any:
        return await followed.journal.ask(CursorsWanted(user))

    await followed.happen(LOBBY, OPS, said("1"), said("2"), said("3"), said("1", room="r-ops"))
    assert await cursors() == {}
    assert fates(await followed.happen(read(2), read(1))) == [0, 0]
    assert await cursors() == {"r-lobby": 2}
    assert fates(await followed.happen(read(1), read(1, "r-ops"), read(3, user="u-bob"))) == [0, 0, 0]
    assert await cursors() == {"r-lobby": 2, "r-ops": 1}
    assert await cursors("u-bob") == {"r-lobby": 3}
    assert fates(await followed.happen(read(4), read(-1), read(1 << 63))) == [Code.NO_SUCH_MESSAGE] * 3
    assert await cursors() == {"r-lobby": 2, "r-ops": 1}
