"""Rooms by curl, and streams that are cut: the real programs, a real server, and its kill -9."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.crowd import LineWire, Wire
from support.pages import TREE

PASSWORD = b"correct horse battery\n"


def chatd(server: Any, *words: str, data: bytes = b"") -> str:
    command = [sys.executable, "-m", "chatd", *words, "--data-dir", str(server.data_dir)]
    ran = subprocess.run(command, env=server.environ, input=data, capture_output=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.decode().strip()


def test_a_script_with_curl_and_a_person_talk(server: Any, program: Callable[[str], str]) -> None:
    """As docs/how-to/curl.md shows it."""
    url = f"http://localhost:{server.port}"

    def curl(*words: str) -> str:
        return subprocess.run(
            [program("curl"), "-sS", *words], capture_output=True, check=True, timeout=20
        ).stdout.decode()

    chatd(server, "user", "add", "ci", "--password-stdin", data=PASSWORD)
    token = chatd(server, "user", "token", "ci")
    hook = chatd(server, "user", "token", "ci", "--room", "#lobby")
    with LineWire((server.host, server.line_port)) as bob:
        bob.enter("bob")
        curl("-H", f"Authorization: Bearer {token}", "-d", "the build is green", f"{url}/r/lobby")
        bob.until("<ci> the build is green")
        curl("-H", "Content-Type: application/json", "-d", '{"text":"deployed"}', url + hook)
        bob.until("<ci> deployed")
        bob.say("thanks")
        bob.say("/ping")
        bob.until("ong")
        text = curl(f"{url}/r/lobby")
        assert [line.split("] ", 1)[1] for line in text.splitlines()] == [
            "<ci> the build is green",
            "<ci> deployed",
            "<bob> thanks",
        ]
        assert json.loads(curl(f"{url}/r/lobby?format=json&since=2"))["events"][0]["body"] == "thanks"
    chatd(server, "user", "disable", "ci")
    assert "SESSION_EXPIRED" in curl("-d", "again", url + hook)


def test_the_commands_of_the_page_do_what_it_says(server: Any, program: Callable[[str], str], tmp_path: Path) -> None:
    """docs/how-to/curl.md, from top to bottom; what never ends is ended after a second."""
    text = (TREE / "docs/how-to/curl.md").read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S)).replace("localhost:1234", f"localhost:{server.port}")
    chatd_bin, script = tmp_path / "chatd", tmp_path / "script"
    chatd_bin.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m chatd "$@"\n')
    chatd_bin.chmod(0o755)
    endless = 'follow() { timeout 1 curl -N "$@" || [ $? = 124 ]; }\n'
    script.write_text("set -eux\n" + endless + blocks.replace("curl -N", "follow"))
    program("curl")
    with Wire((server.host, server.port)) as wire:
        wire.enter("tom", "#lobby")
        for n in range(125):
            wire.ask("send", room="#lobby", body=f"{n}")
    environ = {**server.environ, "STATE_DIRECTORY": str(server.data_dir), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", str(script)], env=environ, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    told = ran.stdout
    assert ran.returncode == 0, ran.stderr
    for line in ("76 [", "121 [", "100 [", '{"room":"#lobby","events":[', "event: caught_up", '"seq":126', '"seq":127'):
        assert line in told, (line, told)
    assert "/hook/lobby/c1." in told
    assert '"seq":128' in told


class Follower(threading.Thread):
    """Follows a room as a browser's EventSource does: after a cut it asks for what comes after the last id."""

    def __init__(self, server: Any) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.last = "0"
        self.seen: list[int] = []
        self.streams = 0
        self.done = False

    def run(self) -> None:
        while not self.done:
            try:
                self.follow()
            except (OSError, http.client.HTTPException, StopIteration):
                time.sleep(0.05)

    def follow(self) -> None:
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=20)
        connection.request("GET", "/r/lobby/events", headers={"Last-Event-ID": self.last})
        answer = connection.getresponse()
        assert answer.status == 200
        self.streams += 1
        name = ""
        for line in answer:
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "id":
                self.last = value
            elif field == "event":
                name = value
            elif field == "data" and name == "message":
                self.seen.append(json.loads(value)["seq"])
            if self.done:
                return


def test_a_stream_goes_on_exactly_over_kill_9(server: Any) -> None:
    """Nothing is missed and nothing comes twice, however often the server dies in mid-stream."""
    with Wire((server.host, server.port)) as wire:
        wire.enter("tom", "#lobby")
        wire.ask("send", room="#lobby", body="first")
    follower = Follower(server)
    follower.start()
    acknowledged = 1
    for _ in range(3):
        with Wire((server.host, server.port)) as wire:
            wire.enter("tom", "#lobby")
            for n in range(200):
                acknowledged = max(acknowledged, wire.ask("send", room="#lobby", body=f"{n}")["seq"])
        server.kill9()
        server.restart()
    with Wire((server.host, server.port)) as wire:
        wire.enter("tom", "#lobby")
        last = wire.ask("send", room="#lobby", body="last")["seq"]
        deadline = time.monotonic() + 30
        while (not follower.seen or follower.seen[-1] < last) and time.monotonic() < deadline:
            time.sleep(0.05)
        follower.done = True
        wire.ask("send", room="#lobby", body="over")
    follower.join(20)
    assert follower.seen[:last] == list(range(1, last + 1))
    assert last > acknowledged >= 601
    assert follower.streams >= 4
