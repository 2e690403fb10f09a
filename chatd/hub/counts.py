"""Counts: what a hub has done and dropped so far, as plain numbers named as metrics are.

Whoever does it counts it; whoever shows it reads it. Nothing is decided by these numbers.
"""

from __future__ import annotations

from msgspec import Struct, structs


class Counts(Struct, kw_only=True):
    """One number for each thing counted; those that only grow end in `_total`."""

    slow_readers: int = 0  # connections whose peer does not read what waits for it now
    slow_readers_total: int = 0  # how often one fell behind
    replays_started_total: int = 0  # a connection began to be shown a room out of the journal
    replays_ended_total: int = 0  # it came back to live, or went
    ephemeral_dropped_total: int = 0  # presence, typing and the like that a slow reader was not shown

    def told(self) -> str:
        """Those that are not 0, `name=number` each."""
        return " ".join(f"{name}={number}" for name, number in structs.asdict(self).items() if number)
