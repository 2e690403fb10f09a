"""A connection: what every way in shares, between its bytes and the hub.

It collects what is to be written and sends it once a turn, tells the hub what the peer asks and whether the peer
keeps up, and closes without waiting for ever. A peer falls behind as soon as the kernel does not take all that is
sent: what waits here is never more than `send_queue_bytes`, and then nothing more is read from it. It knows Twisted's
transports and the hub's few calls; what the bytes mean is its subclasses'.

A subclass is also a Twisted protocol. It calls `opened` from `connectionMade`, `received` for each command, and
`lost` from `connectionLost`; it defines `encoder`, `reply` and `show`.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.core.codes import Refusal
from chatd.core.commands import Command
from chatd.core.limits import Limits
from chatd.core.replies import Reply
from chatd.core.views import Left, Presence, View
from chatd.interfaces import IConnection
from chatd.protocols.transport import socket_of

if TYPE_CHECKING:
    from chatd.hub import Hub, Link

CLOSE_SECONDS = 5.0
AT_ONCE_BYTES = 32_768  # what is sent at once; half of what may wait at least, so that two of them may
REQUESTS_A_TURN = 64  # of one peer; then the others have their turn
CHUNK = 65536
MOST_HEARD_OUT = 16  # chunks


@implementer(IPushProducer)
class Valve:
    """Told by the transport when the peer does not keep up, and when it has read everything."""

    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def pauseProducing(self) -> None:
        self.connection.peer_full()

    def resumeProducing(self) -> None:
        self.connection.peer_ready()

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` says the same."""


@implementer(IConnection)
class Connection:
    """The part of a way in that the hub sees. Subclasses say what they speak."""

    protocol = ""
    address = ""
    can_be_asked = True
    heard = 0.0
    transport: Any
    hub: Hub
    link: Link | None = None
    closing = False  # nothing more is read or written
    _deadline: Any = None  # of the close
    ended = False  # the peer has said everything
    _held = False  # the hub wants no more commands for now
    _stuck = False  # the peer does not read what it is sent
    _resting = False  # it has asked enough for this turn
    _size = 0  # bytes in the outbox
    _asked = 0  # requests since the last read
    _outbox: list[bytes] | bytes = b""  # what is sent at the end of the turn
    is_prompt = False  # what is shown to a whole room need not go through here

    def opened(self, hub: Hub, *, greeted: bool) -> None:
        """The peer is there. `greeted`: this way in has no hello of its own, so none is waited for."""
        # Also what few of them ever change. CPython has one table of attributes' names for all objects of a class, with
        # those that the first few objects have; any that comes later gives its object a table of its own, of 800 bytes.
        self.closing = self.ended = self._held = self._stuck = self._resting = False
        self._deadline, self._outbox, self._size, self._asked = None, b"", 0, 0
        self.hub = hub
        self.address = self.peer()
        self.heard = hub.tick
        with suppress(AttributeError, OSError):  # a Unix socket has no Nagle, a test's transport no socket
            self.transport.setTcpNoDelay(True)
        limit_kernel_queue(self.transport, hub.limits.kernel_queue_bytes)
        self.transport.registerProducer(Valve(self), True)
        self.link = hub.connected(self, greeted=greeted)

    def peer(self) -> str:
        """Where the peer is. A subclass that is told so by a proxy knows better."""
        return peer_name(self.transport)

    def received(self, command: Command, size: int = 0) -> None:
        """The peer asks something, in so many bytes."""
        if self.link is not None:
            self.hub.submit(self.link, command, size)

    def misread(self, command_id: str | None, refusal: Refusal) -> None:
        """What the peer sent could not be read as a command; it is told in its turn."""
        if self.link is not None:
            self.hub.misread(self.link, command_id, refusal)

    def lost(self, failure: Failure) -> None:
        """The peer is gone."""
        link, self.link = self.link, None
        self.closing = True
        self._outbox = b""
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        if link is not None:
            self.hub.disconnected(link, reason_of(failure))

    # -- for the hub --------------------------------------------------------------------------------------

    def encoder(self, room: str) -> Any:
        raise NotImplementedError

    def reply(self, command: Command, reply: Reply) -> None:
        raise NotImplementedError

    def show(self, view: View) -> None:
        raise NotImplementedError

    def write(self, blob: bytes) -> None:
        if blob and not self.closing:
            outbox = self._outbox
            size = len(blob)
            if not outbox:
                self._outbox = blob  # mostly there is no more
                if self.link is not None:
                    self.link.send = None
                hub = self.hub
                hub.touched.append(self)
                if not hub.awake:
                    hub.wake()
            else:
                size += self._size
                if type(outbox) is list:
                    outbox.append(blob)
                else:
                    self._outbox = [outbox, blob]  # type: ignore[list-item]  # mypy 2 takes `is list` for less
            self._size = size
            if size > AT_ONCE_BYTES:
                self._send_early()

    def _send_early(self) -> None:
        """Too much has gathered to wait for the end of the turn: send it, so that it is seen whether the peer reads."""
        outbox = self._outbox
        *earlier, last = outbox if isinstance(outbox, list) else [outbox]
        if earlier:
            self.transport.write(b"".join(earlier))
        self._outbox, self._size = last, len(last)
        if self._size > AT_ONCE_BYTES:
            self.flush()
        else:
            self.hub.touched.append(self)
            self.hub.wake()

    def flush(self) -> None:
        outbox = self._outbox
        if outbox:
            self._outbox = b""
            self.transport.write(b"".join(outbox) if isinstance(outbox, list) else outbox)
            if self.is_prompt and self.link is not None:
                self.link.send = self.transport.prompt()

    def write_rest(self, rest: bytes) -> None:
        """Pass on what the kernel did not take at once; nothing else waits."""
        if self.link is not None:
            self.link.send = None
        self.transport.write(rest)

    def pause(self) -> None:
        self._held = True
        self._throttle()

    def resume(self) -> None:
        self._held = False
        self._throttle()

    def removed(self, room: str, reason: str) -> None:
        if self.link is not None and self.link.session is not None:
            left = Left(nick=self.link.session.user.nick, reason=reason)
            self.show(Presence(room=room, left=[left]))

    def hear_out(self) -> None:
        handle = getattr(self.transport, "getHandle", lambda: None)()
        if not isinstance(handle, socket.socket) or self._stuck:
            return
        protocol: Any = self
        for _ in range(MOST_HEARD_OUT):
            try:
                chunk = handle.recv(CHUNK)
            except OSError:  # there is no more, or no peer: Twisted finds out which
                return
            if not chunk:
                return
            protocol.dataReceived(chunk)

    def finish(self, view: View) -> None:
        if not self.closing:
            self.show(view)
            self.close()

    def close(self) -> None:
        """Send what is waiting and close our side; the rest follows when the peer closes, or in a few seconds.

        A full close at once would reset the connection if the peer has sent more than was read, and the peer
        could lose our last words.
        """
        if self.closing:
            return
        self.flush()
        self.closing = True
        if self.link is not None:
            self.link.send = None
        self.transport.unregisterProducer()
        if self._held or self._stuck or self._resting:
            self.transport.resumeProducing()  # or the end of the peer would not be heard
        # TLS has a goodbye of its own, which waits for the peer's.
        is_encrypted = getattr(self.transport, "TLS", False)
        half_close = None if is_encrypted else getattr(self.transport, "loseWriteConnection", None)
        if half_close is None or self.ended:
            self.transport.loseConnection()
        else:
            half_close()
        self._deadline = self.hub.reactor.callLater(CLOSE_SECONDS, self.abort)

    def rules_changed(self) -> None:
        """A subclass that keeps more of the hub's rules than this takes it over again here."""
        limit_kernel_queue(self.transport, self.hub.limits.kernel_queue_bytes)

    def abort(self) -> None:
        if self.link is not None:
            self.transport.abortConnection()

    # -- for the transport --------------------------------------------------------------------------------

    def peer_full(self) -> None:
        """The kernel takes no more for the peer: read no more from it, show it no more live."""
        if self.link is not None and not self._stuck:
            self._stuck = True
            self._throttle()
            self.hub.replay.fell_behind(self.link, self.hub.tick)

    def peer_ready(self) -> None:
        """The peer has read everything."""
        if self.link is not None and self._stuck:
            self._stuck = False
            self._throttle()
            self.hub.writable(self.link)

    def _throttle(self) -> None:
        if not self.closing:
            self.throttled(self._held or self._stuck or self._resting)

    def count_request(self) -> None:
        """One more request was taken; after many, what else the peer has sent is left for the next turn."""
        self._asked += 1
        if self._asked >= REQUESTS_A_TURN:
            self.rest()

    def rest(self) -> None:
        """Read no more from the peer in this turn."""
        if not self._resting and not self.hub.stopping:
            self._resting = True
            self._throttle()
            self.hub.reactor.callLater(0, self._rested)

    def _rested(self) -> None:
        self._resting = False
        self._throttle()

    def throttled(self, stop: bool) -> None:
        """Read no more, or read again. A subclass that keeps unparsed input holds it back here too."""
        if stop:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()


def peer_name(transport: Any) -> str:
    """The peer's address, or `unix`: for logs and limits, never for other users."""
    return getattr(transport.getPeer(), "host", None) or "unix"


def limit_kernel_queue(transport: Any, most: int) -> None:
    """Let the kernel hold only about so much for the peer; else it is several megabytes. 0 changes nothing."""
    if most:
        with suppress(AttributeError, OSError):  # a test's transport has no socket
            socket_of(transport).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, most)


def keep_alive(transport: Any, limits: Limits) -> None:
    """Let TCP itself find a peer that is gone without a word within `dead_seconds`. No-op where there is no TCP."""
    try:
        transport.setTcpKeepAlive(True)
        handle = socket_of(transport)
        interval = max(1, int((limits.dead_seconds - limits.idle_seconds) / 3))
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(limits.idle_seconds)))
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    except (AttributeError, OSError):
        return


def keep_urgent_in_place(transport: object) -> None:
    """Telnet sends its data mark as urgent; the kernel would take that byte out of the stream."""
    with suppress(AttributeError, OSError):
        socket_of(transport).setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)


REASONS = {
    "ConnectionDone": "connection closed",
    "ConnectionLost": "connection lost",
    "ConnectionAborted": "connection aborted",
    "TimeoutError": "timed out",
}


def reason_of(failure: Failure) -> str:
    """Why a connection ended, in words that people may read."""
    kind = failure.type
    return REASONS.get("" if kind is None else kind.__name__, "connection lost")
