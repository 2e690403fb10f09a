"""Offline: an operator's command on a journal whose server does not run, by the same rules and the same code.

It holds the data folder, so that no server can start meanwhile, makes a hub of what the journal keeps, asks its admin,
and lets everything go again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from chatd.admin import Admin
from chatd.core.events import Entry
from chatd.datafolder import DataFolder
from chatd.hub import Hub
from chatd.journal import file_of, open_journal
from chatd.service import rules_of
from chatd.settings import Settings


def answer(settings: Settings, path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request. Raises `OperatorError` if the folder or the journal cannot be had."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    found: list[Any] = []

    def begin() -> None:
        asked: Deferred[dict[str, Any]] = ensureDeferred(_answer(settings, path, request, reactor))
        asked.addBoth(found.append)
        asked.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    [result] = found
    if isinstance(result, Failure):
        result.raiseException()
    return dict(result)


async def _answer(settings: Settings, path: Path, request: dict[str, Any], reactor: Any) -> dict[str, Any]:
    folder = DataFolder.hold(path, file_of(settings.journal.url, path))
    try:
        journal = open_journal(settings.journal.url, reactor=reactor, settings=settings.journal, data_dir=path)
        hubs: list[Hub] = []

        def follow(entries: Sequence[Entry]) -> None:
            for hub in hubs:
                hub.entries_received(entries)

        snapshot = await journal.open(follow)
        rules = rules_of(settings, journal.durability, snapshot.secret)
        hub = Hub(journal=journal, rules=rules, reactor=reactor, settings=settings, wall=time.time)
        hubs.append(hub)
        hub.start(snapshot)
        try:
            return await Admin(hub).answer(request)
        finally:
            hub.keepalive.stop()
            hub.accounts.hasher.stop()
            await journal.close()
    finally:
        folder.release()
