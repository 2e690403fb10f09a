"""People at a real server: telnet and nc as they are, through both ports."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pexpect
import pytest
from support.programs import end

Find = Callable[[str], str]
StartTelnet = Callable[..., Any]
names = (f"n{number}" for number in range(10_000))


@pytest.fixture
def room() -> str:
    """A room of this test's own, on a server that is shared."""
    return f"#{next(names)}"


@pytest.fixture
def telnet(shared_server: Any, program: Find) -> Iterator[StartTelnet]:
    """Starts a real telnet at a terminal: `telnet("tom")` has logged in, `telnet()` is still at the door."""
    path, started = program("telnet"), []

    def start(name: str = "", port: int = 0) -> Any:
        words = [shared_server.host, str(port or shared_server.line_port)]
        child = pexpect.spawn(path, words, encoding="utf-8", timeout=10, echo=False)
        started.append(child)
        child.expect_exact("Choose a username...")
        if name:
            child.sendline(name)
            child.expect_exact("You are connected to the server!")
            child.expect_exact("You are in #lobby")
        return child

    yield start
    for child in started:
        end(child)


def nc(program: Find, server: Any, port: int, text: str | bytes, *options: str) -> str:
    """What nc shows, when this was typed and its input has ended."""
    data = text.encode() if isinstance(text, str) else text
    words = [program("nc"), *options, server.host, str(port)]
    done = subprocess.run(words, input=data, capture_output=True, timeout=20, check=False)
    return done.stdout.decode().replace("\r\n", "\n")


class Talker:
    """A plain socket with a person behind it."""

    def __init__(self, server: Any, name: str, port: int = 0) -> None:
        self.socket = socket.create_connection((server.host, port or server.line_port), timeout=20)
        self.text = b""
        self.types(name)
        self.hears("You are in #lobby")

    def types(self, *lines: str) -> None:
        self.socket.sendall("".join(f"{line}\n" for line in lines).encode())

    def hears(self, *words: str) -> str:
        """All that came until each of these came, in this order."""
        heard = b""
        for word in words:
            while word.encode() not in self.text:
                more = self.socket.recv(65_536)
                assert more, f"closed before {word!r}: {self.text!r}"
                self.text += more
            end = self.text.index(word.encode()) + len(word.encode())
            heard, self.text = heard + self.text[:end], self.text[end:]
        return heard.decode()

    def __enter__(self) -> Talker:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@pytest.fixture(params=["line_port", "port"])
def port(request: pytest.FixtureRequest, shared_server: Any) -> int:
    """Both ports that people come in by."""
    number: int = getattr(shared_server, request.param)
    return number


def test_telnet_talks_to_nc(telnet: StartTelnet, shared_server: Any, program: Find, port: int, room: str) -> None:
    """A6, A7, A31, A41, A42, A43: a name, a welcome, comings, what is said in every script, and goings."""
    tom, jerry = next(names), next(names)
    child = telnet(tom, port)
    child.sendline(f"/join {room}")
    child.expect_exact(f"You are in {room}")
    told = nc(program, shared_server, port, f"{jerry}\n/join {room}\nZoë: 你好 🎉\n/me waves", "-N")
    child.expect_exact(f"*** {jerry} joined {room}")
    child.expect(r"\[\d\d:\d\d:\d\d\] " + f"<{jerry}> Zoë: 你好 🎉\r\n")
    child.expect_exact(f"* {jerry} waves")
    child.expect_exact(f"*** {jerry} left {room} (connection closed)")
    assert "Choose a username...\nYou are connected to the server!" in told
    assert told.endswith("*** Goodbye.\n")


def test_nc_hears_everything_though_it_has_said_all_at_once(shared_server: Any, program: Find, port: int) -> None:
    """`echo -e 'bob\\nhi' | nc -q1`: a half close is no goodbye; the last line needs no end."""
    name, seen = next(names), next(names)
    told = nc(program, shared_server, port, f"{name}\nfirst {seen}\n/history 2\nlast {seen}", "-q1")
    assert "You are connected to the server!" in told
    assert f"<{name}> first {seen}" in told
    assert told.endswith("*** Goodbye.\n")
    again = nc(program, shared_server, port, f"{next(names)}\n/history 2\n", "-N")
    assert f"<{name}> last {seen}" in again


def test_after_ctrl_c_telnet_shows_again_what_comes(telnet: StartTelnet, shared_server: Any, port: int) -> None:
    """RFC 860: telnet throws everything away until the timing mark is answered."""
    child = telnet(next(names), port)
    child.send("half typed")
    child.sendintr()
    child.expect_exact("To leave, type /quit")
    child.sendline("/status")
    child.expect_exact("*** You are n")
    with Talker(shared_server, next(names)) as other:
        other.types("hello again")
        child.expect_exact("> hello again")


def test_ctrl_d_leaves_telnet(telnet: StartTelnet, port: int) -> None:
    child = telnet(next(names), port)
    child.sendcontrol("d")
    child.expect_exact("*** Goodbye.")
    child.expect_exact("Connection closed by foreign host.")


def test_telnet_that_negotiates_is_answered_and_goes_on(telnet: StartTelnet) -> None:
    """What its user can ask of it: options, the timing mark, are-you-there."""
    child = telnet(next(names))
    for command, answer in (
        ("send synch", ""),
        ("send ayt", "is here."),
        ("send do echo", ""),
        ("send will naws", ""),
        ("set crlf", ""),
        ("mode character", ""),
    ):
        child.send("\x1d")
        child.expect_exact("telnet> ")
        child.sendline(command)
        if answer:
            child.expect_exact(answer)
    child.sendline("/ping")
    child.expect_exact("*** Pong")


def test_a_terminal_that_sends_cr_nul_is_understood(shared_server: Any) -> None:
    """PuTTY, and telnet in character mode."""
    with Talker(shared_server, next(names)) as tom:
        tom.socket.sendall(b"/time\r\0/ping\r\0")
        tom.hears("*** It is ", "*** Pong")


def test_a_bad_name_is_asked_again_until_it_is_a_good_one(telnet: StartTelnet, port: int) -> None:
    """A31, A33."""
    tom = next(names)
    telnet(tom)
    child = telnet(port=port)
    for bad in (tom, tom.upper(), "two words", "", "x" * 500, "admin"):
        child.sendline(bad)
        if bad:
            child.expect_exact("Try ")
        child.expect_exact("Choose a username...")
    child.sendline(next(names))
    child.expect_exact("You are connected to the server!")


def test_a_paste_of_five_hundred_lines_arrives_whole_and_in_order(shared_server: Any, port: int, room: str) -> None:
    """A1, A8, A52."""
    with Talker(shared_server, next(names)) as jerry, Talker(shared_server, next(names), port) as tom:
        jerry.types(f"/join {room}")
        jerry.hears(f"You are in {room}")
        tom.types(f"/join {room}", *(f"line {n} of the paste" for n in range(500)), "/quit bye")
        heard = jerry.hears("line 499 of the paste\r\n", "(bye)")
        said = [line.split("> ", 1)[1] for line in heard.splitlines() if " of the paste" in line]
        assert said == [f"line {n} of the paste" for n in range(500)]


def test_a_line_without_end_and_bytes_that_are_no_text(shared_server: Any, port: int) -> None:
    """A4, A6: each is told with its name, and the connection lives."""
    with Talker(shared_server, next(names), port) as tom:
        tom.socket.sendall(b"x" * 65_536)
        tom.hears("8192 bytes are allowed", "(MESSAGE_TOO_LONG)")
        tom.socket.sendall(b"\n\xc3\x28\n")
        tom.hears("(INVALID_UTF8)")
        tom.types("/ping")
        tom.hears("*** Pong")


def test_one_byte_at_a_time_is_understood(shared_server: Any, port: int) -> None:
    """A5: nothing depends on how the bytes are cut."""
    with socket.create_connection((shared_server.host, port), timeout=20) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in f"{next(names)}\r\n/ping\r\n/quit\r\n".encode():
            peer.sendall(bytes((byte,)))
        told = b"".join(iter(lambda: peer.recv(65_536), b""))
    assert b"You are connected to the server!" in told
    assert b"*** Pong" in told
    assert told.endswith(b"*** Goodbye.\r\n")


def test_half_a_name_and_a_reset_leave_no_trace(shared_server: Any, port: int) -> None:
    """A3: a peer that is gone in the middle of anything is one that is gone, and nothing in the log."""
    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    for said in (b"", b"G", b"half", b"\xff", b"\xff\xfd"):
        peer = socket.create_connection((shared_server.host, port), timeout=20)
        peer.sendall(said)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        peer.close()
    with Talker(shared_server, next(names), port) as tom:
        tom.types("/ping")
        tom.hears("*** Pong")
    assert "Traceback" not in shared_server.output()


def test_people_in_both_ports_are_in_one_room(shared_server: Any) -> None:
    """A39, A49, A55: whichever way they came, and what is for one is for one only."""
    with (
        Talker(shared_server, next(names), shared_server.port) as tom,
        Talker(shared_server, next(names)) as jerry,
    ):
        room = f"#{next(names)}"
        for one in (tom, jerry):
            one.types(f"/join {room}")
            one.hears(f"You are in {room}")
        tom.types("one", "two")
        jerry.hears("> one", "> two")
        jerry.types("three")
        tom.hears("> three")


def test_the_tutorials_client_prints_why(shared_server: Any) -> None:
    """A27: as the classic tutorial writes it: a name behind a header of ten characters, then what the server says."""

    def receive(peer: socket.socket) -> str:
        header = peer.recv(10, socket.MSG_WAITALL)
        return peer.recv(int(header.decode().strip()), socket.MSG_WAITALL).decode()

    with socket.create_connection((shared_server.host, shared_server.port), timeout=20) as peer:
        name = b"tom"
        peer.sendall(f"{len(name):<10}".encode() + name)
        assert receive(peer) == "chatd"
        assert "telnet" in receive(peer)
        assert peer.recv(10) == b""


def test_silence_is_greeted_on_the_port_for_everyone_and_at_once_on_the_line_port(shared_server: Any) -> None:
    """PROTOCOL.md section 1: 0.8 s without a byte is a person."""
    waited = {}
    for name in ("line_port", "port"):
        began = time.monotonic()
        with socket.create_connection((shared_server.host, getattr(shared_server, name)), timeout=20) as peer:
            assert peer.recv(1000).startswith(b"Welcome to ")
        waited[name] = time.monotonic() - began
    assert waited["line_port"] < 0.5
    assert 0.7 < waited["port"] < 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("curl", "-sS", "http://{place}/elsewhere"), "there is nothing here"),
        (("curl", "-sS", "--data-binary", "@-", "http://{place}/"), "is too large"),
        (("curl", "-sSk", "https://{place}/"), "handshake"),
        (("ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-p", "{port}", "x@{host}"), "This is chatd"),
    ],
)
def test_programs_for_other_protocols_are_told_in_their_own(
    shared_server: Any, program: Find, words: tuple[str, ...], told: str
) -> None:
    place = {"host": shared_server.host, "port": shared_server.port}
    place["place"] = "{host}:{port}".format(**place)
    command = [program(words[0]), *(word.format(**place) for word in words[1:])]
    done = subprocess.run(command, capture_output=True, input=b"x" * 1_000_000, timeout=20, check=False)
    assert told in (done.stdout + done.stderr).decode(errors="replace")


def test_the_kernel_finds_the_dead(shared_server: Any) -> None:
    """A44: keepalive, no delay, on connections of people; seen from outside, if the machine shows it."""
    with Talker(shared_server, next(names), shared_server.port) as tom:
        mine, host = tom.socket.getsockname()[1], shared_server.host
        try:
            words = ["ss", "-tnoH", f"src {host} and dst {host} and dport = :{mine}"]
            shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        except (FileNotFoundError, subprocess.CalledProcessError):
            pytest.skip("no ss on this machine")
        assert "keepalive" in shown
