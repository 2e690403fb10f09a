"""The conversations in this folder are held over each way in that carries objects: the contract is the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.house import way


@pytest.fixture(autouse=True)
def come_by(request: pytest.FixtureRequest) -> Iterator[None]:
    """The way by which everybody comes in."""
    way.name = getattr(request, "param", "framed")
    yield
    way.name = "framed"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each way in turn; what hypothesis draws for needs none."""
    if not hasattr(metafunc.function, "hypothesis"):
        metafunc.parametrize("come_by", ["framed", "websocket"], indirect=True)
