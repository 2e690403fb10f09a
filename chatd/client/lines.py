"""Lines of standard input, as they come, beside whatever else is going on.

Works with pipes, terminals and files, without a thread. A line is bounded: what is longer is told, not cut.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from msgspec import Struct

MOST_BYTES = 1 << 20
CHUNK = 1 << 16


class Typed(Struct, frozen=True):
    """A line without its end, and its number. `fault` says why there is no text."""

    number: int
    text: str = ""
    fault: str = ""


async def lines(descriptor: int = 0) -> AsyncIterator[Typed]:
    """The lines of a file descriptor until its end; a last line without a newline is one too."""
    rest = b""
    number = 0
    overlong = False
    while chunk := await _read(descriptor):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            number += 1
            yield _typed(number, line, overlong)
            overlong = False
        if len(rest) > MOST_BYTES:
            rest, overlong = b"", True
    if rest or overlong:
        yield _typed(number + 1, rest, overlong)


async def _read(descriptor: int) -> bytes:
    """The next bytes, when there are some; none at the end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    try:
        loop.add_reader(descriptor, _set, ready)
    except PermissionError:  # a file on disk cannot be waited for: it is always ready
        await asyncio.sleep(0)
        return os.read(descriptor, CHUNK)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
    try:
        return os.read(descriptor, CHUNK)
    except OSError:  # the terminal is gone
        return b""


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _typed(number: int, line: bytes, overlong: bool) -> Typed:
    if overlong:
        return Typed(number, fault=f"it is longer than {MOST_BYTES} bytes")
    try:
        return Typed(number, line.removesuffix(b"\r").decode())
    except UnicodeDecodeError:
        return Typed(number, fault="it is not UTF-8")
