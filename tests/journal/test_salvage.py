"""Damaged files: what was said is shown as it was said or not at all, and the rest of the room around it."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.damage import Truth, break_page, change, flip, flip_any, journal
from twisted.logger import globalLogPublisher

from chatd.core.events import MessageSent, Proposal, Purged
from chatd.core.questions import EntryWanted, Page, PageWanted, Side
from chatd.core.retention import oldest_kept, step
from chatd.errors import OperatorError
from chatd.journal import export, schema
from chatd.journal.bring_in import bring_in
from chatd.journal.chain import digest_of, link
from chatd.journal.check import check
from chatd.journal.faults import MOST_PLACES, Faults
from chatd.journal.reader import answer_from
from chatd.journal.schema import event_id
from chatd.journal.store import Store
from chatd.journal.stored import encode
from chatd.journal.verify import verify


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """A journal as it should be, and what was said in it."""
    path = tmp_path_factory.mktemp("whole") / "chatd.db"
    return path, journal(path)


@pytest.fixture
def truth(whole: tuple[Path, Truth]) -> Truth:
    return whole[1]


@pytest.fixture
def path(whole: tuple[Path, Truth], tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copy(whole[0], tmp_path / "chatd.db")
    return tmp_path / "chatd.db"


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What the operator is told of damage."""
    lines: list[str] = []

    def observer(event: dict[str, Any]) -> None:
        if event["log_namespace"] == "chatd.journal.faults.Faults":
            lines.append(f"{event['room']} {event['where']}")

    globalLogPublisher.addObserver(observer)
    yield lines
    globalLogPublisher.removeObserver(observer)


def ask(path: Path, question: Any, faults: Faults | None = None) -> Any:
    with closing(schema.connect_reader(path)) as connection:
        return answer_from(connection, question, faults)


def page(path: Path, room: str, side: Side = Side.AFTER, place: int | None = 0, limit: int = 50) -> Page:
    found: Page = ask(path, PageWanted(room, side, place, limit))
    return found


def said(found: Page) -> dict[int, Any]:
    return {entry.seq: entry.event for entry in found.entries}


def everything(path: Path, room: str) -> tuple[dict[int, Any], list[tuple[int, int]]]:
    """All that the pages of a room have from the first to the last, and what they say is lost."""
    seen, lost, at = {}, [], 0
    while (found := page(path, room, place=at, limit=200)).span[1] > at:
        assert found.span[0] == at + 1, "a page begins where the one before it ended"
        seen |= said(found)
        lost += found.lost
        at = found.span[1]
    return seen, lost


def test_a_changed_text_is_left_out_of_pages_and_named(path: Path, truth: Truth, told: list[str]) -> None:
    """Never shown as if it were true; and told to the operator once."""
    change(path, "#lobby message 700 ")
    faults = Faults()
    for side, place in ((Side.AFTER, 680), (Side.BEFORE, 720), (Side.AROUND, 700), (Side.AFTER, 699)):
        found = ask(path, PageWanted("#lobby", side, place, 50), faults)
        assert found.lost == ((700, 700),)
        assert said(found) == {
            seq: truth["#lobby", seq] for seq in range(found.span[0], found.span[1] + 1) if seq != 700
        }
    assert ask(path, EntryWanted("#lobby", 700), faults) is None
    assert ask(path, EntryWanted("#lobby", 701), faults).event == truth["#lobby", 701]
    assert told == ["#lobby 700"]


def test_a_broken_page_costs_what_lay_on_it(path: Path, truth: Truth) -> None:
    break_page(path, "#ops message 150 ")
    seen, lost = everything(path, "#ops")
    assert all(seen[seq] == truth["#ops", seq] for seq in seen)
    [(low, high)] = lost
    assert low <= 150 <= high
    assert set(seen) == set(range(1, 301)) - set(range(low, high + 1))
    assert high - low < 60
    assert len(everything(path, "#lobby")[0]) == 1500
    assert said(page(path, "#ops", Side.BEFORE, None, 10)) == {seq: truth["#ops", seq] for seq in range(291, 301)}
    assert page(path, "#ops", place=low - 1, limit=low - 149 if low > 149 else 1).lost[0][0] == low


def test_a_broken_link_costs_no_message(path: Path, truth: Truth) -> None:
    """The next one shows that the message itself is as it was."""
    with closing(schema.connect_reader(path)) as connection:
        [(stored,)] = connection.execute("SELECT link FROM events WHERE id = ?", (event_id(1, 500),))
    flip(path, 8 * path.read_bytes().index(stored) + 13)
    assert everything(path, "#lobby") == ({seq: truth["#lobby", seq] for seq in range(1, 1501)}, [])


def test_a_message_under_another_number_is_left_out(path: Path) -> None:
    """Even where nothing before it can be read."""
    with closing(schema.connect(path, "memory")) as connection:
        connection.execute("UPDATE events SET id = ? WHERE id = ?", (event_id(3, 24), event_id(3, 20)))
    seen, lost = everything(path, "#few")
    assert (max(seen), lost) == (19, [(20, 24)])


def test_what_is_damaged_is_not_taken_for_old_and_removed(path: Path) -> None:
    """A time that is changed would otherwise cost the room all that comes before it."""
    with closing(schema.connect(path, "memory")) as connection:
        connection.execute("UPDATE events SET time = 1 WHERE id BETWEEN ? AND ?", (event_id(1, 700), event_id(1, 800)))
    assert step("#lobby", ask(path, oldest_kept("#lobby", 1_001))) is None
    event = step("#lobby", ask(path, oldest_kept("#lobby", 1_401)))
    assert event is not None
    assert event.first_seq <= 401
    change(path, "#ops message 1 ")
    assert step("#ops", ask(path, oldest_kept("#ops", 1_001))) is None


def test_pages_by_time_find_their_place_in_spite_of_damage(path: Path, truth: Truth) -> None:
    for seq in (750, 751, 752):
        change(path, f"#lobby message {seq} ")
    found = ask(path, PageWanted("#lobby", Side.AFTER, 1_747, 10, by_time=True))
    assert (found.span, found.lost) == ((748, 757), ((750, 752),))


def test_damage_near_the_end_is_told_as_far_as_the_room_goes(path: Path, told: list[str]) -> None:
    for seq in (299, 300):
        change(path, f"#ops message {seq} ")
    ask(path, PageWanted("#ops", Side.AFTER, 1_298, 1, by_time=True), Faults())
    assert {line.split()[-1] for line in told} <= {"299", "300"}


def test_after_so_many_places_nothing_more_is_told(told: list[str]) -> None:
    faults = Faults()
    for seq in range(1, 10 * MOST_PLACES, 2):
        faults.lost("#lobby", seq, seq)
    assert len(told) == MOST_PLACES


# -- what was lost before a room was imported ---------------------------------------------------------------------


def out(path: Path) -> tuple[list[bytes], list[Any]]:
    """The lines of an export, and what they leave out that is news."""
    lost: list[Any] = []
    with closing(schema.connect_known(path)) as connection:
        lines = list(export.lines(connection, export.rooms(connection), lambda *where: lost.append(where)))
    return lines, lost


def saved(path: Path, *statements: str) -> Path:
    """A journal made of what can be saved of this one, after these statements."""
    with closing(schema.connect(path, "memory")) as connection:
        for statement in statements:
            connection.execute(statement)
    new = path.with_name("saved.db")
    bring_in(out(path)[0], new, name="export", tell=pytest.fail)
    return new


def test_the_numbers_of_an_end_that_was_lost_are_never_given_again(path: Path) -> None:
    break_page(path, "#one message 1 ")
    store = Store(new := saved(path), "fsync")
    [last] = [room.last_seq for room in store.open().rooms if room.room_id == "#one"]
    said = [MessageSent("#one", "ann", "ann", "text", "hello", word) for word in "ab"]
    failing, store._connection = store._connection, None
    assert failing is not None
    failing.close()
    store._unsure.add("#one")
    assert [store.write([Proposal(one, 1)])[0].seq for one in said] == [last + 1, last + 2]
    store.close()
    assert check(new) == []
    again, lost = out(new)
    assert lost == []
    assert sum(b'"body":"hello"' in line for line in again) == 2, "behind a long stretch the room goes on"
    bring_in(again, path.with_name("again.db"), name="export", tell=pytest.fail)


def test_an_end_that_was_lost_stays_lost_through_any_number_of_exports(path: Path) -> None:
    break_page(path, "#one message 1 ")
    new = saved(path)
    once, _ = out(new)
    bring_in(once, path.with_name("again.db"), name="export", tell=pytest.fail)
    assert out(path.with_name("again.db")) == (once, [])


def test_an_end_that_was_lost_may_have_been_read(path: Path) -> None:
    break_page(path, "#one message 1 ")
    new = saved(path, "INSERT INTO cursors VALUES ('ann', 4, 1)")
    with closing(schema.connect_known(new)) as connection:
        assert verify(connection, pytest.fail).faults == 0


@pytest.mark.parametrize("missing", ["1 AND 5", "290 AND 298"])
def test_a_start_says_nothing_of_what_was_lost_before(missing: str, path: Path) -> None:
    low, high = map(int, missing.split(" AND "))
    new = saved(path, f"DELETE FROM events WHERE id BETWEEN {event_id(2, low)} AND {event_id(2, high)}")
    assert check(new) == []


def test_a_start_says_nothing_of_what_was_lost_right_before_the_end(path: Path) -> None:
    break_page(path, "#one message 1 ")
    store = Store(new := saved(path), "fsync")
    store.open()
    store.write([Proposal(MessageSent("#one", "ann", "ann", "text", "hello"), 1)])
    store.close()
    assert check(new) == []


def test_what_was_lost_before_is_no_fault_after_a_part_of_it_was_removed(path: Path) -> None:
    new = saved(path, f"DELETE FROM events WHERE id BETWEEN {event_id(2, 50)} AND {event_id(2, 70)}")
    store = Store(new, "fsync")
    store.open()
    store.write([Proposal(Purged("#ops", 60), 1)])
    store.close()
    with closing(schema.connect_known(new)) as connection:
        assert verify(connection, pytest.fail).faults == 0
    assert check(new) == []


def test_whatever_bit_is_flipped_nothing_false_is_shown(
    path: Path, whole: tuple[Path, Truth], truth: Truth, extent: Any
) -> None:
    """A start that refuses, or all that was said, or all but what is named; and everything else can be read."""
    chance = random.Random(extent(7, 8))
    came = Counter[str]()
    for _ in range(extent(120, 10_000)):
        shutil.copy(whole[0], path)
        bit = flip_any(path, chance)
        damaged = path.read_bytes()
        store = Store(path, "memory")
        try:
            rooms = store.open().rooms
        except OperatorError:
            assert path.read_bytes() == damaged, "what is refused stays as it is"
            came["refused"] += 1
            continue
        assert [room.room_id for room in rooms] == ["#lobby", "#ops", "#few", "#one"]
        for room in rooms:
            seen, lost = everything(path, room.room_id)
            for seq, event in seen.items():
                assert truth.get((room.room_id, seq)) == event, f"bit {bit}: {room.room_id} {seq}"
            named = {seq for low, high in lost for seq in range(low, high + 1)}
            said_there = {seq for name, seq in truth if name == room.room_id}
            at_end = said_there - set(seen) - named
            assert not at_end or min(at_end) > max([*seen, *named], default=0), f"bit {bit}: {sorted(at_end)[:5]}"
            came["lost" if named or at_end else "all there"] += 1
        store.close()
    print(dict(came))
    assert came["refused"]
    assert came["lost"]


def test_the_chain_is_looked_at_for_each_row_that_is_read(path: Path) -> None:
    """A message that somebody puts in place of another, with a fitting digest of its own, has no fitting link."""
    forged = MessageSent("#few", "ann", "ann", "text", "I never said that", "#few.7")
    with closing(schema.connect(path, "memory")) as connection:
        blob = encode(forged)
        false = link(bytes(16), forged, 7, 1_007, digest_of(blob))
        connection.execute("UPDATE events SET event = ?, link = ? WHERE id = ?", (blob, false, event_id(3, 7)))
    assert everything(path, "#few")[1] == [(7, 8)]  # nothing is left that 8 could be compared with
