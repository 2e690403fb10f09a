"""Runs the load generator, a compiled program that is no part of this tree, and reads what it found.

It has to be faster than any server here, or it would measure itself; so it is not written in Python. It is given a
server's port and process, and prints one object of JSON as its last line.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

VARIABLE = "CHATD_LOADGEN"
PATIENCE = 180.0
BUSY = 0.9

Figures = dict[str, Any]


class CannotMeasure(Exception):
    """Why there is no figure, in one line."""


def find(given: str | None) -> Path:
    """Where the load generator is: as given, else in the environment, else on the PATH."""
    wanted = given or os.environ.get(VARIABLE) or "loadgen"
    found = shutil.which(wanted)
    if found is None:
        raise CannotMeasure(
            f"there is no load generator {wanted!r}: name a build of loadgen with --loadgen PATH or ${VARIABLE},"
            " or put it on the PATH"
        )
    return Path(found)


def run(program: Path, words: Sequence[str], *, port: int, pid: int) -> Figures:
    """What it found. `CannotMeasure` if it found nothing, or nobody came in."""
    command = [str(program), *words, "--quiet", "--port", str(port), "--pid", str(pid)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise CannotMeasure(f"not finished after {PATIENCE:.0f} s") from None
    lines = ran.stdout.splitlines()
    if ran.returncode not in (0, 1) or not lines:
        raise CannotMeasure((ran.stderr.strip().splitlines() or ["it printed nothing"])[0])
    figures: Figures = json.loads(lines[-1])
    if not figures["ready"]:
        raise CannotMeasure("nobody came in")
    return figures


def remarks(figures: Figures) -> list[str]:
    """What a reader of the figures must know about them."""
    told = []
    if figures["lg_busy"] >= BUSY:
        told.append(
            f"the load generator was the bottleneck ({figures['lg_busy']:.0%} busy): it could have been more a second"
        )
    if figures["ready"] < figures["n"]:
        told.append(f"{figures['n'] - figures['ready']} did not come in")
    for key, words in (
        ("closed", "were closed"),
        ("misrouted", "came to another room"),
        ("bogus", "came damaged"),
        ("given_up", "were given up"),
        ("stalled", "it stood still"),
    ):
        if figures[key]:
            told.append(words if key == "stalled" else f"{figures[key]} {words}")
    return told
