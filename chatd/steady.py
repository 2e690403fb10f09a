"""Steady time: timers that go on when somebody sets the clock.

Twisted's reactors count their timers by the time of day. When that is set back by an hour, every timer waits an hour
longer, the flush at the end of this turn among them, and nothing is shown to anybody; when it jumps ahead, all of them
run out at once. Here a reactor is given the time since the machine's start to count by, which nobody sets. The time of
day is for what people read.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.base import ReactorBase


def keep_steady(reactor: Any) -> None:
    """Let this process's reactor count its timers by steady time. What counts time otherwise stays as it is."""
    if not isinstance(reactor, ReactorBase) or reactor.seconds is time.monotonic:
        return
    ahead = time.monotonic() - reactor.seconds()
    reactor.seconds = time.monotonic  # all of the reactor asks here, and nowhere else
    calls: Any = reactor.getDelayedCalls()  # of whoever else is in this process, from before
    for call in calls:
        call.time += ahead
        call.seconds = time.monotonic
