"""The hub's part in keeping order: who was sent away goes, who was invited is told, and when somebody last spoke.

What was ordered, and by whom, is for the rules. Here is what only this process knows: who is connected, and from where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from chatd.core import effects
from chatd.core.addresses import is_in
from chatd.core.charge import SERVER_ID
from chatd.core.codes import Code
from chatd.core.commands import Command
from chatd.core.doors import OPERATOR
from chatd.core.events import Moderated, Parted
from chatd.core.views import Closing, Invite

if TYPE_CHECKING:
    from chatd.hub.hub import Hub
    from chatd.hub.link import Link

MOST_PACES = 10_000  # with more, those who may speak again are forgotten


class Moderation:
    """What the hub does for those in charge."""

    log = Logger()

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.paces: dict[tuple[str, str], int] = {}
        self._many = MOST_PACES
        hub.running.decided[effects.Paced] = self.paced
        hub.running.applied |= {
            effects.Ordered: self.ordered,
            effects.Invited: self.invited,
            effects.Expelled: self.expelled,
            effects.SentAway: self.sent_away,
        }
        self._waiting: dict[int, Deferred[None]] = {}  # by the id of the event

    def paced(self, link: Link, command: Command, effect: effects.Paced) -> None:
        """Somebody speaks in a slow room now."""
        if link.session is not None:
            if len(self.paces) >= self._many:
                self._forget()
            self.paces[effect.room_id, link.session.user.id] = self.hub.now()

    def _forget(self) -> None:
        """Drop those who may speak again."""
        now, rooms = self.hub.now(), self.hub.state.rooms
        for (room_id, user_id), at in list(self.paces.items()):
            charge = rooms[room_id].charge if room_id in rooms else None
            if charge is None or at + charge.slow * 1_000_000 <= now:
                del self.paces[room_id, user_id]
        self._many = max(MOST_PACES, 2 * len(self.paces))

    def when(self, event: Moderated) -> Deferred[None]:
        """Fires when this very event, which is to be proposed, is committed."""

        def forget(_: object) -> None:
            self._waiting.pop(id(event), None)

        waiting = self._waiting[id(event)] = Deferred(forget)
        return waiting

    def ordered(self, effect: effects.Ordered, cause: Link | None) -> None:
        """Somebody in charge did something."""
        event = effect.event
        self.hub.counts.moderated(event.change)
        what = "moderated change={change} room={room} by={by}"
        self.log.info(what, change=event.change, room=event.room_id, by=event.nick)
        if (waiting := self._waiting.pop(id(event), None)) is not None:
            self.hub.reactor.callLater(0, waiting.callback, None)

    def invited(self, effect: effects.Invited, cause: Link | None) -> None:
        """Tell somebody who was asked into a room."""
        room = self.hub.state.rooms.get(effect.room_id)
        for link in self.hub.running.links_of(effect.user_id) if room is not None else ():
            if link.full:
                self.hub.fanout.drop(link)
            elif room is not None:
                link.connection.show(Invite(room=room.name, by=effect.by))

    def expelled(self, effect: effects.Expelled, cause: Link | None) -> None:
        """Send away who is connected from a network that is banned, unless they are in charge."""
        state = self.hub.state
        room = state.rooms.get(effect.room_id)
        for link in list(self.hub.links.values()):
            session = link.session
            if session is None or room is None or link.gone or not is_in(link.connection.address, effect.network):
                continue
            if state.is_operator(session.user.id) or state.rank(room, session.user.id) >= OPERATOR:
                continue
            if room.id == SERVER_ID:
                self.hub.log_out(link, effect.reason)
                link.connection.finish(Closing(code=Code(effect.code), reason=effect.reason))
            elif room.id in session.rooms:
                self.hub.propose((Parted(link.id, room.id, effect.reason, True),), None)

    def sent_away(self, effect: effects.SentAway, cause: Link | None) -> None:
        """Let those of them who are here leave the room."""
        for session_id in effect.session_ids:
            link = self.hub.links.get(session_id)
            if link is not None and not link.gone:
                self.hub.propose((Parted(session_id, effect.room_id, effect.reason, True),), None)
