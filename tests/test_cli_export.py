"""`chatd export` and `chatd import`, as they are typed; and that what people read is nothing but words."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chatd.core.events import MessageSent, Proposal, Related, RoomMade
from chatd.errors import Exit
from chatd.journal.store import Store

EVENTS = [
    RoomMade("r1", "#lobby"),
    RoomMade("r2", "", (("ann", "Ann"), ("bob", "Bob"))),
    MessageSent(
        "r1",
        "ann",
        "Ann",
        "text",
        "<script>alert('hi')</script>\x1b[31m\u202e\n[2026-01-01 00:00:00] 9 <bob> I owe you",
    ),
    MessageSent("r1", "bob", "Bob", "action", "waves & smiles"),
    MessageSent("r1", "bob", "Bob", "text", "a secret"),
    Related("r1", "bob", "Bob", "redact", 3),
    MessageSent("r2", "ann", "Ann", "text", "between us"),
]

NO_SETTINGS = {"XDG_CONFIG_HOME": os.devnull}


def chatd(*words: object, status: Exit = Exit.OK) -> str:
    """Run a command; what it printed, or the one line of its error."""
    command = [sys.executable, "-m", "chatd", *map(str, words)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=50, env=os.environ | NO_SETTINGS)
    assert ran.returncode == status, ran.stderr
    assert ran.stderr.count("\n") == (1 if status else 0)
    return ran.stderr or ran.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a server that has stopped."""
    folder = tmp_path / "data"
    folder.mkdir()
    store = Store(folder / "chatd.db", "fsync")
    store.open()
    assert not any(entry.code for entry in store.write([Proposal(event, 10**6) for event in EVENTS]))
    store.close()
    return folder


def test_text_is_for_reading(folder: Path) -> None:
    assert chatd("export", "--format", "text", "-d", folder).splitlines() == [
        "=== #lobby ===",
        "[1970-01-01 00:00:01] 1 <Ann> <script>alert('hi')</script>",
        "[1970-01-01 00:00:01] 1 <Ann> [2026-01-01 00:00:00] 9 <bob> I owe you",
        "[1970-01-01 00:00:01] 2 * Bob waves & smiles",
        "[1970-01-01 00:00:01] 3 *** message 3 by Bob was deleted",
        "[1970-01-01 00:00:01] 4 *** Bob deleted message 3",
        "",
        "=== Ann and Bob ===",
        "[1970-01-01 00:00:01] 1 <Ann> between us",
    ]


def test_html_has_words_and_no_scripts(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "lobby.html"
    assert chatd("export", "--format", "html", "--room", "lobby", "-d", folder, "--output", file) == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    page = file.read_text()
    assert "&lt;Ann&gt; &lt;script&gt;alert(&#x27;hi&#x27;)&lt;/script&gt;\n&lt;Ann&gt; [2026" in page
    assert "waves &amp; smiles" in page
    assert "default-src 'none'" in page
    for harmful in ("<script", "\x1b", "\u202e", "between us"):
        assert harmful not in page
    assert "is there already" in chatd("export", "-d", folder, "-o", file, status=Exit.DISK)
    refused = chatd("export", "--room", "#ops", "-d", folder, status=Exit.USAGE)
    assert "there is no room '#ops'; there are #lobby" in refused


def test_what_was_exported_beside_a_server_is_imported_without_one(server: Any, tmp_path: Path) -> None:
    chatd("send", "--server", f"localhost:{server.port}", "--nick", "tom", "#lobby", "the cake is ready")
    data, file, other = server.folder / "data", tmp_path / "export.jsonl", tmp_path / "other"
    chatd("export", "-d", data, "-o", file)
    assert "in use by another chatd" in chatd("import", file, "-d", data, status=Exit.TRY_AGAIN)
    assert chatd("import", file, "-d", other).endswith("now has 1 room, 1 event (0 redacted), 0 faults\n")
    assert chatd("export", "-d", other) == file.read_text()
    assert "the room #lobby is there already" in chatd("import", file, "-d", other, status=Exit.DISK)
    assert "see chatd import --help" in chatd("import", file, "--mood", status=Exit.USAGE)


def test_what_cannot_be_read_is_told(folder: Path, tmp_path: Path) -> None:
    assert "No such file" in chatd("import", tmp_path / "nothing", "-d", tmp_path / "other", status=Exit.DISK)
    (tmp_path / "long").write_bytes(b"[" * (1 << 21))
    assert "a line has more than" in chatd("import", tmp_path / "long", "-d", tmp_path / "other", status=Exit.DISK)
    assert not (tmp_path / "other").exists()
    assert "there is no such file" in chatd("export", "-d", tmp_path / "other", status=Exit.DISK)
