"""The examples do what they say, against a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chatd.client import Message, Presence, blocking

EXAMPLES = Path(__file__).parent.parent.parent / "examples"

# Enough of tkinter for a window that nobody looks at: a person types one line, and the window closes some time after.
TKINTER = """
import sys, threading, time

class Text:
    def __init__(self, root, **options): pass
    def pack(self, **options): pass
    def configure(self, **options): pass
    def see(self, place): pass
    def insert(self, place, text): print("shown:", text, end="", flush=True)

class Entry:
    text = "typed in a window"
    def __init__(self, root): root.entry = self
    def pack(self, **options): pass
    def focus(self): pass
    def bind(self, key, call): self.call = call
    def get(self): return self.text
    def delete(self, first, last): self.text = ""

class Tk:
    def title(self, text): print("title:", text, flush=True)
    def after(self, milliseconds, call): self.due = (time.monotonic() + milliseconds / 1000, call)
    def mainloop(self):
        self.entry.call(None)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            at, call = self.due
            time.sleep(max(0, at - time.monotonic()))
            call()
            if threading.active_count() > 1:
                sys.exit("there are threads")
"""


@pytest.fixture
def start(server: Any, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts an example in a folder of its own."""
    started: list[subprocess.Popen[str]] = []
    environ = dict(os.environ) | {"CHATD_SERVER": f"127.0.0.1:{server.port}", "HOME": str(tmp_path)}
    environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(tmp_path), str(EXAMPLES.parent), os.environ.get("PYTHONPATH")])
    )

    def spawn(example: str, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / example), *words],
            cwd=tmp_path,
            env=environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield spawn
    for process in started:
        process.kill()
        process.wait()
        for end in (process.stdout, process.stderr):
            assert end is not None
            end.close()


@pytest.fixture
def tom(server: Any) -> Iterator[blocking.Chat]:
    with blocking.connect(f"127.0.0.1:{server.port}", nick="tom") as chat:
        chat.join("#lobby")
        yield chat


def hears(chat: blocking.Chat, kind: type[Any] = Message) -> Any:
    return next(event for event in chat.events(timeout=20) if isinstance(event, kind))


def test_the_echo_bot_has_ten_lines_and_answers_each_message_once(start: Any, tom: blocking.Chat) -> None:
    code = (EXAMPLES / "echo_bot.py").read_text().splitlines()
    assert len([line for line in code if line.strip()]) <= 10
    bot = start("echo_bot.py")
    assert hears(tom, Presence).joined == ["echo"]
    sent = tom.send("#lobby", "hello")
    answer = hears(tom)
    assert (answer.author.nick, answer.body, answer.kind, answer.reply_to) == ("echo", "hello", "notice", sent.seq)
    bot.kill()
    bot.wait()
    tom.send("#lobby", "while it was dead")
    start("echo_bot.py")
    assert hears(tom).body in ("hello", "while it was dead")
    tom.send("#lobby", "last")
    while hears(tom).body != "last":
        pass
    said = [event.body for event in tom.history("#lobby").events if isinstance(event, Message)]
    assert said == ["hello", "hello", "while it was dead", "while it was dead", "last", "last"]


def test_the_script_talks_and_listens(start: Any, tom: blocking.Chat, server: Any) -> None:
    """A11: any value goes along with the text."""
    script = start("sync_script.py", f"127.0.0.1:{server.port}", "script", "3")
    heard = hears(tom)
    assert (heard.body, heard.data) == ("hello from a script", {"numbers": [1, 2, 3], "raw": b"\x00\xff"})
    tom.send("#lobby", "hello script")
    output = script.stdout.read()
    assert "my message has number 1\n" in output
    assert "tom > hello script\n" in output
    assert script.wait(20) == 0


def test_the_window_sends_and_shows_without_threads(
    start: Any, tom: blocking.Chat, server: Any, tmp_path: Path
) -> None:
    """A56: send whenever one wants, with tkinter, and no threads."""
    (tmp_path / "tkinter.py").write_text(TKINTER)
    window = start("tk_client.py", f"127.0.0.1:{server.port}", "window")
    assert hears(tom).body == "typed in a window"
    tom.send("#lobby", "seen in a window")
    lines = [window.stdout.readline() for _ in range(3)]
    assert lines == [
        "title: window in #lobby\n",
        "shown: window > typed in a window\n",
        "shown: tom > seen in a window\n",
    ]
    assert window.poll() is None


def test_an_example_without_a_server_says_so_in_a_line(start: Any) -> None:
    """A16: no traceback for those who only forgot to start the server."""
    script = start("sync_script.py", "127.0.0.1:9999999")
    assert script.wait(20) == 1
    assert script.stderr.read().startswith("sync_script: '127.0.0.1:9999999' is not a valid address: ")
