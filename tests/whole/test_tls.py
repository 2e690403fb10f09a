"""TLS on a real server: the port that everyone can join, ports of its own, certificates that change, bad company."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.crowd import Wire
from support.pair import Pair
from support.web import ask, enter, web

from chatd.errors import Exit

openssl = pytest.mark.skipif(not shutil.which("openssl") and not os.environ.get("CI"), reason="there is no openssl")


def chatd(server: Any, *words: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "chatd", *words]
    ran = subprocess.run(
        command, env=server.environ, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL
    )
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def with_certificate(server: Any, *names: str) -> str:
    """Make one for a server that does not run yet; its fingerprint."""
    told = chatd(server, "cert", "init", *names, "--data-dir", str(server.data_dir))
    return re.findall(r"SHA256:[0-9a-f]{64}", told)[0]


@pytest.fixture
def server(start_server: Any) -> Any:
    """One with a certificate, and a line port that is for TLS only."""
    made = start_server("--line-port=tls:0", until="made")
    made.fingerprint = with_certificate(made, "localhost", "chat.example.org")
    return made.start()


def trusting(server: Any) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.data_dir / "tls/own.pem"))


class TlsWire(Wire):
    """A framed connection inside TLS."""

    def __init__(self, server: Any, *, name: str = "localhost") -> None:
        super().__init__((server.host, server.port))
        self.socket = trusting(server).wrap_socket(self.socket, server_hostname=name)


def test_a_browser_comes_by_https_and_wss_on_the_same_port(server: Any) -> None:
    with web(server, ssl=trusting(server)) as ann, TlsWire(server) as bob:
        enter(ann, "ann", "#lobby")
        bob.enter("bob", "#lobby")
        large = "x" * 8000  # more than one record of TLS takes, both ways
        for n in range(20):
            assert ask(ann, "send", room="#lobby", body=f"{n}{large}")["seq"] == n + 1
        assert [bob.until("message")["seq"] for _ in range(20)] == list(range(1, 21))
    url = f"https://localhost:{server.port}/healthz"
    with urllib.request.urlopen(url, context=trusting(server), timeout=20) as answer:
        assert answer.read() == b"ok\n"


def shown(server: Any, name: str) -> bytes:
    """The certificate that a peer is shown who asks for this name."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection((server.host, server.port), 10)
    with plain, context.wrap_socket(plain, server_hostname=name) as wire:
        return wire.getpeercert(binary_form=True) or b""


def test_the_key_is_for_its_user_only_and_is_not_written_over(server: Any) -> None:
    path = server.data_dir / "tls/own.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    told = chatd(server, "cert", "init", "--data-dir", str(server.data_dir), status=Exit.DISK)
    assert "is there already" in told
    assert server.fingerprint in chatd(server, "cert", "show", "--data-dir", str(server.data_dir))
    assert server.fingerprint in server.output()
    assert "PRIVATE" not in server.output()


def test_everybody_meets_on_one_port_encrypted_or_not(server: Any) -> None:
    with TlsWire(server) as ann, Wire((server.host, server.port)) as ben:
        ann.enter("ann", "#lobby")
        ben.enter("ben", "#lobby")
        ann.ask("send", room="#lobby", body="from inside")
        assert ben.until("message")["body"] == "from inside"
        bodies = [f"{n} " + "x" * 8000 for n in range(200)]
        ben.send(*({"type": "send", "id": f"{n}", "room": "#lobby", "body": body} for n, body in enumerate(bodies)))
        assert [ann.until("message")["body"] for _ in bodies] == bodies
        assert ann.socket.version() in ("TLSv1.2", "TLSv1.3")


@openssl
def test_openssl_talks_through_the_port_that_everyone_can_join(server: Any) -> None:
    """As a person, by what is typed and by silence; and on the line port that is for TLS only."""
    for port, words in ((server.port, b"bob\nhello\n/quit\n"), (server.port_of("line"), b"tim\nhello\n/quit\n")):
        command = ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{port}"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            if port == server.port:
                assert child.stdout.readline() == b"Welcome to chatd.\r\n", "after a silence"
            child.stdin.write(words)
            child.stdin.flush()
            heard = child.stdout.read()
        assert b"You are connected to the server!" in heard
        assert b"Goodbye" in heard


def test_the_client_talks_by_fingerprint_and_by_authority_and_not_to_another(server: Any) -> None:
    there = f"localhost:{server.port}"
    chatd(server, "send", "--server", there, "--fingerprint", server.fingerprint, "#lobby", "one")
    chatd(server, "send", "--server", there, "--ca", str(server.data_dir / "tls/own.pem"), "#lobby", "two")
    other = f"SHA256:{'0' * 64}"
    told = chatd(server, "send", "--server", there, "--fingerprint", other, "#lobby", "x", status=Exit.UNAVAILABLE)
    assert f"it has another certificate: {server.fingerprint}" in told
    told = chatd(server, "send", "--server", there, "--tls", "#lobby", "x", status=Exit.UNAVAILABLE)
    assert "cannot be trusted" in told
    told = chatd(server, "send", "--server", there, "--fingerprint", "abc", "#lobby", "x", status=Exit.USAGE)
    assert "is no fingerprint" in told
    history = chatd(server, "history", "--server", there, "#lobby")
    assert [line.split("> ")[1] for line in history.splitlines()] == ["one", "two"]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_who_does_not_speak_tls_or_an_old_one_is_closed(server: Any) -> None:
    line_port = server.port_of("line")
    for said in (
        b"hello there, this is plain text\n",
        os.urandom(400),
        b"\x16\x03\x01\x00\x05hello",
        b"GET / HTTP/1.0\r\n\r\n",
    ):
        with socket.create_connection((server.host, line_port), 10) as wire:
            began = time.monotonic()
            wire.sendall(said)
            heard = b""
            while more := wire.recv(1000):
                heard += more
            assert time.monotonic() - began < 5
            assert b"Welcome" not in heard
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        for port in (server.port, line_port):
            with (
                socket.create_connection((server.host, port), 10) as plain,
                pytest.raises((ssl.SSLError, ConnectionError)),
            ):
                context.wrap_socket(plain)
    assert "Traceback" not in server.output()


def test_a_handshake_that_never_ends_is_cut_off(start_server: Any) -> None:
    server = start_server("--line-port=tls:0", environ={"CHATD__TLS__HANDSHAKE_SECONDS": "1"}, until="made")
    with_certificate(server)
    server.start()
    hello = b"\x16\x03\x01\x02\x00\x01\x00"  # the beginning of a ClientHello
    wires = [socket.create_connection((server.host, port), 10) for port in (server.port, server.port_of("line"))]
    for wire in wires:
        wire.sendall(hello)
    for wire in wires:
        began = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert wire.recv(100) == b""
        assert time.monotonic() - began < 4
        wire.close()


def test_a_hundred_handshakes_a_second_hold_up_nobody(server: Any) -> None:
    def shake(_: int) -> bool:
        return bool(shown(server, "localhost"))

    with Pair(server) as pair:
        began = time.monotonic()
        with ThreadPoolExecutor(10) as pool:
            for second in range(2):
                assert all(pool.map(shake, range(100)))
                time.sleep(max(0, began + second + 1 - time.monotonic()))
        told = pair.told()
    assert told.count > 10
    assert told.p99 < 1.0


def test_certificates_are_chosen_by_name_and_changed_under_those_who_talk(server: Any) -> None:
    with TlsWire(server) as ann:
        ann.enter("ann", "#lobby")
        first = shown(server, "localhost")
        folder = server.data_dir / "tls"
        other = Path(server.folder, "other")
        chatd(server, "cert", "init", "other.example.org", "--data-dir", str(other))
        (other / "tls/own.pem").rename(folder / "zz.pem")
        (folder / "broken.pem").write_text("this is no certificate")
        os.kill(server.pid, signal.SIGHUP)
        wait_for(server, "settings stay as they are: certificate")
        assert shown(server, "other.example.org") == first, "a mistake changes nothing"
        (folder / "broken.pem").unlink()
        os.kill(server.pid, signal.SIGHUP)
        wait_for(server, "zz.pem SHA256:")
        assert shown(server, "localhost") == shown(server, "nowhere.example.org") == first
        assert shown(server, "other.example.org") != first
        assert ann.ask("send", room="#lobby", body="still here")["ok"]
        (folder / "own.pem").unlink()
        os.kill(server.pid, signal.SIGHUP)
        deadline = time.monotonic() + 10
        while shown(server, "localhost") == first and time.monotonic() < deadline:
            time.sleep(0.1)
        assert shown(server, "localhost") != first
        assert ann.ask("send", room="#lobby", body="and still")["ok"]


def wait_for(server: Any, words: str) -> None:
    deadline = time.monotonic() + 10
    while words not in server.output() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert words in server.output()


def test_a_slow_reader_inside_tls_costs_little_and_misses_nothing(server: Any) -> None:
    body, process, used = "x" * 2000, psutil.Process(server.pid), []
    with TlsWire(server) as slow, Wire((server.host, server.port)) as talker:
        slow.enter("slow", "#lobby")
        talker.enter("talker", "#lobby")
        for _ in range(3):
            for _ in range(20):
                talker.send(*({"type": "send", "id": "1", "room": "#lobby", "body": body} for _ in range(50)))
                for _ in range(50):
                    talker.read()
            used.append(process.memory_info().rss)
        # A thousand messages take two megabytes; what grows with them is not what waits for somebody.
        assert used[2] - used[1] < 1_200_000
        assert [slow.until("message")["seq"] for _ in range(3000)] == list(range(1, 3001))


def test_without_a_certificate_it_is_told_what_to_do(start_server: Any) -> None:
    server = start_server("--port=tls:0", until="spawned")
    assert server.process.wait(20) == Exit.USAGE
    assert "--port tls:0: there is no certificate in" in server.output()
    assert "chatd cert init makes one" in server.output()
    plain = start_server("--data-dir", str(server.folder / "plain"))
    with socket.create_connection((plain.host, plain.port), 10) as wire:
        wire.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert wire.recv(10) == bytes.fromhex("15 0301 0002 02 28")


def test_a_person_comes_back_inside_tls_and_misses_nothing(server: Any) -> None:
    """What waits anywhere counts as not shown: lines may come twice after a cut, and never not at all."""
    context = trusting(server)

    def person() -> ssl.SSLSocket:
        plain = socket.create_connection((server.host, server.port_of("line")), 10)
        return context.wrap_socket(plain, server_hostname="localhost")

    def until(wire: ssl.SSLSocket, words: bytes) -> bytes:
        heard = b""
        while words not in heard:
            more = wire.recv(65_536)
            assert more, heard
            heard += more
        return heard

    first = person()
    first.sendall(b"tom\n")
    word = re.findall(rb"/resume (\S+)", until(first, b"nobody else is here yet"))[0]
    with Wire((server.host, server.port)) as ann:
        ann.enter("ann", "#lobby")
        ann.ask("send", room="#lobby", body="one")
        until(first, b"<ann> one")
        time.sleep(2.5)  # until it is known that it was shown
        first.close()
        ann.ask("send", room="#lobby", body="two")
    again = person()
    again.sendall(b"/resume " + word + b"\n")
    heard = until(again, b"<ann> two")
    assert heard.count(b"<ann> two") == 1
    again.close()
