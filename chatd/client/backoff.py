"""How long to wait before trying again: ever longer, and never all at the same moment.

Pure: chance is given, time is not asked.
"""

from __future__ import annotations

from collections.abc import Callable

FIRST_SECONDS = 0.2
LONGEST_SECONDS = 15.0
STEADY_SECONDS = 5.0  # who throws us out sooner than this is not to be asked again at once, and again


class Backoff:
    """Waiting times that double from 0.2 s to 15 s, each spread over its upper half by chance.

    Spreading keeps a thousand clients that lost one server from coming back in the same instant.
    """

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self.tries = 0

    def next(self) -> float:
        """Seconds to wait now; the next answer will be longer."""
        full = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(self.tries, 32))
        self.tries += 1
        return full * (0.5 + 0.5 * self._chance())

    def reset(self) -> None:
        """It went well: begin with short waits again."""
        self.tries = 0


class Patience:
    """When to try again, and when to give up: not before each of so many `places` was tried, one after the other."""

    def __init__(self, chance: Callable[[], float], places: int = 1) -> None:
        self._chance = chance
        self._backoff = Backoff(chance)
        self._until: float | None = None
        self._places = self._untried = places

    def begin(self, now: float, seconds: float | None, *, lasted: float = STEADY_SECONDS) -> None:
        """From now on, try for so long; None for ever. `lasted`: how long the connection that was lost had lasted."""
        if lasted >= STEADY_SECONDS:
            self._backoff.reset()
        self._until = None if seconds is None else now + seconds
        self._untried = self._places - 1

    def next(self, now: float, not_before: float = 0.0) -> float | None:
        """When to try again; None if that would be too late. `not_before` is a wish of the place tried last."""
        if self._untried:
            self._untried -= 1
            return now + FIRST_SECONDS * self._chance()
        at = max(now + self._backoff.next(), not_before)
        return None if self._until is not None and at > self._until else at
