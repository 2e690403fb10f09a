"""Commands: what someone asks. Decoding one is validating it.

Each class is a request of PROTOCOL.md section 4, field for field, so that the framed codec converts straight
into it and the JSON Schema is made from it. The line protocol constructs the same classes. `id` is the
request's own number, chosen by the client; a command without one gets no reply.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Seq = Annotated[int, Meta(ge=0, le=2**53, description="A message's number in its room.")]
Name = Annotated[str, Meta(max_length=256)]
Short = Annotated[str, Meta(max_length=512)]
MsgId = Annotated[str, Meta(min_length=1, max_length=64, description="At most 64 bytes, chosen by the client.")]
RequestId = Annotated[str, Meta(max_length=64)]
Rel = Literal["edit", "redact", "react", "unreact", "pin", "unpin"]
Kind = Literal["text", "action", "notice"]
Action = Literal["kick", "ban", "unban", "mute", "unmute", "role", "invite", "lockdown"]


class Command(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What every request has."""

    id: RequestId | None = None


class Hello(Command, frozen=True, kw_only=True, tag="hello"):
    """The first request: which versions and capabilities the client knows."""

    versions: list[int]
    caps: list[str] = []
    client: Short = ""
    client_version: Short = ""


class Auth(Command, frozen=True, kw_only=True, tag="auth"):
    """Say who one is."""

    mechanism: Literal["guest", "password", "token", "scram-sha-256", "register", "invite"]
    nick: str | None = None
    account: Name | None = None
    password: Annotated[str, Meta(max_length=1024)] | None = None
    token: Annotated[str, Meta(max_length=1024)] | None = None
    data: Any = None
    device: Short | None = None


class ComeIn(Auth, frozen=True, kw_only=True, tag="come_in"):
    """Come in as a guest who is told a word to come back with. For people, on no wire."""

    mechanism: Literal["guest"] = "guest"


class ComeBack(Auth, frozen=True, kw_only=True, tag="come_back"):
    """Be again who was told this word; `places` says from which number on a room is shown, if one knows better."""

    mechanism: Literal["token"] = "token"
    word: Annotated[str, Meta(max_length=64)] = ""
    places: dict[Name, Seq] = {}


class LogIn(Auth, frozen=True, kw_only=True, tag="log_in"):
    """Come in as the owner of an account, and go on where one was. For people, on no wire."""

    mechanism: Literal["password"] = "password"


class Ping(Command, frozen=True, kw_only=True, tag="ping"):
    """Ask for the server's time; `data` comes back."""

    data: Any = None


class Nick(Command, frozen=True, kw_only=True, tag="nick"):
    """Take another nick."""

    nick: str


class Join(Command, frozen=True, kw_only=True, tag="join"):
    """Enter a room, from a number on, from the server's own cursor on, or from now on."""

    room: Name
    key: Short | None = None
    since: Seq | Literal["now", "last"] | None = None
    replay_limit: Seq | None = None


class Part(Command, frozen=True, kw_only=True, tag="part"):
    """Leave a room."""

    room: Name
    reason: Short | None = None


class Send(Command, frozen=True, kw_only=True, tag="send", gc=False):
    """Say something in a room, or to one person."""

    body: str
    room: Name | None = None
    to: Name | None = None
    msg_id: MsgId | None = None
    kind: Kind = "text"
    reply_to: Seq | None = None
    data: Any = None
    schema: Short | None = None


class Relate(Command, frozen=True, kw_only=True, tag="relate"):
    """Say something about a message: edit, redact, react, unreact, pin, unpin."""

    room: Name
    target: Seq
    rel: Rel
    body: str | None = None
    key: Annotated[str, Meta(max_length=64)] | None = None
    reason: Short | None = None
    msg_id: MsgId | None = None


class History(Command, frozen=True, kw_only=True, tag="history", rename={"author": "from"}):
    """Read a page of a room; without a place, the latest."""

    room: Name
    before: Seq | datetime | None = None
    after: Seq | datetime | None = None
    around: Seq | datetime | None = None
    limit: Annotated[int, Meta(ge=1)] | None = None
    query: Short | None = None
    author: Name | None = None  # `from` on the wire


class Resume(Command, frozen=True, kw_only=True, tag="resume"):
    """Be in these rooms, each from its number on."""

    rooms: dict[Name, Seq]
    token: Annotated[str, Meta(max_length=1024)] | None = None


class MarkRead(Command, frozen=True, kw_only=True, tag="mark_read"):
    """Move one's read cursor of a room forward."""

    room: Name
    seq: Seq


class List(Command, frozen=True, kw_only=True, tag="list"):
    """Look something up, a page at a time."""

    what: Literal["rooms", "members", "users", "sessions", "bans", "whois"]
    room: Name | None = None
    name: Name | None = None
    prefix: Name | None = None
    cursor: Name | None = None
    limit: Annotated[int, Meta(ge=1)] | None = None


class Changes(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What can be changed about a room."""

    topic: str | None = None
    visibility: str | None = None
    join: str | None = None
    key: Short | None = None
    slow: int | None = None
    retention: str | None = None
    speak: str | None = None
    name: Name | None = None


class SelfChanges(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What can be changed about oneself. `away: null` or `false` means back; `ignored` is whom one does not want to
    hear, all of them."""

    away: str | bool | None = None
    status: Short | None = None
    ignored: Annotated[list[Name], Meta(max_length=100)] | None = None


class Set(Command, frozen=True, kw_only=True, tag="set", rename={"myself": "self"}):
    """Change a room, or oneself."""

    room: Name | None = None
    changes: Changes | None = None
    myself: SelfChanges | None = None


class Moderate(Command, frozen=True, kw_only=True, tag="moderate"):
    """Keep order in a room or on the server."""

    action: Action
    target: Name | None = None
    room: Name | None = None
    server: bool = False
    role: Short | None = None
    duration: Short | int | None = None
    reason: Short | None = None


class TypingNow(Struct, frozen=True):
    """Whether one is typing in a room."""

    room: Name
    state: Literal["active", "paused", "done"] | bool = "active"


class Presence(Command, frozen=True, kw_only=True, tag="presence"):
    """Tell or ask for what is seen only while it happens."""

    typing: TypingNow | None = None
    state: Literal["online", "away"] | None = None
    subscribe: bool | None = None


class Quit(Command, frozen=True, kw_only=True, tag="quit"):
    """Leave the server."""

    reason: Short | None = None


ALL: tuple[type[Command], ...] = (
    Hello,
    Auth,
    Ping,
    Nick,
    Join,
    Part,
    Send,
    Relate,
    History,
    Resume,
    MarkRead,
    List,
    Set,
    Moderate,
    Presence,
    Quit,
)
