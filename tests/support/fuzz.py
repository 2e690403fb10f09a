"""Fuzzing: inputs that chance makes, near what is valid and far from it, and a house that has to bear them.

`explore(check, count, ...)` runs a hypothesis property in batches, each with a seed of its own: what is found comes
again, and a million inputs need no more memory than a thousand. `Shelter` is a house with a neighbour in it; after
each input it sees to it that nothing was logged as a bug, nobody is left over, and the neighbour is still heard.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from support.house import House
from support.person import Person
from twisted.logger import LogLevel, globalLogPublisher

from chatd.core import commands

BATCH = 1000
RENEWED = 250  # inputs that one house bears

NASTY = (
    "",
    " ",
    "\x00",
    "a\r\nb",
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b2J",
    "\u202eesrever",
    "\u2066x\u2069",
    "a\u2028b\u2029c\x85d",
    "zero\u200bwidth\ufeff",
    "e" + "\u0301" * 60,
    "\u0e01" + "\u0e49" * 40,
    "👩‍👩‍👧‍👦",
    "�\ud800",
    "ﬁ𝐚ⓐ",
    "$bytes",
    "#" + "r" * 63,
    "x" * 300,
    "\n" * 300,
)
NUMBERS = (-1, 0, 1, 2, 200, 201, 2**31, 2**53, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), 10**30)

nasty = st.sampled_from(NASTY)
words = st.one_of(st.text(max_size=12), nasty, st.builds("".join, st.lists(nasty, max_size=3)))
numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(-5, 50))
plain = st.one_of(st.none(), st.booleans(), numbers, st.floats(), words)
times = st.datetimes() | st.datetimes(timezones=st.just(UTC)) | st.just(datetime(1, 1, 1)) | st.just(datetime.max)
values = st.recursive(
    plain | st.binary(max_size=8) | times,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=8,
)

ROOMS = st.sampled_from(["#lobby", "#LOBBY", "#other", "@neighbour", "@tom", "@nobody", "lobby", "#"]) | words
STAMPS = ("2026-01-02T03:04:05Z", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59.999999-23:00", "2026-01-02T03:04")
PLACES = st.integers(0, 12) | st.sampled_from(("now", "last", *STAMPS)) | numbers

# What a field of this name may well hold; of every other, its own type's simplest.
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "room": ROOMS,
    "to": ROOMS,
    "prefix": ROOMS,
    "cursor": ROOMS,
    "name": st.sampled_from(["tom", "neighbour"]) | words,
    "nick": st.sampled_from(["tom", "Tom2", "neighbour"]) | words,
    "body": words,
    "target": st.integers(0, 12) | st.sampled_from(["tom", "neighbour"]) | numbers,
    "rel": st.sampled_from(["edit", "redact", "react", "unreact", "pin", "unpin"]),
    "kind": st.sampled_from(["text", "action", "notice"]),
    "key": words,
    "msg_id": st.sampled_from(["m1", "m2", "m3"]) | words,
    "since": PLACES,
    "before": PLACES,
    "after": PLACES,
    "around": PLACES,
    "seq": PLACES,
    "limit": st.integers(0, 300) | numbers,
    "replay_limit": st.integers(0, 30) | numbers,
    "reply_to": PLACES,
    "mechanism": st.sampled_from(["guest", "password", "token", "scram-sha-256", "register", "invite"]),
    "token": words,
    "versions": st.lists(st.integers(0, 2), max_size=3),
    "caps": st.lists(st.sampled_from(["echo", "presence", "typing", "relations", "data", "bot"]) | words, max_size=6),
    "what": st.sampled_from(["rooms", "members", "users", "sessions", "bans", "whois"]),
    "rooms": st.dictionaries(ROOMS, PLACES, max_size=4),
    "action": st.sampled_from(["kick", "ban", "unban", "mute", "unmute", "role", "invite", "lockdown"]),
    "changes": st.dictionaries(st.sampled_from(["topic", "visibility", "join", "key", "slow", "name"]), plain),
    "self": st.dictionaries(st.sampled_from(["away", "status"]), plain),
    "typing": st.fixed_dictionaries({"room": ROOMS}, optional={"state": st.sampled_from(["active", "done"]) | plain}),
    "state": st.sampled_from(["online", "away"]),
    "data": values,
    "reason": words,
    "subscribe": st.booleans(),
}

KINDS = [kind for kind in commands.ALL if kind is not commands.Quit]


@st.composite
def requests(draw: st.DrawFn, quits: bool = False) -> dict[Any, Any]:
    """A request, valid or nearly: some fields left out, some of another kind, some that do not exist."""
    kind = draw(st.sampled_from([*KINDS, commands.Quit] if quits else KINDS))
    made: dict[Any, Any] = {"type": str(kind.__struct_config__.tag)}
    for field in msgspec.structs.fields(kind):
        if field.encode_name == "id":
            continue
        how = draw(st.integers(0, 9))
        if how < 2 or (how < 6 and not field.required):
            continue
        made[field.encode_name] = draw(plain if how == 9 else LIKELY.get(field.encode_name, words))
    if draw(st.integers(0, 9)) == 0:
        made[draw(words)] = draw(values)
    return made


def as_json(value: Any, *, is_ascii: bool = False) -> bytes:
    """JSON of a value, also of one that JSON should not have."""
    return json.dumps(value, ensure_ascii=is_ascii, default=repr).encode("utf-8", "surrogatepass")


def as_msgpack(value: Any) -> bytes:
    """MessagePack of a value; where there is none, a byte that MessagePack never has."""
    try:
        return msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError, ValueError, TypeError):
        return b"\xc1"


@st.composite
def damaged(draw: st.DrawFn, blobs: st.SearchStrategy[bytes]) -> bytes:
    """Bytes with a few of them changed, taken out, repeated or cut off."""
    blob = bytearray(draw(blobs))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(blob)))
        how = draw(st.integers(0, 3))
        if how == 0:
            blob[at : at + 1] = draw(st.binary(max_size=2))
        elif how == 1:
            del blob[at : at + draw(st.integers(1, 8))]
        elif how == 2:
            blob[at:at] = blob[at : at + draw(st.integers(1, 8))]
        else:
            del blob[at:]
    return bytes(blob)


def nested(depth: int) -> bytes:
    return b'{"type":"ping","id":"n","data":' + b"[" * depth + b"]" * depth + b"}"


def cut(blob: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The bytes in pieces of these sizes, the rest in one."""
    for size in sizes:
        if not blob:
            return
        yield blob[:size]
        blob = blob[size:]
    if blob:
        yield blob


sizes = st.lists(st.integers(1, 40), max_size=12)


def explore(check: Callable[..., None], count: int, **strategies: st.SearchStrategy[Any]) -> None:
    """Try the property on so many inputs."""
    for start in range(0, count, BATCH):
        bounds = settings(
            max_examples=min(BATCH, count - start),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        bounds(seed(start)(given(**strategies)(check)))()


class Shelter:
    """A house with a neighbour and a watcher at a terminal, built anew now and then, and after what went wrong."""

    def __init__(self) -> None:
        self.bugs: list[str] = []
        self._borne = RENEWED

    @contextmanager
    def bearing(self) -> Iterator[House]:
        """The house, for one input."""
        if self._borne >= RENEWED:
            self._renew()
        self._borne += 1
        try:
            yield self.house
            self._check()
        except BaseException:
            self._borne = RENEWED
            raise

    def _renew(self) -> None:
        self.bugs.clear()
        self.house = House()
        self.neighbour = self.house.come("neighbour", "#lobby", caps=("presence", "relations", "typing"))
        self.watcher = Person(self.house, "watcher")
        self._borne = 0

    def _check(self) -> None:
        house = self.house
        house.settle(6)
        assert not self.bugs, self.bugs[0]
        assert self.neighbour.ask("ping")["ok"]
        self.neighbour.heard.clear()
        assert len(house.hub.links) == 2, "somebody is left over"
        assert len(house.hub.state.sessions) == 2, "a session is left over"
        assert house.hub.outstanding == 0

    def note(self, event: dict[str, Any]) -> None:
        """A log observer: what went wrong is kept."""
        if event.get("log_level") is LogLevel.critical or event.get("isError"):
            failure = event.get("log_failure")
            self.bugs.append(failure.getTraceback() if failure else str(event))


@contextmanager
def sheltered() -> Iterator[Shelter]:
    """A shelter whose bugs are seen."""
    shelter = Shelter()
    globalLogPublisher.addObserver(shelter.note)
    try:
        yield shelter
    finally:
        globalLogPublisher.removeObserver(shelter.note)
