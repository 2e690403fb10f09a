"""Lag: how much later than it should be the loop comes to a timer. What makes it late makes everything late."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
"""Upper bounds of what is counted apart; what is larger is counted last."""

EVERY_SECONDS = 0.25


class Lag:
    """Looks at the clock a few times a second; `by_seconds` counts as histograms do."""

    def __init__(self, reactor: Any) -> None:
        self.by_seconds = [0] * (len(SECONDS) + 1)
        self.seconds_total = 0.0
        self._reactor = reactor
        self._timer: Any = None

    def start(self) -> None:
        """Look from now on."""
        self._timer = self._reactor.callLater(EVERY_SECONDS, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _look(self) -> None:
        late = max(0.0, self._reactor.seconds() - self._timer.getTime())
        self.by_seconds[bisect_left(SECONDS, late)] += 1
        self.seconds_total += late
        self.start()
