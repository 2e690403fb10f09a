"""Damaged and unwritable journals under a real server: refused in one line, or read around; never emptied, never
written over, and never shared by two."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.crowd import Json, LineWire, Wire
from support.damage import break_page, change, journal

from chatd.errors import Exit


def chatd(server: Any, *words: object, before: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    """Run a command with the settings of this server; its status and what it says is wrong."""
    command = [*before, sys.executable, "-m", "chatd", *map(str, words)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=50, env=server.environ, cwd=server.folder)
    return ran.returncode, ran.stderr.splitlines()


def files(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir()}


def numbers(events: list[Json]) -> list[int]:
    return [event["seq"] for event in events if event.get("type") == "message"]


def test_a_room_is_read_around_its_damage_and_goes_on(start_server: Any) -> None:
    """By replay, history and on the line port; nobody is cut off, and the operator is told once."""
    server = start_server(until="made")
    path = server.data_dir / "chatd.db"
    journal(path)
    change(path, "#lobby message 1490 ")
    server.start()
    break_page(path, "#ops message 150 ")
    with Wire((server.host, server.port)) as wire:
        wire.enter("tom")
        assert wire.ask("join", room="#ops", since=0)["last_seq"] == 300
        wire.until("caught_up", seq=300)
        [gap] = [event for event in wire.heard if event.get("type") == "gap"]
        assert (gap["reason"], gap["damaged"]) == ("skipped", True)
        lost = range(gap["from"], gap["to"] + 1)
        assert 150 in lost
        assert numbers(wire.heard) == [seq for seq in range(1, 301) if seq not in lost]

        page = wire.ask("history", room="#ops", before=200, limit=100)
        assert numbers(page["events"]) == [seq for seq in range(100, 200) if seq not in lost]
        assert page["gaps"] == [gap]
        page = wire.ask("history", room="#ops", after=lost[0] - 1, limit=1)
        assert (page["events"], page["prev"], page["next"]) == ([], lost[0], lost[0])
        assert wire.ask("relate", room="#ops", target=150, rel="react", key="+")["error"]["code"] == "NO_SUCH_MESSAGE"
        assert wire.ask("send", room="#ops", body="and so it goes on")["seq"] == 301
        assert wire.ask("history", room="#ops")["last_seq"] == 301
        wire.ask("join", room="#lobby", since=1480)
        assert wire.until("gap", room="#lobby")["from"] == 1490
        wire.until("caught_up", seq=1500)
    with LineWire((server.host, server.line_port)) as person:
        person.enter("ann")
        person.until("messages 1490 to 1490 of #lobby cannot be read")
        person.until("#lobby message 1500 ")
        person.say("/join #ops", "/history 50 #170")
        person.until(f"messages {lost[0]} to {lost[-1]} of #ops cannot be read")
    told = [line for line in server.output().splitlines() if "the journal is damaged" in line]
    assert len([line for line in told if "#ops" in line]) == 1
    assert len([line for line in told if "#lobby 1490 " in line]) == 1
    assert "message 1490" not in server.output()
    assert server.stop() == 0


@pytest.mark.parametrize("size", [0, 4096, 100_000, -1, -4096])
def test_a_journal_that_was_cut_off_is_refused_and_stays_as_it_is(start_server: Any, size: int) -> None:
    server = start_server(until="made")
    path = server.data_dir / "chatd.db"
    journal(path)
    os.truncate(path, size if size >= 0 else path.stat().st_size + size)
    before = path.read_bytes()
    status, [line] = chatd(server, "serve", "-d", server.data_dir, "--port=0", "--line-port=none")
    assert (status, path.read_bytes()) == (Exit.DISK, before)
    assert line.startswith(f"chatd: journal {path}: it is ")


@pytest.mark.parametrize(("what", "mode"), [("chatd.db", 0o400), ("", 0o500)])
def test_what_is_read_only_is_refused(start_server: Any, program: Callable[[str], str], what: str, mode: int) -> None:
    """Nothing is read-only for root, who is somebody else here."""
    weak = (program("setpriv"), "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
    server = start_server(until="made")
    journal(server.data_dir / "chatd.db")
    (server.data_dir / what).chmod(mode)
    before = files(server.data_dir)
    status, [line] = chatd(server, "serve", "-d", server.data_dir, "--port=0", "--line-port=none", before=weak)
    assert (status, files(server.data_dir)) == (Exit.DISK, before)
    assert "cannot be written" in line
    assert "writable" in line
    server.data_dir.chmod(0o700)


def test_one_file_has_one_server_wherever_their_folders_are(start_server: Any, tmp_path: Path) -> None:
    file = tmp_path / "shared" / "chat.db"
    file.parent.mkdir()
    (tmp_path / "link.db").symlink_to(file)
    copy = tmp_path / "copy.db"
    first = start_server(f"--journal=sqlite:{file}")
    second = start_server(until="made")
    assert chatd(first, "send", "--server", f"localhost:{first.port}", "--nick=tom", "#lobby", "hello")[0] == 0
    second.environ["CHATD__JOURNAL__URL"] = f"sqlite:{tmp_path}/link.db"
    assert chatd(second, "backup", copy, "-d", second.data_dir) == (0, [])
    for words in (
        ("serve", "--port=0", "--line-port=none"),
        ("purge", "--older-than=30d"),
        ("restore", "--force", copy),
        ("import", copy),
    ):
        status, [line] = chatd(second, *words, "-d", second.data_dir)
        assert status == Exit.TRY_AGAIN
        assert f"is in use by another chatd (process {first.pid}); stop that one" in line
    assert not second.data_dir.exists()
    first.kill9()
    second.start()
    with Wire((second.host, second.port)) as wire:
        wire.enter("tom")
        assert wire.ask("join", room="#lobby")["last_seq"] == 1
    assert second.stop() == 0
    assert sorted(os.listdir(file.parent)) == ["chat.db"]


def test_what_fails_leaves_no_folder_behind(start_server: Any, tmp_path: Path) -> None:
    server = start_server(until="made")
    new = tmp_path / "new" / "folder"
    assert chatd(server, "restore", tmp_path / "nothing.db", "-d", new)[0] == Exit.DISK
    assert chatd(server, "import", tmp_path / "nothing.jsonl", "-d", new)[0] == Exit.DISK
    assert chatd(server, "serve", f"--journal=sqlite:{tmp_path}/no/chat.db", "--port=0", "-d", new)[0] == Exit.DISK
    assert not new.parent.exists()


def test_what_can_be_saved_is_saved_under_its_numbers(start_server: Any, tmp_path: Path) -> None:
    """As docs/how-to/repair.md says: export, import, and a server that goes on."""
    server = start_server(until="made")
    path, export = server.data_dir / "chatd.db", tmp_path / "export.jsonl"
    journal(path)
    change(path, "#lobby message 1500 ")
    break_page(path, "#ops message 150 ")
    status, [refused] = chatd(server, "serve", "-d", server.data_dir, "--port=0", "--line-port=none")
    assert (status, "save what can be saved with chatd export" in refused) == (Exit.DISK, True)
    status, [lobby, ops, line] = chatd(server, "export", "-d", server.data_dir, "-o", export)
    assert status == Exit.DISK
    assert lobby == "#lobby 1500: damaged, and left out"
    assert ops.startswith("#ops 1")
    assert line.endswith("what is named above is not in the export; everything else is")

    other = start_server(until="made")
    assert chatd(other, "import", export, "-d", other.data_dir) == (0, [])
    assert chatd(other, "verify", "-d", other.data_dir) == (0, [])
    other.start()
    with Wire((other.host, other.port)) as wire:
        wire.enter("tom", "#lobby")
        assert wire.ask("send", room="#lobby", body="on")["seq"] == 1501, "a number is not given twice"
        page = wire.ask("history", room="#lobby", limit=3)
        assert numbers(page["events"]) == [1499, 1501]
        assert [(gap["from"], gap["to"]) for gap in page["gaps"]] == [(1500, 1500)]
    assert other.stop() == 0
    assert "damaged" not in other.output()
    assert chatd(other, "verify", "-d", other.data_dir) == (0, [])
