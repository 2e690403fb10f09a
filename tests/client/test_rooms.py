"""Every event once, in order, and none missing, whatever the server and the line do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from chatd.client.rooms import Rooms
from chatd.client.wire import Envelope
from chatd.core import commands, replies, views


@pytest.fixture
def lobby(words: Any) -> Rooms:
    """A client that joined #lobby when its last number was 10."""
    rooms = Rooms()
    rooms.entered(words.joined(commands.Join(id="1", room="#lobby"), 10), None)
    return rooms


def seqs(shown: list[Any]) -> list[Any]:
    return [(one.first, one.last) if isinstance(one, views.Gap) else one.seq for one in shown]


def asked(rooms: Rooms) -> list[tuple[str, int | None]]:
    return [(track.name, track.seen) for track in rooms.behind()]


def test_the_next_number_is_shown_and_a_duplicate_is_not(lobby: Rooms, words: Any) -> None:
    """A53: whatever comes twice is shown once."""
    heard = [seq for number in (10, 11, 11, 12, 9, 12, 13) for seq in seqs(lobby.heard(words.message(number)))]
    assert heard == [11, 12, 13]


def test_a_hole_is_filled_from_history_before_anything_else_is_shown(lobby: Rooms, words: Any) -> None:
    assert seqs(lobby.heard(words.message(11))) == [11]
    assert lobby.heard(words.message(14)) == []
    assert asked(lobby) == [("#lobby", 11)]
    assert asked(lobby) == [], "it is asked once"
    assert lobby.heard(words.message(15)) == []
    request = commands.History(id="2", room="#lobby", after=11)
    page = words.page(request, [words.message(n) for n in (12, 13)], last=15, next=13)
    assert seqs(lobby.page("#lobby", page)) == [12, 13]
    assert asked(lobby) == [("#lobby", 13)]
    page = words.page(request, [words.message(n) for n in (14, 15)], last=15)
    assert seqs(lobby.page("#lobby", page)) == [14, 15]
    assert asked(lobby) == []
    assert seqs(lobby.heard(words.message(16))) == [16]


def test_what_history_lacks_is_told_as_a_gap(lobby: Rooms, words: Any) -> None:
    lobby.heard(words.message(20))
    assert asked(lobby) == [("#lobby", 10)]
    page = words.page(commands.History(id="2", room="#lobby"), [words.message(n) for n in (18, 20)], first=18, last=20)
    shown = lobby.page("#lobby", page)
    assert seqs(shown) == [(11, 17), 18, (19, 19), 20]
    assert [one.reason for one in shown if isinstance(one, views.Gap)] == ["retention", "skipped"]
    assert seqs(lobby.heard(words.message(21))) == [21]


def test_history_that_cannot_be_had_is_a_gap(lobby: Rooms, words: Any) -> None:
    lobby.heard(words.message(13))
    asked(lobby)
    assert seqs(lobby.no_page("#lobby")) == [(11, 13)]
    assert seqs(lobby.heard(words.message(14))) == [14]


def test_a_gap_that_the_server_announces_is_no_hole(lobby: Rooms, words: Any) -> None:
    shown = lobby.heard(views.Gap(room="#lobby", first=11, last=15, reason="retention"))
    shown += lobby.heard(words.message(16))
    assert seqs(shown) == [(11, 15), 16]
    assert asked(lobby) == []


def test_history_goes_on_behind_what_the_server_cannot_read(lobby: Rooms, words: Any) -> None:
    """A page may have nothing but a gap; then the next one is asked for."""
    assert lobby.heard(words.message(15)) == []
    lobby.behind()
    page = words.page(commands.History(id="2", room="#lobby"), [], last=15)
    gap = views.Gap(room="#lobby", first=11, last=13, reason="skipped", damaged=True)
    shown = lobby.page("#lobby", structs.replace(page, gaps=[gap], next=13))
    assert seqs(shown) == [(11, 13)]
    assert asked(lobby) == [("#lobby", 13)]


def test_a_gap_behind_a_hole_waits_for_history(lobby: Rooms) -> None:
    assert lobby.heard(views.Gap(room="#lobby", first=13, last=15, reason="retention")) == []
    assert asked(lobby) == [("#lobby", 10)]


def test_caught_up_is_believed_only_when_it_is_true(lobby: Rooms, words: Any) -> None:
    assert seqs(lobby.heard(views.CaughtUp(room="#lobby", seq=10))) == [10]
    assert lobby.heard(views.CaughtUp(room="#lobby", seq=12)) == []
    assert asked(lobby) == [("#lobby", 10)]
    page = words.page(commands.History(id="2", room="#lobby"), [words.message(11), words.message(12)], last=12)
    shown = lobby.page("#lobby", page)
    assert seqs(shown) == [11, 12, 12]
    assert isinstance(shown[-1], views.CaughtUp)


def test_a_reader_who_cannot_take_more_is_caught_up_later(lobby: Rooms, words: Any) -> None:
    """A46: what does not fit is not kept in memory, and not lost."""
    lobby.full = True
    assert [lobby.heard(words.message(number)) for number in range(11, 100)] == [[]] * 89
    assert asked(lobby) == []
    lobby.full = False
    assert asked(lobby) == [("#lobby", 10)]


def test_after_a_lost_connection_rooms_go_on_from_what_was_seen(lobby: Rooms, words: Any) -> None:
    lobby.heard(words.message(11))
    lobby.heard(words.message(14))
    lobby.disconnected()
    assert lobby.to_resume() == {"#lobby": 11}
    assert asked(lobby) == [], "replay will bring what is missing"
    resumed = replies.ResumedRoom(last_seq=14, limited=False)
    assert lobby.resumed(replies.Resumed(re="1", rooms={"#lobby": resumed}, expired=False)) == []
    assert [seqs(lobby.heard(words.message(n))) for n in (12, 13, 14)] == [[12], [13], [14]]


def test_a_server_that_lost_its_journal_is_read_from_the_beginning(lobby: Rooms, words: Any) -> None:
    lobby.disconnected()
    resumed = replies.ResumedRoom(last_seq=2, limited=False)
    lobby.resumed(replies.Resumed(re="1", rooms={"#lobby": resumed}, expired=False))
    assert asked(lobby) == [("#lobby", 0)]


def test_another_room_of_the_same_name_is_read_from_the_beginning(words: Any) -> None:
    rooms = Rooms()
    rooms.known("#lobby", "r1", 10)
    rooms.entered(words.joined(commands.Join(id="1", room="#lobby"), 12, room_id="r2"), 10)
    assert asked(rooms) == [("#lobby", 0)]


def test_another_room_that_took_the_name_while_we_were_away_is_read_from_the_beginning(words: Any) -> None:
    """Its numbers go on above ours, so the server sees nothing wrong; its own id tells that it is another room."""
    rooms = Rooms()
    rooms.known("#lobby", "r1", 10)
    assert rooms.heard(words.message(11, room_id="r2")) == []
    assert asked(rooms) == [("#lobby", 0)]
    rooms.heard(words.message(1, room="@jerry", room_id="d1"))
    assert seqs(rooms.heard(words.message(5, room="@jerry", room_id="d2"))) == [5]


def test_a_direct_room_that_was_renamed_is_the_same_room(words: Any) -> None:
    rooms = Rooms()
    rooms.heard(words.message(7, room="@jerry", room_id="d1"))
    shown = rooms.heard(words.message(8, room="@jeremy", room_id="d1"))
    assert seqs(shown) == [8]
    assert rooms.to_resume() == {"@jeremy": 8}


def test_an_event_of_an_unknown_kind_counts(lobby: Rooms, words: Any) -> None:
    lobby.unreadable(Envelope(type="hologram", room="#lobby", seq=11))
    assert seqs(lobby.heard(words.message(12))) == [12]
    lobby.unreadable(Envelope(type="read", room="#lobby", seq=99))
    assert seqs(lobby.heard(words.message(13))) == [13]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=40))
def test_whatever_comes_the_reader_sees_every_number_once_in_order(words: Any, steps: list[tuple[int, bool]]) -> None:
    """A53: duplicates, holes and a slow reader in any mixture: 1, 2, 3 … for the reader."""
    rooms = Rooms()
    rooms.entered(words.joined(commands.Join(id="1", room="#lobby")), None)
    shown: list[Any] = []

    def fill() -> None:
        while pages := rooms.behind():
            for track in pages:
                after = track.seen or 0
                found = [words.message(n) for n in range(after + 1, min(after + 4, 13))]
                more = found[-1].seq if found and found[-1].seq < 12 else None
                request = commands.History(id="2", room="#lobby", after=after)
                shown.extend(rooms.page("#lobby", words.page(request, found, last=12, next=more)))

    for seq, full in steps:
        rooms.full = full
        shown.extend(rooms.heard(words.message(seq)))
        fill()
    rooms.full = False
    fill()
    numbers = seqs(shown)
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= max((seq for seq, _ in steps), default=0)
