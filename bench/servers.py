"""The servers that are measured: how each is started on a free port of loopback, spoken to, and ended.

A `Subject` is a column of the table. Each measurement starts a process of its own, in a folder of its own, so that
none inherits memory, names or messages from another.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.loadgen import CannotMeasure

TREE = Path(__file__).parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 15.0
WAYS = ("framed", "line")
JOURNALS = {"sqlite": "on disk", "memory": "in memory"}


@dataclass(frozen=True)
class Subject:
    """A server: the load generator's `words` for its dialect, the `command` for a folder and a port.

    `baseline` is the name of the reference that it is compared with.
    """

    name: str
    words: tuple[str, ...]
    command: Callable[[Path, int], list[str]]
    baseline: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    pid: int
    port: int
    folder: Path


def chatd(way: str, journal: str) -> Subject:
    """chatd, with fsync before anyone is shown anything, or with a journal in memory."""

    def command(folder: Path, port: int) -> list[str]:
        settings = folder / "chatd.toml"  # an empty one: whatever is set on this machine does not count
        settings.touch()
        ports = {"framed": (port, "none"), "line": ("none", port)}[way]
        words = [f"--port={ports[0]}", f"--line-port={ports[1]}", f"--data-dir={folder / 'data'}"]
        words += [f"--journal={journal}:", f"--config={settings}"]
        return [sys.executable, "-m", "chatd", "serve", *words]

    dialect = {"framed": "chatd", "line": "chatd-line"}[way]
    facts = {"way": way, "journal": journal}
    return Subject(f"chatd, {way}, {JOURNALS[journal]}", ("--dialect", dialect), command, reference_name(way), facts)


def reference(way: str) -> Subject:
    """The plain loop of `bench/reference.py`."""

    def command(_folder: Path, port: int) -> list[str]:
        return [sys.executable, str(TREE / "bench/reference.py"), f"--port={port}", f"--way={way}"]

    words = {"framed": ("--dialect", "framed"), "line": ("--dialect", "line", "--join", r"/join %r\n")}[way]
    return Subject(reference_name(way), words, command, reference_name(way), {"way": way})


def reference_name(way: str) -> str:
    return f"plain loop, {way}"


@contextlib.contextmanager
def serving(
    subject: Subject, folder: Path | None = None, parent: str | None = None, seconds: float = START_SECONDS
) -> Iterator[Running]:
    """The server, listening; ended by its process id. Without a `folder` it gets one that goes away again."""
    with contextlib.ExitStack() as stack:
        if folder is None:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="chatd-bench-", dir=parent))
            folder = Path(name)
        port = free_port()
        with (folder / "server.log").open("ab") as log:
            process = subprocess.Popen(
                subject.command(folder, port),
                cwd=folder,
                env=environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            _await(process, port, folder / "server.log", seconds)
            yield Running(process.pid, port, folder)
        finally:
            _end(process)


def _await(process: subprocess.Popen[bytes], port: int, log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    told = log.read_text(errors="replace").strip().splitlines()
    raise CannotMeasure(f"it did not start: {told[-1] if told else 'it said nothing'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def environment(folder: Path) -> dict[str, str]:
    """One in which no setting of this machine's is left, and the chatd of this tree is found."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CHATD", "XDG_", "LISTEN_")) and name not in ("STATE_DIRECTORY", "NOTIFY_SOCKET")
    }
    return kept | {"HOME": str(folder), "PYTHONPATH": str(TREE)}
