"""`chatd invite`: what it prints is passed on as it is, and works, for each way in."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest
import segno
from msgspec.structs import replace

from chatd import cli_invite
from chatd.client import links
from chatd.client.links import Link
from chatd.errors import Exit
from chatd.settings import Settings

SECRET = "correct horse battery"


def chatd(server: Any, *words: str, status: int = 0) -> str:
    """What a command of this server's operator, or of somebody who was invited, told."""
    environ = server.environ | {"CHATD_PASSWORD": SECRET}
    command = [sys.executable, "-m", "chatd", *words]
    ran = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def invite(server: Any, *words: str, status: int = 0) -> str:
    return chatd(server, "invite", "--data-dir", str(server.data_dir), *words, status=status)


def accounts(server: Any) -> list[str]:
    told = chatd(server, "user", "list", "--data-dir", str(server.data_dir))
    return [line.split()[0] for line in told.splitlines()[1:]]


def test_each_line_lets_somebody_in(start_server: Any) -> None:
    server = start_server("--registration=invite")
    for n, port in enumerate((server.port, server.line_port)):
        [line] = [one for one in invite(server).splitlines() if f"telnet localhost {port}" in one]
        [command] = re.findall(r"(/register \S+)", line)
        with socket.create_connection((server.host, port), 10) as person, person.makefile("rwb") as lines:
            lines.write(f"alice{n}\n{command}\n{SECRET}\n{SECRET}\n/quit\n".encode())
            lines.flush()
            assert f"*** The name alice{n} is yours now." in lines.read().decode()
    [link] = re.findall(r"chatd connect '(\S+)' --account NAME", invite(server))
    chatd(server, "send", "--server", link, "--account", "ben", "#lobby", "hello")
    told = chatd(server, "send", "--server", link, "--account", "tim", "#lobby", "hello", status=Exit.NOT_ALLOWED)
    assert "this invite is not good" in told, "it is good once"
    told = chatd(server, "send", "--server", link, "#lobby", "hello", status=Exit.USAGE)
    assert "name it with --account" in told
    assert sorted(accounts(server)) == ["alice0", "alice1", "ben"]


def test_over_tls_the_fingerprint_goes_with_it(start_server: Any) -> None:
    server = start_server("--registration=invite", "--line-port=tls:0", until="made")
    told = chatd(server, "cert", "init", "localhost", "--data-dir", str(server.data_dir))
    [fingerprint] = set(re.findall(r"SHA256:[0-9a-f]{64}", told))
    server.start()
    printed = invite(server)
    assert f"openssl s_client -quiet -connect localhost:{server.port_of('line')}" in printed
    assert f"Programs:  localhost:{server.port} (TLS, {fingerprint})" in printed
    [link] = re.findall(r"chatd connect '(\S+)'", printed)
    assert link.endswith(f"&fingerprint={fingerprint}")
    chatd(server, "send", "--server", link, "--account", "ben", "#lobby", "hello")
    other = link.replace(fingerprint, "SHA256:" + "0" * 64)
    told = chatd(server, "send", "--server", other, "--account", "x", "#lobby", "x", status=Exit.UNAVAILABLE)
    assert "it has another certificate" in told
    assert accounts(server) == ["ben"]


def test_without_a_server_there_is_only_the_word(start_server: Any) -> None:
    server = start_server()
    server.stop()
    printed = invite(server)
    assert "In the chat, choose a name, and type  /register" in printed
    assert "chatd connect" not in printed
    closed = "\n".join(cli_invite.show(answer(registration="closed"), ""))
    assert "registration is closed" in closed
    path = server.data_dir / "code.svg"
    assert "there is no link to draw" in invite(server, "--qr", str(path), status=Exit.UNAVAILABLE)


def answer(**more: Any) -> dict[str, Any]:
    listener = {"protocol": "detect", "host": "0.0.0.0", "port": 1234, "path": None, "is_tls": False}
    told = {"invite": "abcd", "expires": "then", "host": "", "certificate": None, "registration": "invite"}
    return told | {"listeners": [listener, listener | {"host": "::"}]} | more


def test_the_page_is_where_browsers_find_it() -> None:
    web, tail = Settings(), "/#invite=abcd"
    assert cli_invite.page_of(answer(host="chat.example.org"), web) == f"http://chat.example.org:1234{tail}"
    encrypted = answer(host="chat.example.org", certificate=certificate("chat.example.org"))
    assert cli_invite.page_of(encrypted, web) == f"https://chat.example.org:1234{tail}"
    only = answer()["listeners"][0] | {"protocol": "http", "port": 8080, "host": "127.0.0.1"}
    assert cli_invite.page_of(answer(listeners=[only]), web) == f"http://localhost:8080{tail}"
    behind = replace(web, web=replace(web.web, proxies=["127.0.0.1"]))
    assert cli_invite.page_of(answer(host="chat.example.org"), behind) == f"https://chat.example.org{tail}"
    assert cli_invite.page_of(answer(listeners=[only | {"path": "/run/x"}]), web) == ""


def certificate(*names: str, is_own: bool = True) -> dict[str, Any]:
    return {"names": list(names), "fingerprint": "SHA256:" + "0" * 64, "is_own": is_own}


def test_the_host_is_one_that_others_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    host = "chat.example.org"
    assert cli_invite.link_of(answer(host=host)) == f"chatd://{host}:1234/?invite=abcd"
    by_name = answer(certificate=certificate("localhost", "machine", "*.example.org", host))
    assert cli_invite.link_of(by_name).startswith(f"chatd://{host}:1234/?invite=abcd&fingerprint=SHA256:0")
    vouched = answer(certificate=certificate(host, is_own=False))
    assert cli_invite.link_of(vouched) == f"chatd://{host}:1234/?invite=abcd&tls=1"
    monkeypatch.setattr(socket, "gethostname", lambda: "box.example.net")
    assert cli_invite.link_of(answer()) == "chatd://box.example.net:1234/?invite=abcd"
    assert cli_invite.link_of(answer(host="2001:db8::5")) == "chatd://[2001:db8::5]:1234/?invite=abcd"
    lines = list(cli_invite.show(answer(host=host), "x"))
    assert [line.split()[0] for line in lines[2:]] == ["People:", "Client:", "Programs:"], "each way in once"
    monkeypatch.setattr(socket, "gethostname", lambda: "box")
    assert cli_invite.own_address("0.0.0.0")
    unix = {"protocol": "detect", "host": None, "port": None, "path": "/run/chat", "is_tls": False}
    assert cli_invite.link_of(answer(listeners=[unix])) == ""
    assert "nc -U /run/chat" in "\n".join(cli_invite.show(answer(listeners=[unix]), ""))


@pytest.mark.parametrize(
    "link",
    [
        Link("localhost:1234"),
        Link("chat.example.org:1234", "abcd-efgh"),
        Link("[::1]:1234", "abcd", "SHA256:" + "0a" * 32),
        Link("chat.example.org:1", tls=True),
    ],
)
def test_a_link_says_what_it_was_made_of(link: Link) -> None:
    assert links.read(str(link)) == link


@pytest.mark.parametrize(
    "text", ["", "localhost", "localhost:1234", "http://chat/?invite=a", "chatd://[::1/?x=y", "chatd://a/b?invite=c",
             "chatd://me@host/?invite=a", "chatd://" + "x" * 2000, "unix:/tmp/?invite=a"],
)  # fmt: skip
def test_anything_else_is_left_to_whoever_reads_addresses(text: str) -> None:
    assert links.read(text) == Link(text)


# -- the QR code ------------------------------------------------------------------------------------------------------


def at_a_terminal(server: Any, columns: int, **environ: str) -> str:
    words = ["-m", "chatd", "invite", "--data-dir", str(server.data_dir)]
    child = pexpect.spawn(
        sys.executable, words, env=server.environ | environ, dimensions=(60, columns), encoding="utf-8", timeout=20
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    return str(child.before)


def test_at_a_terminal_the_page_is_a_qr_code(server: Any) -> None:
    printed = at_a_terminal(server, 100, PYTHONUTF8="1")
    [link] = re.findall(r"Browsers:  (\S+)", printed)
    drawn = printed[printed.index("█") :].replace("\r\n", "\n").rstrip("\n").split("\n")
    matrix = [[bool(module) for module in row] for row in segno.make_qr(link, error="l").matrix]
    dark = {" ": (True, True), "▀": (False, True), "▄": (True, False), "█": (False, False)}
    seen = [[dark[one][half] for one in line] for line in drawn for half in (0, 1)]
    assert [row[2:-2] for row in seen[2 : 2 + len(matrix)]] == matrix
    assert not any(any(row[:2] + row[-2:]) for row in seen[:-1]), "a quiet zone is around it"


@pytest.mark.parametrize(("columns", "environ"), [(30, {"PYTHONUTF8": "1"}), (100, {"PYTHONIOENCODING": "ascii"})])
def test_a_terminal_that_cannot_show_it_is_told(server: Any, columns: int, environ: dict[str, str]) -> None:
    words = ["invite", "--data-dir", str(server.data_dir)]
    assert "A QR code needs" in at_a_terminal(server, columns, **environ).replace("\r\n", "")
    assert "█" not in chatd(server, *words), "nor is it in what a program reads"


@pytest.mark.parametrize(("kind", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_it_is_drawn_into_a_file(server: Any, tmp_path: Path, kind: str, begins: bytes) -> None:
    path = tmp_path / f"code.{kind}"
    invite(server, "--qr", str(path))
    assert path.read_bytes().startswith(begins)
    assert path.stat().st_mode & 0o077 == 0, "who sees it can make an account"


def test_a_file_that_cannot_be_is_told(server: Any, tmp_path: Path) -> None:
    told = invite(server, "--qr", str(tmp_path / "code.gif"), status=Exit.USAGE)
    assert "end it with .svg or .png or .pdf" in told
    told = invite(server, "--qr", str(tmp_path / "nowhere" / "code.svg"), status=Exit.DISK)
    assert "cannot be written" in told
