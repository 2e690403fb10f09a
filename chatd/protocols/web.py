"""The web way in: HTTP and WebSocket, behind one factory that takes little until somebody comes by it.

The web server is imported with the first caller, for most people come by telnet and wait for the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from chatd.hub import Hub
from chatd.settings import Settings


class WebFactory(Factory):
    """Makes connections of HTTP. `watched` gives the pages for programs that watch the server, if there are any."""

    noisy = False

    def __init__(self, hub: Hub, settings: Settings | None = None, watched: Callable[[], Any] | None = None) -> None:
        self.hub = hub
        self.settings = settings or Settings()
        self.watched = watched
        self._site: Any = None
        hub.on_change.append(self.settings_changed)

    def settings_changed(self, settings: Settings) -> None:
        """Other settings from now on."""
        self.settings = settings
        if self._site is not None:
            self._site.change(settings)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if self._site is None:
            from chatd.protocols.http_paths import site

            self._site = site(self.hub, self.settings, self.watched)
        return self._site.buildProtocol(addr)


def factory(hub: Hub, settings: Settings | None = None) -> WebFactory:
    """The factory of the web way in."""
    return WebFactory(hub, settings)


__all__ = ["WebFactory", "factory"]
