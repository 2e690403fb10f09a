"""What the documents show as programs, settings, commands and conversations is run, or at least read, for real."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import socket
import struct
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Self

import msgspec
import pexpect
import pytest
from pexpect.popen_spawn import PopenSpawn
from support.pages import TREE, Block, blocks, page

from chatd import cli
from chatd.cli import COMMANDS
from chatd.client.profiles import _File as Profiles
from chatd.client.slash import SLASHES
from chatd.errors import Exit
from chatd.protocols.line_commands import VERBS

RUN_SECONDS = 30

PROGRAMS = blocks("python")


def placed(text: str, server: Any) -> str:
    """The program with the server of the test in the place of the usual one."""
    return text.replace("localhost:1234", f"127.0.0.1:{server.port}").replace(
        '("localhost", 1234)', f'("127.0.0.1", {server.port})'
    )


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_every_program_can_be_read(block: Block) -> None:
    compile(block.text, block.page, "exec")


@pytest.mark.parametrize("block", [one for one in PROGRAMS if one.comment.startswith("the same as")], ids=str)
def test_examples_are_shown_as_they_are(block: Block) -> None:
    assert block.text == (TREE / block.comment.removeprefix("the same as ")).read_text(encoding="utf-8")


@pytest.mark.parametrize("block", [one for one in PROGRAMS if one.comment == "runs to its end"], ids=str)
def test_programs_run(block: Block, server: Any) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", placed(block.text, server)],
        env=server.environ,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "'ok': False" not in ran.stdout


@pytest.mark.parametrize("block", [one for one in PROGRAMS if one.comment == "runs: a bot"], ids=str)
def test_bots_answer(block: Block, server: Any) -> None:
    """The ten lines of the README, and somebody with telnet who talks to them."""
    assert len(block.text.split("\n\n")[-1].splitlines()) + block.text.count("\n") <= 15
    bot = subprocess.Popen([sys.executable, "-c", placed(block.text, server)], env=server.environ)
    try:
        with Telephone(server.line_port) as tom:
            tom.hear("Choose a username...")
            tom.say("tom")
            tom.hear("You are connected to the server!")
            while "parrot" not in tom.heard:
                tom.say("/names")
                tom.hear("In #lobby")
                tom.hear("tom\r\n")
            tom.say("hello")
            assert "<parrot> tom said: hello" in tom.hear("said: hello")
    finally:
        bot.terminate()
        bot.wait(RUN_SECONDS)


@pytest.mark.parametrize("block", [one for one in PROGRAMS if one.comment == "runs with a keyboard"], ids=str)
def test_what_is_typed_is_said(block: Block, server: Any) -> None:
    with Telephone(server.line_port) as tom:
        tom.say("tom")
        tom.hear("nobody else is here yet.")
        words = ["-c", placed(block.text, server)]
        program = pexpect.spawn(sys.executable, words, env=server.environ, encoding="utf-8", timeout=RUN_SECONDS)
        tom.hear("jerry joined #lobby")
        tom.say("hello")
        program.expect_exact("tom > hello")
        program.sendline("hello tom")
        tom.hear("<jerry> hello tom")
        program.sendeof()
        tom.hear("jerry left #lobby")
        program.expect(pexpect.EOF)
        program.close()
        assert program.exitstatus == 0


class Telephone:
    """A line connection: says lines, and hears until it has heard something."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=RUN_SECONDS)
        self.said: set[str] = set()
        self.heard = ""
        self._place = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, line: str) -> None:
        self.said.add(line)
        self._socket.sendall(line.encode() + b"\n")

    def hear(self, words: str) -> str:
        """What has come since the last time, up to these words."""
        while (found := self.heard.find(words, self._place)) < 0:
            chunk = self._socket.recv(65536)
            assert chunk, f"closed without {words!r}: {self.heard}"
            self.heard += chunk.decode()
        start, self._place = self._place, found + len(words)
        return self.heard[start : self._place]


class Terminal:
    """Somebody with `chatd connect`."""

    def __init__(self, nick: str, server: Any) -> None:
        words = [sys.executable, "-m", "chatd", "connect", f"127.0.0.1:{server.port}", "--nick", nick]
        self._start = lambda: PopenSpawn(words, env=server.environ, encoding="utf-8", timeout=RUN_SECONDS)
        self._program: Any = None
        self.said: set[str] = set()
        self.heard = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._program is not None:
            self._program.sendeof()
            self._program.wait()
            self._program.proc.stdout.close()

    def come(self) -> None:
        self._program = self._start()

    def say(self, line: str) -> None:  # what one types stays in the line below, and comes back as it was said
        self._program.sendline(line)

    def hear(self, words: str) -> None:
        self._program.expect_exact(words)
        self.heard += self._program.before + self._program.after


def test_the_windows_of_the_readme_are_real(server: Any) -> None:
    """Three people say again what they said there, and see again what they saw."""
    with Telephone(server.port) as alice, Telephone(server.port) as bob, Terminal("tom", server) as tom:
        alice.hear("Choose a username...")
        alice.say("alice")
        alice.hear("nobody else is here yet.")
        bob.hear("Choose a username...")
        bob.say("Alice")
        bob.hear("Choose a username...")
        bob.say("bob")
        bob.hear("1 other here.")
        alice.hear("bob joined #lobby")
        alice.say("hello, is anybody here?")
        bob.hear("hello, is anybody here?")
        tom.come()
        tom.hear("3 people are here")
        alice.hear("tom joined #lobby")
        bob.hear("tom joined #lobby")
        tom.say("I am, and I saw what you said before I came")
        alice.hear("before I came")
        bob.hear("before I came")
        bob.say("/me waves")
        alice.hear("* bob waves")
        bob.say("/msg tom psst")
        tom.hear("-bob- psst")
        alice.say("/history 4")
        alice.hear("3 ")
        alice.say("/quit good night")
        tom.hear("(good night)")
        bob.hear("(good night)")
        alice.hear("Goodbye.")
        for name, window in (("alice", alice), ("bob", bob), ("tom", tom)):
            heard = window.heard.replace(f"127.0.0.1:{server.port}", "localhost:1234")
            assert [timeless(line) for line in heard.splitlines()] == shown(name, window)


def shown(name: str, window: Telephone | Terminal) -> list[str]:
    """What the README shows of somebody's window, without what the programs themselves say."""
    [block] = [one for one in blocks("console") if (one.page, one.comment) == ("README.md", name)]
    programs = ("$ ", "Trying ", "Connected to ", "Escape character ", "Connection closed by ")
    lines = [line for line in block.text.splitlines() if not line.startswith(programs)]
    assert window.said <= set(lines), f"{name} typed more than is shown"
    return [timeless(line) for line in lines if line not in window.said]


def timeless(line: str) -> str:
    """A line without what differs from time to time: the time, and the word to come back with."""
    line = re.sub(r"\[\d\d:\d\d:\d\d\]", "[time]", line)
    return re.sub(r"/resume [a-z]+-[a-z]+-\d{4}", "/resume WORD", line)


@pytest.mark.parametrize("block", [one for one in blocks("") if one.comment == "a conversation"], ids=str)
def test_conversations_are_as_they_are_shown(block: Block, server: Any) -> None:
    with socket.create_connection((server.host, server.port), timeout=RUN_SECONDS) as caller:
        stream = caller.makefile("rb")
        for line in block.text.splitlines():
            if line.startswith("> "):
                blob = line[2:].encode()
                caller.sendall(struct.pack("!I", len(blob)) + blob)
            else:
                (length,) = struct.unpack("!I", stream.read(4))
                assert is_like(readable(line[2:]), json.loads(stream.read(length))), line


def readable(shown: str) -> Any:
    """The object that is shown, with `…` for whatever else it has."""
    return json.loads(re.sub(r"(?<=, )…(?=\})", '"…": "…"', shown))


def is_like(shown: Any, real: Any) -> bool:
    """Whether the object is as it is shown, where it is."""
    if isinstance(shown, str) and "…" in shown:
        return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), str(real)) is not None
    if not isinstance(shown, dict):
        return bool(shown == real)
    has_more = "…" in shown
    keys = [key for key in shown if key != "…"]
    return (has_more or set(keys) == set(real)) and all(key in real and is_like(shown[key], real[key]) for key in keys)


# -- settings and commands ------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_settings_that_are_shown_are_right(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "shown.toml"
    path.write_text(block.text)
    if "client.toml" in block.text:
        msgspec.convert(tomllib.loads(block.text), Profiles)
    else:
        assert cli.main(["config", "check", str(path)]) == Exit.OK


SHELL = [(block.page, line) for block in blocks("sh", "console") for line in block.text.splitlines()]


@pytest.mark.parametrize(("name", "line"), [one for one in SHELL if "chatd" in one[1]])
def test_commands_that_are_shown_exist(name: str, line: str) -> None:
    for found in re.finditer(r"(?:^|[\s/(])(twistd -n chatd|chatd (\w+))((?: [^|&#>]|#\w)*)", line):
        command = found[2] or "serve"
        if command == "chatd":
            continue
        assert command in COMMANDS, line
        with contextlib.suppress(ValueError):
            options = [word.partition("=")[0] for word in shlex.split(found[3]) if word.startswith("--")]
            assert set(options) <= known_options(command), line


@cache
def known_options(command: str) -> frozenset[str]:
    told = subprocess.run(
        [sys.executable, "-m", "chatd", command, "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    return frozenset(re.findall(r"--[a-z][a-z-]+", told.stdout))


def test_the_readme_and_the_check_run_the_same() -> None:
    """The check takes the test command out of the README; it is the second one there, and installs what it needs."""
    check = page(".ci/run")
    assert "README.md" in check
    lines = [line for one in blocks("sh") if one.page == "README.md" for line in one.text.splitlines()]
    start, tests = lines
    assert "pip install . " in start
    assert start.endswith("twistd -n chatd --port 1234")
    assert "pytest" in tests
    extra = re.findall(r"pip install '\.\[(\w+)\]'", tests)
    assert extra
    assert all(re.search(rf"^{name} =$", page("setup.cfg"), re.MULTILINE) for name in extra)


GUIDE = [line for one in blocks("") if one.page == "docs/how-to/talk.md" for line in one.text.splitlines()]


@pytest.mark.parametrize("line", GUIDE)
def test_what_the_guide_for_people_says_can_be_typed(line: str, server: Any) -> None:
    """The same for the line port and for the client; the words after three blanks say what comes of it."""
    typed = line.split("   ")[0]
    word = typed.partition(" ")[0].removeprefix("/")
    assert word in VERBS
    assert word in SLASHES
    with socket.create_connection((server.host, server.line_port), 10) as person, person.makefile("rwb") as lines:
        lines.write(f"ann\n/join #gardening\nred tulips\n{typed.replace('41', '1')}\n/quit\n".encode())
        lines.flush()
        heard = lines.read().decode()
    assert not re.search(r"\([A-Z_]+\)", heard), heard
    assert "There is no /" not in heard
