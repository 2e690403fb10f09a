"""Other rules while people are here: everyone goes by them from the next request on.

Rules and limits are frozen, so that the way of a message reads them without asking anybody. They are replaced as a
whole, in one turn, wherever a part of the hub or a connection keeps them. Which settings can change while the server
runs, and where they come from, is for `chatd.reload` to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from chatd.core.limits import Rules
from chatd.settings import Settings

if TYPE_CHECKING:
    from chatd.hub.hub import Hub


def look_at_durability(hub: Hub) -> None:
    """Say how surely the journal keeps what is said now, if that is not what was said before."""
    if hub.rules.durability != hub.journal.durability:
        hub.rules = structs.replace(hub.rules, durability=hub.journal.durability)
        for link in hub.links.values():
            link.connection.rules_changed()


def change_rules(hub: Hub, rules: Rules, settings: Settings) -> None:
    """Let all who are here, and all who come, go by these rules and settings from now on.

    Nobody is thrown out by a lower cap, and nobody gets back what was used of a rate. Who said hello before is not
    told the new limits; a refusal names the one that holds.
    """
    limits = rules.limits
    hub.rules = rules
    hub.limits = hub.fanout.limits = hub.replay.limits = limits
    hub.settings = settings
    hub.guard.change(limits)
    hub.keepalive.change(limits)
    for link in hub.links.values():
        link.trusted = hub.guard.trusts(link.connection.address)
        link.connection.rules_changed()
    for tell in hub.on_change:
        tell(settings)
