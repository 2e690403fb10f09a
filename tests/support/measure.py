"""What a server's process uses, as the kernel tells it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

MEBIBYTE = 1 << 20


def allow_files(count: int) -> None:
    """Allow this process, and what it starts, so many open files; skip the test where that cannot be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"this machine allows {hard} open files, {count} are needed")
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def processor_seconds(server: Any) -> float:
    """The processor time that the server has used so far."""
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system)


def memory_of(server: Any) -> float:
    """The server's resident memory in MiB."""
    return float(psutil.Process(server.pid).memory_info().rss / MEBIBYTE)


def files_of(server: Any) -> int:
    """How many descriptors the server has open."""
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def wait_until(is_so: Callable[[], bool], seconds: float, what: Callable[[], object] = str) -> float:
    """Wait until something is so, and say how long it took; fail after so many seconds, telling `what`."""
    start = time.monotonic()
    while not is_so():
        assert time.monotonic() < start + seconds, f"not after {seconds} s: {what()}"
        time.sleep(0.02)
    return time.monotonic() - start
