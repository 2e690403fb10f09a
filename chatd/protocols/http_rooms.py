"""Rooms by HTTP, for curl: read at `/r/NAME`, write into it, follow it at `/r/NAME/events`, and hooks at `/hook/TOKEN`.

What is asked becomes a command, and the reply is written as text, as JSON or as a page. Who asks is told by a bearer
token (RFC 6750), or is nobody, who may read what a guest may. What may be done is for the rules.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure as Trouble
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from chatd.core.codes import Code, Refusal
from chatd.core.commands import Command, History
from chatd.core.errands import is_published
from chatd.core.replies import Failure, HistoryPage, Problem, Reply, Sent, problem_of
from chatd.hub import Hub
from chatd.hub.errand import Errand
from chatd.protocols import line_answers, room_page
from chatd.protocols.event_stream import EventStreams
from chatd.protocols.http import SAFE
from chatd.protocols.http_asked import (
    HTML,
    JSON,
    TEXT,
    Wrong,
    accepted,
    history_of,
    message_of,
    number,
    token_of,
    wants,
)
from chatd.protocols.wire import Format, Unreadable, fit, json_reply

STATUS = {
    Code.NO_SUCH_ROOM: 404,
    Code.NO_SUCH_MESSAGE: 404,
    Code.AUTH_FAILED: 401,
    Code.NOT_REGISTERED: 401,
    Code.SESSION_EXPIRED: 401,
    Code.ACCOUNT_REQUIRED: 401,
    Code.BANNED: 403,
    Code.MUTED: 403,
    Code.FORBIDDEN: 403,
    Code.INVITE_ONLY: 403,
    Code.BAD_KEY: 403,
    Code.NICK_IN_USE: 409,
    Code.NICK_CONFUSABLE: 409,
    Code.NICK_RESERVED: 409,
    Code.MESSAGE_TOO_LONG: 413,
    Code.MSG_ID_REUSED: 422,
    Code.RATE_LIMITED: 429,
    Code.LIMIT_EXCEEDED: 429,
    Code.INTERNAL: 500,
    Code.STORE_UNAVAILABLE: 503,
    Code.OUTCOME_UNKNOWN: 503,
    Code.SHUTTING_DOWN: 503,
}
"""The status for each code; 400 for what is not here."""


class Answered(Refusal):
    """What the hub has refused, and counted."""


# -- what is answered -------------------------------------------------------------------------------------------------


def finish(request: Any, status: int, body: bytes, kind: str) -> None:
    """Write an answer, if anybody still waits for it."""
    if request._disconnected:
        return
    request.setHeader(b"Cache-Control", b"no-store")
    request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(request.answer(status, body, kind))
    request.finish()


def refuse(request: Any, problem: Problem, kind: str) -> None:
    """Say why not."""
    status = STATUS.get(Code(problem.code), 400)
    if status == 401:
        request.setHeader(b"WWW-Authenticate", b'Bearer realm="chatd"')
    if isinstance(problem.retry_after, float | int):
        request.setHeader(b"Retry-After", b"%d" % max(1, round(problem.retry_after + 0.499)))
    elif status == 503:
        request.setHeader(b"Retry-After", b"1")
    if kind == JSON:
        finish(request, status, msgspec.json.encode({"error": problem}) + b"\n", JSON)
    else:
        finish(request, status, f"{problem.message} ({problem.code})\n".encode(), TEXT)


def bare(blob: bytes) -> bytes:
    """A reply without what only a connection needs."""
    found = json.loads(blob)
    del found["re"], found["ok"]
    return msgspec.json.encode(found) + b"\n"


class RoomPath(Resource):
    """One room: read it, or write into it."""

    def __init__(self, hub: Hub, streams: EventStreams, name: str) -> None:
        super().__init__()
        self.hub = hub
        self.name = name
        self.putChild(b"events", Events(hub, streams, name))

    def getChild(self, path: bytes, request: Any) -> Resource:
        return self if path == b"" else Nowhere()

    def render_GET(self, request: Any) -> int:
        return run(self.hub, request, self._read)

    def render_POST(self, request: Any) -> int:
        return run(self.hub, request, self._write)

    async def _read(self, request: Any, kind: str) -> None:
        errand = Errand(self.hub, request.address, token_of(request), self.name)
        command = history_of(request, errand.room.name)
        reply = await answered(request, errand, command)
        if not isinstance(reply, HistoryPage):
            raise refusal_in(reply)
        if kind == HTML and not is_published(errand.room):
            request.setHeader(b"Location", f"{top_of(request)}#{quote(self.name[1:])}".encode())
            finish(request, 303, b"this room is read in the page, at /\n", TEXT)
            return
        request.setHeader(b"Vary", b"Accept, Authorization")
        request.setHeader(b"Chatd-Last-Seq", b"%d" % reply.last_seq)
        if links := links_of(request, reply):
            request.setHeader(b"Link", links.encode())
        if kind == HTML:
            request.setHeader(b"Content-Security-Policy", room_page.POLICY.encode())
            finish(request, 200, room_page.page(reply, errand.room, self.hub.rules.network, top_of(request)), kind)
            return
        finish(request, 200, written(reply, command, kind, self.hub), kind)

    async def _write(self, request: Any, kind: str) -> None:
        await write(self.hub, request, token_of(request), self.name)


def top_of(request: Any) -> str:
    """How one gets from here to the top, which is not `/` behind a web server that serves other things, too."""
    depth: int = request.path.count(b"/")
    return "../" * (depth - 1)


def written(reply: HistoryPage, command: History, kind: str, hub: Hub) -> bytes:
    """A page of history, as JSON or as text."""
    if kind == JSON:
        return bare(fit(reply, command, Format.JSON, hub.limits.frame_bytes))
    lines = line_answers.history_lines(command, msgspec.structs.replace(reply, prev=None), time.time())
    return "".join(f"{line}\n" for line in lines).encode()


def links_of(request: Any, reply: HistoryPage) -> str:
    """The pages before and after, as a `Link` (RFC 8288)."""
    path = request.path.decode("ascii")
    rest = [(name, value) for name in ("format", "limit", "query", "from") for value in request.query.get(name, ())]
    tail = "".join(f"&{name}={quote(value)}" for name, value in rest)
    places = (("before", reply.prev, "prev"), ("since", reply.next, "next"))
    return ", ".join(f'<{path}?{name}={seq}{tail}>; rel="{rel}"' for name, seq, rel in places if seq is not None)


async def write(hub: Hub, request: Any, token: str | None, name: str) -> None:
    """Say what a request brings, in the room called so."""
    if token is None:
        raise Refusal(Code.NOT_REGISTERED, "say who you are with: Authorization: Bearer TOKEN")
    errand = Errand(hub, request.address, token, name)
    reply = await answered(request, errand, message_of(request, errand.room.name))
    if not isinstance(reply, Sent):
        raise refusal_in(reply)
    finish(request, 200 if reply.duplicate else 201, bare(json_reply(reply)), JSON)


async def answered(request: Any, errand: Errand, command: Command) -> Reply:
    """The reply to an errand; nobody waits for it any more when the connection ends."""
    reply: Deferred[Reply] = errand.ask(command)
    request.notifyFinish().addErrback(lambda _: errand.give_up())
    return await reply


def refusal_in(reply: Reply) -> Refusal:
    """What a failure says, to be said again."""
    assert isinstance(reply, Failure)
    problem = reply.error
    details = problem.details if isinstance(problem.details, dict) else None
    after = problem.retry_after if isinstance(problem.retry_after, float | int) else None
    return Answered(Code(problem.code), problem.message, retry_after=after, details=details)


def run(hub: Hub, request: Any, work: Callable[[Any, str], Any]) -> int:
    """Do what a request asks, and answer it, whatever comes of it."""

    def failed(trouble: Trouble) -> None:
        found: Any = trouble.value
        if isinstance(found, Unreadable):
            found = found.refusal
        if not isinstance(found, Refusal):
            hub.log.failure("bug in answering {path}", trouble, path=request.path.partition(b"/hook")[0])
            found = Refusal(Code.INTERNAL, "something went wrong in the server; it was logged")
        if not isinstance(found, Answered):
            hub.counts.refused(found.code)
        refuse(request, problem_of(found), kind)

    kind = accepted(request)
    try:
        kind = wants(request)
        if request.method == b"POST" and kind == TEXT and not request.query.get("format"):
            kind = JSON  # what is answered to a message, too
    except Refusal:
        failed(Trouble())
        return NOT_DONE_YET
    ensureDeferred(work(request, kind)).addErrback(failed)
    return NOT_DONE_YET


# -- following --------------------------------------------------------------------------------------------------------


class Events(Resource):
    """A room as a stream of events."""

    isLeaf = True

    def __init__(self, hub: Hub, streams: EventStreams, name: str) -> None:
        super().__init__()
        self.hub = hub
        self.streams = streams
        self.name = name

    def render_GET(self, request: Any) -> int:
        return run(self.hub, request, self._follow)

    async def _follow(self, request: Any, kind: str) -> None:
        if request.postpath:
            finish(request, 404, b"there is nothing here\n", TEXT)
            return
        token = token_of(request)
        room = Errand(self.hub, request.address, token, self.name).room
        last = request.headers_of(b"Last-Event-ID")
        if last:
            request.query["since"] = last[-1:]
        since = number(request, "since")
        if since is not None and since > room.last_seq:
            raise Wrong(f"since is {since}, but the last number in {room.name} is {room.last_seq}")
        head = {
            **SAFE,
            b"Content-Type": b"text/event-stream; charset=utf-8",
            b"Cache-Control": b"no-store",
            b"X-Accel-Buffering": b"no",
            b"Connection": b"close",
        }
        lines = [b"HTTP/1.1 200 OK", *(b"%s: %s" % pair for pair in head.items())]
        stream = self.streams.make(request.address, token, room.name, since)
        request.channel.hand_over(b"\r\n".join(lines) + b"\r\n\r\n", stream)


# -- the paths --------------------------------------------------------------------------------------------------------


class Nowhere(Resource):
    """What is not there."""

    isLeaf = True

    def render(self, request: Any) -> bytes:
        found: bytes = request.answer(404, b"there is nothing here; rooms are at /r/NAME and /r/NAME/events\n")
        return found


class Rooms(Resource):
    """The rooms, by their names without the `#`."""

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self.hub = hub
        self.streams = EventStreams(hub)

    def getChild(self, path: bytes, request: Any) -> Resource:
        try:
            name = "#" + path.decode().removeprefix("#")
        except UnicodeDecodeError:
            return Nowhere()
        return RoomPath(self.hub, self.streams, name) if len(name) > 1 else Nowhere()


class Hook(Resource):
    """Where a machine writes that can be told nothing but an address: the token in it is good for one room."""

    isLeaf = True

    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self.hub = hub

    def render_POST(self, request: Any) -> Any:
        if len(request.postpath) != 2:
            return request.answer(404, b"a hook is at /hook/ROOM/TOKEN\n")
        name, token = (part.decode("utf-8", "replace") for part in request.postpath)
        return run(self.hub, request, lambda request, kind: write(self.hub, request, token, f"#{name}"))


__all__ = ["Hook", "Rooms"]
