"""Typed values: what may travel in `data`, and how JSON writes bytes and times.

A value is None, a bool, an int within ±2^53, a finite float, a string, bytes, an aware datetime, a list, or a
dict with string keys. JSON has no bytes and no times: they are written `{"$bytes": "<base64>"}` and
`{"$time": "<RFC 3339>"}`. MessagePack has both. Keys that begin with `$` are kept for such tags. Nothing is
ever unpickled or evaluated.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

LARGEST = 2**53
MAX_DEPTH = 16


class TooDeep(ValueError):
    """A value has more levels than it may have."""


def from_json(value: Any, *, max_depth: int = MAX_DEPTH) -> Any:
    """The value that a decoded JSON text stands for, tags replaced. ValueError tells what is wrong, and where."""
    return _walk(value, "data", max_depth, _from_tag)


def check(value: Any, *, max_depth: int = MAX_DEPTH) -> Any:
    """The same value if it may travel (naive times become UTC), else a ValueError that tells what and where."""
    return _walk(value, "data", max_depth, _no_tag)


def to_json(value: Any) -> Any:
    """The value with bytes and times written as tags, ready for a JSON encoder."""
    kind = type(value)
    if kind is dict:
        return {key: to_json(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [to_json(item) for item in value]
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, datetime):
        return {"$time": _utc(value).isoformat().replace("+00:00", "Z")}
    return value


def _walk(value: Any, path: str, depth: int, read_dict: Callable[[dict[str, Any], str], Any]) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str or kind is bytes:
        return value
    if kind is int:
        if not -LARGEST <= value <= LARGEST:
            raise ValueError(f"{path}: integers are within ±2^53")
        return value
    if kind is float:
        if not math.isfinite(value):
            raise ValueError(f"{path}: a number must be finite")
        return value
    if isinstance(value, datetime):
        return _utc(value)
    if kind is not dict and kind is not list and kind is not tuple:
        raise ValueError(f"{path}: {kind.__name__} is not a type that can be sent")
    if kind is not dict:
        if depth <= 0:
            raise TooDeep(f"{path}: nested too deep")
        return [_walk(item, f"{path}[{n}]", depth - 1, read_dict) for n, item in enumerate(value)]
    tagged = read_dict(value, path)
    if tagged is not None:
        return tagged
    if depth <= 0:
        raise TooDeep(f"{path}: nested too deep")
    for key in value:
        if type(key) is not str:
            raise ValueError(f"{path}: keys are strings, not {type(key).__name__}")
    return {key: _walk(item, f"{path}.{key}", depth - 1, read_dict) for key, item in value.items()}


def _no_tag(value: dict[str, Any], path: str) -> Any:
    for key in value:
        if type(key) is str and key.startswith("$"):
            raise ValueError(f"{path}: keys that begin with $ are reserved")
    return None


def _from_tag(value: dict[str, Any], path: str) -> Any:
    if len(value) == 1:
        [(key, text)] = value.items()
        if key == "$bytes" and type(text) is str:
            try:
                return base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                raise ValueError(f"{path}: $bytes is not base64") from None
        if key == "$time" and type(text) is str:
            try:
                return _utc(datetime.fromisoformat(text))
            except (ValueError, OverflowError):  # in UTC it may be before the year 1 or after 9999
                raise ValueError(f"{path}: $time is not an RFC 3339 time") from None
    return _no_tag(value, path)


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
