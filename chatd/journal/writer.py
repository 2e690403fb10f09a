"""The writer: the one thread that writes, and how it makes batches.

Whatever is proposed while a batch is being committed makes up the next one, with what comes right after: the slower
the disk, the larger the batches. It knows of a store and of whom to tell; the reactor is for others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TypeVar

from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.core.codes import Code
from chatd.core.events import Entry, Proposal
from chatd.core.questions import Snapshot
from chatd.journal.commits import GATHER_SECONDS, Commits
from chatd.journal.order import not_stored
from chatd.journal.store import Store

T = TypeVar("T")

LARGEST_BATCH = 10_000
LOOK_UP_SECONDS = 1.0


class Writer:
    """A thread around a store. Everything it tells, it tells on its own thread: `opened` once, `written` for every
    batch in order, `ended` once as the last."""

    log = Logger()

    def __init__(
        self,
        store: Store,
        opened: Callable[[Snapshot | Failure], None],
        written: Callable[[list[Entry]], None],
        ended: Callable[[], None],
    ) -> None:
        self._store = store
        self._opened = opened
        self._written = written
        self._ended = ended
        self.commits = Commits()
        self._queue: SimpleQueue[Sequence[Proposal] | None] = SimpleQueue()
        self._rest: list[Proposal] = []
        self._is_ending = False
        self._size = 0  # of the last batch
        self._thread = threading.Thread(target=self._run, name="journal writer")

    def start(self) -> None:
        """Begin with opening the store."""
        self._thread.start()

    def put(self, proposals: Sequence[Proposal]) -> None:
        """Write these after what was put before. The sequence must not change any more."""
        self._queue.put(proposals)

    def end(self) -> None:
        """Write what was put so far, close the store, and end."""
        self._queue.put(None)

    def join(self) -> None:
        """Wait for the thread, which has told `ended`."""
        self._thread.join()

    def _run(self) -> None:
        try:
            try:
                snapshot = self._store.open()
            except BaseException:
                self._opened(Failure())  # type: ignore[no-untyped-call]  # Twisted does not say
                return
            self._opened(snapshot)
            while batch := self._next():
                began = time.monotonic()
                entries = self._write(batch)
                self.commits.count(len(batch), time.monotonic() - began)
                self._written(entries)
            self._store.close()
        finally:
            self._ended()

    def _write(self, batch: list[Proposal]) -> list[Entry]:
        try:
            return self._store.write(batch)
        except Exception:
            self.log.failure("bug in the store of the journal")
            return not_stored(batch, Code.INTERNAL)

    def _next(self) -> list[Proposal]:
        """What is waiting, at most `LARGEST_BATCH`; waits for something. Empty at the end."""
        batch, self._rest = self._rest, []
        if not batch and not self._is_ending:
            self._take(batch)
        if self._size > 1:
            time.sleep(GATHER_SECONDS)
        while len(batch) < LARGEST_BATCH and not self._is_ending and not self._queue.empty():
            self._take(batch)
        if len(batch) > LARGEST_BATCH:
            self._rest = batch[LARGEST_BATCH:]
            del batch[LARGEST_BATCH:]
        self._size = len(batch)
        return batch

    def _take(self, batch: list[Proposal]) -> None:
        """Move one piece of the queue into the batch, once there is one."""
        proposals = wait_for(self._queue)
        if proposals is None:
            self._is_ending = True
        else:
            batch.extend(proposals)


def wait_for(queue: SimpleQueue[T | None]) -> T | None:
    """The next thing in the queue; None also when the program ends and nobody will put anything there.

    A thread that must not be cut off in a transaction cannot be a daemon. So that it does not hold up the end of a
    program that forgot to close its journal, it looks up from time to time.
    """
    while True:
        try:
            return queue.get(timeout=LOOK_UP_SECONDS)
        except Empty:
            if not threading.main_thread().is_alive():
                return None
