"""Visits: what of each room has reached a person, as far as the peer's kernel has acknowledged."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

from chatd.core.events import Bookmark, Shown
from chatd.core.state import State
from chatd.hub.visit import MOST_MARKS, Visit, steps_of


class Peer:
    """A connection's end: so much was written, so much acknowledged."""

    looked_at = "#lobby"
    closing = False
    written = 0
    reached = 0

    def acknowledged(self) -> int:
        return self.reached


def visiting() -> tuple[Visit, Peer]:
    state = State()
    for name in ("lobby", "ops"):
        state.add_room(name, f"#{name}")
    peer = Peer()
    link: Any = SimpleNamespace(connection=peer, rooms={"lobby": None, "ops": None})
    return Visit("word", Bookmark("key", "u", "tom"), link, state), peer


def write(visit: Visit, peer: Peer, room_id: str, *pieces: tuple[int | None, bytes]) -> None:
    """A turn's pieces of a room in one; None is presence, which has no number."""
    peer.written += sum(len(blob) for _, blob in pieces)
    shown = [SimpleNamespace(entry=None if seq is None else SimpleNamespace(seq=seq)) for seq, _ in pieces]
    visit.shows_steps(room_id, steps_of(shown, [blob for _, blob in pieces]))


def places(visit: Visit) -> dict[str, int]:
    return {shown.room_id: shown.seq for shown in visit.bookmark().rooms}


def test_a_room_has_come_as_far_as_was_acknowledged_to_the_byte() -> None:
    visit, peer = visiting()
    write(visit, peer, "lobby", (1, b"one\n"), (None, b"*** ann joined\n"), (2, b"two\n"))
    write(visit, peer, "ops", (7, b"seven\n"))
    for reached, told in (
        (0, (0, 0)),
        (3, (0, 0)),
        (4, (1, 0)),
        (22, (1, 0)),
        (23, (2, 0)),
        (28, (2, 0)),
        (29, (2, 7)),
    ):
        peer.reached = reached
        assert tuple(places(visit).values()) == told


def test_what_is_not_shown_to_somebody_counts_with_what_was_written_before_it() -> None:
    """One's own lines, and those of somebody who is ignored."""
    visit, peer = visiting()
    write(visit, peer, "lobby", (1, b"one\n"))
    write(visit, peer, "lobby", (2, b""))
    visit.shows("lobby", 3)
    peer.reached = 3
    assert places(visit)["lobby"] == 0
    peer.reached = 4
    assert places(visit)["lobby"] == 3


def test_a_room_that_begins_anew_goes_back() -> None:
    visit, peer = visiting()
    write(visit, peer, "lobby", (9, b"nine\n"))
    visit.shows("lobby", 4)
    peer.reached = 5
    assert places(visit)["lobby"] == 4


def test_where_somebody_was_at_the_end_is_what_counts_and_goes_on_being_acknowledged() -> None:
    visit, peer = visiting()
    write(visit, peer, "lobby", (1, b"one\n"))
    visit.leave()
    visit.link.rooms.clear()
    peer.looked_at = ""
    peer.reached = 4
    visit.ended = True
    rooms = (Shown("lobby", "#lobby", 1), Shown("ops", "#ops", 0))
    assert visit.bookmark() == Bookmark("key", "u", "tom", "lobby", rooms, True)


def test_a_peer_that_reads_costs_few_marks_and_one_that_does_not_no_more_than_the_most() -> None:
    visit, peer = visiting()
    for seq in range(1, 3 * MOST_MARKS):
        write(visit, peer, "lobby", (seq, b"line\n"))
        peer.reached = peer.written
    assert len(visit._ends) < 100
    peer.reached = 0
    for seq in range(3 * MOST_MARKS, 6 * MOST_MARKS):
        write(visit, peer, "lobby", (seq, b"line\n"))
        write(visit, peer, "ops", (seq, b"line\n"))
    assert len(visit._ends) <= MOST_MARKS


def test_whatever_is_written_and_acknowledged_no_line_is_taken_for_shown_that_was_not() -> None:
    chance = random.Random(5)
    for _ in range(200):
        visit, peer = visiting()
        ends: dict[str, list[tuple[int, int]]] = {"lobby": [(0, 0)], "ops": [(0, 0)]}
        for _ in range(chance.randint(1, 300)):
            room_id = chance.choice(("lobby", "ops"))
            seq = ends[room_id][-1][1] + 1
            write(visit, peer, room_id, (seq, b"x" * chance.randint(0, 50)))
            ends[room_id].append((peer.written, seq))
            peer.reached = chance.randint(peer.reached, peer.written)
            if chance.random() < 0.1:
                told = places(visit)
                for name, marks in ends.items():
                    assert told[name] == max(seq for end, seq in marks if end <= peer.reached)


def test_what_is_passed_on_after_the_end_is_not_written_and_does_not_count() -> None:
    visit, peer = visiting()
    write(visit, peer, "lobby", (1, b"one\n"))
    peer.reached = 4
    peer.closing = True
    shown: Any = SimpleNamespace(entry=SimpleNamespace(seq=2))
    visit.shows_steps("lobby", steps_of([shown], [b"two\n"]))
    visit.shows("lobby", 3)
    assert places(visit) == {"lobby": 1, "ops": 0}
