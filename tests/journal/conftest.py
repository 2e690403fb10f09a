"""Journals of every kind, opened and followed. A new kind joins the contract by a line in `KINDS`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from chatd.core.events import Entry, Event, Proposal
from chatd.core.questions import Page, PageWanted, Side, Snapshot
from chatd.interfaces import IJournal
from chatd.journal import open_journal
from chatd.settings import JournalSettings
from tests.support.nats import NatsServer

KINDS = ("memory:", "sqlite:", "nats:", "nats+shards:")


class Followed:
    """An open journal, and all that its follower was told: `batches`, and in one list `entries`."""

    def __init__(self, journal: IJournal) -> None:
        self.journal = journal
        self.snapshot = Snapshot([], b"")
        self.batches: list[list[Entry]] = []
        self._proposed = 0
        self._waiting: list[tuple[int, Deferred[None]]] = []

    async def open(self) -> Followed:
        self.snapshot = await self.journal.open(self.follow)
        return self

    def follow(self, entries: Sequence[Entry]) -> None:
        self.batches.append(list(entries))
        told = len(self.entries)
        for wanted, waiting in self._waiting:
            if told >= wanted and not waiting.called:
                waiting.callback(None)

    @property
    def entries(self) -> list[Entry]:
        return [entry for batch in self.batches for entry in batch]

    def append(self, *proposals: Proposal) -> None:
        self._proposed += len(proposals)
        self.journal.append(proposals)

    async def all_told(self) -> list[Entry]:
        """Wait until everything proposed has come back."""
        if len(self.entries) < self._proposed:
            waiting: Deferred[None] = Deferred()
            self._waiting.append((self._proposed, waiting))
            await waiting
        return self.entries

    async def happen(self, *events: Event, time: int = 1_000) -> list[Entry]:
        """Propose these together, at times a microsecond apart; their entries."""
        self.append(*(Proposal(event, time + n) for n, event in enumerate(events)))
        return (await self.all_told())[-len(events) :]

    async def page(
        self, room_id: str, side: Side = Side.BEFORE, place: int | None = None, limit: int = 50, **more: Any
    ) -> Page:
        page: Page = await self.journal.ask(PageWanted(room_id, side, place, limit, **more))
        return page


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A NATS server with JetStream, for all tests together: each has a stream of its own."""
    server = NatsServer(tmp_path_factory.mktemp("nats")).start()
    yield server
    server.stop()


@pytest.fixture
def stream() -> str:
    """What this test's stream is called."""
    return f"test-{token_hex(6)}"


OpenJournal = Callable[[str], Awaitable[Followed]]


@pytest.fixture
def opens(tmp_path: Path, stream: str, request: pytest.FixtureRequest) -> Iterator[OpenJournal]:
    """Opens the journal that a URL names, in this test's own folder; closes it with the test.

    `nats:` is a stream of its own on the server for tests, `nats+shards:` one for names and three for rooms.
    """
    opened: list[Followed] = []

    async def open_it(url: str) -> Followed:
        shards = 3 if url == "nats+shards:" else 1
        if url.startswith("nats"):
            url = request.getfixturevalue("nats_server").url
        settings = JournalSettings(stream=stream, shards=shards, hold_seconds=60)
        followed = Followed(open_journal(url, reactor=reactor, settings=settings, data_dir=tmp_path))
        opened.append(followed)
        return await followed.open()

    yield open_it
    for followed in opened:
        pytest_twisted.blockon(followed.journal.close())


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The URL of each kind of journal in turn."""
    return str(request.param)


@pytest.fixture
def followed(kind: str, opens: OpenJournal) -> Followed:
    """A new journal of each kind, with a follower."""
    opened: Followed = pytest_twisted.blockon(Deferred.fromCoroutine(opens(kind)))
    return opened
