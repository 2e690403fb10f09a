"""Keepalive: finds peers that are gone without a word, and those that never say who they are.

The hub's tick is a coarse clock, in seconds, so that hearing a peer costs one assignment. A peer that can be asked is
asked after `idle_seconds` of silence and given up after `dead_seconds`; on the line port TCP keepalive does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatd.core.codes import Code
from chatd.core.limits import Limits
from chatd.core.views import Error, Ping, moment
from chatd.hub.reload import look_at_durability

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from chatd.hub.hub import Hub
    from chatd.hub.link import Link


LOOKS_A_TURN = 200  # each may be written to, or closed


def tick_for(limits: Limits) -> float:
    """How often to look, in seconds, so that nobody is found much too late."""
    shortest = min(limits.login_seconds, limits.idle_seconds, limits.dead_seconds)
    return min(5.0, max(0.05, shortest / 6))


class Keepalive:
    """Looks at every link once a tick."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.tick_seconds = tick_for(hub.limits)
        self.timer: IDelayedCall | None = None
        self._going_on: IDelayedCall | None = None

    def start(self) -> None:
        self.timer = self.hub.reactor.callLater(self.tick_seconds, self.look)

    def stop(self) -> None:
        for timer in (self.timer, self._going_on):
            if timer is not None and timer.active():
                timer.cancel()
        self._going_on = None

    def change(self, limits: Limits) -> None:
        """Other limits from now on; how long each peer has been silent is not forgotten."""
        before, self.tick_seconds = self.tick_seconds, tick_for(limits)
        if self.tick_seconds != before and self.timer is not None and self.timer.active():
            self.stop()
            self.start()

    def look(self) -> None:
        """One tick: everyone is looked at, some in each turn, so that nobody else waits when many are to be told."""
        self.start()
        self.hub.tick += self.tick_seconds
        look_at_durability(self.hub)
        if self._going_on is None:
            self._look_at(list(self.hub.links.values()))

    def _look_at(self, links: list[Link]) -> None:
        """Look at some of these, and in the next turn at the others."""
        self._going_on = None
        hub, limits = self.hub, self.hub.limits
        for link in links[:LOOKS_A_TURN]:
            if link.gone:
                continue
            if link.session is None and not link.blocked:
                if hub.tick - link.since > limits.login_seconds:
                    self.turn_away(link)
            elif link.full and link.connection.ended:  # it can be asked nothing, and reads nothing
                if hub.tick - link.full_since > limits.dead_seconds:
                    self.give_up(link)
            elif link.connection.can_be_asked and not link.paused and not link.full:
                self.ask(link, hub.tick - link.connection.heard)
        if len(links) > LOOKS_A_TURN:
            self._going_on = hub.reactor.callLater(0, self._look_at, links[LOOKS_A_TURN:])

    def turn_away(self, link: Link) -> None:
        """Nobody logged in in time."""
        seconds = self.hub.limits.login_seconds
        link.connection.finish(
            Error(
                code=Code.NOT_REGISTERED,
                message=f"no name was given within {seconds:g} seconds; come again when you have one",
                details={"limit": "login_seconds", "value": seconds},
            )
        )

    def ask(self, link: Link, silent: float) -> None:
        """Ask a silent peer for a sign of life; a longer silence ends the connection."""
        if silent > self.hub.limits.dead_seconds:
            self.give_up(link)
        elif silent > self.hub.limits.idle_seconds:
            if not link.pinged:
                link.pinged = True
                link.connection.show(Ping(time=moment(self.hub.now())))
        else:
            link.pinged = False

    def give_up(self, link: Link) -> None:
        """The peer is gone, whatever its machine says."""
        self.hub.log_out(link, "timed out")
        link.connection.abort()
