"""What the tests of the whole share: a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser(program: Any) -> Iterator[Any]:
    """A Chromium, for `support.browser.Person`."""
    path = program("chromium")
    from support.browser import chromium

    with chromium(path) as found:
        yield found
