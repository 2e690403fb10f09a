"""Bots with the bundled library, a bad network between them and the server, and kill -9 for everybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.storm import KINDS, Storm


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_each_bot_handles_each_message_once_through_all_faults(
    start_server: Any, tmp_path: Path, extent: Callable[[int, int], int]
) -> None:
    """All three faces; every kind of fault happened, and the server was killed and stopped."""
    server = start_server()
    seconds = extent(14, 420)
    storm = Storm(server, tmp_path / "bots", seed=extent(1, 2), every=0.35, kill=2.5, crash=extent(5, 20))
    outcome = storm.run(seconds)
    assert not outcome.wrong, outcome
    assert {kind for kind, count in outcome.faults.items() if count} == set(KINDS), outcome.faults
    assert outcome.said == outcome.stored > 20 * len(storm.bots)
    assert outcome.handled == outcome.stored * len(storm.bots)
