"""What every journal promises to its hub (`chatd.interfaces.IJournal`), asked of each kind: order, opening, closing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from chatd.core.codes import Code
from chatd.core.events import (
    Entry,
    Event,
    Fate,
    Joined,
    MessageSent,
    NickChanged,
    Numbered,
    Passing,
    Proposal,
    ReadMarked,
    Related,
    RoomChanged,
    RoomMade,
)
from chatd.core.questions import CursorsWanted, Side
from chatd.interfaces import IJournal
from chatd.journal import NotOpen
from chatd.journal.streams import number_of

LOBBY = RoomMade("r-lobby", "#lobby")


def said(body: str, msg_id: str | None = None, *, room: str = "r-lobby", author: str = "u-ann", **more: Any) -> Event:
    return MessageSent(room, author, author[2:], "text", body, msg_id, **more)


def related(rel: Any, target: int, msg_id: str | None = None, *, room: str = "r-lobby", **more: Any) -> Event:
    return Related(room, "u-ann", "ann", rel, target, msg_id=msg_id, **more)


def left(n: int) -> Event:
    return NickChanged("u-ann", f"ann{n}")


def by_order(followed: Any, things: Sequence[Any]) -> list[list[Any]]:
    """Entries or proposals, those of each of the journal's orders together: within these nothing changes places."""
    orders: list[list[Any]] = [[] for _ in range(followed.journal.orders)]
    for thing in things:
        orders[number_of(thing.event, len(orders))].append(thing)
    return orders


def same_order(followed: Any, entries: Sequence[Entry], events: Sequence[Event]) -> bool:
    """Whether these came in the order of those, as far as there is one."""
    wanted = by_order(followed, [Proposal(event, 1) for event in events])
    found = by_order(followed, entries)
    return [[one.event for one in some] for some in found] == [[one.event for one in some] for some in wanted]


def fates(entries: list[Entry]) -> list[Any]:
    """What became of each: its number, or why it was refused."""
    return [entry.code or (entry.seq if entry.fate is Fate.COMMITTED else (entry.fate, entry.seq)) for entry in entries]


@pytest_twisted.ensureDeferred
async def test_it_says_that_it_is_a_journal(followed: Any) -> None:
    assert IJournal.providedBy(followed.journal)
    assert followed.journal.durability in ("memory", "fsync", "replicated:1")


@pytest_twisted.ensureDeferred
async def test_a_new_journal_has_no_rooms_and_a_secret(followed: Any) -> None:
    assert followed.snapshot.rooms == []
    assert len(followed.snapshot.secret) == 32


@pytest_twisted.ensureDeferred
async def test_everything_proposed_comes_back_once_in_order_with_its_ticket(followed: Any) -> None:
    """A53: the order is the order of `append`, whatever the sort of event."""
    chance = random.Random(1)
    proposals = [Proposal(LOBBY, 1, object())]
    for n in range(500):
        event = chance.choice([said(f"{n}"), left(n), ReadMarked("u-ann", "r-lobby", 0), related("react", n)])
        proposals.append(Proposal(event, n, object()))
    start = 0
    while start < len(proposals):
        end = start + chance.randint(1, 20)
        followed.append(*proposals[start:end])
        start = end
        if chance.random() < 0.2:
            await deferLater(reactor, 0)
    entries = await followed.all_told()
    assert len(entries) == len(proposals)
    for mine, wanted in zip(by_order(followed, entries), by_order(followed, proposals), strict=True):
        assert all(entry.ticket is proposal.ticket for entry, proposal in zip(mine, wanted, strict=True))
        assert all(entry.event is proposal.event for entry, proposal in zip(mine, wanted, strict=True))
        assert all(entry.time == proposal.time for entry, proposal in zip(mine, wanted, strict=True))


@pytest.mark.parametrize("event", [LOBBY, left(1)], ids=["stored", "passing"])
@pytest_twisted.ensureDeferred
async def test_the_follower_is_never_called_while_something_is_appended(followed: Any, event: Event) -> None:
    for _ in range(20):
        before = len(followed.entries)
        followed.append(Proposal(event, 1))
        assert len(followed.entries) == before
        await followed.all_told()


@pytest_twisted.ensureDeferred
async def test_passing_events_keep_their_place_among_stored_ones(followed: Any) -> None:
    """Also where one that needs no disk is proposed right before, or after, one that does."""
    events: list[Event] = [left(0), LOBBY, left(1), said("one"), left(2), left(3), said("two"), left(4)]
    for event in events:
        followed.append(Proposal(event, 1))
    assert same_order(followed, await followed.all_told(), events)
    assert [entry.seq for entry in followed.entries if entry.seq] == [1, 2]
    assert all(entry.seq == 0 for entry in followed.entries if isinstance(entry.event, Passing))


@pytest_twisted.ensureDeferred
async def test_what_is_proposed_while_being_told_comes_after_what_is_being_told(followed: Any) -> None:
    heard: list[Entry] = []

    def answer(entries: Any) -> None:
        heard.extend(entries)
        before = len(heard)
        if entries[0].event is LOBBY:
            followed.append(Proposal(left(1), 1), Proposal(said("two"), 1))
            assert len(heard) == before
        followed.follow(entries)

    followed.journal._follower = answer
    followed.append(Proposal(LOBBY, 1), Proposal(said("one"), 1))
    while len(await followed.all_told()) < 4:
        pass
    assert same_order(followed, heard, [LOBBY, said("one"), left(1), said("two")])


@pytest_twisted.ensureDeferred
async def test_numbers_are_dense_in_each_of_many_rooms(followed: Any) -> None:
    """A53: each room counts 1, 2, 3 … on its own; neither refused nor kept nor passing events take a number."""
    chance = random.Random(2)
    rooms = [f"r{n}" for n in range(30)]
    followed.append(*(Proposal(RoomMade(room, f"#{room}"), 1) for room in rooms))
    for n in range(600):
        room = chance.choice(rooms)
        followed.append(
            Proposal(said(f"{n}", str(n % 550), room=room, author=f"u-{n % 7}"), n),
            Proposal(Joined("s1", room, f"#{room}"), n),
            Proposal(Related(room, "u-1", "1", "pin", 10_000), n),
        )
    entries = await followed.all_told()
    for room in rooms:
        mine = [entry for entry in entries if isinstance(entry.event, Numbered) and entry.event.room_id == room]
        numbers = [entry.seq for entry in mine if entry.fate is Fate.COMMITTED]
        assert numbers == list(range(1, len(numbers) + 1))
        page = await followed.page(room, Side.AFTER, 0, 1000)
        assert [entry.seq for entry in page.entries] == numbers
        assert [entry.event for entry in page.entries] == [e.event for e in mine if e.fate is Fate.COMMITTED]


@pytest_twisted.ensureDeferred
async def test_a_room_made_twice_is_made_once(followed: Any) -> None:
    again = RoomMade("r-lobby", "#other")
    entries = await followed.happen(LOBBY, said("one"), again, said("two"))
    assert sorted(fates(entries)) == [0, 0, 1, 2]
    assert sorted(fates(await followed.happen(again, said("three")))) == [0, 3]


@pytest_twisted.ensureDeferred
async def test_an_event_of_a_room_that_was_never_made_is_a_bug_and_harms_nobody(followed: Any) -> None:
    lost = [said("lost", room="r-no"), ReadMarked("u-ann", "r-no", 1), RoomChanged("r-no", "u-ann", "ann", {})]
    entries = await followed.happen(LOBBY, *lost, related("pin", 1, room="r-no"), said("one"))
    found = {entry.event: fates([entry]) for entry in entries if not isinstance(entry.event, RoomChanged)}
    assert found.pop(LOBBY) == [0]
    assert found.pop(said("one")) == [1]
    assert set(map(str, chain(*found.values()))) == {Code.INTERNAL}
    assert len(entries) == 6


@pytest.mark.parametrize("body", ["\ud800", object(), 1 << 70], ids=["half a character", "an object", "too large"])
@pytest_twisted.ensureDeferred
async def test_what_no_store_could_hold_is_refused_and_harms_nobody(followed: Any, body: Any) -> None:
    entries = await followed.happen(LOBBY, said("one"), said("", "1", data=body), said("two"))
    assert fates(entries) == [0, 1, Code.INTERNAL, 2]


@pytest_twisted.ensureDeferred
async def test_a_follower_that_fails_is_told_the_next_entries_all_the_same(followed: Any, logged_errors: Any) -> None:
    follow, followed.journal._follower = followed.journal._follower, lambda entries: 1 / 0
    followed.append(Proposal(LOBBY, 1))
    while not logged_errors.take(ZeroDivisionError):
        await deferLater(reactor, 0.02)  # each look holds up whoever else is in this process
    followed.journal._follower = follow
    followed.journal.append([Proposal(said("one"), 1)])
    while not followed.entries:
        await deferLater(reactor, 0)
    assert fates(followed.entries) == [1]


@pytest_twisted.ensureDeferred
async def test_closing_tells_everything_that_was_appended(followed: Any) -> None:
    events = [LOBBY, *(said(f"m{n}") for n in range(100)), left(1)]
    for event in events:
        followed.append(Proposal(event, 1))
    await followed.journal.close()
    assert same_order(followed, followed.entries, events)


@pytest_twisted.ensureDeferred
async def test_closing_tells_passing_events_as_well(followed: Any) -> None:
    followed.append(Proposal(left(1), 1))
    await followed.journal.close()
    assert [entry.event for entry in followed.entries] == [left(1)]


@pytest_twisted.ensureDeferred
async def test_a_closed_journal_takes_nothing_and_says_so(followed: Any) -> None:
    await followed.journal.close()
    with pytest.raises(NotOpen):
        followed.append(Proposal(left(1), 1))
    with pytest.raises(NotOpen):
        await followed.journal.ask(CursorsWanted("u-ann"))
    await followed.journal.close()


def test_every_event_is_of_one_sort() -> None:
    """A new kind of event that the order knows nothing of would be refused as a bug."""
    from chatd.journal.order import PLACE

    def kinds(of: type[Event]) -> set[type[Event]]:
        below = {kind for sub in of.__subclasses__() for kind in kinds(sub)}
        return below or {of}

    assert kinds(Event) == set(PLACE) | kinds(Passing)
