"""Timers by steady time: a reactor's timers from before are not forgotten, and nothing else is touched."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.base import ReactorBase
from twisted.internet.task import Clock

from chatd.steady import keep_steady


class Reactor(ReactorBase):
    """As much of one as timers need."""

    def installWaker(self) -> None:
        pass


def test_timers_from_before_run_out_in_their_time() -> None:
    reactor: Any = Reactor()
    fired: list[str] = []
    soon, late = reactor.callLater(0, fired.append, "soon"), reactor.callLater(60, fired.append, "late")
    keep_steady(reactor)
    keep_steady(reactor)
    assert 59 < late.getTime() - time.monotonic() <= 60
    reactor.callLater(0.01, fired.append, "then")
    while len(fired) < 2:
        time.sleep(reactor.timeout())
        reactor.runUntilCurrent()
    assert fired == ["soon", "then"]
    late.delay(-60)
    reactor.runUntilCurrent()
    assert fired == ["soon", "then", "late"]
    assert not soon.active()


def test_a_clock_of_a_test_stays_as_it_is() -> None:
    clock = Clock()
    keep_steady(clock)
    clock.advance(5)
    assert clock.seconds() == 5
