"""The terminal program, in a terminal: what a person sees and types."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest
from support.programs import end

from chatd.client import Message, Presence, blocking

_NUMBERS = itertools.count()
UP, TAB, ENTER, CTRL_C, CTRL_D = "\x1b[A", "\t", "\r", "\x03", "\x04"


class Terminal:
    """`chatd connect` on a terminal of 100 columns and 30 lines."""

    def __init__(self, words: list[str], environ: dict[str, str]) -> None:
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "chatd", "connect", *words],
            env=environ,
            timeout=20,
            dimensions=(30, 100),
        )
        self.raw = b""
        self.screen = pyte.Screen(100, 30)
        self.screen.write_process_input = self.types
        self._stream = pyte.ByteStream(self.screen)

    @property
    def lines(self) -> list[str]:
        """What is on the screen, without empty lines."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def sees(self, *texts: str, within: float = 20.0) -> str:
        """Wait until all of this is on the screen, and return the line with the last of it."""
        deadline = time.monotonic() + within
        while True:
            found = [line for line in self.lines if texts[-1] in line]
            if found and all(any(text in line for line in self.lines) for text in texts):
                return found[-1]
            assert time.monotonic() < deadline, f"no {texts} in\n" + "\n".join(self.lines)
            self._read()

    def _read(self) -> None:
        try:
            blob = self.child.read_nonblocking(4096, timeout=0.05)
        except pexpect.TIMEOUT:
            return
        self.raw += blob
        self._stream.feed(blob)

    def types(self, text: str) -> None:
        self.child.send(text)

    def ends(self) -> int:
        """The exit code."""
        try:
            while True:
                self._read()
        except pexpect.EOF:
            self.child.close()
        assert self.child.exitstatus is not None
        return int(self.child.exitstatus)


@pytest.fixture
def room() -> str:
    return f"#terminal{next(_NUMBERS)}"


@pytest.fixture
def address(shared_server: Any) -> str:
    return f"127.0.0.1:{shared_server.port}"


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("CHATD", "XDG_", "NO_COLOR"))}
    opened: list[Terminal] = []

    def start(*words: str, **more: str) -> Terminal:
        opened.append(Terminal(list(words), environ | {"HOME": str(tmp_path), "TERM": "xterm-256color"} | more))
        return opened[-1]

    yield start
    for one in opened:
        end(one.child)


@pytest.fixture
def jerry(address: str, room: str) -> Iterator[blocking.Chat]:
    with blocking.connect(address, nick=f"jerry{next(_NUMBERS)}") as chat:
        chat.join(room)
        yield chat


def hears(chat: blocking.Chat) -> Message:
    return next(event for event in chat.events(timeout=20) if isinstance(event, Message))


def tom() -> str:
    return f"tom{next(_NUMBERS)}"


def test_a_message_appears_while_one_types_and_leaves_the_line_intact(
    terminal: Open, address: str, room: str, jerry: blocking.Chat
) -> None:
    """A54: within a second, above the half-typed line, which is then finished and sent."""
    screen = terminal(address, "--nick", tom(), "--room", room)
    screen.sees("people are here", f"{room}>")
    screen.types("hello wor")
    screen.sees(f"{room}> hello wor")
    jerry.send(room, "ping!")
    screen.sees(f"<{jerry.nick}> ping!", f"{room}> hello wor", within=1.0)
    message, line = (
        next(n for n, text in enumerate(screen.lines) if words in text) for words in ("ping!", "hello wor")
    )
    assert message + 1 == line
    assert screen.screen.cursor.x == len(f"{room}> hello wor")
    screen.types("ld" + ENTER)
    assert hears(jerry).body == "hello world"
    screen.types(CTRL_D)
    assert screen.ends() == 0


def test_a_newcomer_is_told_where_and_who_and_what_to_do(terminal: Open, address: str, room: str) -> None:
    """A25: welcome, one's own nick, the room, and hints."""
    nick = tom()
    screen = terminal(address, "--nick", nick, "--room", room)
    screen.sees(f"you are {nick} on ", "/help", "Tab completes", "Ctrl-D leaves", f"{room} (1 person is here)")
    screen.types(CTRL_D)
    assert screen.ends() == 0


def test_own_words_and_those_of_others_are_in_the_order_of_the_room(
    terminal: Open, address: str, room: str, jerry: blocking.Chat
) -> None:
    """A39, A41, A55: one's own message once; nobody takes turns."""
    nick = tom()
    screen = terminal(address, "--nick", nick, "--room", room)
    screen.sees("people are here", f"{room}>")
    screen.types("one" + ENTER)
    screen.sees(f"<{nick}> one")
    jerry.send(room, "two <bob> \x1b[31mthree")
    screen.sees(f"<{jerry.nick}> two <bob> three")
    jerry.send(room, "waves", kind="action")
    screen.sees(f"* {jerry.nick} waves")
    assert len([line for line in screen.lines if "one" in line]) == 1


def test_tab_completes_commands_rooms_and_names(terminal: Open, address: str, room: str, jerry: blocking.Chat) -> None:
    """A57: a terminal program that people like."""
    screen = terminal(address, "--nick", tom(), "--room", room)
    screen.sees("people are here", f"{room}>")
    screen.types(jerry.nick[:-1] + TAB)
    screen.sees(f"{room}> {jerry.nick}:")
    screen.types("hi" + ENTER)
    assert hears(jerry).body == f"{jerry.nick}: hi"
    screen.types("/top" + TAB)
    screen.sees(f"{room}> /topic")
    screen.types("cats" + ENTER)
    screen.sees("set the topic: cats")
    screen.types("/msg " + jerry.nick[:-1] + TAB)
    screen.sees(f"{room}> /msg {jerry.nick}")
    screen.types("psst" + ENTER)
    assert hears(jerry).body == "psst"
    screen.types("/join " + room[:-1] + TAB)
    screen.sees(f"/join {room}")


def test_the_arrow_key_brings_back_what_was_typed(
    terminal: Open, address: str, room: str, jerry: blocking.Chat
) -> None:
    screen = terminal(address, "--nick", tom(), "--room", room)
    screen.sees("people are here", f"{room}>")
    screen.types("again" + ENTER)
    assert hears(jerry).body == "again"
    screen.types(UP)
    screen.sees(f"{room}> again")
    screen.types(ENTER)
    assert hears(jerry).body == "again"


def test_several_rooms_with_what_is_unread(terminal: Open, address: str, room: str, jerry: blocking.Chat) -> None:
    """A57: several rooms at once, with what is unread below."""
    other = room + "-ops"
    jerry.join(other)
    screen = terminal(address, "--nick", tom(), "--room", room, "--room", other)
    screen.sees(f"{room}>", f"1:{room} ", f"2:{other}")
    jerry.send(other, "elsewhere")
    screen.sees(f"2:{other} 1")
    assert not any("elsewhere" in line for line in screen.lines)
    screen.types("\x1b2")
    screen.sees(f"now in {other}", "elsewhere", f"{other}>")
    screen.types("/part" + ENTER)
    screen.sees(f"you left {other}", f"{room}>")


def test_ctrl_c_clears_the_line_and_twice_leaves(terminal: Open, address: str, room: str, jerry: blocking.Chat) -> None:
    screen = terminal(address, "--nick", tom(), "--room", room)
    screen.sees("people are here", f"{room}>")
    screen.types("not this")
    screen.sees(f"{room}> not this")
    screen.types(CTRL_C)
    screen.types("but this" + ENTER)
    assert hears(jerry).body == "but this"
    screen.types(CTRL_C)
    screen.sees("press Ctrl-C again")
    screen.types(CTRL_C)
    assert screen.ends() == 130


def test_quit_says_why(terminal: Open, address: str, room: str, jerry: blocking.Chat) -> None:
    """A52: /quit bye, and the others see the reason."""
    screen = terminal(address, "--nick", tom(), "--room", room)
    screen.sees("people are here", f"{room}>")
    screen.types("/quit off to lunch" + ENTER)
    assert screen.ends() == 0
    left = (one.reason for event in jerry.events(timeout=20) if isinstance(event, Presence) for one in event.left or ())
    assert next(left) == "off to lunch"


def test_the_server_goes_and_comes_back(terminal: Open, start_server: Any) -> None:
    """A24: a clear word, what is typed meanwhile is kept, and sent on return."""
    server = start_server()
    address = f"127.0.0.1:{server.port}"
    screen = terminal(address, "--nick", "tom")
    screen.sees("#lobby>")
    with blocking.connect(address, nick="jerry") as jerry:
        jerry.join("#lobby")
        screen.sees("jerry joined")
        server.kill9()
        screen.sees("the server is away", "next try in")
        screen.types("one" + ENTER + "two" + ENTER)
        screen.sees("(waiting) <tom> two", "2 waiting")
        server.restart()
        screen.sees("the server is back")
        assert [hears(jerry).body, hears(jerry).body] == ["one", "two"]
        screen.sees("] <tom> two")
    assert not any("not sent" in line for line in screen.lines)


def test_the_client_may_be_started_first(terminal: Open, start_server: Any) -> None:
    """A24: it says so, waits, and comes in."""
    server = start_server()
    port = server.port
    server.stop()
    screen = terminal(f"127.0.0.1:{port}", "--nick", "tom")
    screen.sees(f"nothing is listening at 127.0.0.1:{port}; trying again until it answers")
    server.restart()
    screen.sees("connected to", "#lobby>")


def test_waiting_for_a_server_can_be_ended(terminal: Open) -> None:
    screen = terminal("127.0.0.1:9")
    screen.sees("trying again")
    screen.types(CTRL_C)
    assert screen.ends() == 130


def test_a_person_whose_name_is_taken_may_choose_another(terminal: Open, address: str, room: str) -> None:
    nick = tom()
    with blocking.connect(address, nick=nick):
        screen = terminal(address, "--nick", nick, "--room", room)
        screen.sees("another name [")
        screen.types(f"{nick}-too" + ENTER)
        screen.sees(f"you are {nick}-too on")


def test_commands_are_carried_out_and_unknown_ones_are_not_said(
    terminal: Open, address: str, room: str, jerry: blocking.Chat
) -> None:
    """A13, A48: the server's time, how far it is, and who is there."""
    screen = terminal(address, "--nick", tom(), "--room", room)
    screen.sees("people are here", f"{room}>")
    screen.types("/jion #x" + ENTER)
    screen.sees("did you mean /join?")
    screen.types("//jion" + ENTER)
    assert hears(jerry).body == "/jion"
    conversation = {
        "/? history": "/history [N]",
        "/time": "the server's time is",
        "/ping": "there and back in",
        "/edit //jon": "edited message 1: //jon",
        "/edit #1 /jan": "edited message 1: /jan",
        "/react 👍 1": "reacts to message 1 with 👍",
        "/react #1 🎉": "reacts to message 1 with 🎉",
        "/react 1": "with what? /react 1 EMOJI",
        "/join #bad room name": "the name of a room has no spaces",
        "/delete": "deleted message 1",
        "/topic": "the topic of",
        "/away lunch": "you are away",
        "/names": "(away)",
        "/back": "you are back",
        "/who": "here: ",
        f"/whois {jerry.nick}": f"rooms: {room}",
        "/rooms": f"{room} (2)",
        "/history 2": "6 ***",
        "/nick": "it is written: /nick NAME",
        f"/nick {tom()}": "you are called",
        "/status": "durability",
        "/numbers": "numbers are shown",
        "/history 1": "] 6 ***",
    }
    for typed, answer in conversation.items():
        screen.types(typed + ENTER)
        screen.sees(answer)


def test_plain_never_redraws(terminal: Open, address: str, room: str, jerry: blocking.Chat) -> None:
    """A54: for screen readers and simple terminals: no escape sequences at all."""
    screen = terminal(address, "--nick", tom(), "--room", room, "--plain")
    screen.sees("people are here")
    jerry.send(room, "hello")
    screen.sees(f"<{jerry.nick}> hello")
    screen.types("hello yourself\n")
    assert hears(jerry).body == "hello yourself"
    screen.types(CTRL_D)
    assert screen.ends() == 0
    assert b"\x1b" not in screen.raw


def test_a_signal_interrupts(terminal: Open, address: str, room: str) -> None:
    screen = terminal(address, "--nick", tom(), "--room", room, "--plain")
    screen.sees("is here")
    screen.child.kill(signal.SIGINT)
    assert screen.ends() == 130


def test_whoever_ends_it_the_terminal_is_left_as_it_was(terminal: Open, address: str, room: str) -> None:
    screen = terminal(address, "--nick", tom(), "--room", room)
    screen.sees(f"{room}>")
    screen.child.kill(signal.SIGTERM)
    assert screen.ends() == 130
    assert screen.raw.rfind(b"\x1b[?2004l") > screen.raw.rfind(b"\x1b[?2004h"), "pasting is as before"
