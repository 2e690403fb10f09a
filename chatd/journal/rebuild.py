"""Rebuilding: makes a node's copy anew, out of the stream alone; and looking at a stream without taking part.

No node is running on the copy. What was there before stays beside it until the new one is whole.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from chatd.errors import Exit, OperatorError
from chatd.journal import schema, servers
from chatd.journal.commits import Commits
from chatd.journal.consumer import Consumer
from chatd.journal.following import Following
from chatd.journal.replica import Replica, place_in
from chatd.journal.sender import Sender

TELL_SECONDS = 5.0
SILENT_SECONDS = 30.0


def examine(url: str, settings: Any, path: Path) -> servers.Found:
    """What the servers tell of the stream, compared with the copy at `path` if there is one. Raises `OperatorError`.

    Nothing is made and nothing is changed.
    """
    return asyncio.run(_examine(url, settings, path))


async def _examine(url: str, settings: Any, path: Path) -> servers.Found:
    position, mark = _progress(path)
    client = await servers.connect(url, settings)
    try:
        info = await servers.find_stream(client, settings, is_new=not position)
        await servers.check_history(client, info, position, mark)
        return await servers.look(client, info, settings.monitor)
    finally:
        await client.close()


def _progress(path: Path) -> tuple[int, str]:
    """How far a copy has come, and the id of the message there."""
    if not path.exists():
        return 0, ""
    connection = schema.connect_known(path)
    try:
        return place_in(dict(connection.execute("SELECT key, value FROM meta")))
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
    replica = Replica(path, settings.stream)
    replica.open()
    reading = None
    try:
        info = await servers.find_stream(client, settings, is_new=True)
        await servers.check_history(client, info, 0, "")
        sender = Sender(_nothing, _nothing, hold_seconds=1.0, clock=time.monotonic)
        following = Following(replica, sender, Commits(), told=_nothing, born=_nothing, buried=_nothing)
        trouble: list[Exception | None] = [None]
        consumer = Consumer(
            client,
            settings.stream,
            0,
            heard=lambda position, mark, payload, _: following.heard(position, mark, payload),
            has_room=lambda: following.has_room,
            troubled=lambda error: trouble.__setitem__(0, error),
        )
        reading = asyncio.ensure_future(consumer.run())
        last, told_at, moved_at = info.state.last_seq, time.monotonic(), time.monotonic()
        while replica.position < last:
            await asyncio.sleep(0 if following.step() else 0.01)
            consumer.more()
            now = time.monotonic()
            if not following.is_idle:
                moved_at = now
            if now - moved_at > SILENT_SECONDS:
                why = str(trouble[0] or "it does not answer")
                raise OperatorError(f"stream {settings.stream}", f"it cannot be read ({why})", "", Exit.UNAVAILABLE)
            if now - told_at > TELL_SECONDS:
                told_at = now
                tell(f"{replica.position:,} of {last:,} messages")
        return replica.position
    finally:
        if reading is not None:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
        await client.close()
        replica.close()


def _nothing(*_: Any) -> None:
    """Nobody is told."""
