"""SIGHUP while people are here: real processes, a settings file that is changed, and what the log says of it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.crowd import Wire

COMMANDS = pytest.mark.parametrize("command", ["serve", "twistd", "twistd asyncio"])
STRICT = "[limits]\ntrusted_networks = []\n"


class Operator:
    """Changes the settings file of a server, tells the server, and reads its log."""

    def __init__(self, server: Any, path: Path) -> None:
        self.server, self.path = server, path

    def change(self, text: str | bytes | None) -> list[str]:
        """Write the file, or take it away; what the server says after the signal."""
        if text is None:
            self.path.unlink()
        else:
            self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.signal()

    def signal(self) -> list[str]:
        before = len(self.server.output())
        os.kill(self.server.pid, signal.SIGHUP)
        wait_for(lambda: "settings " in self.server.output()[before:])
        with self.call() as caller:
            caller.ask("hello", versions=[1])  # a turn later all is said
        lines = self.server.output()[before:].splitlines()
        return [line for line in lines if "connected" not in line]

    def call(self) -> Wire:
        return Wire(("127.0.0.1", self.server.port))


def wait_for(is_so: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


Begin = Callable[..., Operator]


@pytest.fixture
def begin(start_server: Any, tmp_path: Path) -> Begin:
    """Starts a server with these words in its settings file."""

    def start(text: str = "", *options: str, **more: Any) -> Operator:
        path = tmp_path / "chatd.toml"
        path.write_text(text)
        server = start_server(f"--config={path}", *options, **more)
        wait_for(lambda: "can join" in server.output())  # the last of what is said at the start
        return Operator(server, path)

    return start


# -- what changes ---------------------------------------------------------------------------------------------


@COMMANDS
def test_limits_and_welcome_change_for_those_who_are_here_too(begin: Begin, command: str) -> None:
    """One line says what changed; who was here goes by it, and who comes is told."""
    operator = begin('[limits]\nbody_bytes = 100\n[server]\nmotd = "old"\n', command=command)
    with operator.call() as tom, operator.call() as late:
        tom.enter("tom", "#lobby")
        assert tom.ask("send", room="#lobby", body="x" * 150)["error"]["details"]["value"] == 100
        [line] = operator.change('[limits]\nbody_bytes = 200\n[server]\nmotd = "new\\nhere"\n')
        assert line.endswith('settings read again: server.motd "old" -> "new\\nhere", limits.body_bytes 100 -> 200'), (
            line
        )
        assert tom.ask("send", room="#lobby", body="x" * 150)["ok"]
        assert tom.ask("send", room="#lobby", body="x" * 201)["error"]["details"]["value"] == 200
        told = late.ask("hello", versions=[1])
        assert (told["motd"], told["limits"]["body_bytes"], told["limits"]["body"]) == ("new\nhere", 200, 200)
    assert operator.signal()[0].endswith("settings read again: nothing changed")


def test_rates_hold_from_the_next_message_on_and_what_was_used_stays_used(begin: Begin) -> None:
    operator = begin(STRICT + "messages_burst = 1000\nmessages_per_second = 0.01\n")
    with operator.call() as tom:
        tom.enter("tom", "#lobby")
        assert all(tom.ask("send", room="#lobby", body="x")["ok"] for _ in range(5))
        operator.change(STRICT + "messages_burst = 7\nmessages_per_second = 0.01\n")
        assert [tom.ask("send", room="#lobby", body="x")["ok"] for _ in range(3)] == [True, True, False]
        operator.change("")  # loopback is trusted again
        assert all(tom.ask("send", room="#lobby", body="x")["ok"] for _ in range(50))


def test_the_log_changes_its_manner(begin: Begin) -> None:
    operator = begin()
    [line] = operator.change('[log]\nformat = "json"\n')
    assert json.loads(line)["changes"] == 'log.format "text" -> "json"'
    before = len(operator.server.output())
    operator.path.write_text('[log]\nlevel = "error"\n')
    os.kill(operator.server.pid, signal.SIGHUP)
    with operator.call() as tom:
        tom.enter("zebedee")
        tom.ask("quit")
    [line] = operator.change("[server]\nport = []\n")
    assert "error: settings stay as they are: setting server.port" in line
    assert "zebedee" not in operator.server.output()[before:]


def test_twistds_own_log_is_left_to_twistd(begin: Begin) -> None:
    lines = begin(command="twistd").change('[log]\nlevel = "debug"\n')
    assert lines[1].endswith("log.level does nothing here: twistd's log has options of its own")


# -- what does not --------------------------------------------------------------------------------------------


@COMMANDS
def test_what_needs_a_restart_is_said_by_name(begin: Begin, command: str) -> None:
    operator = begin("[server]\nready_file = 'a'\n", command=command)
    lines = operator.change(
        '[server]\nline_port = 9\ninterface = "::1"\nmotd = "x"\n[journal]\ndurability = "normal"\n'
    )
    assert lines[0].endswith('settings read again: server.motd "" -> "x"')
    said = [line.partition("server.")[2] or line.partition("journal.")[2] for line in lines[1:]]
    file = operator.path
    assert said == [
        f'interface needs a restart: still "localhost", {file} says "::1"',
        f'durability needs a restart: still "fsync", {file} says "normal"',
    ]
    with operator.call() as tom:
        told = tom.ask("hello", versions=[1])
        assert (told["durability"], told["motd"]) == ("fsync", "x")
    assert operator.change('[journal]\ndurability = "normal"\n')[1].endswith(f'still "fsync", {file} says "normal"')
    assert len(operator.change("")) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("what is this\n", "settings file {file}: is not TOML"),
        (b"\xff\xfe", "settings file {file}: is not TOML"),
        ("[limits]\nbody_byte = 1\n", "there is no setting [limits] body_byte; did you mean [limits] body_bytes?"),
        (
            "[limits]\nbody_bytes = 1\n",
            "setting limits.body_bytes in {file}: 1 will not do, it takes a whole number >= 64",
        ),
        ("[limits]\nidle_seconds = 99\n", "setting limits.idle_seconds: 99.0 is not below limits.dead_seconds"),
        ('[journal]\nurl = "mysql:"\n', "there is no such kind of journal"),
        ('[server]\ninterface = "example.org"\n', "this is not an IP address"),
        (None, "settings file {file}: cannot be read (No such file or directory)"),
    ],
)
def test_a_bad_file_changes_nothing_and_is_told_in_one_line(begin: Begin, text: Any, told: str) -> None:
    """As `chatd config check` would tell it; and a good one counts again afterwards."""
    operator = begin('[server]\nmotd = "old"\n')
    good = '[server]\nmotd = "new"\n'
    bad = text if text is None or isinstance(text, bytes) else good + text.removeprefix("[server]\n")
    [line] = operator.change(bad)
    assert "error: settings stay as they are: " in line
    assert told.format(file=operator.path) in line
    with operator.call() as tom:
        assert tom.ask("hello", versions=[1])["motd"] == "old"
    [line] = operator.change(good)
    assert line.endswith('server.motd "old" -> "new"')


# -- the signal -----------------------------------------------------------------------------------------------


@COMMANDS
def test_a_burst_of_signals_is_one(begin: Begin, command: str) -> None:
    operator = begin(command=command)
    os.kill(operator.server.pid, signal.SIGSTOP)
    for _ in range(50):
        os.kill(operator.server.pid, signal.SIGHUP)
    os.kill(operator.server.pid, signal.SIGCONT)
    wait_for(lambda: "nothing changed" in operator.server.output())
    for _ in range(200):  # some come while an earlier one is taken up
        os.kill(operator.server.pid, signal.SIGHUP)
    with operator.call() as tom:
        tom.enter("tom", "#lobby")
        assert tom.ask("send", room="#lobby", body="x")["ok"]
    assert operator.server.output().count("settings read again") < 100


def takes_hangups(pid: int) -> bool:
    """Whether a process has said what SIGHUP is to do (proc(5), SigCgt)."""
    with contextlib.suppress(FileNotFoundError):
        status = Path(f"/proc/{pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) & 1 << (signal.SIGHUP - 1))
    return False


@pytest.mark.parametrize("command", ["serve", "twistd"])
def test_a_signal_while_starting_or_stopping_does_no_harm(start_server: Any, command: str) -> None:
    server = start_server(command=command, until="spawned")
    wait_for(lambda: takes_hangups(server.pid))
    os.kill(server.pid, signal.SIGHUP)
    wait_for(server.is_ready)
    wait_for(lambda: "settings read again: nothing changed" in server.output())
    server.process.terminate()
    while server.process.poll() is None:
        os.kill(server.pid, signal.SIGHUP)
    assert server.process.returncode == (0 if command == "serve" else -signal.SIGTERM)


STOPS = """
import signal, time
from twisted.internet import reactor
from chatd.reload import Hangup

until = time.monotonic() + 3
while time.monotonic() < until:
    Hangup(reactor, reload=lambda: None, stop=lambda: None)._ignore()
"""


def test_a_signal_at_the_very_moment_of_the_stop_prints_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", STOPS], stderr=subprocess.PIPE) as process:
        wait_for(lambda: takes_hangups(process.pid))
        while process.poll() is None:
            os.kill(process.pid, signal.SIGHUP)
        assert process.stderr is not None
        assert (process.returncode, process.stderr.read()) == (0, b"")


def test_systemd_sees_the_reload(start_server: Any, tmp_path: Path) -> None:
    """Type=notify-reload and Type=notify alike: systemd.service(5), sd_notify(3)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        server = start_server(environ={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert systemd.recv(99) == b"READY=1"
        asked = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        os.kill(server.pid, signal.SIGHUP)
        began, _, at = systemd.recv(99).decode().partition("\nMONOTONIC_USEC=")
        assert began == "RELOADING=1"
        assert int(at) >= asked
        assert systemd.recv(99) == b"READY=1"


@pytest.mark.parametrize("command", ["serve", "twistd"])
def test_who_closes_the_terminal_ends_the_server(start_server: Any, command: str) -> None:
    """The kernel sends SIGHUP then too; a signal by hand in the same terminal is a reload."""
    server = start_server(command=command, until="made")
    server.folder.mkdir(exist_ok=True)
    ours, theirs = pty.openpty()
    spawn = subprocess.Popen

    def join_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    def in_terminal(words: list[str], **more: Any) -> subprocess.Popen[bytes]:
        return spawn(words, **(more | {"stdin": theirs}), preexec_fn=join_terminal)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subprocess, "Popen", in_terminal)
        server.start()
    os.close(theirs)
    os.kill(server.pid, signal.SIGHUP)
    wait_for(lambda: "settings read again" in server.output())
    os.close(ours)
    assert server.process.wait(10) == 0
    assert not server.ready_file.exists()
