"""What the tests of the whole share: a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.nats import NatsServer


@pytest.fixture(scope="session")
def browser(program: Any) -> Iterator[Any]:
    """A Chromium, for `support.browser.Person`."""
    path = program("chromium")
    from support.browser import chromium

    with chromium(path) as found:
        yield found


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One NATS server for the tests here: each has a stream of its own."""
    server = NatsServer(tmp_path_factory.mktemp("nats")).start()
    yield server
    server.stop()


class Nodes:
    """Starts nodes on the stream called so."""

    def __init__(self, start: Any, url: str, stream: str, shards: str) -> None:
        self.stream, self.shards = stream, shards
        self._start, self._url = start, url

    def __call__(self, *options: str, **settings: str) -> Any:
        environ = {"CHATD__JOURNAL__STREAM": self.stream, "CHATD__JOURNAL__SHARDS": self.shards} | settings
        return self._start(f"--journal={self._url}", *options, environ=environ)


@pytest.fixture
def shards(request: pytest.FixtureRequest) -> str:
    """In how many streams the rooms are."""
    return str(getattr(request, "param", 1))


@pytest.fixture
def node(start_server: Any, nats_server: NatsServer, tmp_path: Path, shards: str) -> Nodes:
    """Starts a node on this test's stream."""
    return Nodes(start_server, nats_server.url, tmp_path.name.replace(".", "_").replace("[", "")[:32], shards)
