"""Typed values go there and back unchanged, and nothing else gets through."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.core import typed

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-typed.LARGEST, typed.LARGEST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text().filter(lambda key: not key.startswith("$")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_every_value_survives_json(value: object) -> None:
    """A11: dict, list, int, float, bool, None, str, bytes and times come back equal."""
    written = json.dumps(typed.to_json(typed.check(value)))
    assert typed.from_json(json.loads(written)) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "data: a number must be finite"),
        ([1, float("inf")], "data[1]: a number must be finite"),
        ({"a": {"b": 2**53 + 1}}, "data.a.b: integers are within ±2^53"),
        ({"$eval": "1"}, "data: keys that begin with $ are reserved"),
        ({1: 2}, "data: keys are strings, not int"),
        ({"a": object()}, "data.a: object is not a type that can be sent"),
    ],
)
def test_what_cannot_be_sent_is_named(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        typed.check(value)


@pytest.mark.parametrize("text", ['{"$bytes": "%%%"}', '{"$time": "yesterday"}', '{"$bytes": 1}', '{"$x": 1, "y": 2}'])
def test_a_bad_tag_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="data"):
        typed.from_json(json.loads(text))


def test_sixteen_levels_and_no_more() -> None:
    def nested(levels: int) -> object:
        value: object = 1
        for _ in range(levels):
            value = [value]
        return value

    assert typed.check(nested(16)) == nested(16)
    with pytest.raises(typed.TooDeep, match="nested too deep"):
        typed.check(nested(17))


def test_times_are_kept_in_utc() -> None:
    there = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert typed.to_json(there) == {"$time": "2026-01-02T01:04:05Z"}
