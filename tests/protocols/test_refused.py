"""Lines that come too fast: told once, then counted, and none is left out."""

from __future__ import annotations

import re

from support.house import House
from support.person import Person

from chatd.core.limits import Limits


def foreign_house() -> House:
    return House(trusted_networks=(), messages_burst=2, messages_per_second=1)


def test_a_paste_is_refused_in_one_line_and_a_count() -> None:
    """A person is told the rate and when to try again, and two seconds later how many lines more it was."""
    house = foreign_house()
    tom, jerry = Person(house, "tom"), Person(house, "jerry")
    tom.reads()
    tom.types(*(f"line {n}" for n in range(500)))
    [told] = tom.hears()
    assert re.fullmatch(
        r"\*\*\* Not sent: 1 message a second is allowed\. Try again in [0-9.]+ s\. \(RATE_LIMITED\)", told
    )
    house.settle(1.9)
    assert tom.reads() == []
    house.settle(0.2)
    assert tom.reads() == ["*** 497 more lines came too fast and did nothing. (RATE_LIMITED)"]
    assert jerry.hears() == ["<tom> line 0", "<tom> line 1"]
    house.settle(10)
    assert tom.reads() == []
    tom.types("again", "and again", "and again")
    assert len(tom.reads()) == 1  # the third, in full
    tom.leaves()


def test_who_leaves_is_told_before() -> None:
    house = foreign_house()
    tom = Person(house, "tom")
    tom.reads()
    tom.types(*(f"line {n}" for n in range(5)), "/quit")
    told = tom.reads()
    assert "*** 2 more lines came too fast and did nothing. (RATE_LIMITED)" in told
    assert not tom.is_open
    assert not [call for call in house.clock.getDelayedCalls() if "time_is_up" in str(call)]


def test_other_requests_are_limited_too() -> None:
    """Not more than `requests_burst` at once, then `requests_per_second`; leaving is always possible."""
    house = House(trusted_networks=(), requests_burst=5, requests_per_second=2)
    tom = house.come("tom", "#lobby")  # hello came before the login, and join is one of the five
    replies = [tom.ask("ping") for _ in range(6)]
    assert [one["ok"] for one in replies] == [True] * 4 + [False] * 2
    assert replies[-1]["error"]["details"] == {"limit": "requests_per_second", "value": 2.0}
    assert tom.ask("send", room="#lobby", body="a message is none")["ok"]
    house.settle(replies[-1]["error"]["retry_after"])
    assert tom.ask("history", room="#lobby")["ok"]
    assert tom.ask("quit")["ok"]


def test_in_trusted_networks_none_of_this_holds_and_is_told_as_0() -> None:
    told = Limits().told(trusted=True)
    assert (told["requests_per_second"], told["requests_burst"]) == (0, 0)
    tom = House(requests_burst=1).come("tom")
    assert all(tom.ask("ping")["ok"] for _ in range(300))
