"""Turns: tests may run side by side (`pytest -n 2`), but for those that are marked `alone`, which measure time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__)


@contextmanager
def turn(item: pytest.Item) -> Iterator[None]:
    """While this test runs; one that is `alone` waits until no other does, and keeps the others waiting."""
    if not hasattr(item.config, "workerinput"):  # nothing runs beside it
        yield
        return
    mode = fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH
    with _locked(HERE.parent, fcntl.LOCK_EX) as door, _locked(HERE, mode):  # who waits in the door is not overtaken
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


@contextmanager
def _locked(path: Path, mode: int) -> Iterator[int]:
    """With a lock on a file or folder, whose descriptor it gives."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, mode)
        yield descriptor
    finally:
        os.close(descriptor)
