"""Where and with what something was measured: it stands above every table, for figures mean little without it."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.servers import TREE
from chatd import __version__

SYNCS = 20


def facts(folder: str | None) -> dict[str, str]:
    """Date, versions and machine; `folder` is where data folders are made."""
    place = Path(folder or tempfile.gettempdir())
    busy = os.getloadavg()[0]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "chatd": " ".join(filter(None, (__version__, commit()))),
        "Python": platform.python_version(),
        "Twisted": version("twisted"),
        "msgspec": version("msgspec"),
        "SQLite": sqlite3.sqlite_version,
        "kernel": f"{platform.system()} {platform.release()}",
        "processor": f"{os.cpu_count()} × {processor()}",
        "busy before": f"{busy:.1f} processes ran or waited",
        "disk": f"{file_system(place)}, {sync_milliseconds(place):.2f} ms to write and sync 4 KiB",
    }


def commit() -> str:
    """The commit of this tree, and whether something was changed since; empty if it is no clone."""

    def git(*words: str) -> str:
        ran = subprocess.run(["git", *words], cwd=TREE, capture_output=True, text=True, check=False)
        return ran.stdout.strip() if ran.returncode == 0 else ""

    try:
        found = git("rev-parse", "--short", "HEAD")
        return f"{found} with changes" if found and git("status", "--porcelain", "chatd") else found
    except OSError:
        return ""


def processor() -> str:
    """The processor's name, as far as the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def file_system(place: Path) -> str:
    """The kind of file system: on a `tmpfs` a sync costs nothing and proves nothing."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "an unknown file system"
    real = place.resolve()
    fitting = [(len(where), kind) for where, kind in mounts if real.is_relative_to(where)]
    return max(fitting, default=(0, "an unknown file system"))[1]


def sync_milliseconds(place: Path) -> float:
    """The median time that it takes to write 4 KiB more and have them on the disk."""
    times = []
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            os.write(file.fileno(), b"x" * 4096)
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1e3)
    return sorted(times)[SYNCS // 2]
