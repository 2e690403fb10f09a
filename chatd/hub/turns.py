"""Turns: what one connection says stays in its order, where the journal has an order for each of several streams.

What goes into one room is answered in the order in which it was sent, as the room has one order. Into another room, the
next goes only when that has come back. And who is gone leaves after what they said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatd.core.commands import Command, Send
from chatd.core.events import LoggedOut

if TYPE_CHECKING:
    from chatd.hub.hub import Hub
    from chatd.hub.link import Link


class Turns:
    """Who waits for what they have said. With one order, there is nothing to wait for."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._towards: dict[Link, tuple[str | None, str | None]] = {}  # where what is under way goes to
        self._leaving: dict[Link, str] = {}

    def waits(self, link: Link, command: Command) -> bool:
        """Whether a command is not to be carried out while sends of its connection are under way."""
        if type(command) is not Send:
            return True
        return link in self._towards and self._towards[link] != (command.room, command.to)

    def hold_back(self, link: Link) -> None:
        """Read no more from a peer that has too much under way."""
        limits = self._hub.limits
        too_many = len(link.waiting) + link.under_way > limits.requests_in_flight
        if not link.paused and (too_many or link.waiting_bytes > limits.send_queue_bytes):
            link.paused = True
            link.connection.pause()

    def sent(self, link: Link, command: Send) -> None:
        """A send is under way."""
        link.under_way += 1
        if self._hub.state.orders > 1:
            self._towards[link] = (command.room, command.to)

    def came_back(self, link: Link) -> None:
        """A send has been answered."""
        link.under_way -= 1
        if self._towards and not link.under_way:
            self._towards.pop(link, None)
            if (reason := self._leaving.pop(link, None)) is not None:
                self._hub.propose((LoggedOut(link.id, reason),), None)

    def leaves(self, link: Link, reason: str) -> None:
        """The session of a connection is over, once all that it sent has come back."""
        if link in self._towards:
            self._leaving[link] = reason
        else:
            self._hub.propose((LoggedOut(link.id, reason),), None)
