"""chatd's client: `connect` for asyncio; `chatd.client.blocking` and `chatd.client.tx` (Twisted) have their
own.

The protocol itself, free of I/O, is `chatd.client.session`; the faces share it and differ in how they wait.
Events are the views of `chatd.core.views`, and the news of `chatd.client.happenings` about the connection.
"""

from __future__ import annotations

from chatd.client.aio import Chat, connect
from chatd.client.errors import (
    BadAddress,
    CannotConnect,
    ChatError,
    Disconnected,
    Refused,
    TimedOut,
    WrongProtocol,
)
from chatd.client.face import Event, Wishes
from chatd.client.happenings import Delayed, KnownAs, News, Offline, Online, Rewound, RoomLost
from chatd.core.views import CaughtUp, Gap, Invite, Member, Message, Notice, Presence, Read, Relation, Room, Typing

__all__ = [
    "BadAddress",
    "CannotConnect",
    "CaughtUp",
    "Chat",
    "ChatError",
    "Delayed",
    "Disconnected",
    "Event",
    "Gap",
    "Invite",
    "KnownAs",
    "Member",
    "Message",
    "News",
    "Notice",
    "Offline",
    "Online",
    "Presence",
    "Read",
    "Refused",
    "Relation",
    "Rewound",
    "Room",
    "RoomLost",
    "TimedOut",
    "Typing",
    "Wishes",
    "WrongProtocol",
    "connect",
]
