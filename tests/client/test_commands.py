"""`chatd send`, `tail`, `history` and `connect` in a pipeline: what they print, and how they end."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chatd.client import Message, blocking

_NUMBERS = itertools.count()


@pytest.fixture
def room() -> str:
    return f"#commands{next(_NUMBERS)}"


@pytest.fixture
def nick() -> str:
    return f"user{next(_NUMBERS)}"


@pytest.fixture
def address(shared_server: Any) -> str:
    return f"127.0.0.1:{shared_server.port}"


@pytest.fixture
def home(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, and the server in the environment."""
    for name in [name for name in os.environ if name.startswith(("CHATD", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CHATD_SERVER", address)
    monkeypatch.setenv("CHATD_NICK", f"visitor{next(_NUMBERS)}")
    return tmp_path


Chatd = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = [sys.executable, "-m", "chatd"]


@pytest.fixture
def chatd(home: Path) -> Chatd:
    def run(*words: str, typed: str | bytes = "") -> subprocess.CompletedProcess[str]:
        blob = typed if isinstance(typed, bytes) else typed.encode()
        done = subprocess.run([*COMMAND, *words], input=blob, capture_output=True, timeout=40)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command and leaves it running; what is left of it is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def spawn(*words: str, **more: Any) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen([*COMMAND, *words], stdin=pipe, stdout=pipe, stderr=pipe, text=True, **more)
        started.append(process)
        return process

    yield spawn
    for process in started:
        process.kill()
        process.wait()
        for end in (process.stdin, process.stdout, process.stderr):
            if end is not None:
                end.close()


def said(address: str, room: str) -> list[tuple[str, str]]:
    with blocking.connect(address, nick=f"reader{next(_NUMBERS)}") as chat:
        chat.join(room)
        events: list[Any] = []
        while True:
            page = chat.history(room, after=len(events))
            events += page.events
            if page.next is None:
                return [(event.author.nick, event.body) for event in events]


# -- send ----------------------------------------------------------------------------------------------------


def test_a_line_from_a_pipe_is_sent(chatd: Chatd, address: str, room: str) -> None:
    """A58: echo hi | chatd send --nick bot '#lobby' exits 0."""
    done = chatd("send", "--nick", "bot", room, typed="hi\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert said(address, room) == [("bot", "hi")]


def test_many_lines_keep_their_order_and_the_last_needs_no_end(
    chatd: Chatd, address: str, room: str, nick: str
) -> None:
    """A8, A58: the end of the input is the end, and nothing before it is lost."""
    lines = [f"line {number} é🎉" for number in range(500)]
    done = chatd("send", "--nick", nick, room, typed="\n".join(lines))
    assert (done.returncode, done.stderr) == (0, "")
    assert [body for _, body in said(address, room)] == lines


def test_text_on_the_command_line_and_a_room_without_its_sign(chatd: Chatd, address: str, room: str, nick: str) -> None:
    assert chatd("send", room[1:], "--nick", nick, "two", "words").returncode == 0
    assert said(address, room) == [(nick, "two words")]


def test_a_file_can_be_sent(home: Path, address: str, room: str, nick: str) -> None:
    path = home / "lines.txt"
    path.write_text("one\r\n\ntwo\n")
    with path.open() as file:
        assert subprocess.run([*COMMAND, "send", "--nick", nick, room], stdin=file, timeout=40).returncode == 0
    assert said(address, room) == [(nick, "one"), (nick, "two")]


def test_a_refused_line_is_named_and_the_others_are_sent(chatd: Chatd, address: str, room: str, nick: str) -> None:
    """A4: too long is refused, never cut; A6: so is what is not UTF-8."""
    done = chatd("send", "--nick", nick, room, typed=b"one\n" + b"x" * 9000 + b"\n\xff\n" + b"y" * 70000 + b"\nfive\n")
    assert done.returncode == 77
    assert [line.split(":")[2] for line in done.stderr.splitlines()] == [
        " line 2 was not sent",
        " line 3 was not sent",
        " line 4 was not sent",
    ]
    assert "8192" in done.stderr
    assert [body for _, body in said(address, room)] == ["one", "five"]


def test_lines_are_sent_while_the_input_is_still_open(start: Any, address: str, room: str, nick: str) -> None:
    """A58: both sides are watched at once."""
    with blocking.connect(address, nick=f"reader{next(_NUMBERS)}") as chat:
        chat.join(room)
        sender = start("send", "--nick", nick, room)
        sender.stdin.write("now\n")
        sender.stdin.flush()
        heard = next(event for event in chat.events(timeout=20) if isinstance(event, Message))
        assert heard.body == "now"
        assert sender.poll() is None
        sender.stdin.close()
        assert sender.wait(20) == 0


def test_a_direct_message(chatd: Chatd, address: str, nick: str) -> None:
    """A49: to one person alone, or told that there is nobody."""
    with blocking.connect(address, nick=f"jerry{next(_NUMBERS)}") as jerry:
        assert chatd("send", "--nick", nick, f"@{jerry.nick}", "psst").returncode == 0
        heard = next(event for event in jerry.events(timeout=20) if isinstance(event, Message))
        assert (heard.room, heard.body) == (f"@{nick}", "psst")
    done = chatd("send", "@nobody-at-all", "psst")
    assert (done.returncode, done.stderr.count("\n")) == (77, 1)
    assert "nobody here is called" in done.stderr


# -- who one is ----------------------------------------------------------------------------------------------


def test_a_nick_that_was_asked_for_must_be_free(chatd: Chatd, address: str, room: str) -> None:
    with blocking.connect(address, nick=f"tom{next(_NUMBERS)}") as tom:
        done = chatd("send", "--nick", tom.nick, room, "spoof")
        assert done.returncode == 77
        assert done.stderr.startswith("chatd: nick: ")
        assert "try --nick" in done.stderr
        other = chatd("send", room, "hello")
        assert other.returncode == 0, "one's usual name may give way"


def test_the_usual_name_gives_way_and_says_so(
    chatd: Chatd, address: str, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with blocking.connect(address, nick=f"tom{next(_NUMBERS)}") as tom:
        monkeypatch.setenv("CHATD_NICK", tom.nick)
        done = chatd("send", room, "hello")
        assert done.returncode == 0
        assert "you are called" in done.stderr
    [(author, _)] = said(address, room)
    assert author != tom.nick


def test_who_comes_again_is_the_same_guest(chatd: Chatd, home: Path, address: str, room: str, nick: str) -> None:
    """A38: one program, and an identity for each nick; the token is for its owner's eyes only."""
    assert chatd("send", "--nick", nick, room, "one").returncode == 0
    tokens = home / ".local" / "state" / "chatd-client" / "tokens.json"
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
    token = json.loads(tokens.read_text())[f"{address} {nick}"]
    with blocking.connect(address, token=token, nick=nick) as tom:
        assert tom.nick == nick
        assert chatd("send", "--nick", nick, room, "two").returncode == 0, "the same guest, a second time"
    assert [author for author, _ in said(address, room)] == [nick, nick]


def test_a_profile_says_who_and_where(
    chatd: Chatd, home: Path, address: str, room: str, nick: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A38: one program, and a profile for tom and one for jerry."""
    monkeypatch.delenv("CHATD_SERVER")
    folder = home / ".config" / "chatd"
    folder.mkdir(parents=True)
    (folder / "client.toml").write_text(f'[profile.tom]\nserver = "{address}"\nnick = "{nick}"\n')
    assert chatd("send", "--profile", "tom", room, "hello").returncode == 0
    assert said(address, room) == [(nick, "hello")]
    done = chatd("send", "--profile", "jerry", room, "hello")
    assert done.returncode == 78
    assert "no profile 'jerry'" in done.stderr
    assert "tom" in done.stderr
    (folder / "client.toml").write_text('[profile.tom]\nnik = "tom"\n')
    assert chatd("send", "--profile", "tom", room, "hello").returncode == 78


# -- wrong words, wrong places -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("connect", "123.456.789.123"), 2, "not a valid address"),
        (("send", "--server", "localhost:x", "#lobby", "hi"), 2, "a port is a number"),
        (("send",), 2, "ROOM"),
        (("send", "#two words", "hi"), 2, "cannot have spaces"),
        (("send", "--nick", "a b", "#lobby", "hi"), 2, "try --nick a_b"),
        (("tail", "--since", "yesterday", "#lobby"), 2, "no number"),
        (("history", "-n", "0", "#lobby"), 2, "no number"),
        (("history", "--before", "soon", "#lobby"), 2, "neither a number nor a time"),
        (("history", "#nobody-was-ever-here"), 77, "there is no room"),
        (
            ("send", "--server", "127.0.0.1:9", "#lobby", "hi"),
            69,
            "nothing is listening at 127.0.0.1:9; start it with: ",
        ),
        (("connect", "--no-retry", "127.0.0.1:9"), 69, "twistd -n chatd --port 9"),
        (("tail", "--retry", "--wait", "0.3", "--server", "127.0.0.1:9", "x"), 69, "nothing is listening"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(chatd: Chatd, words: tuple[str, ...], status: int, told: str) -> None:
    """A16, A18: what, why, and what to do, and a code for the shell."""
    done = chatd(*words)
    assert done.returncode == status
    last = done.stderr.splitlines()[-1]
    assert last.startswith("chatd: ")
    assert told in last
    assert "Traceback" not in done.stderr


def test_the_line_port_is_told_apart(chatd: Chatd, shared_server: Any) -> None:
    done = chatd("send", "--server", f"127.0.0.1:{shared_server.line_port}", "#lobby", "hi")
    assert (done.returncode, done.stderr.count("\n")) == (76, 1)
    assert "greets people instead of programs" in done.stderr


def test_a_web_server_is_told_apart(chatd: Chatd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with listening.accept()[0] as peer:
                peer.recv(1000)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                peer.recv(1000)

        thread = threading.Thread(target=answer)
        thread.start()
        done = chatd("send", "--server", f"127.0.0.1:{listening.getsockname()[1]}", "#lobby", "hi")
        thread.join()
    assert (done.returncode, done.stderr.count("\n")) == (76, 1)
    assert "web server" in done.stderr


# -- tail and history ----------------------------------------------------------------------------------------


def test_what_is_said_is_printed_as_it_is_said(start: Any, chatd: Chatd, room: str, nick: str) -> None:
    """A58: chatd tail --json '#lobby' | jq."""
    assert chatd("send", "--nick", nick, room, typed="one\ntwo\nthree\n").returncode == 0
    tail = start("tail", "--json", "-n", "2", room)
    assert [json.loads(tail.stdout.readline())["body"] for _ in range(2)] == ["two", "three"]
    assert chatd("send", "--nick", nick, room, "four \x1b[31m<bob>\x1b[0m").returncode == 0
    event = json.loads(tail.stdout.readline())
    assert (event["type"], event["seq"], event["from"], event["room"]) == ("message", 4, {"nick": nick}, room)
    tail.send_signal(signal.SIGINT)
    assert tail.wait(20) == 130
    assert tail.stderr.read() == ""


def test_tail_for_people_takes_out_what_could_do_harm(start: Any, chatd: Chatd, room: str, nick: str) -> None:
    """A7, A41: escape sequences of others do not reach the terminal, and the author stays clear."""
    tail = start("tail", "--since", "0", room)
    assert chatd("send", "--nick", nick, room, "red \x1b[31m<bob>\x1b[0m").returncode == 0
    line = ""
    while "red" not in line:
        line = tail.stdout.readline()
    assert line[10:] == f" <{nick}> red <bob>\n"


def test_tail_goes_on_where_it_was(start: Any, chatd: Chatd, address: str, room: str, nick: str) -> None:
    with blocking.connect(address, nick=nick) as tom:
        tom.join(room)
        tail = start("tail", "--json", "--since", "last", room)
        while len(tom.members(room)) < 2:
            pass
        tom.send(room, "one")
        assert json.loads(tail.stdout.readline())["body"] == "one"
        tail.send_signal(signal.SIGINT)
        assert tail.wait(20) == 130
        tom.send(room, "two")
        again = start("tail", "--json", "--since", "last", room)
        assert json.loads(again.stdout.readline())["body"] == "two"


def test_tail_survives_the_server(start: Any, start_server: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start_server()
    monkeypatch.setenv("CHATD_SERVER", f"127.0.0.1:{server.port}")
    tail = start("tail", "--json", "#lobby")
    with blocking.connect(f"127.0.0.1:{server.port}", nick="tom") as tom:
        tom.join("#lobby")
        while len(tom.members("#lobby")) < 2:
            pass
        tom.send("#lobby", "before")
        assert json.loads(tail.stdout.readline())["body"] == "before"
        server.kill9()
        server.restart()
        tom.send("#lobby", "after")
        line = json.loads(tail.stdout.readline())
        while line["type"] != "message":
            line = json.loads(tail.stdout.readline())
        assert (line["seq"], line["body"]) == (2, "after")
    tail.send_signal(signal.SIGINT)
    assert tail.wait(20) == 130
    assert "trying again" in tail.stderr.read()


def test_a_terminal_that_cannot_show_everything_shows_the_rest(
    chatd: Chatd, room: str, nick: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A6, A7: and JSON is UTF-8 in any case."""
    assert chatd("send", "--nick", nick, room, "Zoë: 你好 🎉").returncode == 0
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert "Zo?: ?? ?" in chatd("history", room).stdout
    assert json.loads(chatd("history", "--json", room).stdout)["body"] == "Zoë: 你好 🎉"


def test_who_has_heard_enough_may_go(chatd: Chatd, home: Path, room: str, nick: str) -> None:
    assert chatd("send", "--nick", nick, room, typed="\n".join(map(str, range(300)))).returncode == 0
    line = " ".join([*COMMAND, "history", "-n", "300", room.replace("#", "'#'")])
    done = subprocess.run(["bash", "-c", f"{line} | head -1; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 1, "")


def test_history_in_both_directions(chatd: Chatd, room: str, nick: str) -> None:
    """A53: every page shows the same order."""
    assert chatd("send", "--nick", nick, room, typed="\n".join(map(str, range(450)))).returncode == 0

    def bodies(*words: str) -> list[int]:
        done = chatd("history", "--json", *words, room)
        assert done.returncode == 0, done.stderr
        return [int(json.loads(line)["body"]) for line in done.stdout.splitlines()]

    assert bodies("-n", "1000") == list(range(450))
    assert bodies() == list(range(400, 450))
    assert bodies("-n", "3", "--before", "11") == [7, 8, 9]
    assert bodies("-n", "250", "--after", "10") == list(range(10, 260))
    assert bodies("--after", "2099-01-01") == []


# -- connect as a filter -------------------------------------------------------------------------------------


def test_connect_is_a_filter_when_its_input_is_no_terminal(chatd: Chatd, address: str, room: str, nick: str) -> None:
    """A58: lines in, lines out, and the end of the input is the end."""
    typed = f"hello\n//not a command\n/me waves\n/nosuch\n/msg {nick} hm\n"
    done = chatd("connect", address, "--nick", nick, "--room", room, typed=typed)
    assert done.returncode == 0, done.stderr
    assert [body for _, body in said(address, room)] == ["hello", "/not a command", "waves"]
    assert f"<{nick}> hello" in done.stdout
    assert f"* {nick} waves" in done.stdout
    assert "there is no command /nosuch" in done.stdout
    assert "\x1b" not in done.stdout


def test_the_module_is_the_same_program(home: Path, address: str, room: str, nick: str) -> None:
    """A15: python -m chatd.client localhost:1234."""
    words = [sys.executable, "-m", "chatd.client", address, "--nick", nick, "--room", room]
    done = subprocess.run(words, input="hello\n", capture_output=True, text=True, timeout=40)
    assert (done.returncode, done.stderr) == (0, "")
    assert said(address, room) == [(nick, "hello")]
