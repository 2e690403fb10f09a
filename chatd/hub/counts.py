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
    logins_total: dict[str, int] = {}  # who came in, by sort: `guest` or `account`
    wrong_passwords_total: int = 0
    moderation_total: dict[str, int] = {}  # what those in charge did, by kind

    def refused(self, code: str) -> None:
        """One more request was refused."""
        self.refused_total[code] = self.refused_total.get(code, 0) + 1

    def logged_in(self, account: str | None) -> None:
        """Somebody more came in."""
        sort = "guest" if account is None else "account"
        self.logins_total[sort] = self.logins_total.get(sort, 0) + 1

    def moderated(self, change: str) -> None:
        """Somebody in charge did something."""
        self.moderation_total[change] = self.moderation_total.get(change, 0) + 1

    def told(self) -> str:
        """Those that are not 0, `name=number` each; those by code or sort `name{CODE}=number`."""
        found: dict[str, int] = {}
        for name, value in structs.asdict(self).items():
            if isinstance(value, dict):
                found |= {f"{name}{{{label}}}": number for label, number in value.items()}
            else:
                found[name] = value
        return " ".join(f"{name}={number}" for name, number in found.items() if number)
