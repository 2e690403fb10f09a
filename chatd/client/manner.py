"""How a session is to behave: what the one who connects may choose."""

from __future__ import annotations

from msgspec import Struct

from chatd.core.commands import Hello

VERSIONS = (1,)
CAPS = ("echo", "presence", "typing", "relations", "data")


class Manner(Struct, frozen=True, kw_only=True):
    """How a session behaves.

    `wait` and `away`: seconds to go on trying for the first connection, and for a lost one; None for ever.
    `places`: how many addresses there are to try.
    """

    client: str = "chatd"
    client_version: str = ""
    bot: bool = False
    own: bool = False  # show our own messages too
    reconnect: bool = True
    wait: float | None = 0.0
    away: float | None = None
    places: int = 1

    def hello(self) -> Hello:
        """The first thing to say. `echo` is always asked for: who hears everything can see that nothing is missing."""
        caps = [*CAPS, "bot"] if self.bot else list(CAPS)
        return Hello(versions=list(VERSIONS), caps=caps, client=self.client, client_version=self.client_version)
