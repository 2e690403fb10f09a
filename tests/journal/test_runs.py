"""Which bundles count: the same on every node, as it follows from the stream alone."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from chatd.core.cluster_events import NodeCame, NodeGone
from chatd.core.events import Event, LoggedOut
from chatd.journal.runs import Runs

OUT = LoggedOut("s", "gone")


def came(node: str, machine: str = "m1") -> NodeCame:
    return NodeCame(node, machine, b"")


def test_each_bundle_counts_once_and_after_the_one_before_it() -> None:
    runs = Runs()
    assert not runs.takes("n1", 1, OUT), "a run begins with its coming"
    assert runs.takes("n1", 1, came("n1"))
    assert not runs.takes("n1", 3, OUT), "one is missing"
    assert runs.takes("n1", 2, OUT)
    assert not runs.takes("n1", 2, OUT), "it was there before"
    assert runs.takes("n1", 3, OUT)


def test_a_run_that_is_over_never_counts_again() -> None:
    runs = Runs()
    runs.takes("n1", 1, came("n1"))
    runs.takes("n2", 1, came("n2", "m2"))
    assert runs.takes("n2", 2, NodeGone("n1", "silent"))
    assert not runs.takes("n1", 2, OUT)
    assert not runs.takes("n1", 1, came("n1"))
    assert runs.here() == {"n2": "m2"}


def test_a_new_run_of_a_node_ends_the_earlier_one() -> None:
    runs = Runs()
    runs.takes("n1", 1, came("n1"))
    assert runs.takes("n2", 1, came("n2"))
    assert runs.here() == {"n2": "m1"}
    assert not runs.takes("n1", 2, OUT)


def test_only_a_run_that_has_begun_in_earnest_can_have_sessions() -> None:
    runs = Runs()
    runs.takes("n1", 1, came("n1"))
    runs.takes("n1", 2, came("n1"))
    assert runs.others_on("") == []
    runs.takes("n1", 3, None)
    assert runs.others_on("") == ["n1"]
    assert runs.others_on("n1") == []


@given(st.integers(0, 1 << 32))
def test_what_is_kept_half_way_goes_on_as_if_nothing_had_been(seed: int) -> None:
    chance = random.Random(seed)
    whole, first, kept = Runs(), Runs(), {}
    half = chance.randrange(60)
    for step in range(60):
        node = chance.choice("abc")
        event: Event | None = chance.choice(
            [came(node, chance.choice("xy")), NodeGone(chance.choice("abc"), ""), OUT, None]
        )
        number = chance.randint(1, 4)
        taken = whole.takes(node, number, event)
        assert first.takes(node, number, event) == taken
        kept |= first.changed()
        first.are_kept()
        if step == half:
            first = Runs()
            first.load(kept)
    assert first.here() == whole.here()
