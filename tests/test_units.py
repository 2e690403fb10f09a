"""The units for systemd, looked at by systemd's own program where it is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import TREE

ANALYZE = shutil.which("systemd-analyze")
UNITS = ("chatd.service", "chatd.socket")
EXPOSURE = 3.5
"""Of 10; systemd calls up to 4 OK."""


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units, with a command that is there."""
    for name in UNITS:
        text = (TREE / "conf" / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/chatd/bin/chatd serve", f"{sys.executable} -m chatd serve"))
    return [tmp_path / name for name in UNITS]


def analyze(*words: str) -> str:
    assert ANALYZE is not None
    ran = subprocess.run([ANALYZE, *words], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here")
def test_systemd_finds_nothing_wrong(units: list[Path]) -> None:
    said = analyze("verify", "--man=no", *map(str, units))
    assert not [line for line in said.splitlines() if "chatd" in line]


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not here")
def test_the_service_can_do_little_harm(units: list[Path]) -> None:
    try:
        said = analyze("security", "--offline=yes", "--no-pager", str(units[0]))
    except AssertionError as error:
        if "unrecognized option" in str(error):
            pytest.skip("this systemd-analyze looks at running services only")
        raise
    found = re.search(r"exposure level for chatd.service: ([0-9.]+)", said)
    assert found is not None
    assert float(found[1]) <= EXPOSURE


def test_the_service_is_shut_in() -> None:
    """Also where systemd is not: what makes it safe is written there."""
    text = (TREE / "conf/chatd.service").read_text()
    for line in (
        "Type=notify",
        "User=chatd",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "SystemCallFilter=@system-service",
    ):
        assert f"\n{line}\n" in text
