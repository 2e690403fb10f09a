"""Ports for servers of tests: below those that the kernel gives out for calls, so that one that was killed finds its
own again."""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator

FIRST, EACH, WORKERS = 12_000, 2_500, 8


def _in_turn() -> Iterator[int]:
    """All of this process's, one after the other; tests that run side by side have others."""
    start = FIRST + EACH * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % WORKERS)
    return itertools.islice(itertools.cycle(range(start, start + EACH)), random.randrange(EACH), None)


_ports = _in_turn()


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses just now, and that are not given again for long."""
    return list(itertools.islice(filter(is_free, _ports), count))


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
