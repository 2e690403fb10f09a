"""The processor time of another process, to the nanosecond, where the system tells it (Linux)."""

from __future__ import annotations

import sys
import time

_OF_A_PROCESS = 2  # CPUCLOCK_SCHED, clock_getcpuclockid(3): the clock of a process is made from its number


def seconds_of(pid: int) -> float | None:
    """What the process and its threads have used so far; None if there is no such process, or no such clock here."""
    if sys.platform != "linux" or pid <= 0:
        return None
    try:
        return time.clock_gettime((~pid << 3) | _OF_A_PROCESS)
    except (OSError, OverflowError):
        return None
