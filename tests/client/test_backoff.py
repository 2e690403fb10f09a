"""How long a client waits before it tries again."""

from __future__ import annotations

import pytest

from chatd.client.backoff import Backoff


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
