"""Retention: what is too old goes by itself, and whoever comes back is told that it is gone."""

from __future__ import annotations

from typing import Any

import pytest
from support.house import House, bodies
from twisted.internet.defer import Deferred, fail, succeed

from chatd.core import retention
from chatd.core.questions import Page
from chatd.core.retention import Ages, ages
from chatd.hub.retention import EVERY_SECONDS, Retention

HOUR = 3600 * 1_000_000


def talk(house: House, tom: Any, first: int, last: int, room: str = "#lobby") -> None:
    for n in range(first, last + 1):
        assert tom.ask("send", room=room, body=f"{n}")["ok"]


def pass_time(house: House, tom: Any, seconds: int) -> None:
    """Time passes, and tom stays awake."""
    for _ in range(0, seconds, 40):
        house.settle(40)
        tom.ask("ping")


def test_what_is_too_old_is_removed_and_announced_as_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said an hour ago goes in slices; what is younger stays, and so do the numbers."""
    monkeypatch.setattr(retention, "SLICE", 2)
    house = House()
    tom = house.come("tom", "#lobby", "#ops")
    kept = Retention(house.hub, Ages(HOUR))
    kept.start()
    talk(house, tom, 1, 5)
    talk(house, tom, 1, 1, "#ops")
    pass_time(house, tom, 3000)
    talk(house, tom, 6, 7)
    assert house.hub.state.room_called("#lobby").first_seq == 1
    pass_time(house, tom, 800)
    lobby = house.hub.state.room_called("#lobby")
    assert (lobby.first_seq, lobby.last_seq) == (6, 7)
    assert house.hub.state.room_called("#ops").first_seq == 2
    assert tom.events("gap") == []

    jerry = house.come("jerry")
    reply = jerry.ask("join", room="#lobby", since=2)
    assert reply["first_seq"] == 6
    [gap] = [one for one in jerry.heard if one.get("type") == "gap"]
    assert gap == {"type": "gap", "room": "#lobby", "from": 3, "to": 5, "reason": "retention"}
    assert bodies(jerry.heard) == [(6, "6"), (7, "7")]
    assert jerry.ask("join", room="#ops", since=0)["first_seq"] == 2
    told = [one for one in jerry.heard if one.get("room") == "#ops" and "re" not in one]
    assert [(one["type"], one.get("from"), one.get("to"), one.get("seq")) for one in told] == [
        ("gap", 1, 1, None),
        ("caught_up", None, None, 1),
    ]
    talk(house, tom, 8, 8)
    assert bodies(jerry.events("message")) == [(8, "8")]
    kept.stop()


def test_a_room_may_have_an_age_of_its_own_and_ages_may_change() -> None:
    """What was asked by the old ages removes nothing more, even if the answer is under way."""
    house = House()
    tom = house.come("tom", "#lobby", "#Ops", "#archive")
    for room in ("#lobby", "#Ops", "#archive"):
        talk(house, tom, 1, 2, room)
    pass_time(house, tom, 4000)
    kept = Retention(house.hub, ages("2h", {"#ops": "1h", "#archive": ""}))
    kept.start()
    house.settle(1)

    def first(room: str) -> int:
        return house.hub.state.room_called(room).first_seq

    assert (first("#lobby"), first("#ops"), first("#archive")) == (1, 3, 1)
    kept.change(ages("1h", {"#archive": "1h"}))
    kept.change(ages("1h", {"#archive": ""}))  # before anything came of it
    house.settle(1)
    assert (first("#lobby"), first("#archive")) == (3, 1)
    waiting: Deferred[Any] = Deferred()
    kept.change(ages("", {"#archive": "1h"}))
    with pytest.MonkeyPatch.context() as slow:
        slow.setattr(house.journal, "ask", lambda question: waiting)
        house.settle(1)
    kept.change(Ages())
    waiting.callback(Page([], 1, 2))
    house.settle(1)
    assert first("#archive") == 1
    pass_time(house, tom, 400)
    assert first("#archive") == 1
    kept.stop()
    kept.change(Ages(HOUR))
    pass_time(house, tom, 400)
    assert first("#archive") == 1


def test_nobody_may_change_how_long_a_room_is_kept() -> None:
    """Until rooms have owners, anyone could remove what others said."""
    house = House()
    tom = house.come("tom", "#lobby")
    talk(house, tom, 1, 1)
    error = tom.ask("set", room="#lobby", changes={"retention": "1h"})["error"]
    assert error["code"] == "FORBIDDEN"
    assert "retention" in error["message"]
    assert house.hub.state.room_called("#lobby").last_seq == 1


def test_a_journal_that_cannot_be_read_is_asked_again(monkeypatch: pytest.MonkeyPatch, logged_errors: Any) -> None:
    house = House()
    tom = house.come("tom", "#lobby")
    talk(house, tom, 1, 1)
    pass_time(house, tom, 4000)
    kept = Retention(house.hub, Ages(HOUR))
    with monkeypatch.context() as broken:
        broken.setattr(house.journal, "ask", lambda question: fail(OSError("the disk fails")))
        kept.start()
    assert len(logged_errors.take(OSError)) == 1
    assert house.hub.state.room_called("#lobby").first_seq == 1
    pass_time(house, tom, int(EVERY_SECONDS) + 40)
    assert house.hub.state.room_called("#lobby").first_seq == 2
    kept.stop()


def test_after_the_stop_nothing_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    tom = house.come("tom", "#lobby")
    talk(house, tom, 1, 1)
    pass_time(house, tom, 4000)
    kept = Retention(house.hub, Ages(HOUR))
    kept.start()
    kept.stop()
    house.settle(1)
    monkeypatch.setattr(house.journal, "ask", lambda question: succeed(pytest.fail("asked")))
    house.settle(200)
    assert house.hub.state.room_called("#lobby").first_seq == 1


def test_a_room_of_which_nothing_can_be_removed_does_not_keep_the_others_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    tom = house.come("tom", "#lobby", "#ops")
    talk(house, tom, 1, 3)
    talk(house, tom, 1, 3, "#ops")
    pass_time(house, tom, 3700)
    stuck = house.hub.state.room_called("#ops").id
    proposed: list[Any] = []
    propose = house.hub.propose

    def refuse_some(events: Any, ticket: Any) -> None:
        proposed.extend(event for event in events if event.room_id == stuck)
        if not proposed or events[0] is not proposed[-1]:
            propose(events, ticket)

    monkeypatch.setattr(house.hub, "propose", refuse_some)
    kept = Retention(house.hub, Ages(HOUR))
    kept.start()
    for _ in range(100):
        house.settle(0.1)
    assert house.hub.state.room_called("#lobby").first_seq == 4
    assert house.hub.state.room_called("#ops").first_seq == 1
    assert len(proposed) < 30
    house.settle(EVERY_SECONDS)
    assert len(proposed) > 20, "it is tried again"
    kept.stop()
