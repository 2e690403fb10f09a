"""The others: which of a cluster's nodes are heard. A node that is not, while oneself is, is taken for dead.

Each node says every half second that it is alive, and hears itself say it. Only what oneself is heard of counts as
time: when NATS is away, or this process stood still, nobody can be heard, and nobody is missed.
"""

from __future__ import annotations

from chatd.journal.runs import Runs

BEAT_SECONDS = 0.5


class Others:
    """The other runs, and how many beats each of them was not heard."""

    def __init__(self, runs: Runs, seconds: float) -> None:
        self.run = ""
        self.runs = runs
        self._most = max(2, round(seconds / BEAT_SECONDS))
        self._missed: dict[str, int] = {}

    def heard(self, run: str) -> list[str]:
        """A run was heard. Those that were silent for too long, if it is this one's own."""
        if run != self.run:
            self._missed[run] = 0
            return []
        here = self.runs.here().keys() - {self.run}
        self._missed = {one: self._missed.get(one, 0) + 1 for one in here}
        # Each is proposed once, and again after as long if that was lost.
        return sorted(one for one, missed in self._missed.items() if missed % self._most == 0)

    def silent(self) -> list[str]:
        """Those that can have sessions."""
        return self.runs.others_on(self.run)
