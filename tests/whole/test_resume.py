"""Coming back with nc and telnet: cut off at any moment, by any end of the server, while four others talk on.

What a person has read is what was acknowledged when the connection was cut. To know that to the byte, the server is
stopped (SIGSTOP) while the cut is made.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.crowd import LineWire, Wire
from support.talkers import Talkers, told_by

Extent = Callable[[int, int], int]
WORD = re.compile(r"/resume ([a-z]+-[a-z]+-[0-9]{4})\r?$", re.MULTILINE)
SAID = re.compile(r"<s\d> (s\d-\d+)\r?\n")
TWICE = "may come twice"


class Reader:
    """A person's terminal over many connections: `screen` is all that was ever shown on it."""

    def __init__(self, server: Any, port: int) -> None:
        self.server, self.port = server, port
        self.screen = self.word = ""
        self.socket: socket.socket | None = None

    def connect(self, first: str, *, buffer: int = 0) -> None:
        """Come in with this first line, and read the welcome."""
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(20)
        self.socket.connect((self.server.host, self.port))
        self.socket.sendall(first.encode() + b"\n")
        before = len(self.screen)
        while not WORD.search(self.screen, before):
            self.take(self.socket.recv(65536))
        self.word = WORD.findall(self.screen)[-1]

    def take(self, data: bytes) -> None:
        assert data, f"closed after {self.screen[-200:]!r}"
        self.screen += data.decode()

    def read_for(self, seconds: float) -> None:
        """Read what comes in this time."""
        assert self.socket is not None
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                self.take(self.socket.recv(65536))
            except TimeoutError:
                return

    def cut(self, *, unread: bool = False) -> None:
        """Reset the connection, with nothing acknowledged that has not been read. `unread`: while the peer's window is
        full, so that more was sent than acknowledged."""
        wire = self.socket
        assert wire is not None
        if unread:
            time.sleep(0.5)
        os.kill(self.server.pid, signal.SIGSTOP)
        try:
            time.sleep(0.08)  # an acknowledgement may be delayed by 40 ms
            wire.setblocking(False)
            if unread:  # looked at, and not taken out: a window that opens would let in more
                self.take(wire.recv(1 << 20, socket.MSG_PEEK))
            else:
                self.drain(wire)
            self.hang_up(wire)
        finally:
            os.kill(self.server.pid, signal.SIGCONT)

    def drain(self, wire: socket.socket) -> None:
        while True:
            try:
                self.take(wire.recv(1 << 20))
            except BlockingIOError:
                return

    def hang_up(self, wire: socket.socket) -> None:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()
        self.screen = self.screen[: self.screen.rfind("\n") + 1]  # half a line is no line

    def read_out(self) -> None:
        """Read to the end that the server makes."""
        assert self.socket is not None
        self.socket.settimeout(20)
        with contextlib.suppress(ConnectionResetError):
            while data := self.socket.recv(65536):
                self.screen += data.decode()
        self.hang_up(self.socket)

    def bodies(self) -> list[str]:
        return SAID.findall(self.screen)


def caught_up(reader: Reader, server: Any, room: str) -> list[str]:
    """All that is in the room, once the reader has been shown the last of it."""
    with Wire((server.host, server.port)) as wire:
        wire.enter("judge", room)
        said = [body for body in told_by(wire, room) if re.fullmatch(r"s\d-\d+", body)]
    end = time.monotonic() + 20
    while time.monotonic() < end and (not reader.bodies() or reader.bodies()[-1] != said[-1]):
        reader.read_for(0.1)
    if reader.socket is not None:
        reader.socket.close()
    return said


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("port", ["line_port", "port"])
def test_cut_off_again_and_again_every_line_is_read_once_and_in_order(
    start_server: Any, extent: Extent, port: str
) -> None:
    """A10: replay and live meet without hole or overlap, and what was not acknowledged is shown again."""
    server = start_server()
    chance = random.Random(11)
    with Talkers((server.host, server.port), "#lobby", 4, 0.005) as talkers:
        reader = Reader(server, getattr(server, port))
        reader.connect("reader", buffer=2048)
        for n in range(extent(8, 100)):
            reader.read_for(chance.uniform(0, 0.5))
            reader.cut(unread=n % 2 == 0)
            time.sleep(chance.uniform(0, 0.3))
            reader.connect(f"/resume {reader.word}", buffer=2048)
        reader.read_for(0.3)
        talkers.hush()
        said = caught_up(reader, server, "#lobby")
    start = said.index(reader.bodies()[0])
    assert reader.bodies() == said[start:]
    assert TWICE not in reader.screen


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("reads", [True, False], ids=["reading", "not-reading"])
def test_a_server_that_is_stopped_knows_where_everybody_was(start_server: Any, extent: Extent, reads: bool) -> None:
    """Whoever was told of the end goes on after the last line, and who did not read after what had come."""
    server = start_server()
    with Talkers((server.host, server.port), "#lobby", 4, 0.005) as talkers:
        reader = Reader(server, server.line_port)
        reader.connect("reader", buffer=2048)
        for _ in range(extent(2, 20)):
            reader.read_for(0.3)
            if reads:
                stopping = threading.Thread(target=server.stop)
                stopping.start()
                reader.read_out()
                stopping.join()
            else:
                time.sleep(0.5)
                server.stop()
                reader.read_out()
            server.restart()
            reader.connect(f"/resume {reader.word}", buffer=2048)
        reader.read_for(0.3)
        talkers.hush()
        said = caught_up(reader, server, "#lobby")
    start = said.index(reader.bodies()[0])
    assert reader.bodies() == said[start:]
    assert TWICE not in reader.screen


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_after_kill_9_nothing_is_missing_and_little_comes_twice(start_server: Any, extent: Extent) -> None:
    """What was shown in the last seconds comes again, and that is told; all else is read once."""
    server = start_server()
    with Talkers((server.host, server.port), "#lobby", 4) as talkers:
        reader = Reader(server, server.line_port)
        reader.connect("reader")
        for _ in range(extent(2, 50)):
            reader.read_for(random.uniform(0.5, 3))
            server.kill9()
            assert reader.socket is not None
            reader.socket.setblocking(False)
            with contextlib.suppress(OSError, AssertionError):  # it has ended
                reader.drain(reader.socket)
            reader.hang_up(reader.socket)
            before = reader.bodies()
            mark = len(reader.screen)
            server.restart()
            reader.connect(f"/resume {reader.word}")
            reader.read_for(0.5)
            assert TWICE in reader.screen[mark:]
            again = SAID.findall(reader.screen[mark:])
            twice = before[before.index(again[0]) :] if again[0] in before else []
            assert again[: len(twice)] == twice
            assert len(twice) < 4 / 0.02 * 4  # at most what the talkers say in four seconds
            reader.screen = "".join(f"<s0> {body}\n" for body in before + again[len(twice) :])
        talkers.hush()
        said = caught_up(reader, server, "#lobby")
    start = said.index(reader.bodies()[0])
    assert reader.bodies() == said[start:]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_script_that_says_where_it_was_is_exact_through_kill_9(
    start_server: Any, program: Any, extent: Extent
) -> None:
    """With nothing but nc and /json on: every event has its room and number."""
    server = start_server()
    nc = program("nc")
    heard: list[tuple[int, str]] = []
    word = ""
    with Talkers((server.host, server.port), "#lobby", 4) as talkers:
        for n in range(extent(4, 50)):
            first = f"/resume {word} #lobby {heard[-1][0] if heard else 0}" if word else "script"
            command = [nc, server.host, str(server.port)]
            script = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert script.stdin is not None
            assert script.stdout is not None
            script.stdin.write(f"/json on\n{first}\n")
            script.stdin.flush()
            end = time.monotonic() + random.uniform(0.3, 1.5)
            for line in script.stdout:
                if line.startswith("{"):
                    event = json.loads(line)
                    word = event.get("word", word)
                    if event.get("type") == "message":
                        heard.append((event["seq"], event["body"]))
                if n < extent(4, 50) - 1 and time.monotonic() > end and word and heard:
                    server.kill9()
                    break
                if n == extent(4, 50) - 1 and time.monotonic() > end:
                    break
            script.kill()
            script.communicate()
            if server.process.poll() is not None:
                server.restart()
        talkers.hush()
    assert [seq for seq, _ in heard] == list(range(heard[0][0], heard[0][0] + len(heard)))
    with Wire((server.host, server.port)) as wire:
        wire.enter("judge", "#lobby")
        said = told_by(wire, "#lobby")
    assert [body for _, body in heard] == said[heard[0][0] - 1 : heard[-1][0]]


def test_a_word_piped_into_nc_tells_what_was_missed(server: Any, program: Any) -> None:
    """`printf '/resume …\\n' | nc`, through the port that everyone can join."""
    with LineWire((server.host, server.line_port)) as tom, LineWire((server.host, server.line_port)) as jerry:
        jerry.enter("jerry")
        tom.say("tom")
        word = WORD.findall(tom.until("/resume"))[0]
        tom.until("You are in #lobby")
        tom.say("/quit")
        tom.until("Goodbye")
        jerry.until("tom left")
        jerry.say("you missed this")
        jerry.say("/ping")
        jerry.until("Pong")
        command = [program("nc"), "-q", "3", server.host, str(server.port)]
        told = subprocess.run(
            command, input=f"/resume {word}\n", capture_output=True, text=True, timeout=20, check=True
        )
    assert "Your name is tom." in told.stdout
    assert told.stdout.count("<jerry> you missed this") == 1
    assert "Choose a username" not in told.stdout.split("Your name is tom.")[1]


def test_with_telnet_one_comes_back_by_typing_the_word(server: Any, program: Any) -> None:
    import pexpect

    def dial() -> Any:
        return pexpect.spawn(program("telnet"), [server.host, str(server.line_port)], timeout=10, encoding="utf-8")

    with LineWire((server.host, server.line_port)) as jerry:
        jerry.enter("jerry")
        tom = dial()
        tom.expect_exact("Choose a username...")
        tom.sendline("tom")
        tom.expect(r"/resume ([a-z]+-[a-z]+-\d{4})")
        word = tom.match.group(1)
        tom.expect_exact("You are in #lobby")
        tom.kill(signal.SIGKILL)  # the window is closed
        tom.wait()
        jerry.until("tom left")
        jerry.say("meanwhile")
        tom = dial()
        tom.expect_exact("Choose a username...")
        tom.sendline(f"/resume {word}")
        tom.expect_exact("you missed 1 message")
        tom.expect_exact("<jerry> meanwhile")
        tom.sendline("/quit")
        tom.expect_exact("Goodbye")
        tom.close()
