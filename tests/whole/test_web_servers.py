"""nginx and Caddy in front of chatd, configured as docs/how-to/proxy.md says."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.browser import wait_for
from support.crowd import LineWire
from support.pages import page
from support.ports import free_ports
from support.web import ask, enter
from websockets.sync.client import connect

HOST = "chat.example.org"
PAGE = page("docs/how-to/proxy.md")
SOURCE = "127.0.0.5"  # from where browsers come


def block(name: str) -> str:
    """One of the page's configurations."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```", PAGE, re.S)
    assert found
    return found[1].replace("127.0.0.1:8080", "127.0.0.1:CHATD")


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: process.poll() is not None or answers(port))
        assert process.poll() is None, process.communicate()[0].decode()
        yield
    finally:
        process.terminate()
        process.communicate(timeout=20)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def nginx(program: Callable[[str], str], folder: Path, server: Any, port: int) -> list[str]:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", f"/CN={HOST}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    ours = block("nginx").replace("CHATD", str(server.port_of("http"))).replace("443", f"127.0.0.1:{port}")
    ours = re.sub(r"/etc/ssl/\S+/fullchain.pem", str(certificate), ours)
    ours = re.sub(r"/etc/ssl/\S+/privkey.pem", str(key), ours)
    temporary = " ".join(f"{name}_temp_path {folder};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr; events {{}}"
        f" http {{ access_log off; {temporary}\n{ours} }}\n"
    )
    return [program("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def caddy(program: Callable[[str], str], folder: Path, server: Any, port: int) -> list[str]:
    """Without the certificate, which it would get from elsewhere."""
    ours = block("caddy").replace("CHATD", str(server.port_of("http"))).replace(HOST, f"http://{HOST}:{port}")
    (folder / "Caddyfile").write_text(f"{{\n admin off\n auto_https off\n}}\n{ours}")
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@pytest.mark.parametrize("front", [nginx, caddy])
def test_the_page_and_all_behind_it_work_behind_a_web_server(
    front: Callable[..., list[str]],
    program: Callable[[str], str],
    start_server: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = {"CHATD__SERVER__HOST": HOST, "CHATD__WEB__PROXIES": '["127.0.0.1"]'}
    server = start_server("--http-port=0", environ=settings)
    [port] = free_ports(1)
    tls = None
    if front is nginx:
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE

    def call(data: str) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(SOURCE, 0))
        found = tls.wrap_socket(found) if tls else found
        found.sendall(data.replace("\n", "\r\n").encode())
        return found

    with running(front(program, tmp_path, server, port), port), LineWire((server.host, server.line_port)) as bob:
        bob.enter("bob")
        with call(f"GET / HTTP/1.0\nHost: {HOST}:{port}\n\n") as browser:
            answer = b"".join(iter(lambda: browser.recv(65536), b""))
        assert b" 200 " in answer.split(b"\r\n")[0]
        assert b"page/app.js" in answer

        connection = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(SOURCE, 0))
        scheme, lies = ("wss" if tls else "ws"), {"X-Forwarded-For": "198.51.100.1"}
        origin: Any = f"http{'s' if tls else ''}://{HOST}:{port}"
        url = f"{scheme}://{HOST}:{port}/ws"
        with connect(url, sock=connection, ssl=tls, origin=origin, additional_headers=lies) as ann:
            enter(ann, "ann", "#lobby")
            assert ask(ann, "send", room="#lobby", body="through it")["ok"]
            bob.until("<ann> through it")
        assert f"protocol=websocket address={SOURCE}\n" in server.output()

        with call(f"GET /r/lobby/events HTTP/1.1\nHost: {HOST}:{port}\n\n") as follower:
            time.sleep(0.5)
            bob.say("at once")
            heard = b""
            while b"at once" not in heard:
                heard += follower.recv(65536)


def test_the_page_can_be_below_another_place(program: Callable[[str], str], start_server: Any, tmp_path: Path) -> None:
    """As the page says: `location /chat/`, and a slash behind the port."""
    server = start_server(
        "--http-port=0", environ={"CHATD__SERVER__HOST": HOST, "CHATD__WEB__PROXIES": '["127.0.0.1"]'}
    )
    [port] = free_ports(1)
    command = nginx(program, tmp_path, server, port)
    file = tmp_path / "nginx.conf"
    upstream = f"127.0.0.1:{server.port_of('http')}"
    file.write_text(
        file.read_text().replace("location / {", "location /chat/ {").replace(f"{upstream};", f"{upstream}/;")
    )
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    with running(command, port):
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=tls)
        for path in ("", "page/app.js", "page/chatd.webmanifest"):
            connection.request("GET", f"/chat/{path}", headers={"Host": f"{HOST}:{port}"})
            answer = connection.getresponse()
            assert (answer.status, len(answer.read()) > 100) == (200, True), path
        origin: Any = f"https://{HOST}:{port}"
        wire = socket.create_connection(("127.0.0.1", port), timeout=20)
        with connect(f"wss://{HOST}:{port}/chat/ws", sock=wire, ssl=tls, origin=origin) as ann:
            enter(ann, "ann", "#lobby")
            assert ask(ann, "send", room="#lobby", body="from below")["ok"]
        connection.request("GET", "/chat/r/lobby", headers={"Host": f"{HOST}:{port}", "Accept": "text/html"})
        assert connection.getresponse().headers["Location"] == "../#lobby"
        connection.close()
