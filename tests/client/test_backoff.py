"""How long a client waits before it tries again."""

from __future__ import annotations

import pytest

from chatd.client.backoff import Backoff, Patience


def test_waits_double_from_a_fifth_of_a_second_to_fifteen() -> None:
    backoff = Backoff(lambda: 1.0)
    waits = [backoff.next() for _ in range(10)]
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15, 15, 15]
    backoff.reset()
    assert backoff.next() == 0.2


def test_chance_spreads_them_over_their_upper_half() -> None:
    chances = iter([0.0, 0.5, 1.0])
    backoff = Backoff(lambda: next(chances))
    assert [backoff.next() for _ in range(3)] == pytest.approx([0.1, 0.3, 0.8])


def test_it_never_overflows() -> None:
    backoff = Backoff(lambda: 1.0)
    assert [backoff.next() for _ in range(5000)][-1] == 15


def test_each_place_is_tried_before_it_is_given_up() -> None:
    patience = Patience(lambda: 0.5, places=3)
    patience.begin(100.0, 0.0)
    assert [patience.next(100.0), patience.next(100.0), patience.next(100.0)] == [100.1, 100.1, None]
    patience.begin(200.0, None)
    first = patience.next(200.0, not_before=260.0)
    assert first == 200.1, "another place need not wait for what this one has asked for"


def test_with_one_place_there_is_nothing_else_to_try() -> None:
    patience = Patience(lambda: 0.5)
    patience.begin(100.0, 0.0)
    assert patience.next(100.0) is None
