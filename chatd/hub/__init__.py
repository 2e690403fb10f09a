"""The hub: runs the effects of the rules, knows who is connected here, and flushes once a turn."""

from chatd.hub.hub import Hub
from chatd.hub.link import Link

__all__ = ["Hub", "Link"]
