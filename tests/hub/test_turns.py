"""A hub on a journal of several orders: each connection is answered in its order, and goes after what it said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from support.house import House

from chatd.core.events import Entry, LoggedOut, Moderated, Parted, Proposal
from chatd.journal.streams import NAMES, number_of

ORDERS = 9


class Apart(House):
    """A house whose rooms are in eight streams. `held` are those out of which nothing comes now."""

    def restart(self, first: bool = False) -> None:
        super().restart(first)
        self.hub.state.orders = ORDERS
        self.held: set[int] = set()
        self.proposed: list[Proposal] = []
        self._waiting: list[Entry] = []
        self._take, self._append = self.hub.entries_received, self.journal.append
        hub: Any = self.hub
        hub.entries_received = self.sort
        self.journal.append = self.note

    def note(self, proposals: Sequence[Proposal]) -> None:
        self.proposed += proposals
        self._append(proposals)

    def sort(self, entries: Sequence[Entry]) -> None:
        self._waiting += [entry for entry in entries if self.stream(entry) in self.held]
        self._take([entry for entry in entries if self.stream(entry) not in self.held])

    @staticmethod
    def stream(entry: Entry) -> int:
        return number_of(entry.event, ORDERS)

    def hold(self, room: str) -> None:
        """Nothing comes out of the stream of this room until `let_go`."""
        stream = number_of(Moderated(self.hub.state.by_name[room], "", "", "kick", ""), ORDERS)
        assert stream != NAMES
        self.held.add(stream)

    def let_go(self) -> None:
        self.held.clear()
        waiting, self._waiting = self._waiting, []
        self._take(waiting)
        self.settle()

    def bodies(self) -> list[str]:
        return [one.event.body for one in self.proposed if hasattr(one.event, "body")]


@pytest.fixture
def house() -> Apart:
    return Apart()


def said(number: int, room: str) -> dict[str, Any]:
    return {"type": "send", "id": f"s{number}", "room": room, "body": f"{number}"}


def replies(peer: Any) -> list[str]:
    return [one["re"] for one in peer.listen() if one.get("re", "")[:1] == "s"]


def test_what_is_said_into_two_rooms_is_answered_in_its_order(house: Apart) -> None:
    tom = house.come("tom", "#one", "#two")
    tom.ask("send", room="#one", body="it is there to stay")
    house.hold("#one")
    tom.say(said(1, "#one"), said(2, "#one"), said(3, "#two"), said(4, "#two"))
    assert house.bodies()[1:] == ["1", "2"], "to one room they go one behind the other"
    assert replies(tom) == []
    house.let_go()
    assert house.bodies()[1:] == ["1", "2", "3", "4"]
    assert replies(tom) == ["s1", "s2", "s3", "s4"]


def test_what_is_asked_waits_for_what_was_said(house: Apart) -> None:
    tom = house.come("tom", "#one")
    house.hold("#one")
    tom.say(said(1, "#one"), {"type": "part", "id": "s2", "room": "#one"})
    assert replies(tom) == []
    house.let_go()
    assert replies(tom) == ["s1", "s2"]


def test_who_goes_is_gone_after_what_they_said(house: Apart) -> None:
    tom, kim = house.come("tom", "#one"), house.come("kim", "#one", caps=("presence",))
    kim.listen()
    house.hold("#one")
    tom.say(said(1, "#one"))
    tom.leave()
    assert not any(isinstance(one.event, LoggedOut) for one in house.proposed)
    house.let_go()
    assert [one["type"] for one in kim.events("message", "presence")] == ["message", "presence"]
    assert len(house.hub.state.sessions) == 1
    quiet = house.come("ann", "#one")
    quiet.leave()
    assert len(house.hub.state.sessions) == 1, "who said nothing goes at once"


def test_who_is_banned_is_sent_away_by_the_node_that_has_them(house: Apart) -> None:
    op, tom = house.come("op", "#one"), house.come("tom", "#one")
    kim = house.come("kim", "#one")
    [session] = [one.id for one in house.hub.state.sessions.values() if one.user.nick == "tom"]
    assert op.ask("moderate", room="#one", action="ban", target="tom")["ok"]
    assert [one.event for one in house.proposed if isinstance(one.event, Parted)] == [
        Parted(session, house.hub.state.by_name["#one"], "banned by op", True)
    ]
    assert house.hub.state.sessions[session].rooms == set()
    assert [one["type"] for one in tom.events()] == ["member", "presence"]
    assert tom.ask("join", room="#one")["error"]["code"] == "BANNED"
    there = next(one for one in house.hub.state.sessions.values() if one.user.nick == "kim")
    kicked = Moderated(house.hub.state.by_name["#one"], "u", "op", "kick", "kim", there.user.id, there.user.id)
    house.proposed.clear()
    link = house.hub.links.pop(there.id)
    house.hub.entries_received([Entry(kicked, 1, 2)])
    house.settle()
    assert house.proposed == [], "kim is on another node"
    house.hub.links[there.id] = link
    house.hub.entries_received([Entry(kicked, 1, 3)])
    house.settle()
    assert [type(one.event) for one in house.proposed] == [Parted]
    assert kim.is_open
