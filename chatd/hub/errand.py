"""An errand: one command of somebody who is not here, and its answer. What may be asked so is `core.errands`'.

To the hub it is a connection like others, with a link of its own; it is on no list, nobody is told of it, and it is
over with the answer. The limits by user and by address are the same.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from chatd.core.commands import Command, Ping
from chatd.core.errands import visitor
from chatd.core.replies import Reply
from chatd.core.state import Room
from chatd.core.views import View
from chatd.hub.hub import Hub, new_id
from chatd.hub.link import Link
from chatd.interfaces import IConnection, IEncoder


@implementer(IEncoder)
class Silent:
    """A dialect without words."""

    def encode(self, view: View) -> bytes:
        return b""


@implementer(IConnection)
class Errand:
    """For somebody at an address, with a token or without one, in the `room` with this name. Raises `Refusal`."""

    protocol = "http"
    can_be_asked = ended = closing = False

    def __init__(self, hub: Hub, address: str, token: str | None, name: str) -> None:
        self.hub = hub
        self.address = address
        self.heard = hub.tick
        self._answered: Deferred[Reply] = Deferred()
        self.link = Link(self, new_id(), True, hub.tick)
        self.link.trusted = hub.guard.trusts(address)
        if not self.link.trusted:
            hub.guard.check(Ping(), None, address)  # also what is refused at the door counts
        self.link.session, self.room = visitor(hub.context(self.link), token, name)

    def ask(self, command: Command) -> Deferred[Reply]:
        """Have it carried out; the reply may be a `Failure`."""
        self.hub.submit(self.link, command)
        return self._answered

    def give_up(self) -> None:
        """Nobody waits for the answer any more. What was said is said."""
        self.link.gone = True

    # -- for the hub --------------------------------------------------------------------------------------

    def reply(self, command: Command, reply: Reply) -> None:
        self.hub.reactor.callLater(0, self._answered.callback, reply)

    def encoder(self, room: str) -> Silent:
        return Silent()

    def show(self, view: View) -> None:
        """An errand is told its answer and nothing else; so here and below."""

    def write(self, blob: bytes) -> None: ...

    def flush(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def removed(self, room: str, reason: str) -> None: ...

    def hear_out(self) -> None: ...

    def finish(self, view: View) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def rules_changed(self) -> None: ...


def admitted(hub: Hub, link: Link, token: str | None, name: str) -> Room:
    """Let a link that is on the hub's list read a room without being in it. Raises `Refusal`."""
    link.session, room = visitor(hub.context(link), token, name)
    return room
