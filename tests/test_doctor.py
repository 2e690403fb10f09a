"""The doctor: what it finds on a real machine, one line for each, and what it advises."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.damage import break_page, journal

from chatd import doctor
from chatd.doctor import Grade
from chatd.errors import Exit
from chatd.tap import ServeOptions


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CHATD", "XDG_", "STATE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def found(folder: Path, *words: str) -> list[str]:
    """What it finds of a server with this data folder that would take any port."""
    options = ServeOptions()
    options.parseOptions(["--port=0", "--line-port=0", f"--data-dir={folder}", *words])
    return list(map(str, doctor.look(options.loaded)))


def not_good(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith(Grade.GOOD.value)]


def test_a_machine_on_which_nothing_is_wrong(tmp_path: Path) -> None:
    lines = found(tmp_path / "new")
    assert not_good(lines) == []
    assert lines[0] == "good  settings: read, all built in"
    assert not (tmp_path / "new").exists(), "nothing is changed"


def test_a_server_that_runs_and_one_that_could_not(server: Any) -> None:
    command = [sys.executable, "-m", "chatd", "doctor", "--data-dir", str(server.data_dir)]
    ran = subprocess.run(command, env=server.environ, capture_output=True, text=True, timeout=30)
    assert ran.returncode == Exit.OK, ran.stdout + ran.stderr
    assert "good  server: running\n" in ran.stdout
    assert "sound as far as a quick look tells" in ran.stdout
    other = [*command[:-1], str(server.folder / "other"), f"--port={server.port}"]
    ran = subprocess.run(other, env=server.environ, capture_output=True, text=True, timeout=30)
    assert ran.returncode == Exit.UNAVAILABLE, ran.stdout + ran.stderr
    assert f"bad  port {server.port} on 127.0.0.1: cannot be had (Address already in use); choose another" in ran.stdout


def test_a_folder_that_others_can_read_and_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    assert not_good(found(folder)) == [f"care  data folder {folder}: other users can look into it; chmod 700 {folder}"]
    folder.chmod(0o700)
    for free, grade in ((10 << 20, "bad"), (500 << 20, "care")):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        [line] = not_good(found(folder))
        assert line.startswith(f"{grade}  data folder {folder}: ")


def test_a_journal_that_is_damaged_or_of_something_else(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    journal(folder / "chatd.db")
    assert not_good(found(folder)) == []
    break_page(folder / "chatd.db", "#ops message 150 ")
    assert [line for line in found(folder) if line.startswith("bad  journal")]
    (folder / "chatd.db").write_text("this is a shopping list" * 100)
    [line] = not_good(found(folder))
    assert line.startswith("bad  journal")


def test_a_clock_that_was_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    journal(folder / "chatd.db")
    monkeypatch.setattr(doctor.time, "time", lambda: -1000.0)
    [line] = not_good(found(folder))
    assert line.startswith("care  clock: the newest message is ")


def test_what_a_server_keeps_and_lets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [line] = not_good(found(tmp_path / "d", "--journal=memory:"))
    assert line.startswith("care  journal: in memory")
    monkeypatch.setattr(doctor.resource, "getrlimit", lambda which: (256, 256))
    [line] = not_good(found(tmp_path / "d"))
    assert line == "care  open files: 256, so room for 192 connections; raise ulimit -n, or LimitNOFILE of the service"


def test_certificates_that_run_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chatd.certificates import DAYS, make

    [line] = not_good(found(tmp_path / "d", "--port=tls:0"))
    assert line == f"bad  certificates: there is none in {tmp_path / 'd/tls'}; chatd cert init makes one"
    make(tmp_path / "d/tls/own.pem", ["localhost"])
    assert not_good(found(tmp_path / "d", "--port=tls:0")) == []
    now = doctor.time.time()
    for days, grade in ((DAYS - 3, "care"), (DAYS + 3, "bad")):
        monkeypatch.setattr(doctor.time, "time", lambda days=days: now + days * 86400)
        [line] = not_good(found(tmp_path / "d", "--port=tls:0"))
        assert line.startswith(f"{grade}  certificate ")


def test_a_free_port_is_free_and_one_in_use_is_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        lines = found(tmp_path / "d", f"--port={port}")
    assert f"good  port {port} on 127.0.0.1: free" in found(tmp_path / "d", f"--port={port}")
    assert f"bad  port {port} on 127.0.0.1: cannot be had (Address already in use); choose another with --port" in lines
