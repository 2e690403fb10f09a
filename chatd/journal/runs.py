"""Runs: which runs of which nodes take part in a cluster, and how far each has come with its bundles.

It decides whether a bundle counts, from the bundles before it in the stream and nothing else. What it knows is kept in
a node's copy of the stream together with the place up to which it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from chatd.core.cluster_events import NodeCame, NodeGone
from chatd.core.events import Event
from chatd.journal.streams import NAMES

KEY = "run "
"""What the keys of runs begin with in `meta`."""

COUNT = "bundle "
"""The same for the last bundle of a run in another stream than that of names: `bundle STREAM RUN`."""


class Run(Struct):
    """A run of a node: the node, the number of its last bundle, and how it is: `asking` who is here, `on`, or `over`.

    Only a run that is on can have sessions.
    """

    machine: str
    last: int
    state: str = "asking"


class Runs:
    """All runs that there have ever been: one that is over stays so."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._changed: set[str] = set()
        self._last: dict[str, int] = {}  # by `STREAM RUN`
        self._moved: set[str] = set()

    def load(self, meta: Mapping[str, Any]) -> None:
        """Take up what a copy keeps."""
        for key, value in meta.items():
            if key.startswith(KEY):
                machine, last, state = value.split()
                self._runs[key.removeprefix(KEY)] = Run(machine, int(last), state)
            elif key.startswith(COUNT):
                self._last[key.removeprefix(COUNT)] = int(value)

    def changed(self) -> dict[str, str]:
        """What is to be kept of what has changed since `are_kept`."""
        runs = [(node, self._runs[node]) for node in sorted(self._changed)]
        kept = {KEY + node: f"{run.machine} {run.last} {run.state}" for node, run in runs}
        return kept | {COUNT + key: str(self._last[key]) for key in sorted(self._moved)}

    def are_kept(self) -> None:
        """What has changed is kept."""
        self._changed.clear()
        self._moved.clear()

    def here(self) -> dict[str, str]:
        """The runs that are not over, each with its node."""
        return {node: run.machine for node, run in self._runs.items() if run.state != "over"}

    def others_on(self, node: str) -> list[str]:
        """The other runs that can have sessions."""
        return [one for one, run in self._runs.items() if run.state == "on" and one != node]

    def is_next(self, node: str, number: int, stream: int = NAMES) -> bool:
        """Whether a bundle with this number would count now."""
        if stream != NAMES:
            return number == self._last.get(f"{stream} {node}", 0) + 1
        run = self._runs.get(node)
        return number == 1 if run is None else run.state != "over" and number == run.last + 1

    def takes(self, node: str, number: int, first: Event | None, stream: int = NAMES) -> bool:
        """Whether a bundle counts; `first` is the first event in it.

        Which runs are over is said in the stream of names. In the others nothing says before or after that, so there
        what comes in its order counts, however late: it was said, and nobody has been told that it was not.
        """
        if stream != NAMES:
            if not self.is_next(node, number, stream):
                return False
            self._last[f"{stream} {node}"] = number
            self._moved.add(f"{stream} {node}")
            return True
        run = self._runs.get(node)
        if run is None:
            if number != 1 or type(first) is not NodeCame or first.node != node:
                return False
            for earlier, other in self._runs.items():
                if other.machine == first.machine:
                    self._end(earlier)
            self._runs[node] = Run(first.machine, 1)
        elif not self.is_next(node, number):
            return False
        else:
            run.last = number
            if run.state == "asking" and type(first) is not NodeCame:
                run.state = "on"
        self._changed.add(node)
        if type(first) is NodeGone:
            self._end(first.node)
        return True

    def _end(self, node: str) -> None:
        run = self._runs.get(node)
        if run is not None and run.state != "over":
            run.state = "over"
            self._changed.add(node)
