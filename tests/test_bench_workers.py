"""The experiment with more processes: its front passes everything on, and its figures are measured."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from support.crowd import Wire
from support.pages import TREE

sys.path.append(str(TREE))

from bench import scenarios, workers


def test_the_front_passes_everything_on(start_server: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "chatd.sock")
        start_server(f"--port=unix:{path}", "--line-port=none")
        with workers.front(path) as (pid, port):
            with Wire(("127.0.0.1", port)) as ann, Wire(("127.0.0.1", port)) as ben:
                ann.enter("ann", "#lobby")
                ben.enter("ben", "#lobby")
                body = "x" * 8000
                ann.send(*({"type": "send", "id": f"{n}", "room": "#lobby", "body": body} for n in range(200)))
                assert [ben.until("message")["seq"] for _ in range(200)] == list(range(1, 201))
            deadline = time.monotonic() + 5
            while workers.used(pid) == 0 and time.monotonic() < deadline:
                Wire(("127.0.0.1", port)).socket.close()
            assert 0 < workers.used(pid) < 10


def test_server_and_front_are_measured_apart(tmp_path: Path) -> None:
    program = tmp_path / "loadgen"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{TREE}/tests/support/loadgen.py' \"$@\"\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    server, front = workers.apart(scenarios.SCENARIOS["saturate-10"], program)
    assert server == 0.4, "as the stand-in has it"
    assert front >= 0


@pytest.mark.alone
@pytest.mark.skipif(not shutil.which("openssl") and not os.environ.get("CI"), reason="there is no openssl")
def test_encryption_costs_something() -> None:
    _, _, *rows = workers.encryption().splitlines()
    assert len(rows) == len(workers.SIZES)
    for row in rows:
        _, plain, encrypted, *_ = (float(cell.replace(",", "")) for cell in row.strip("| ").split("|"))
        assert 0 < plain < encrypted
