"""The writer's batches: what waits for what. With a store that only remembers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chatd.journal import writer


class Store:
    """Has the batches it was given."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []

    def open(self) -> Any:
        return "snapshot"

    def write(self, batch: list[Any]) -> list[Any]:
        self.batches.append(list(batch))
        return list(batch)

    def close(self) -> None: ...


class Desk:
    """A writer, and how many were told so far."""

    def __init__(self) -> None:
        self.store: Any = Store()
        self.told = 0
        self.changed = threading.Condition()
        self.writer = writer.Writer(self.store, lambda _: None, self.written, lambda: None)
        self.writer.start()

    def written(self, entries: list[Any]) -> None:
        with self.changed:
            self.told += len(entries)
            self.changed.notify_all()

    def put(self, *things: Any) -> None:
        self.writer.put(things)

    def wait(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.told == count, 10), self.store.batches


@pytest.fixture
def desk() -> Iterator[Desk]:
    found = Desk()
    yield found
    found.writer.end()
    found.writer.join()


def test_who_speaks_alone_waits_for_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GATHER_SECONDS", 60)
    for n in range(5):
        desk.put(n)
        desk.wait(n + 1)
    assert desk.store.batches == [[n] for n in range(5)]


def test_under_load_a_batch_takes_with_it_what_comes_right_after(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "GATHER_SECONDS", 0.5)
    desk.put(1, 2)
    desk.wait(2)
    desk.put(3)
    time.sleep(0.05)
    desk.put(4, 5)
    desk.wait(5)
    assert desk.store.batches == [[1, 2], [3, 4, 5]]
