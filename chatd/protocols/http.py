"""HTTP on the port that everyone can join, and on a port of its own: Twisted's web server, with bounds.

Here is what holds for every request: how long it may take to come and how long it may be, that it is meant for this
server, who it comes from, and what every response says about itself. What is behind each path is in `http_paths`; a
request that turns into something else, a WebSocket or a stream, hands its connection over. All of it is imported with
the first who comes this way.
"""

from __future__ import annotations

from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from zope.interface import implementer

from chatd.hub import Hub
from chatd.protocols.connection import limit_kernel_queue, peer_name
from chatd.protocols.origins import Origins, client_of
from chatd.protocols.transport import give

LINGER_SECONDS = 2.0  # for what else comes of a request that was refused; a close at once would take the answer along

SAFE = {
    b"Server": b"chatd",
    b"X-Content-Type-Options": b"nosniff",
    b"Referrer-Policy": b"no-referrer",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Content-Security-Policy": b"default-src 'none'; frame-ancestors 'none'",
}
"""What every response says, unless it says better."""


def phrase(status: int) -> bytes:
    """What a status is called (RFC 9110 section 15); Twisted knows only some."""
    return HTTPStatus(status).phrase.encode()


@implementer(IHalfCloseableProtocol)
class HttpChannel(HTTPChannel):
    """One connection of HTTP. It counts among those of its address, and hands itself over if it is asked to."""

    site: HttpSite
    transport: Any
    timeOut: Any
    callLater: Any
    _networkProducer: Any

    def __init__(self, site: HttpSite, hub: Hub) -> None:
        super().__init__()
        self.site = site
        self.hub = hub
        self.callLater = hub.reactor.callLater
        self.timeOut = hub.limits.login_seconds
        self.requestFactory = site.requestFactory
        self._target: Any = None  # whose the connection is now
        self._is_counted = False
        self._is_deaf = False
        self._lingering: Any = None

    def connectionMade(self) -> None:
        super().connectionMade()
        hub, address = self.hub, peer_name(self.transport)
        limit_kernel_queue(self.transport, hub.limits.kernel_queue_bytes)
        self._counted_as = address
        self._is_counted = True
        is_trusted = hub.guard.trusts(address) or address in self.site.origins.proxies
        refusal = hub.guard.enter(address, trusted=is_trusted, fetches=True)
        if refusal is not None:
            self.refuse(429, refusal.message)

    def dataReceived(self, data: bytes) -> None:
        # Twisted's own gives more time with every byte; here a request has to be whole in time.
        if not self._is_deaf:
            LineReceiver.dataReceived(self, data)

    def rawDataReceived(self, data: bytes) -> None:
        if self._target is not None:  # came in one piece with the request
            self._target.dataReceived(data)
        elif not self._is_deaf:
            super().rawDataReceived(data)

    def readConnectionLost(self) -> None:
        """The peer has said everything: what it asked is answered, then it ends."""
        self.persistent = False
        if not self.requests or not self._handlingRequest:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our side is closed; the peer's end is awaited."""

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # Twisted gives a default
        self._uncount()
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        super().connectionLost(reason)

    def _uncount(self) -> None:
        if self._is_counted:
            self._is_counted = False
            self.hub.guard.leave(self._counted_as, fetches=True)

    def refuse(self, status: int, text: str) -> None:
        """Answer with this, hear nothing more, and close so that the answer arrives."""
        if self._is_deaf:
            return
        self._is_deaf = True
        self.setTimeout(None)
        body = f"{text}\n".encode()
        head = [
            b"HTTP/1.1 %d %s" % (status, phrase(status)),
            b"Content-Type: text/plain; charset=utf-8",
            b"Content-Length: %d" % len(body),
            b"Connection: close",
            *(b"%s: %s" % one for one in SAFE.items()),
        ]
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
        self._networkProducer.unregisterProducer()
        is_encrypted = getattr(self.transport, "TLS", False)
        half_close = None if is_encrypted else getattr(self.transport, "loseWriteConnection", None)
        (half_close or self.transport.loseConnection)()
        self._lingering = self.callLater(LINGER_SECONDS, self.transport.abortConnection)

    def hand_over(self, head: bytes, target: Any) -> None:
        """Answer the request with this, and let the connection be another protocol's from now on."""
        transport = self.transport
        self.setTimeout(None)
        self._networkProducer.unregisterProducer()
        self._uncount()  # it counts as what it is now
        for request in self.requests:
            request.channel = None
        self.requests.clear()
        rest, self._dataBuffer = b"".join(self._dataBuffer), []
        self._target = target
        transport.write(head)
        give(transport, target)
        target.makeConnection(transport)
        if rest:
            target.dataReceived(rest)


MOST_PARAMETERS = 50
NOTHING_HERE = "there is nothing here; the page is at /, rooms are at /r/NAME"


class HttpRequest(Request):
    """One request. `address` is who asks, perhaps through a proxy; `query` are the parameters in its address."""

    channel: Any
    content: Any
    address = ""
    query: dict[str, list[str]]

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()  # Twisted's would be a file, if the length is not told
        if length is not None:
            self._bound(length)

    def handleContentChunk(self, data: bytes) -> None:
        if self._bound(self.content.tell() + len(data)):
            super().handleContentChunk(data)

    def _bound(self, length: int) -> bool:
        most: int = self.channel.hub.limits.frame_bytes
        if length > most:
            self.channel.refuse(413, f"a request of more than {most} bytes is too large (frame_bytes)")
        return length <= most

    def process(self) -> None:
        site = self.channel.site
        self.address = client_of(peer_name(self.channel.transport), self.headers_of(b"X-Forwarded-For"), site.origins)
        for name, value in SAFE.items():
            self.setHeader(name, value)
        if problem := self._problem():
            self._say(*problem)
        else:
            super().process()

    def _problem(self) -> tuple[int, str] | None:
        """What is wrong with this request, whatever it asks."""
        if self.clientproto == b"HTTP/1.1" and not self.headers_of(b"Host"):
            return 400, "a request says its Host"  # RFC 9112 section 3.2
        origins = self.channel.site.origins
        if problem := origins.misdirected(self.headers_of(b"Host"), peer_name(self.channel.transport)):
            return 421, problem
        try:
            query = self.uri.partition(b"?")[2].decode()
            self.query = parse_qs(query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
        except ValueError:
            return 400, f"the address has more than {MOST_PARAMETERS} parameters, or is not UTF-8"
        return None

    def _say(self, status: int, text: str) -> None:
        body = self.answer(status, f"{text}\n".encode())
        self.setHeader(b"Content-Length", b"%d" % len(body))
        self.write(body)
        self.finish()

    def render(self, resrc: Any) -> None:
        self.setHeader(b"Server", SAFE[b"Server"])
        allowed = {name[7:] for name in dir(resrc) if name.startswith("render_")}
        if "GET" not in allowed:
            allowed.discard("HEAD")  # which every resource of Twisted's has, and makes of GET
        if self.method.decode("latin-1") in allowed or type(resrc).render is not Resource.render:
            super().render(resrc)
        elif allowed:
            self.setHeader(b"Allow", ", ".join(sorted(allowed)).encode())
            self._say(405, f"this can be asked with {', '.join(sorted(allowed))} only")
        else:
            self._say(404, NOTHING_HERE)

    def headers_of(self, name: bytes) -> list[str]:
        """All values of a header, in their order."""
        return [value.decode("latin-1") for value in self.requestHeaders.getRawHeaders(name, [])]

    def answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> bytes:
        """Give this answer: what a resource's `render` returns."""
        self.setResponseCode(status, phrase(status))
        self.setHeader(b"Content-Type", kind.encode())
        return body


class HttpSite(Site):
    """What is behind the connections: the tree of paths."""

    def __init__(self, hub: Hub, root: Resource, origins: Origins) -> None:
        super().__init__(root, requestFactory=HttpRequest, reactor=hub.reactor)
        self.hub = hub
        self.origins = origins
        self.displayTracebacks = False
        self.noisy = False

    def buildProtocol(self, addr: Any) -> Any:
        return HttpChannel(self, self.hub)

    def log(self, request: Any) -> None:
        """Each look would be a line."""


__all__ = ["HttpChannel", "HttpRequest", "HttpSite"]
