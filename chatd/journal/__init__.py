"""Journals: what puts events in one order and keeps them. `open_journal` finds the kind that an operator named.

The contract is `chatd.interfaces.IJournal`. What the kinds share is in `order` (numbers, repeats, redactions),
`stored` (the form on disk) and `pages` (which entries a page holds); a kind is loaded when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from chatd.core.events import Passing
from chatd.core.questions import Present
from chatd.errors import Exit, OperatorError
from chatd.interfaces import IJournal

COPY = "copy.db"
"""The name of a node's copy of the stream, in its data folder."""

KINDS = "sqlite: (a file in the data folder), sqlite:/a/file.db, nats://host:4222,host:4222 and memory:"


class NotOpen(RuntimeError):
    """The journal was used before `open` or after `close`."""

    def __init__(self) -> None:
        super().__init__("the journal is not open")


class Alone:
    """What a journal says that is not one of several."""

    node = ""
    orders = 1

    @property
    def failed(self) -> Deferred[None]:
        """It goes on, whatever happens, and says of each event what became of it."""
        return Deferred()

    def tell(self, event: Passing) -> None:
        """There is nobody else."""

    def welcome(self, node: str, attempt: int, present: Present) -> None:
        """Nobody comes."""


def open_journal(url: str, *, reactor: Any, settings: Any, data_dir: str | Path) -> IJournal:
    """The journal that `url` names; its `open` is still to be called.

    `settings.durability` is `fsync`, `normal` or `memory`. Raises `OperatorError` if no kind has such a URL.
    """
    path = file_of(url, data_dir)
    if path is None:
        from chatd.journal.memory import MemoryJournal

        return MemoryJournal(reactor=reactor)
    if is_cluster(url):
        with needs_nats():
            from chatd.journal.jetstream import JetstreamJournal
        return JetstreamJournal(path, url=url, reactor=reactor, settings=settings)
    from chatd.journal.sqlite import SqliteJournal

    return SqliteJournal(path, reactor=reactor, durability=settings.durability)


@contextmanager
def needs_nats() -> Iterator[None]:
    """Say what to install, if it is not here."""
    try:
        yield
    except ImportError as error:
        raise OperatorError(
            "journal", f"the client of NATS is not here ({error})", "pip install nats-py", Exit.SETTINGS
        ) from error


def is_cluster(url: str) -> bool:
    """Whether a journal is a stream that several nodes share."""
    return url.startswith(("nats://", "tls://"))


def file_of(url: str, data_dir: str | Path) -> Path | None:
    """The file of the journal that `url` names; None if it has none.

    Raises `OperatorError` if no kind has such a URL.
    """
    kind, colon, place = url.partition(":")
    if url == "memory:":
        return None
    if is_cluster(url):
        return Path(data_dir) / COPY
    if colon and kind == "sqlite" and (not place or Path(place).is_absolute()):
        return Path(place) if place else Path(data_dir) / "chatd.db"
    raise OperatorError(f"journal {url!r}", "there is no such kind of journal", f"use {KINDS}", Exit.SETTINGS)
