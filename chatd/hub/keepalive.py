"""Keepalive: finds peers that are gone without a word, and those that never say who they are.

Time is counted in ticks of the hub, so that hearing a peer costs one assignment. A peer that can be asked is
asked after `idle_seconds` of silence and given up after `dead_seconds`; on the line port TCP keepalive does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatd.core.codes import Code
from chatd.core.views import Error, Ping, moment

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from chatd.hub.hub import Hub
    from chatd.hub.link import Link


class Keepalive:
    """Looks at every link once a tick."""

    def __init__(self, hub: Hub) -> None:
        limits = hub.limits
        self.hub = hub
        shortest = min(limits.login_seconds, limits.idle_seconds, limits.dead_seconds)
        self.tick_seconds = min(5.0, max(0.05, shortest / 6))
        self.timer: IDelayedCall | None = None

    def start(self) -> None:
        self.timer = self.hub.reactor.callLater(self.tick_seconds, self.look)

    def stop(self) -> None:
        if self.timer is not None and self.timer.active():
            self.timer.cancel()

    def look(self) -> None:
        """One tick."""
        self.start()
        hub, limits = self.hub, self.hub.limits
        hub.tick += 1
        for link in list(hub.links.values()):
            if link.gone:
                continue
            if link.session is None and not link.blocked:
                if (hub.tick - link.since) * self.tick_seconds > limits.login_seconds:
                    self.turn_away(link)
            elif link.connection.can_be_asked and not link.paused and not link.full:
                self.ask(link, (hub.tick - link.connection.heard) * self.tick_seconds)

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
            self.hub.log_out(link, "timed out")
            link.connection.abort()
        elif silent > self.hub.limits.idle_seconds:
            if not link.pinged:
                link.pinged = True
                link.connection.show(Ping(time=moment(self.hub.now())))
        else:
            link.pinged = False
