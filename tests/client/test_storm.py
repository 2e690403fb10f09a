"""Chance pulls cables and crashes the server; what was acknowledged is there once, and everyone sees the same order."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.house import House

from chatd.client import verbs
from chatd.core import commands
from chatd.core.replies import Sent

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["say", "say", "say", "exchange", "lose", "lose after writing", "crash", "full", "room"]),
        st.integers(0, 1),
    ),
    max_size=60,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(STEPS)
def test_no_storm_loses_doubles_or_disorders_anything(guest: Any, steps: list[tuple[str, int]]) -> None:
    """A53, A59: through lost connections, crashes and slow readers."""
    house = House()
    people = [guest(house, nick, own=True, wait=None).come() for nick in ("tom", "jerry")]
    for one in people:
        one.ask(commands.Join(room="#lobby"))
    said: dict[int, list[int]] = {0: [], 1: []}
    for number, (what, who) in enumerate(steps):
        one = people[who]
        match what:
            case "say":
                said[who].append(one.session.ask(verbs.send("#lobby", f"{who}:{number}"), one.now))
            case "exchange":
                come_back(one).exchange()
            case "lose" if one.session.online:
                one.lose()
            case "lose after writing" if one.session.online:
                one.write_but_lose_the_answer()
            case "crash":
                house.restart()
                for each in people:
                    if each.session.online:
                        each.lose()
            case "full":
                one.session.rooms.full = True
            case "room":
                one.session.make_room(one.now)
    for one in (*people, *people):
        one.session.make_room(one.now)
        come_back(one).exchange()
    for who, one in enumerate(people):
        outcomes = [one.outcomes[ticket] for ticket in said[who]]
        assert all(isinstance(outcome, Sent) for outcome in outcomes)
        seqs = [outcome.seq for outcome in outcomes]
        assert seqs == sorted(set(seqs)), "an author's messages are in the author's order"
    shown = [one.bodies() for one in people]
    count = len(said[0]) + len(said[1])
    assert shown[0] == shown[1], "everybody sees the same"
    assert [seq for seq, _ in shown[0]] == list(range(1, count + 1)), "every number, once, in order"
    assert len({body for _, body in shown[0]}) == count, "nothing twice"


def come_back(one: Any) -> Any:
    return one if one.session.online else one.come()
