"""Refused lines: somebody who types, or pastes, faster than is allowed is told so once, and then how many more.

Nothing is left out silently: every line that was refused is counted in what is said. A program that floods the line
port would otherwise get an answer for each of its lines, longer than the line itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chatd.core.codes import Code
from chatd.core.replies import Failure, Reply

TELL_SECONDS = 2.0


class Refused:
    """Counts for one person what came too fast. `say` tells a line; `reactor` tells when."""

    def __init__(self, reactor: Any, say: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._say = say
        self._count = 0
        self._timer: Any = None

    def takes(self, reply: Reply) -> bool:
        """Whether this answer is one of many alike that are told together later; the first is not."""
        if not isinstance(reply, Failure) or reply.error.code != Code.RATE_LIMITED:
            return False
        if self._timer is None:
            self._wait()
            return False
        self._count += 1
        return True

    def tell(self) -> None:
        """Say now how many there were, and forget them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._say_count()

    def _wait(self) -> None:
        self._timer = self._reactor.callLater(TELL_SECONDS, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        if self._count:
            self._wait()
            self._say_count()

    def _say_count(self) -> None:
        count, self._count = self._count, 0
        if count:
            lines = "line" if count == 1 else "lines"
            self._say(f"*** {count} more {lines} came too fast and did nothing. ({Code.RATE_LIMITED})")
