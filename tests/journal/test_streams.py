"""Several streams: what goes into which, and what waits for what."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from chatd.core.charge import SERVER_ID
from chatd.core.cluster_events import PROPOSED, NodeCame, NodeGone
from chatd.core.codes import Code
from chatd.core.events import Entry, Event, LoggedOut, MessageSent, Moderated, Numbered, Proposal, RoomMade
from chatd.journal.bundles import piece_of, seal, unseal
from chatd.journal.commits import Commits
from chatd.journal.following import Following, Waiters
from chatd.journal.outlet import Outlet
from chatd.journal.replica import Replica
from chatd.journal.runs import Runs
from chatd.journal.sender import Sender
from chatd.journal.streams import IN_ROOMS, NAMES, names_of, number_of, subject_of

STREAMS = 4
NAME_OF = names_of("chatd", STREAMS - 1)


def said(room_id: str, body: str) -> MessageSent:
    return MessageSent(room_id, "u", "tom", "text", body, f"m{body}")


ROOM = "r-lobby"
PLACE = number_of(said(ROOM, ""), STREAMS)


def test_a_room_stays_in_its_stream_for_ever() -> None:
    """What is stored under a number is not found under another: these never change."""
    assert [number_of(said(f"r{n}", ""), 9) for n in range(8)] == [8, 2, 4, 6, 7, 1, 3, 5]
    assert names_of("chatd", 1) == ["chatd"]
    assert names_of("chatd", 2) == ["chatd", "chatd-1", "chatd-2"]
    assert [subject_of("chatd", number) for number in (0, 1, 2)] == ["chatd.log", "chatd.log.1", "chatd.log.2"]


def test_rooms_are_spread_over_the_streams() -> None:
    places = [number_of(said(f"{n:016x}", ""), STREAMS) for n in range(3000)]
    assert set(places) == {1, 2, 3}
    assert all(900 < places.count(stream) < 1100 for stream in (1, 2, 3))


def test_all_that_has_a_number_is_in_its_rooms_stream_but_for_the_servers_own() -> None:
    numbered = {kind for kind in get_args(PROPOSED) if issubclass(kind, Numbered)}
    assert numbered < set(IN_ROOMS) < set(get_args(PROPOSED))
    assert number_of(Moderated(SERVER_ID, "u", "op", "ban", "tom"), STREAMS) == NAMES
    assert number_of(RoomMade(ROOM, "#lobby"), STREAMS) == number_of(LoggedOut("s", ""), STREAMS) == NAMES
    assert number_of(said(ROOM, ""), 1) == NAMES


# -- going out --------------------------------------------------------------------------------------------------------


class Out:
    """An outlet with a client that only remembers: `published` by subject, and what was `given_back`."""

    def __init__(self) -> None:
        self.places = [1, 0, 0, 0]
        self.published: list[tuple[str, Any]] = []
        self.given_back: list[Entry] = []
        self.outlet = Outlet(
            NAME_OF,
            give_back=self.given_back.extend,
            spawn=lambda _: None,
            later=lambda _, call: call(),
            places=lambda: list(self.places),
            hold_seconds=10.0,
        )
        self.outlet._client = self
        self.outlet.begin("n1", Proposal(NodeCame("n1", "m1", b""), 1))
        self.outlet.senders[NAMES].came_back(1)
        self.fresh()

    def publish(self, subject: str, payload: bytes, **_: Any) -> None:
        self.published.append((subject, unseal(payload)))

    def put(self, *events: Event) -> None:
        self.outlet.put([Proposal(event, 1, object()) for event in events])

    def fresh(self) -> list[tuple[str, list[Event]]]:
        published, self.published = self.published, []
        return [(subject, [event for _, event in bundle.events]) for subject, bundle in published]


@pytest.fixture
def out() -> Out:
    return Out()


def test_what_happens_in_a_room_goes_out_when_the_room_is_there(out: Out) -> None:
    made, one, two, other = RoomMade(ROOM, "#lobby"), said(ROOM, "1"), said(ROOM, "2"), said("r-other", "3")
    out.put(made, one, other)
    out.put(two)
    place = number_of(other, STREAMS)
    assert out.fresh() == [("chatd.log", [made]), (f"chatd.log.{place}", [other])]
    assert not out.outlet.is_idle
    out.places = [7, 0, 2, 0]
    out.outlet.made([Entry(RoomMade("r-x", "#x"), 1), Entry(made, 1)])
    [(_, bundle)] = list(out.published)
    assert bundle.after == [7, 0, 2, 0]
    assert out.fresh() == [(f"chatd.log.{PLACE}", [one, two])]
    out.put(said(ROOM, "4"))
    assert out.fresh() == [(f"chatd.log.{PLACE}", [said(ROOM, "4")])]


def test_with_a_room_that_could_not_be_made_all_that_waits_for_it_is_given_back(out: Out) -> None:
    out.outlet.disconnected()
    out.put(RoomMade(ROOM, "#lobby"), said(ROOM, "1"))
    sender = out.outlet.senders[NAMES]
    sender._clock = lambda: 1e12
    out.outlet.look()
    assert [(type(one.event), one.code) for one in out.given_back] == [
        (RoomMade, Code.STORE_UNAVAILABLE),
        (MessageSent, Code.STORE_UNAVAILABLE),
    ]
    assert out.outlet.is_failing
    out.given_back.clear()
    out.put(RoomMade(ROOM, "#lobby"), said(ROOM, "2"))
    assert [type(one.event) for one in out.given_back] == [RoomMade, MessageSent]


def test_what_is_on_its_way_into_a_room_when_its_run_ends_may_still_come(out: Out) -> None:
    out.put(said(ROOM, "1"), LoggedOut("s", "gone"))
    out.outlet.disconnected()
    out.put(said(ROOM, "2"))
    out.put(RoomMade("r-new", "#new"), said("r-new", "3"))
    out.outlet.end_run()
    codes = {getattr(one.event, "body", type(one.event).__name__): one.code for one in out.given_back}
    held = Code.STORE_UNAVAILABLE
    assert codes == {"1": Code.OUTCOME_UNKNOWN, "2": held, "3": held, "LoggedOut": held, "RoomMade": held}
    assert out.outlet.is_idle


# -- coming in --------------------------------------------------------------------------------------------------------


def nothing(*_: Any) -> None: ...


class In:
    """A node that follows the streams into a copy; the bodies that it is `told`."""

    def __init__(self, path: Path) -> None:
        self.told: list[Entry] = []
        self.replica = Replica(path, NAME_OF)
        self.replica.open()
        senders = [Sender(nothing, nothing, hold_seconds=1.0, clock=lambda: 0.0) for _ in NAME_OF]
        self.following = Following(
            self.replica,
            senders,
            Commits(),
            told=lambda entries, _: self.told.extend(entries),
            born=nothing,
            buried=nothing,
        )

    def hear(self, stream: int, number: int, *events: Event, after: tuple[int, ...] = (), node: str = "n1") -> None:
        pieces = [piece_of(Proposal(event, number)) for event in events]
        position = self.replica.positions[stream] + 1 + len(self.following._raw[stream])
        self.following.heard(stream, position, f"{node}.{number}.0", seal(node, number, pieces, after))

    def bodies(self) -> list[str]:
        while self.following.step():
            pass
        told, self.told = self.told, []
        return [getattr(entry.event, "body", type(entry.event).__name__) for entry in told]


@pytest.fixture
def into(tmp_path: Path) -> Any:
    made = In(tmp_path / "copy.db")
    yield made
    made.replica.close()


def test_what_comes_waits_for_what_its_author_knew(into: In) -> None:
    into.hear(PLACE, 1, said(ROOM, "1"), after=(2, 0, 0, 0))
    into.hear(PLACE, 2, said(ROOM, "2"))
    assert into.bodies() == []
    assert into.replica.positions == [0, 0, 0, 0]
    into.hear(NAMES, 1, NodeCame("n1", "m1", b"s" * 32))
    assert into.bodies() == ["NodeCame"]
    into.hear(NAMES, 2, RoomMade(ROOM, "#lobby"))
    into.hear(NAMES, 3, LoggedOut("s", "gone"), after=(2, *(2 if n == PLACE else 0 for n in (1, 2, 3))))
    assert into.bodies() == ["RoomMade", "1", "2", "LoggedOut"]
    assert into.replica.positions[NAMES] == 3


def test_while_names_are_held_rooms_go_on(into: In) -> None:
    into.hear(NAMES, 1, NodeCame("n1", "m1", b"s" * 32))
    into.hear(NAMES, 2, RoomMade(ROOM, "#lobby"))
    assert into.bodies() == ["NodeCame", "RoomMade"]
    into.following.is_held = True
    into.hear(NAMES, 3, LoggedOut("s", "gone"))
    into.hear(PLACE, 1, said(ROOM, "1"), after=(2, 0, 0, 0))
    into.hear(PLACE, 2, said(ROOM, "2"), after=(3, 0, 0, 0))
    assert into.bodies() == ["1"]
    into.following.is_held = False
    assert into.bodies() == ["LoggedOut", "2"]


def test_a_copy_goes_on_where_it_was_in_each_stream(into: In, tmp_path: Path) -> None:
    into.hear(NAMES, 1, NodeCame("n1", "m1", b"s" * 32))
    into.hear(NAMES, 2, RoomMade(ROOM, "#lobby"))
    into.hear(PLACE, 1, said(ROOM, "1"))
    into.bodies()
    into.hear(NAMES, 3, LoggedOut("s", "gone"))  # nothing of this is stored
    assert into.bodies() == ["LoggedOut"]
    into.replica.close()
    again = In(tmp_path / "copy.db")
    assert again.replica.positions == [3, *(1 if n == PLACE else 0 for n in (1, 2, 3))]
    assert (again.replica.marks[NAMES], again.replica.marks[PLACE]) == ("n1.3.0", "n1.1.0")
    again.hear(PLACE, 1, said(ROOM, "1"))
    again.hear(PLACE, 2, said(ROOM, "2"))
    assert again.bodies() == ["2"], "what counted before the end counts no more"
    again.replica.close()


def test_in_rooms_what_comes_in_its_order_counts_whatever_became_of_its_run() -> None:
    runs = Runs()
    runs.takes("n1", 1, NodeCame("n1", "m1", b""))
    assert not runs.takes("n1", 2, None, 1)
    assert runs.takes("n1", 1, None, 1)
    assert not runs.takes("n1", 1, None, 1)
    assert runs.takes("n1", 1, None, 2), "each stream counts for itself"
    runs.takes("n2", 1, NodeCame("n2", "m2", b""))
    assert runs.takes("n2", 2, NodeGone("n1", "silent"))
    assert not runs.takes("n1", 2, None)
    assert runs.takes("n1", 2, None, 1)
    again = Runs()
    again.load(runs.changed())
    assert again.is_next("n1", 3, 1)
    assert again.is_next("n1", 2, 2)


def test_who_waits_for_all_streams_hears_when_the_last_has_come() -> None:
    waiters, heard = Waiters(), []
    waiters.add([3, 1], lambda error: heard.append(error))
    waiters.come([3, 0])
    assert heard == []
    waiters.come([4, 1])
    assert heard == [None]
