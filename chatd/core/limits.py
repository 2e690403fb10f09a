"""The limits that the rules hold to, and the facts about the server that they tell.

Every field of `Limits` is a setting of `[limits]` with the same name and default; `hello` tells them to clients.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds on what one peer may ask; sizes in bytes, times in seconds."""

    frame_bytes: int = 65536
    body_bytes: int = 8192
    body_lines: int = 200
    data_bytes: int = 32768
    data_depth: int = 16
    topic_chars: int = 390
    rooms_per_session: int = 100
    history_page: int = 200
    login_seconds: float = 30.0
    idle_seconds: float = 45.0
    dead_seconds: float = 90.0
    messages_per_second: float = 2.0
    messages_burst: int = 10
    logins_per_minute: int = 60
    keys_per_minute: int = 30
    connections_per_address: int = 16
    connections_per_private_address: int = 256
    connections: int = 0
    trusted_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    requests_in_flight: int = 256
    send_queue_bytes: int = 65536
    kernel_queue_bytes: int = 131072
    requests_per_second: float = 20.0
    requests_burst: int = 200
    presence_batch_members: int = 50
    presence_count_members: int = 1000
    bans_per_room: int = 1000

    def told(self, *, trusted: bool) -> dict[str, Any]:
        """What `hello` tells: the names of the settings, and `frame` and `body`, as PROTOCOL.md calls them too.

        A peer from a trusted network is told 0, no limit, for what does not hold there. Which networks are trusted
        is nobody's business.
        """
        facts = msgspec.structs.asdict(self)
        del facts["trusted_networks"]
        if trusted:
            facts |= dict.fromkeys(NOT_FOR_TRUSTED, 0)
        return {"frame": self.frame_bytes, "body": self.body_bytes, **facts}


NOT_FOR_TRUSTED = (
    "messages_per_second",
    "messages_burst",
    "requests_per_second",
    "requests_burst",
    "logins_per_minute",
    "keys_per_minute",
    "connections_per_address",
    "connections_per_private_address",
)


class Rules(Struct, frozen=True, kw_only=True):
    """What `decide` has to know about this server."""

    limits: Limits
    server: str
    server_version: str
    network: str
    motd: str
    durability: str
    secret: bytes
    token_seconds: float = 365 * 86400.0
    registration: Literal["open", "invite", "closed"] = "open"
    password_chars: int = 8
    scram: bool = True
    lobby: str = "#lobby"
    quarantine_seconds: float = 0.0
