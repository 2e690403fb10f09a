"""Farewell: how a hub ends. Nothing that was asked is left unanswered, and everyone is told before the close."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import UNSET
from twisted.internet.defer import Deferred

from chatd.core.codes import Code
from chatd.core.views import Closing

if TYPE_CHECKING:
    from chatd.hub.hub import Hub

PATIENCE_SECONDS = 1.8
LOOK_SECONDS = 0.02
GRACE_SECONDS = 0.06  # what is on its way to us is still refused, and who is refused sends no more


async def say_goodbye(hub: Hub, reconnect_after: float) -> None:
    """Take nothing new, finish what is under way, tell everyone `closing`, and wait until they are gone.

    `closing` is the last word to a peer: everything of it that had arrived by then is answered, if only with a refusal.
    Each wait ends after a few seconds, whatever the disk or a peer does.
    """
    hub.stopping = True
    hub.keepalive.stop()
    hub.comebacks.stop()
    for link in hub.links.values():
        hub.go_on(link)  # also with those who do not read: what they asked is refused
    hub.flush()
    calm_at = hub.reactor.seconds() + GRACE_SECONDS
    await waited(hub, lambda: hub.reactor.seconds() >= calm_at and is_at_rest(hub))
    hub.flush()
    alternate = "" if hub.settings is None else hub.settings.server.alternate
    view = Closing(
        code=Code.SHUTTING_DOWN,
        reason="the server is stopping",
        reconnect_after=reconnect_after,
        alternate=alternate or UNSET,
    )
    for link in list(hub.links.values()):
        link.connection.hear_out()
        hub.log_out(link, "the server is stopping")  # or its replays would go on, to nobody
        link.connection.finish(view)
    await waited(hub, lambda: not hub.links)
    for link in list(hub.links.values()):
        link.connection.abort()
    await waited(hub, lambda: not hub.links and hub.outstanding == 0)
    hub.flush()
    hub.stopped = True
    if counts := " ".join(filter(None, (hub.counts.told(), hub.journal.commits.told()))):
        hub.log.info("counts {counts}", counts=counts)


def is_at_rest(hub: Hub) -> bool:
    """Has everything that was asked been answered?"""
    return hub.outstanding == 0 and not any(link.is_busy() for link in hub.links.values())


async def waited(hub: Hub, is_done: Callable[[], bool]) -> None:
    """Wait until something is done, but not for ever."""
    deadline = hub.reactor.seconds() + PATIENCE_SECONDS
    while not is_done() and hub.reactor.seconds() < deadline:
        pause: Deferred[None] = Deferred()
        hub.reactor.callLater(LOOK_SECONDS, pause.callback, None)
        await pause
