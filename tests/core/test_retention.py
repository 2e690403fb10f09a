"""How long rooms keep what was said: one age for all, and one of its own for some."""

from __future__ import annotations

import re

import pytest

from chatd.core.retention import PATTERN, Ages, age, ages

HOUR = 3600 * 1_000_000


@pytest.mark.parametrize(("written", "hours"), [("", 0), ("1h", 1), ("2d", 48), ("3w", 504), ("99999w", 99999 * 168)])
def test_an_age_is_hours_days_or_weeks(written: str, hours: int) -> None:
    assert re.match(PATTERN, written)
    assert age(written) == hours * HOUR


@pytest.mark.parametrize("written", ["0h", "1", "h", "1m", "-1h", "100000h", "1h\n", " 1h", "1H", "\u0661h"])
def test_anything_else_is_none(written: str) -> None:
    assert re.match(PATTERN, written) is None


def test_a_room_has_its_own_age_or_that_of_all() -> None:
    """Names are compared folded; an empty one is for ever, whatever holds for all."""
    found = ages("30d", {"#Ops": "1h", "#archive": "", "#STRASSE": "2h"})
    assert found.of("#ops") == found.of("#OPS") == HOUR
    assert found.of("#stra\u00dfe") == 2 * HOUR
    assert found.of("#Archive") == 0
    assert found.of("#other") == found.of("") == 30 * 24 * HOUR
    assert found == ages("30d", {"#archive": "", "#strasse": "2h", "#ops": "1h"})


def test_without_settings_all_is_kept() -> None:
    assert ages("", {}) == Ages()
    assert Ages().of("#lobby") == 0
