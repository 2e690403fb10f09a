"""The description of HTTP is true: schemathesis makes requests of it, right and wrong ones, and judges the answers."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.crowd import Wire
from support.pages import page

PASSWORD = b"correct horse battery\n"

# What fits the description may be refused all the same: a key that was used for something else, `before` with `around`.
CHECKS = ["--exclude-checks", "positive_data_acceptance"]
# A stream does not end.
PATHS = ["--exclude-path-regex", "/events$"]


def chatd(server: Any, *words: str, data: bytes = b"") -> str:
    command = [sys.executable, "-m", "chatd", *words, "--data-dir", str(server.data_dir)]
    return subprocess.run(
        command, env=server.environ, input=data, capture_output=True, timeout=30, check=True
    ).stdout.decode()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("room", ["", "lobby"])
def test_schemathesis_finds_nothing(server: Any, tmp_path: Path, extent: Callable[[int, int], int], room: str) -> None:
    """In rooms that are there, and with names of all sorts."""
    chatd(server, "user", "add", "ci", "--password-stdin", data=PASSWORD)
    token = chatd(server, "user", "token", "ci").strip()
    hook = chatd(server, "user", "token", "ci", "--room", "#lobby").strip().rpartition("/")[2]
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(f'[parameters]\n"path.room" = "lobby"\n"path.token" = "{hook}"\n' if room else "")
    with Wire((server.host, server.port)) as tom:
        tom.enter("tom", "#lobby")
        tom.ask("send", room="#lobby", body="first")
    program = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(settings), "run"]
    words = [f"http://localhost:{server.port}/openapi.json", "-H", f"Authorization: Bearer {token}"]
    amount = ["--max-examples", str(extent(40, 5000)), "--request-timeout", "20", "--no-color"]
    ran = subprocess.run(
        [*program, *words, *amount, *CHECKS, *PATHS], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout[-8000:]
    assert " passed" in ran.stdout
    if room:
        with Wire((server.host, server.port)) as tom:
            tom.enter("tom", "#lobby")
            assert tom.ask("list", what="rooms")["items"][0]["last_seq"] > 10  # they were really said
    assert "Traceback" not in server.output()


def test_all_that_is_described_is_documented(shared_server: Any) -> None:
    url = f"http://localhost:{shared_server.port}/openapi.json"
    with urllib.request.urlopen(url, timeout=20) as answer:
        found = json.load(answer)
    table = page("docs/reference/protocol.md").replace("NAME", "{room}").replace("TOKEN", "{token}")
    for path, operations in found["paths"].items():
        for method in set(operations) - {"parameters"}:
            assert f"{method.upper()} {path}`" in table or f"`{path}`" in table, (method, path)


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/r/lobby", "/hook/lobby/x", "/healthz", "/openapi.json"])
def test_what_a_path_does_not_know_is_told(shared_server: Any, path: str) -> None:
    request = urllib.request.Request(f"http://localhost:{shared_server.port}{path}", method="TRACE")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == 405
    assert refused.value.headers["Allow"] in ("GET, HEAD", "GET, HEAD, POST", "POST")
    assert "<" not in refused.value.read().decode()
    refused.value.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/r", 404),
        ("GET", "/r/", 404),
        ("GET", "/page/", 404),
        ("GET", "/hook/lobby/x", 405),
        ("HEAD", "/hook/lobby/x", 405),
    ],
)
def test_a_path_with_nothing_behind_it_says_so(shared_server: Any, method: str, path: str, status: int) -> None:
    request = urllib.request.Request(f"http://localhost:{shared_server.port}{path}", method=method)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == status
    refused.value.close()
