"""The operator's commands, by the real thing: a server, its socket, and `chatd admin`, `user` and `invite`."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.crowd import Wire

from chatd import cli_admin
from chatd.cli_journal import Parser
from chatd.errors import Exit

SECRET = "correct horse battery"


def chatd(server: Any, *words: str, status: int = 0, said: str = "") -> str:
    """What a command printed; of one that failed, what it told."""
    command = [sys.executable, "-m", "chatd", *words, "--data-dir", str(server.data_dir)]
    ran = subprocess.run(command, env=server.environ, input=said, capture_output=True, text=True, timeout=30)
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stderr if status else ran.stdout


def asked(server: Any, *words: str) -> Any:
    return json.loads(chatd(server, *words, "--json"))


def ask(path: Path, line: bytes) -> Any:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(10)
        asking.connect(os.fspath(path))
        asking.sendall(line)
        answer = b""
        while not answer.endswith(b"\n") and (more := asking.recv(65536)):
            answer += more
        return json.loads(answer)


def test_it_shows_who_is_there(server: Any) -> None:
    with Wire((server.host, server.port)) as ann, Wire((server.host, server.port)) as ben:
        ann.enter("ann", "#lobby", "#ops")
        ben.enter("ben", "#lobby")
        assert ann.ask("send", room="#lobby", body="a secret of ours")["ok"]
        status = asked(server, "admin", "status")
        assert (status["state"], status["users"], status["rooms"], status["messages"]) == ("running", 2, 2, 1)
        assert status["connections"] == {"framed": 2}
        assert status["commit_ms_most"] >= status["commit_ms_mean"] > 0
        sessions = asked(server, "admin", "sessions")["sessions"]
        found = {(one["nick"], one["protocol"], one["address"], one["rooms"]) for one in sessions}
        assert found == {("ann", "framed", "127.0.0.1", 2), ("ben", "framed", "127.0.0.1", 1)}
        rooms = asked(server, "admin", "rooms")["rooms"]
        assert rooms == [
            {"room": "#lobby", "members": 2, "last_seq": 1},
            {"room": "#ops", "members": 1, "last_seq": 0},
        ]
        lines = chatd(server, "admin", "rooms").splitlines()
        assert [line.split() for line in lines] == [
            ["room", "members", "last_seq"],
            ["#lobby", "2", "1"],
            ["#ops", "1", "0"],
        ]
        for words in (["status"], ["sessions"], ["rooms"]):
            assert "secret" not in chatd(server, "admin", *words)


def test_it_steers(server: Any) -> None:
    with Wire((server.host, server.port)) as ann, Wire((server.host, server.port)) as ben:
        ann.enter("ann", "#lobby")
        ben.enter("ben", "#lobby")
        assert asked(server, "admin", "announce", "Tea at\x1b[31m five") == {"told": 2}
        assert ann.until("notice", code="ANNOUNCEMENT")["message"] == "Tea at five"
        assert chatd(server, "admin", "kick", "Ben", "--reason", "enough") == "ended: 1\n"
        assert ben.until("closing") == {"type": "closing", "code": "KICKED", "reason": "kicked by operator: enough"}
        with pytest.raises(EOFError):
            ben.read()
        assert "nobody here is called 'ben'" in chatd(server, "admin", "kick", "ben", status=Exit.NOT_ALLOWED)
        assert "connected" in server.output()
        assert chatd(server, "admin", "log", "warn") == "level: warn\n"
        before = server.output()
        Wire((server.host, server.port)).socket.close()
        assert chatd(server, "admin", "drain").startswith("still inside: ")
        assert server.output() == before, "less is written now"
        with pytest.raises(ConnectionRefusedError):
            Wire((server.host, server.port))
        assert asked(server, "admin", "status")["state"] == "draining"
        assert ann.ask("send", room="#lobby", body="still here")["ok"]
    assert server.stop() == 0
    assert not (server.data_dir / "admin.sock").exists()


def test_only_its_user_can_ask_and_garbage_is_answered(server: Any) -> None:
    path = server.data_dir / "admin.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for line in (b"hello\n", b"[]\n", b'"status"\n', b"\xff\n", b"[" * 5000 + b"\n"):
        assert ask(path, line) == {"ok": False, "error": "each line is an object of JSON"}
    assert ask(path, b'{"command":"nothing"}\n') == {"ok": False, "error": "there is no command 'nothing'"}
    assert ask(path, b'{"command":"kick"}\n') == {"ok": False, "error": "who is missing"}
    assert "at most 65536 bytes" in ask(path, b"x" * 70_000)["error"]
    assert asked(server, "admin", "status")["state"] == "running"
    assert "Traceback" not in server.output()


def test_without_a_server_it_says_so(server: Any) -> None:
    server.kill9()
    assert "no server is running there" in chatd(server, "admin", "status", status=Exit.UNAVAILABLE)
    server.restart()
    assert asked(server, "admin", "status")["state"] == "running", (
        "the socket of the one that was killed is no hindrance"
    )


@pytest.mark.parametrize("is_running", [True, False])
def test_accounts_are_looked_after_whether_the_server_runs_or_not(server: Any, is_running: bool) -> None:
    if not is_running:
        server.stop()
    assert chatd(server, "user", "add", "alice", "--password-stdin", said=f"{SECRET}\n") == "made: alice\n"
    told = chatd(server, "user", "add", "aIice", "--password-stdin", said=f"{SECRET}\n", status=Exit.NOT_ALLOWED)
    assert "looks like" in told
    told = chatd(server, "user", "add", "ben", "--password-stdin", said="short\n", status=Exit.NOT_ALLOWED)
    assert "a password has at least 8 characters" in told
    told = chatd(server, "user", "disable", "ben", status=Exit.NOT_ALLOWED)
    assert told == "chatd: user disable: there is no account 'ben'\n"
    told = chatd(server, "user", "add", "ben", status=Exit.USAGE)
    assert told == "chatd: password: there is no terminal to ask; give it with --password-stdin\n"
    invite = asked(server, "invite", "--days", "1")["invite"]
    [account] = asked(server, "user", "list")["accounts"]
    assert (account["account"], account["disabled"], account["sessions"]) == ("alice", False, 0)
    if not is_running:
        server.restart()
    with Wire((server.host, server.port)) as alice:
        reply = alice.enter("alice", "#lobby", mechanism="password", account="alice", password=SECRET)
        assert reply["account"] == "alice"
        assert chatd(server, "user", "disable", "alice") == "disabled: alice\n"
        assert alice.until("closing")["code"] == "SESSION_EXPIRED"
    assert chatd(server, "user", "enable", "alice") == "enabled: alice\n"
    chatd(server, "user", "passwd", "alice", "--password-stdin", said="another horse\n")
    for password, is_right in ((SECRET, False), ("another horse", True)):
        with Wire((server.host, server.port)) as alice:
            assert alice.ask("hello", versions=[1])["ok"]
            login = alice.ask("auth", mechanism="password", account="alice", password=password)
            assert login["ok"] is is_right
    for is_good in (True, False):
        with Wire((server.host, server.port)) as ben:
            assert ben.ask("hello", versions=[1])["ok"]
            made = ben.ask("auth", mechanism="invite", token=invite, account=f"ben{is_good}", password=SECRET)
            assert made["ok"] is is_good, "an invite is good once"
    assert SECRET not in server.output()
    assert "argon2" not in server.output()


def test_the_page_has_every_command() -> None:
    text = (Path(__file__).parent.parent / "docs/reference/commands.md").read_text()
    for name in ("admin", "user"):
        parser = cli_admin.PARSERS[name](Parser(prog=f"chatd {name}"))
        [subs] = [action for action in parser._actions if action.choices]
        for sub in subs.choices or ():
            assert f"`chatd {name} {sub}" in text


def test_it_keeps_order_on_the_server_and_in_a_room(server: Any) -> None:
    address = (server.host, server.port)
    with Wire(address) as ann, Wire(address) as tom:
        ann.enter("ann", "#den")
        tom.enter("tom", "#den")
        assert "banned: tom (#den)" in chatd(
            server, "admin", "ban", "tom", "--room", "#den", "--for", "1h", "--reason", "spam"
        )
        assert tom.ask("join", room="#den")["error"]["code"] == "BANNED"
        [ban] = asked(server, "admin", "bans", "--room", "#den")["bans"]
        assert (ban["target"], ban["by"], ban["reason"]) == ("tom", "operator", "spam")
        assert "spam" in chatd(server, "admin", "bans", "--room", "#den")
        chatd(server, "admin", "unban", "tom", "--room", "#den")
        assert tom.ask("join", room="#den")["ok"]
        chatd(server, "admin", "mute", "tom")
        assert tom.ask("send", room="#den", body="x")["error"]["code"] == "MUTED"
        chatd(server, "admin", "unmute", "tom")
        chatd(server, "admin", "lockdown", "guests")
        assert ann.ask("send", room="#den", body="x")["error"]["code"] == "ACCOUNT_REQUIRED"
        chatd(server, "admin", "lockdown", "off")
        chatd(server, "admin", "ban", "192.0.2.0/24", "--reason", "a flood")
        assert chatd(server, "admin", "bans").count("192.0.2.0/24") == 2
        assert asked(server, "admin", "kick", "tom")["ended"] == 1
    assert "nobody is banned" in chatd(server, "admin", "bans", "--room", "#den")
    told = chatd(server, "admin", "unban", "nobody", status=Exit.NOT_ALLOWED)
    assert "nobody called 'nobody' is banned" in told
    assert "no duration" in chatd(server, "admin", "ban", "tom", "--for", "soon", status=Exit.NOT_ALLOWED)
    assert "no address, and no network" in chatd(server, "admin", "ban", "address:x", status=Exit.NOT_ALLOWED)


def test_it_makes_operators_of_the_server_who_can_read_what_was_done(server: Any) -> None:
    chatd(server, "user", "add", "carol", "--password-stdin", said=SECRET + "\n")
    chatd(server, "admin", "role", "carol", "owner")
    assert [one["role"] for one in asked(server, "user", "list")["accounts"]] == ["owner"]
    with Wire((server.host, server.port)) as carol, Wire((server.host, server.port)) as tom:
        carol.enter("carol", mechanism="password", account="carol", password=SECRET)
        tom.enter("tom")
        assert carol.ask("moderate", server=True, action="ban", target="tom", duration="1h")["ok"]
        joined = carol.ask("join", room="#server-operators", since=0)
        assert (joined["ok"], joined["role"]) == (True, "owner")
        page = carol.ask("history", room="#server-operators")["events"]
        assert [(one["change"], one["who"], one["by"]) for one in page] == [
            ("role", "carol", "operator"),
            ("ban", "tom", "carol"),
        ]
    chatd(server, "admin", "role", "carol", "member")
