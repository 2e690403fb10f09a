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
    messages_total: int = 0  # messages and other numbered events that were shown
    deliveries_total: int = 0  # what rooms showed to somebody live; the author's own count too
    refused_total: dict[str, int] = {}  # requests that were refused, by code

    def refused(self, code: str) -> None:
        """One more request was refused."""
        self.refused_total[code] = self.refused_total.get(code, 0) + 1

    def told(self) -> str:
        """Those that are not 0, `name=number` each; those by code `name{CODE}=number`."""
        found = structs.asdict(self)
        by_code = found.pop("refused_total")
        found |= {f"refused_total{{{code}}}": number for code, number in by_code.items()}
        return " ".join(f"{name}={number}" for name, number in found.items() if number)
