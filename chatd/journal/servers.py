"""The NATS servers: how they are reached, the stream there, and how surely they keep it.

What is told to clients of durability is what the servers say of themselves. A stream that is missing, or has less than
this node has seen, is an error: it is never taken for an empty history.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import nats
from msgspec import Struct
from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError
from twisted.logger import Logger

from chatd.errors import Exit, OperatorError
from chatd.journal.streams import NAMES, names_of, subject_of

CONNECT_SECONDS = 2
AGAIN_SECONDS = 0.25
PING_SECONDS = 1
MONITOR_SECONDS = 2.0
SURETY_SECONDS = 5.0
API_SECONDS = 5.0
PLACE_SECONDS = 10.0
NO_PEERS = 10005  # what JetStream says to a stream for which not enough servers are there, or not yet
SHARDS = "chatd: shards="
"""What the description of a stream begins with whose rooms are in others; the number of those follows."""


class Found(Struct, frozen=True):
    """The streams as their servers tell of them: how many keep each, whether each write is synced, the first and the
    last message of that of names, and how many there are in all."""

    replicas: int
    is_synced: bool
    first: int
    last: int
    messages: int
    versions: tuple[str, ...]

    @property
    def durability(self) -> str:
        """As clients are told."""
        return f"replicated:{self.replicas}" + ("+fsync" if self.is_synced else "")


def addresses(url: str) -> list[str]:
    """The addresses in `nats://a,b:4222,c`; user and password of the first hold for all. Raises `OperatorError`."""
    scheme, _, rest = url.partition("://")
    places = [place.strip() for place in rest.rstrip("/").split(",")]
    who, at, _ = places[0].rpartition("@")
    found = []
    for place in places:
        host = place.rpartition("@")[2]
        one = f"{scheme}://{who}{at}{host}"
        try:
            parts = urlsplit(one)
            good = bool(parts.hostname) and not parts.path and not parts.query and (parts.port or 1) > 0
        except ValueError:
            good = False
        if not good:
            shown = host or "an empty one"
            raise OperatorError(
                "journal", f"{shown} is no address of a NATS server", "write nats://host:4222,host:4222", Exit.SETTINGS
            )
        found.append(one if parts.port else f"{one}:4222")
    return found


def told(url: str) -> str:
    """The URL without what is secret in it."""
    return ",".join(address.rpartition("@")[2] for address in addresses(url.replace("//", "//x@", 1)))


def options(url: str, settings: Any) -> dict[str, Any]:
    """What the client is to be connected with. Raises `OperatorError` for files that cannot be used."""
    found: dict[str, Any] = {
        "servers": addresses(url),
        "name": "chatd",
        "connect_timeout": CONNECT_SECONDS,
        "reconnect_time_wait": AGAIN_SECONDS,
        "max_reconnect_attempts": -1,
        "ping_interval": PING_SECONDS,
        "max_outstanding_pings": 2,
    }
    if settings.credentials:
        found["user_credentials"] = _file(settings.credentials, "journal.credentials")
    if settings.tls_ca or settings.tls_certificate or url.startswith("tls:"):
        context = ssl.create_default_context()
        try:
            if settings.tls_ca:
                context.load_verify_locations(_file(settings.tls_ca, "journal.tls_ca"))
            if settings.tls_certificate:
                context.load_cert_chain(
                    _file(settings.tls_certificate, "journal.tls_certificate"),
                    _file(settings.tls_key or settings.tls_certificate, "journal.tls_key"),
                )
        except (OSError, ssl.SSLError) as error:
            raise OperatorError(
                "journal", f"the certificates for NATS cannot be used ({error})", "", Exit.SETTINGS
            ) from error
        found["tls"] = context
    return found


def _file(name: str, setting: str) -> str:
    path = Path(name).expanduser()
    if not path.is_file():
        raise OperatorError(setting, f"there is no file {path}", "", Exit.SETTINGS)
    return str(path)


async def connect(url: str, settings: Any, **callbacks: Any) -> Any:
    """A client that is connected, and goes on trying whenever it is not. Raises `OperatorError`."""
    heard: list[str] = []

    async def note(error: Exception) -> None:
        heard.append(str(error) or type(error).__name__)

    chosen = options(url, settings)
    try:
        once = {"allow_reconnect": False, "max_reconnect_attempts": 1, "error_cb": note}
        first = await nats.connect(**chosen | once)
        await first.close()
        return await nats.connect(**chosen, error_cb=note, **callbacks)
    except (TimeoutError, NatsError, OSError, ssl.SSLError) as error:
        why = str(error) or (heard[-1] if heard else type(error).__name__)
        raise OperatorError(
            f"journal {told(url)}",
            f"no NATS server can be used there ({why})",
            "start nats-server with JetStream (nats-server -js), or see journal.url",
            Exit.UNAVAILABLE,
        ) from error


async def find_streams(client: Any, settings: Any, *, is_new: bool, makes: bool = False) -> list[Any]:
    """What the servers tell of each stream. Raises `OperatorError` if they are not there, unless all is new here and
    this one `makes` them; and if they are not as many as `journal.shards` says."""
    names = names_of(settings.stream, settings.shards)
    manager = client.jsm(timeout=API_SECONDS)
    name = names[NAMES]
    try:
        found = await _info(manager, name)
        if found is None:
            if not is_new:
                why = "it is gone, though this node has a copy of what was in it"
                remedy = "bring the servers' files back; only if that cannot be, see docs/how-to/cluster.md"
                raise OperatorError(f"stream {name}", why, remedy, Exit.DISK)
            if not makes:
                remedy = "the first node that starts makes it"
                raise OperatorError(f"stream {name}", "it is not there", remedy, Exit.UNAVAILABLE)
            return await _make_all(manager, client, settings)
        _check_shards(found, settings)
        infos = [found]
        for name in names[1:]:
            found = await _info(manager, name)
            if found is None:
                remedy = "bring the servers' files back: see docs/how-to/cluster.md"
                raise OperatorError(f"stream {name}", "it is gone, and the others are there", remedy, Exit.DISK)
            infos.append(found)
        return infos
    except (TimeoutError, NatsError) as error:
        raise _silent(name, error) from error


async def _make_all(manager: Any, client: Any, settings: Any) -> list[Any]:
    """Make the streams, that of names last: where it is, all are."""
    names = names_of(settings.stream, settings.shards)
    rooms = [await _make(manager, client, settings, number) for number in range(1, len(names))]
    used = next((info for info in rooms if info.state.last_seq), None)
    if used is not None and await _info(manager, names[NAMES]) is None:
        why = f"it is gone, and {used.config.name}, which belongs to it, has {used.state.last_seq} messages"
        remedy = "bring the servers' files back: see docs/how-to/cluster.md"
        raise OperatorError(f"stream {names[NAMES]}", why, remedy, Exit.DISK)
    return [await _make(manager, client, settings, NAMES), *rooms]


async def _info(manager: Any, name: str) -> Any:
    try:
        return await manager.stream_info(name)
    except NotFoundError:
        return None


def _check_shards(info: Any, settings: Any) -> None:
    """A room that is looked for in another stream than before would begin anew."""
    _, _, shards = (info.config.description or "").partition(SHARDS)
    if (shards or "1") != str(settings.shards):
        rooms = f"in {shards} others" if shards else "in it, with everything"
        raise OperatorError(
            f"stream {info.config.name}",
            f"its rooms are {rooms}, and journal.shards is {settings.shards}",
            f"set journal.shards to {shards or 1}; to have another number, move: see docs/how-to/cluster.md",
            Exit.SETTINGS,
        )


def _silent(stream: str, error: Exception) -> OperatorError:
    why = getattr(error, "description", None) or str(error) or type(error).__name__
    remedy = "start nats-server with JetStream (nats-server -js), and see that its user may use the stream"
    return OperatorError(f"stream {stream}", f"JetStream does not answer ({why})", remedy, Exit.UNAVAILABLE)


async def _make(manager: Any, client: Any, settings: Any, number: int) -> Any:
    name = names_of(settings.stream, settings.shards)[number]
    config = StreamConfig(
        name=name,
        description=f"{SHARDS}{settings.shards}" if settings.shards > 1 else None,
        subjects=[subject_of(settings.stream, number)],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.NEW,
        deny_delete=True,
        deny_purge=True,
        num_replicas=settings.replicas or (3 if is_cluster(client) else 1),
    )
    deadline = time.monotonic() + PLACE_SECONDS
    while True:
        try:
            return await manager.add_stream(config)
        except APIError as error:
            if error.err_code == NO_PEERS and time.monotonic() < deadline:  # servers that were just started, too
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            raise OperatorError(
                f"stream {name}",
                f"it is not there, and cannot be made ({error.description})",
                "see that enough servers are there, or set journal.replicas",
                Exit.UNAVAILABLE,
            ) from error


def is_cluster(client: Any) -> bool:
    """Whether the server is one of several."""
    return bool(client._server_info.get("cluster"))


async def check_history(client: Any, info: Any, position: int, mark: str) -> None:
    """See that the stream is the one that this node has followed, up to `position`. Raises `OperatorError`."""
    name, state = info.config.name, info.state
    if state.last_seq < position:
        why = f"it ends with message {state.last_seq}, but this node has seen message {position}"
        raise OperatorError(
            f"stream {name}", why, "bring the servers' files back: see docs/how-to/cluster.md", Exit.DISK
        )
    if position + 1 < state.first_seq and state.first_seq > 1:
        why = f"it begins with message {state.first_seq}, and this node has seen {position}"
        raise OperatorError(f"stream {name}", why, "restore a backup of another node's copy: chatd restore", Exit.DISK)
    if not position or position < state.first_seq:
        return
    try:
        message = await client.jsm(timeout=API_SECONDS).get_msg(name, position)
        found = (message.headers or {}).get("Nats-Msg-Id", "")
    except NotFoundError:
        found = ""
    except (TimeoutError, NatsError) as error:
        raise _silent(name, error) from error
    if found != mark:
        why = f"message {position} is not the one that this node has seen: it is another stream"
        raise OperatorError(f"stream {name}", why, "see journal.url and journal.stream", Exit.DISK)


class Surety:
    """How surely the streams called so are kept: read at the start, and again while they are in use."""

    log = Logger()

    def __init__(self, names: Sequence[str], settings: Any) -> None:
        self.durability = ""
        self._names, self._settings = names, settings
        self._heard: dict[str, Any] = {}  # a server that is down is still what it was when it was heard last

    async def look(self, client: Any, infos: Sequence[Any]) -> Found:
        """What their servers tell now."""
        found = await look(client, infos, self._settings.monitor, self._heard)
        self.durability = found.durability
        return found

    async def watch(self, client: Any) -> None:
        """Look from time to time, for as long as it is not cancelled."""
        manager = client.jsm(timeout=API_SECONDS)
        while True:
            await asyncio.sleep(SURETY_SECONDS)
            before = self.durability
            try:
                infos = await asyncio.gather(*(manager.stream_info(name) for name in self._names))
                found = await self.look(client, infos)
                if found.durability == before:
                    continue
                self.log.warn("what is said is {now} from now on; it was {before}", now=found.durability, before=before)
                check_required(found, self._settings.require, self._names[NAMES])
            except (TimeoutError, NatsError, OSError):
                continue
            except OperatorError as error:
                self.log.error("{problem}", problem=str(error))


async def look(
    client: Any, infos: Sequence[Any], monitors: Sequence[str], heard: dict[str, Any] | None = None
) -> Found:
    """How surely the streams are kept, the least sure of them. Whether its servers sync each write only their monitors
    tell (`http_port`); `heard` is what they told before, by address, for those that are silent now."""
    told = await asyncio.gather(*(asyncio.to_thread(_monitor, address) for address in monitors))
    heard = {} if heard is None else heard
    heard.update({address: answer for address, answer in zip(monitors, told, strict=True) if answer})
    answers = list(heard.values())
    servers = {answer.get("server_name", ""): answer for answer in answers}
    servers |= {answer.get("server_id", ""): answer for answer in answers}
    versions = {str(client._server_info.get("version", ""))}
    is_synced = True
    for info in infos:
        cluster = info.cluster
        peers = {one.name for one in (cluster.replicas or ())} if cluster is not None else set()
        if cluster is not None and cluster.leader:
            peers.add(cluster.leader)
        known = [servers[peer] for peer in peers if peer in servers]
        is_synced = is_synced and bool(peers) and len(known) == len(peers) and all(map(_syncs, known))
        versions |= {one.get("version", "") for one in known}
    replicas = min(info.config.num_replicas or 1 for info in infos)
    state = infos[NAMES].state
    count = sum(info.state.messages for info in infos)
    return Found(replicas, is_synced, state.first_seq, state.last_seq, count, tuple(sorted(versions)))


def _monitor(address: str) -> dict[str, Any]:
    try:
        with urlopen(f"{address.rstrip('/')}/varz", timeout=MONITOR_SECONDS) as answer:
            found: dict[str, Any] = json.loads(answer.read(1 << 20))
            return found
    except (OSError, ValueError):
        return {}


def _syncs(server: dict[str, Any]) -> bool:
    config = (server.get("jetstream") or {}).get("config") or {}
    return config.get("sync_always") is True


def check_required(found: Found, required: str, stream: str) -> None:
    """Refuse what is weaker than `journal.require`. Raises `OperatorError`."""
    if not required:
        return
    wanted, _, sync = required.removeprefix("replicated:").partition("+")
    if found.replicas < int(wanted) or (sync and not found.is_synced):
        raise OperatorError(
            f"stream {stream}",
            f"it is {found.durability}, and journal.require is {required}",
            "see chatd doctor",
            Exit.SETTINGS,
        )
