"""Copies out of a server that is under load: each is of one moment, and has all that was acknowledged before it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.talk import Talk


def chatd(*words: object) -> str:
    """Run a command that must go well; what it printed."""
    command = [sys.executable, "-m", "chatd", *map(str, words)]
    environ = os.environ | {"XDG_CONFIG_HOME": os.devnull}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environ)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def acknowledged(talk: Any) -> dict[int, str]:
    return {one.seq: one.body for talker in talk.talkers for one in list(talker.answers) if one.seq}


def told_by(export: str) -> dict[int, str]:
    """Number and text of the messages in an export in lines of JSON."""
    lines = [json.loads(line) for line in export.splitlines()]
    return {one["seq"]: one["event"]["body"] for one in lines if one["line"] == "event"}


def is_whole(found: dict[int, str], before: dict[int, str], since: int = 0) -> bool:
    """Without holes from `since` on, and with everything that was acknowledged before."""
    assert sorted(found) == list(range(since + 1, since + 1 + len(found)))
    return {seq: body for seq, body in before.items() if seq > since}.items() <= found.items()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_exports_and_backups_under_load_are_whole(
    server: Any, tmp_path: Path, extent: Callable[[int, int], int]
) -> None:
    """In all forms; and what was copied can be restored, imported and verified."""
    folder = server.data_dir
    with Talk(server, talkers=2, in_flight=1) as talk:  # so that it does not grow faster than it is copied
        for round_ in range(extent(1, 4)):
            talk.wait_for_oks(20)
            before = acknowledged(talk)
            since = max(before) // 2
            assert is_whole(told_by(chatd("export", "-d", folder)), before)
            assert is_whole(told_by(chatd("export", "-d", folder, "--since-seq", since)), before, since)
            text = chatd("export", "-d", folder, "--format", "text", "--since-seq", since)
            lines = dict(re.findall(r"^\[[^]]*\] (\d+) <\w+> (<\w+ \d+>)$", text, re.MULTILINE))
            assert is_whole({int(seq): body for seq, body in lines.items()}, before, since)
            page = chatd("export", "-d", folder, "--format", "html")
            assert page.endswith("</html>\n")
            assert [int(seq) for seq in re.findall(r'<a id="\w+:(\d+)"', page)] == list(
                range(1, 1 + page.count('<a id="'))
            )
            assert page.count('<a id="') >= max(before)
            backup, restored = tmp_path / f"{round_}.db", tmp_path / f"restored{round_}"
            before = acknowledged(talk)
            chatd("backup", backup, "-d", folder)
            chatd("restore", backup, "-d", restored)
            assert " 0 faults" in chatd("verify", "-d", restored)
            assert is_whole(told_by(chatd("export", "-d", restored)), before)
        talk.finish()
        talk.check()
    (tmp_path / "all.jsonl").write_text(chatd("export", "-d", folder))
    assert " 0 faults" in chatd("import", tmp_path / "all.jsonl", "-d", tmp_path / "imported")
    assert chatd("export", "-d", tmp_path / "imported") == (tmp_path / "all.jsonl").read_text()
