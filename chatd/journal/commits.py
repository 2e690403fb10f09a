"""Commits: how large the batches are that a journal commits, and how long each takes, as plain numbers named as metrics
are.

Under load a batch is whatever came while the one before it was being committed, so its size tells how busy the disk is.
The writer's thread counts, and any other may read: each number is whole at any time, if not all of one moment.
"""

from __future__ import annotations

from bisect import bisect_left

EVENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
"""Upper bounds of the sizes that are counted apart; what is larger is counted last."""

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
"""Upper bounds of the times."""


GATHER_SECONDS = 0.0002
"""Under load a batch is begun so much later: those who have just heard what they waited for speak again at once, and
what they say comes into it. Else there would be two halves, one on its way while the other is answered, and what a
batch costs however large it is would be paid twice. (Measured with bench: a tenth to a third of a delivery.) It is load
when the batch before had more than one event; who speaks alone waits for nobody. (In the loop of a stream's node it is
up to a millisecond: epoll waits for whole ones.)"""


class Commits:
    """What was committed since the start, a batch at a time: `by_events` and `by_seconds` count the batches up to each
    bound and above the one before it."""

    __slots__ = (
        "batches_total",
        "by_events",
        "by_seconds",
        "events_most",
        "events_total",
        "seconds_most",
        "seconds_total",
    )

    def __init__(self) -> None:
        self.batches_total = self.events_total = self.events_most = 0
        self.seconds_total = self.seconds_most = 0.0
        self.by_events = [0] * (len(EVENTS) + 1)
        self.by_seconds = [0] * (len(SECONDS) + 1)

    def count(self, events: int, seconds: float) -> None:
        """One more batch, of so many events, took so long until it was on the disk or refused."""
        self.batches_total += 1
        self.events_total += events
        self.seconds_total += seconds
        self.events_most = max(self.events_most, events)
        self.seconds_most = max(self.seconds_most, seconds)
        self.by_events[bisect_left(EVENTS, events)] += 1
        self.by_seconds[bisect_left(SECONDS, seconds)] += 1

    def told(self) -> str:
        """The numbers, `commit_name=number` each; nothing, if nothing was committed."""
        if not self.batches_total:
            return ""
        return (
            f"commit_batches_total={self.batches_total} commit_events_total={self.events_total}"
            f" commit_events_most={self.events_most} commit_seconds_total={self.seconds_total:.3f}"
            f" commit_seconds_most={self.seconds_most:.4f}"
        )
