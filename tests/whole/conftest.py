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


@pytest.fixture
def node(start_server: Any, nats_server: NatsServer, tmp_path: Path) -> Any:
    """Starts a node on this test's stream."""

    def start(*options: str, **settings: str) -> Any:
        environ = {"CHATD__JOURNAL__STREAM": tmp_path.name.replace(".", "_")[:32]} | settings
        return start_server(f"--journal={nats_server.url}", *options, environ=environ)

    start.stream = tmp_path.name.replace(".", "_")[:32]  # type: ignore[attr-defined]
    return start
