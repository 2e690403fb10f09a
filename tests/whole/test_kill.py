"""kill -9 at any moment: what was acknowledged is there once, in order, under its number."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from support.talk import Talk


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_killed_at_random_moments_nothing_is_lost_doubled_or_reordered(server: Any, extent: Any) -> None:
    """A53: four talkers with 16 messages in flight each repeat what was not answered, and two listeners come back."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with Talk(server, listeners=2) as talk:
        for _ in range(extent(4, 100)):
            talk.wait_for_oks(1)
            time.sleep(chance.uniform(0.2, 1.5))
            server.kill9()
            server.restart()
            talk.check()
            talk.check_repetitions(chance)
        talk.finish()
        talk.check(anew=True)
    assert all(talker.cuts for talker in talk.talkers)
    print(f"{len(talk.acknowledged())} acknowledged")
