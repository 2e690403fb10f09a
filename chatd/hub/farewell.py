"""Farewell: how a hub ends. Nothing that was asked is left unanswered, and everyone is told before the close."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from chatd.core.codes import Code
from chatd.core.views import Closing

if TYPE_CHECKING:
    from chatd.hub.hub import Hub

PATIENCE_SECONDS = 1.8
LOOK_SECONDS = 0.02


async def say_goodbye(hub: Hub, reconnect_after: float) -> None:
    """Take nothing new, finish what is under way, tell everyone `closing`, and wait until they are gone.

    Each of the two waits ends after a few seconds, whatever the disk or a peer does.
    """
    hub.stopping = True
    hub.keepalive.stop()
    hub.flush()
    await waited(hub, lambda: hub.outstanding == 0 and not any(link.is_busy() for link in hub.links.values()))
    hub.flush()
    view = Closing(code=Code.SHUTTING_DOWN, reason="the server is stopping", reconnect_after=reconnect_after)
    for link in list(hub.links.values()):
        link.connection.finish(view)
    await waited(hub, lambda: not hub.links)
    for link in list(hub.links.values()):
        link.connection.abort()
    await waited(hub, lambda: hub.outstanding == 0)
    hub.flush()
    hub.stopped = True


async def waited(hub: Hub, is_done: Callable[[], bool]) -> None:
    """Wait until something is done, but not for ever."""
    deadline = hub.reactor.seconds() + PATIENCE_SECONDS
    while not is_done() and hub.reactor.seconds() < deadline:
        pause: Deferred[None] = Deferred()
        hub.reactor.callLater(LOOK_SECONDS, pause.callback, None)
        await pause
