"""How far a session has come.

AWAY ──dialling──> DIALLING ──connected──> GREETING ──auth ok──> ONLINE
  ^                    │                      │                    │
  └──────failed, lost──┴──────────────────────┴────────────────────┘      any ──> ENDED
"""

from __future__ import annotations

from enum import Enum, auto


class Phase(Enum):
    """How far we have come; the picture above."""

    AWAY = auto()
    DIALLING = auto()
    GREETING = auto()
    ONLINE = auto()
    ENDED = auto()
