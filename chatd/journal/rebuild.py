"""Rebuilding: makes a node's copy anew, out of the stream alone; and looking at a stream without taking part.

No node is running on the copy. What was there before stays beside it until the new one is whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from chatd.errors import Exit, OperatorError
from chatd.journal import schema, servers
from chatd.journal.commits import Commits
from chatd.journal.consumer import Consumer
from chatd.journal.following import Following
from chatd.journal.replica import Replica, places_in
from chatd.journal.sender import Sender
from chatd.journal.streams import has_come, names_of

TELL_SECONDS = 5.0
SILENT_SECONDS = 30.0


def examine(url: str, settings: Any, path: Path) -> servers.Found:
    """What the servers tell of the stream, compared with the copy at `path` if there is one. Raises `OperatorError`.

    Nothing is made and nothing is changed.
    """
    return asyncio.run(_examine(url, settings, path))


async def _examine(url: str, settings: Any, path: Path) -> servers.Found:
    places = _progress(path, settings.shards)
    client = await servers.connect(url, settings)
    try:
        infos = await servers.find_streams(client, settings, is_new=not any(position for position, _ in places))
        for info, (position, mark) in zip(infos, places, strict=True):
            await servers.check_history(client, info, position, mark)
        return await servers.look(client, infos, settings.monitor)
    finally:
        await client.close()


def _progress(path: Path, shards: int) -> list[tuple[int, str]]:
    """How far a copy has come in each stream, and the id of the message there."""
    streams = len(names_of("", shards))
    if not path.exists():
        return places_in({}, streams)
    connection = schema.connect_known(path)
    try:
        return places_in(dict(connection.execute("SELECT key, value FROM meta")), streams)
    finally:
        connection.close()


def rebuild(path: Path, url: str, settings: Any, tell: Callable[[str], None]) -> int:
    """Make the copy at `path` anew; the number of messages that were read. Raises `OperatorError`."""
    aside = [(one, one.with_name(one.name + ".old")) for one in (path, *(schema.beside(path, end) for end in ENDINGS))]
    for one, old in aside:
        old.unlink(missing_ok=True)
        if one.exists():
            one.rename(old)
    try:
        count = asyncio.run(_fill(path, url, settings, tell))
    except BaseException:
        for one, old in aside:
            one.unlink(missing_ok=True)
            if old.exists():
                old.rename(one)
        raise
    for _, old in aside:
        old.unlink(missing_ok=True)
    return count


ENDINGS = ("-wal", "-shm")


async def _fill(path: Path, url: str, settings: Any, tell: Callable[[str], None]) -> int:
    client = await servers.connect(url, settings)
    names = names_of(settings.stream, settings.shards)
    replica = Replica(path, names)
    replica.open()
    reading: list[asyncio.Future[None]] = []
    try:
        infos = await servers.find_streams(client, settings, is_new=True)
        for info in infos:
            await servers.check_history(client, info, 0, "")
        senders = [Sender(_nothing, _nothing, hold_seconds=1.0, clock=time.monotonic) for _ in names]
        following = Following(replica, senders, Commits(), told=_nothing, born=_nothing, buried=_nothing)
        troubles: dict[str, Exception | None] = {}
        consumers = [
            Consumer(
                client,
                name,
                0,
                heard=partial(following.heard, stream),
                has_room=partial(following.has_room, stream),
                troubled=partial(troubles.__setitem__, name),
            )
            for stream, name in enumerate(names)
        ]
        reading = [asyncio.ensure_future(consumer.run()) for consumer in consumers]
        lasts = [info.state.last_seq for info in infos]
        told_at = moved_at = time.monotonic()
        while not has_come(replica.positions, lasts):
            has_moved = following.step()
            await asyncio.sleep(0 if has_moved else 0.01)
            for consumer in consumers:
                consumer.more()
            now = time.monotonic()
            if has_moved:
                moved_at = now
            if now - moved_at > SILENT_SECONDS:
                why = next((str(error) for error in troubles.values() if error), "it does not answer")
                raise OperatorError(f"stream {settings.stream}", f"it cannot be read ({why})", "", Exit.UNAVAILABLE)
            if now - told_at > TELL_SECONDS:
                told_at = now
                tell(f"{sum(replica.positions):,} of {sum(lasts):,} messages")
        return sum(replica.positions)
    finally:
        for one in reading:
            one.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        await client.close()
        replica.close()


def _nothing(*_: Any) -> None:
    """Nobody is told."""
