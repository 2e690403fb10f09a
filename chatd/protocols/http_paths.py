"""The paths of the web server: the page and what belongs to it, the WebSocket, and the pages for watchers.

`/r/…` is `http_rooms`'. What is not there is told in a line of text.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import html
from collections.abc import Callable
from hashlib import blake2b, sha1
from importlib import resources
from typing import Any

import msgspec
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from chatd.hub import Hub
from chatd.protocols import http_rooms, openapi, websocket
from chatd.protocols.http import NOTHING_HERE, HttpRequest, HttpSite
from chatd.protocols.origins import Origins, is_loopback
from chatd.settings import Settings

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
WATCHED = (b"metrics", b"healthz", b"readyz")

KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
}

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)


class Leaf(Resource):
    """A path with nothing below."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()


class Told(Leaf):
    """A line of text, whatever is asked."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__()
        self._status = status
        self._text = text

    def render(self, request: HttpRequest) -> bytes:
        return request.answer(self._status, f"{self._text}\n".encode())


def not_there() -> Told:
    """What is told of a path that leads nowhere."""
    return Told(404, NOTHING_HERE)


# -- the page ---------------------------------------------------------------------------------------------------------


class File(Leaf):
    """A file of the page: compressed once, and asked for again only when it has changed."""

    def __init__(self, name: str, content: bytes) -> None:
        super().__init__()
        self._kind = KINDS[name.rpartition(".")[2]]
        self._content = content
        self._compressed = gzip.compress(content, 9, mtime=0)
        self._tag = f'"{blake2b(content, digest_size=12).hexdigest()}"'.encode()

    def render_GET(self, request: Any) -> bytes:
        request.setHeader(b"Cache-Control", b"no-cache")
        request.setHeader(b"Content-Security-Policy", PAGE_POLICY.encode())
        request.setHeader(b"Vary", b"Accept-Encoding")
        request.setHeader(b"Content-Type", self._kind.encode())
        if request.setETag(self._tag):
            return b""
        if any("gzip" in value.lower() for value in request.headers_of(b"Accept-Encoding")):
            request.setHeader(b"Content-Encoding", b"gzip")
            return self._compressed
        return self._content


def files() -> dict[str, File]:
    """The files of the page, by name."""
    folder = resources.files("chatd") / "page"
    found = (one for one in folder.iterdir() if one.name.rpartition(".")[2] in KINDS)
    return {one.name: File(one.name, one.read_bytes()) for one in found}


def index(lobby: str) -> File:
    """The page itself, which leads newcomers into `lobby`."""
    content = (resources.files("chatd") / "page" / "index.html").read_text()
    return File("index.html", content.replace('content="#lobby"', f'content="{html.escape(lobby)}"').encode())


class Files(Resource):
    """The folder of the page's files."""

    def __init__(self, found: dict[str, File]) -> None:
        super().__init__()
        for name, file in found.items():
            self.putChild(name.encode(), file)

    def getChild(self, path: bytes, request: Any) -> Resource:
        return not_there()


class Description(Leaf):
    """What is here, for programs."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub

    def render_GET(self, request: Any) -> bytes:
        content = msgspec.json.encode(openapi.document(self._hub.limits.history_page))
        return bytes(request.answer(200, content + b"\n", "application/json"))


# -- the WebSocket ----------------------------------------------------------------------------------------------------


class Socket(Leaf):
    """Where a connection becomes a WebSocket (RFC 6455 section 4.2)."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._factory = websocket.factory(hub)

    def render_GET(self, request: Any) -> Any:
        status, problem = refused(request)
        if status:
            if status == 426:
                request.setHeader(b"Upgrade", b"websocket")
                request.setHeader(b"Sec-WebSocket-Version", b"13")
            return request.answer(status, f"{problem}\n".encode())
        [key] = request.headers_of(b"Sec-WebSocket-Key")
        accept = base64.b64encode(sha1(key.strip().encode() + GUID, usedforsecurity=False).digest())
        head = [
            b"HTTP/1.1 101 Switching Protocols",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Accept: " + accept,
        ]
        if request.headers_of(b"Sec-WebSocket-Protocol"):
            head.append(b"Sec-WebSocket-Protocol: " + websocket.SUBPROTOCOL.encode())
        request.channel.hand_over(b"\r\n".join(head) + b"\r\n\r\n", self._factory.make(request.address))
        return NOT_DONE_YET


def refused(request: Any) -> tuple[int, str]:
    """The status and the words for a request that does not become a WebSocket; 0 for one that does."""
    words = {name: ",".join(request.headers_of(name)).lower().replace(" ", "") for name in (b"Upgrade", b"Connection")}
    if words[b"Upgrade"] != "websocket" or "upgrade" not in words[b"Connection"].split(","):
        return 426, "this is for WebSocket, subprotocol chatd.v1.json; the page is at /"
    if request.clientproto != b"HTTP/1.1" or request.method != b"GET":
        return 400, "a WebSocket begins with GET and HTTP/1.1"
    if request.headers_of(b"Sec-WebSocket-Version") != ["13"]:
        return 426, "this is for version 13 of WebSocket"
    if not is_key(request.headers_of(b"Sec-WebSocket-Key")):
        return 400, "Sec-WebSocket-Key is not 16 bytes in base64"
    offered = ",".join(request.headers_of(b"Sec-WebSocket-Protocol")).replace(" ", "")
    if offered and websocket.SUBPROTOCOL not in offered.split(","):
        return 400, f"the subprotocol here is {websocket.SUBPROTOCOL}"
    origins = request.channel.site.origins
    if not origins.is_welcome(request.headers_of(b"Origin"), request.headers_of(b"Host")):
        return 403, "a page from elsewhere cannot come in; the operator can allow it with web.origins"
    return 0, ""


def is_key(keys: list[str]) -> bool:
    """Whether these are one key, as a WebSocket client chooses it."""
    try:
        return len(keys) == 1 and len(base64.b64decode(keys[0].strip(), validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


# -- the tree ---------------------------------------------------------------------------------------------------------


class Root(Resource):
    """What is at the top."""

    def __init__(self, hub: Hub, settings: Settings, watched: Callable[[], Any] | None) -> None:
        super().__init__()
        self._watched = watched
        self._page = Files(files())
        self.change(settings)
        self.putChild(b"ws", Socket(hub))
        self.putChild(b"r", http_rooms.Rooms(hub))
        self.putChild(b"hook", http_rooms.Hook(hub))
        self.putChild(b"openapi.json", Description(hub))

    def change(self, settings: Settings) -> None:
        """Other settings from now on."""
        self._has_page = settings.web.page
        self._index = index(settings.line.lobby)

    def getChild(self, path: bytes, request: Any) -> Resource:
        if path in WATCHED and self._watched is not None:
            if not is_loopback(request.address):
                return Told(403, "this is told on the server's own machine only")
            found: Resource = self._watched().getChildWithDefault(path, request)
            return found
        if not self._has_page:
            return Told(404, "this server has no page; join with telnet or nc on this same port, or: chatd connect")
        if path == b"" and not request.postpath:
            return self._index
        if path == b"page":
            return self._page
        return not_there()


class WebSite(HttpSite):
    """The site, and what of it the settings change."""

    def change(self, settings: Settings) -> None:
        """Other settings from now on."""
        self.resource.change(settings)
        self.origins = origins_of(settings)


def origins_of(settings: Settings) -> Origins:
    """The origins as the settings have them."""
    return Origins(settings.server.host, settings.web.origins, settings.web.proxies)


def site(hub: Hub, settings: Settings, watched: Callable[[], Any] | None = None) -> WebSite:
    """Everything that is behind HTTP."""
    return WebSite(hub, Root(hub, settings, watched), origins_of(settings))


__all__ = ["File", "Root", "WebSite", "files", "site"]
