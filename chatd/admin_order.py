"""Keeping order from the machine itself: the part of the admin socket that bans, mutes, gives roles and locks.

It goes the way of every other moderation, by the same rules, and is put down in the same places; whoever holds the
machine is above all who are in charge of rooms, and of the server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, get_args

import msgspec
from twisted.internet.defer import TimeoutError

from chatd.core.charge import MACHINE
from chatd.core.codes import Code, Refusal
from chatd.core.commands import Action, List, Moderate
from chatd.core.context import Context
from chatd.core.events import Event, Moderated
from chatd.core.lists import bans
from chatd.core.moderation import ordered
from chatd.core.state import Session, User
from chatd.hub import Hub
from chatd.hub.hub import new_id

Json = dict[str, Any]

PATIENCE_SECONDS = 10.0  # for the journal
NAME = "operator"  # reserved: nobody else is called so


class AdminOrder:
    """Commands that keep order. `room` is a room's name; without one, they are about the server."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.commands: dict[str, Callable[[Json], Json | Awaitable[Json]]] = {
            **{action: self._of(action) for action in ("ban", "unban", "mute", "unmute", "role", "lockdown")},
            "bans": self.bans,
        }

    def _of(self, action: str) -> Callable[[Json], Awaitable[Json]]:
        return lambda request: self.moderate({**request, "action": action})

    def context(self) -> Context:
        """What the rules are asked with."""
        session = Session("admin", User(MACHINE, NAME))
        return Context(self.hub.state, self.hub.rules, session.id, self.hub.now(), new_id, session)

    async def moderate(self, request: Json) -> Json:
        """Do it, and wait until it is committed. Raises `Refusal`."""
        fields = {
            name: request[name] for name in ("action", "target", "role", "duration", "reason") if request.get(name)
        }
        if fields.get("action") not in get_args(Action):
            raise Refusal(Code.INVALID_PARAMS, "there is no such action")
        try:
            place = {"room": request["room"]} if request.get("room") else {"server": True}
            command = msgspec.convert({**fields, **place}, Moderate)
        except msgspec.ValidationError as error:
            raise Refusal(Code.INVALID_PARAMS, str(error)) from None
        events = ordered(self.context(), command)
        if events:
            await self._happen(events)
        return {"target": command.target, "room": command.room or "the server"}

    async def _happen(self, events: Sequence[Event]) -> None:
        [event] = [one for one in events if isinstance(one, Moderated)]
        done = self.hub.moderation.when(event)
        self.hub.propose(events, None)
        try:
            await done.addTimeout(PATIENCE_SECONDS, self.hub.reactor)
        except TimeoutError:
            raise Refusal(Code.STORE_UNAVAILABLE, "the journal did not keep this; see the log") from None

    def bans(self, request: Json) -> Json:
        """Who is banned or muted."""
        command = List(what="bans", room=request.get("room") or None)
        items = [make() for _, make in sorted(bans(self.context(), command), key=lambda pair: pair[0])]
        found = [msgspec.to_builtins(item) for item in items]
        return {"bans": found, "count": len(found)}
