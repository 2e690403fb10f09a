"""The client with an account: made, come back to by password and by token, and clear words when it fails."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest

from chatd.client.errors import Refused
from chatd.client.login import Login, Verdict
from chatd.core.codes import Code
from chatd.errors import Exit

SECRET = "correct horse battery"


def chatd(server: Any, *words: str, status: int = 0, password: str | None = SECRET) -> str:
    """What `chatd send` and its like told; standard input is no terminal."""
    environ = server.environ | ({} if password is None else {"CHATD_PASSWORD": password})
    command = [sys.executable, "-m", "chatd", *words, "--server", f"{server.host}:{server.port}"]
    ran = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_an_account_is_made_and_come_back_to(server: Any) -> None:
    chatd(server, "send", "--account", "alice", "--register", "#lobby", "one")
    chatd(server, "send", "--account", "alice", "#lobby", "two", password=None)
    tokens = Path(server.environ["HOME"], ".local/state/chatd-client/tokens.json")
    assert stat.S_IMODE(os.stat(tokens).st_mode) == 0o600
    tokens.unlink()
    told = chatd(server, "send", "--account", "alice", "#lobby", "three", password=None, status=Exit.USAGE)
    assert told == "chatd: password: alice has one, and there is no terminal to ask; set $CHATD_PASSWORD\n"
    told = chatd(server, "send", "--account", "alice", "#lobby", "three", password="wrong one", status=Exit.NOT_ALLOWED)
    assert "the account or the password is wrong" in told
    chatd(server, "send", "--account", "alice", "#lobby", "three")
    history = chatd(server, "history", "--nick", "reader", "#lobby")
    assert [line.split("<")[1] for line in history.splitlines()] == ["alice> one", "alice> two", "alice> three"]
    tokens.unlink()
    told = chatd(server, "send", "--nick", "alice", "#lobby", "four", password=None, status=Exit.NOT_ALLOWED)
    assert "or --account if it is yours" in told


def test_a_token_that_is_good_no_more_is_forgotten(server: Any) -> None:
    chatd(server, "send", "--account", "alice", "--register", "#lobby", "one")
    environ = server.environ
    command = [sys.executable, "-m", "chatd", "user", "passwd", "alice", "--password-stdin", "-d", str(server.data_dir)]
    subprocess.run(command, env=environ, input="another horse\n", text=True, check=True, capture_output=True)
    told = chatd(server, "send", "--account", "alice", "#lobby", "two", password=None, status=Exit.NOT_ALLOWED)
    assert "not valid any more" in told
    told = chatd(server, "send", "--account", "alice", "#lobby", "two", password=None, status=Exit.USAGE)
    assert "no terminal to ask" in told
    chatd(server, "send", "--account", "alice", "#lobby", "two", password="another horse")


def test_a_person_is_asked_and_not_shown_what_is_typed(server: Any) -> None:
    words = ["-m", "chatd", "connect", f"{server.host}:{server.port}", "--account", "alice", "--register", "--plain"]
    child = pexpect.spawn(sys.executable, words, env=server.environ, timeout=20, encoding="utf-8")
    child.expect("Password of alice: ")
    child.sendline(SECRET)
    child.expect("The same again: ")
    child.sendline(SECRET)
    child.expect("#lobby")
    child.sendline("/quit")
    child.expect(pexpect.EOF)
    assert SECRET not in (child.before or "")
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize("word", ["--register", "--invite=abc"])
def test_which_account_is_to_be_made_has_to_be_said(server: Any, word: str) -> None:
    told = chatd(server, "send", word, "#lobby", "one", status=Exit.USAGE)
    assert told == "chatd: account: which one is to be made?; name it with --account\n"


def test_an_account_is_tried_by_token_then_by_password_and_nobody_else_will_do() -> None:
    login = Login("alice", token="t", account="alice", password=SECRET)
    assert login.request().mechanism == "token"
    assert login.refused(Refused(Code.SESSION_EXPIRED, "gone")) is Verdict.AT_ONCE
    assert (login.request().mechanism, login.request().password) == ("password", SECRET)
    assert login.refused(Refused(Code.AUTH_FAILED, "wrong")) is Verdict.NEVER
    assert login.refused(Refused(Code.RATE_LIMITED, "wait")) is Verdict.LATER
    without = Login("alice", token="t", account="alice")
    assert without.refused(Refused(Code.SESSION_EXPIRED, "gone")) is Verdict.NEVER
    made = Login("alice", account="alice", password=SECRET, invite="abc")
    assert (made.request().mechanism, made.request().token) == ("invite", "abc")
    taken = Refused(Code.NICK_IN_USE, "taken", details={"suggestion": "alice2"})
    assert made.refused(taken) is Verdict.NEVER
