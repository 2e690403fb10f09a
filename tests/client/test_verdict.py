"""The book that is kept of a load: what counts as broken, and what does not."""

from __future__ import annotations

import pytest

from chatd.client.verdict import FAULTS, Times, Verdict


def room(members: int) -> Verdict:
    verdict = Verdict()
    for _ in range(members):
        verdict.enter(0)
    return verdict


def talk(verdict: Verdict, messages: int) -> None:
    """Member 0 says so much, and everybody hears all of it."""
    for n in range(messages):
        message = verdict.say(0, float(n))
        verdict.answer(message, n + 1, n + 0.5)
        for member in range(1, len(verdict.members)):
            verdict.show(member, message, n + 1, n + 0.25)


def test_a_server_that_does_well_has_no_faults() -> None:
    verdict = room(3)
    talk(verdict, 10)
    assert verdict.is_settled
    account = verdict.close()
    assert (account.said, account.kept, account.shown, account.faults) == (10, 10, 20, {})
    assert verdict.to_show.count == 20
    assert verdict.to_show.longest == 0.25


def test_an_ok_may_come_before_or_after_what_others_say() -> None:
    """A speaker learns of its own number from the ok, and that has no place among what others say."""
    verdict = room(2)
    mine, theirs = verdict.say(0, 0), verdict.say(1, 0)
    verdict.show(0, theirs, 2, 1)
    assert not verdict.is_settled
    verdict.answer(mine, 1, 1)
    verdict.answer(theirs, 2, 1)
    verdict.show(1, mine, 1, 1)
    assert verdict.is_settled
    assert verdict.close().faults == {}


def test_what_is_refused_breaks_no_promise() -> None:
    verdict = room(2)
    verdict.refuse(verdict.say(0, 0), "RATE_LIMITED")
    assert verdict.is_settled
    account = verdict.close()
    assert (account.refused, account.faults) == ({"RATE_LIMITED": 1}, {})


def test_what_somebody_else_says_takes_a_number_and_is_no_message_of_ours() -> None:
    verdict = room(2)
    message = verdict.say(0, 0)
    for member in (0, 1):
        verdict.show(member, None, 1, 0)
    verdict.answer(message, 2, 0)
    verdict.show(1, message, 2, 0)
    assert verdict.close().faults == {}


def faults_of(*steps: tuple[str, object, object]) -> dict[str, int]:
    """Three members, of whom the first says three messages; the last hears and is answered these instead."""
    verdict = room(3)
    for n in range(3):
        verdict.say(0, 0)
        verdict.show(1, n, n + 1, 0)
    answered = {message for kind, message, _ in steps if kind == "answer"}
    for n in {0, 1, 2} - answered:
        verdict.answer(n, n + 1, 0)
    for kind, message, seq in steps:
        if kind == "answer":
            verdict.answer(message, seq, 0)
        elif kind == "show":
            verdict.show(2, message, seq, 0)
        elif kind == "gap":
            verdict.announce_gap(2, seq)
    return verdict.close().faults


ALL = (("show", 0, 1), ("show", 1, 2), ("show", 2, 3))


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        (ALL, {}),
        ((ALL[0], ALL[2]), {"lost": 1, "holes": 1}),
        (ALL[:2], {"lost": 1, "holes": 1}),
        ((), {"lost": 3, "holes": 3}),
        ((*ALL, ALL[1]), {"twice": 1}),
        ((ALL[0], ALL[2], ALL[1]), {"disordered": 1}),
        ((ALL[0], ("gap", 0, 2), ALL[2]), {"lost": 1, "gaps": 1}),
        ((*ALL, ("answer", 1, None)), {"unnumbered": 1}),
        ((*ALL, ("answer", 1, "2")), {"unnumbered": 1}),
        ((*ALL, ("answer", 1, 2), ("answer", 1, 2)), {"answered_twice": 1}),
        ((*ALL, ("answer", 7, 2), ("answer", 1, 2)), {"answered_twice": 1}),
        ((ALL[0], ("show", 2, 2), ("show", 1, 3)), {"renumbered": 2}),
        ((*ALL, ("show", None, 0)), {"unnumbered": 1}),
        ((*ALL, ("show", None, 2**52)), {"holes": 1}),
        ((*ALL, ("gap", None, 2**52)), {"gaps": 1}),
    ],
)
def test_what_is_broken_is_counted(steps: tuple[tuple[str, object, object], ...], wanted: dict[str, int]) -> None:
    assert faults_of(*steps) == wanted
    assert set(wanted) <= set(FAULTS)


def test_no_answer_is_no_hole_for_the_one_who_asked() -> None:
    verdict = room(2)
    message = verdict.say(0, 0)
    verdict.show(1, message, 1, 0)
    assert not verdict.is_settled
    assert verdict.close().faults == {"unanswered": 1}


def test_times_are_known_to_a_few_per_cent() -> None:
    times = Times()
    assert times.quantile(0.5) == 0
    for n in range(1, 1001):
        times.add(n / 1000)
    assert times.quantile(0.5) == pytest.approx(0.5, rel=0.04)
    assert times.quantile(0.99) == pytest.approx(0.99, rel=0.04)
    assert times.longest == 1
