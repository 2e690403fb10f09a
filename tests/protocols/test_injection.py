"""Injection: nothing that anybody writes anywhere makes a terminal or a log show what was not said."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.house import House, Peer
from support.person import Person
from twisted.logger import globalLogPublisher

from chatd.core.text import clean_line
from chatd.logs import LineObserver
from chatd.settings import LogSettings

# Line ends of every sort, escape sequences, marks that turn the writing round, a heap of accents; each before a line
# that pretends to be somebody else's.
FORGED = "[12:00:00] <admin> gotcha"
EVIL = [
    f"x{before}{FORGED}"
    for before in (
        *("\n", "\r\n", "\r", "\0", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"),
        *("\x1b[31m", "\x1b[2J\x1b[H", "\x1b]0;title\x07", "\x9b2J", "\x90q\x9c", "\x1bc", "\x08\x08\x08"),
        *("\u202e", "\u2066", "\u200f", "\u061c", "\ufeff", "\u200b" * 9, "e" + "\u0301" * 50, "\x7f", "\xff\xfd\x06"),
    )
]

# Everything that a program can write and somebody else, or its own log, may see.
REQUESTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "body": lambda evil: {"type": "send", "room": "#lobby", "body": evil},
    "action": lambda evil: {"type": "send", "room": "#lobby", "body": evil, "kind": "action"},
    "notice": lambda evil: {"type": "send", "room": "#lobby", "body": evil, "kind": "notice"},
    "direct": lambda evil: {"type": "send", "to": "@watcher", "body": evil},
    "nobody": lambda evil: {"type": "send", "to": "@" + evil, "body": "x"},
    "schema": lambda evil: {"type": "send", "room": "#lobby", "body": "x", "data": {evil: evil}, "schema": evil},
    "msg_id": lambda evil: {"type": "send", "room": "#lobby", "body": "x", "msg_id": evil[:20]},
    "edit": lambda evil: {"type": "relate", "room": "#lobby", "target": 1, "rel": "edit", "body": evil},
    "reaction": lambda evil: {"type": "relate", "room": "#lobby", "target": 1, "rel": "react", "key": evil[:64]},
    "unreaction": lambda evil: {"type": "relate", "room": "#lobby", "target": 1, "rel": "unreact", "key": evil[:64]},
    "deletion": lambda evil: {"type": "relate", "room": "#lobby", "target": 2, "rel": "redact", "reason": evil},
    "topic": lambda evil: {"type": "set", "room": "#lobby", "changes": {"topic": evil}},
    "visibility": lambda evil: {"type": "set", "room": "#lobby", "changes": {"visibility": evil}},
    "room's name": lambda evil: {"type": "set", "room": "#lobby", "changes": {"name": evil}},
    "away": lambda evil: {"type": "set", "self": {"away": evil}},
    "status": lambda evil: {"type": "set", "self": {"status": evil}},
    "kick": lambda evil: {"type": "moderate", "action": "kick", "room": "#lobby", "target": "watcher", "reason": evil},
    "role": lambda evil: {"type": "moderate", "action": "role", "room": "#lobby", "target": "watcher", "role": evil},
    "nick": lambda evil: {"type": "nick", "nick": evil},
    "join": lambda evil: {"type": "join", "room": "#" + evil[:60]},
    "typing": lambda evil: {"type": "presence", "typing": {"room": "#lobby", "state": evil}},
    "unknown": lambda evil: {"type": evil},
    "list": lambda evil: {"type": "list", "what": "whois", "name": evil},
    "ping": lambda evil: {"type": "ping", "data": evil},
    "part": lambda evil: {"type": "part", "room": "#lobby", "reason": evil},
    "quit": lambda evil: {"type": "quit", "reason": evil},
}
SHOWN = re.compile(r"\[\d\d:\d\d:\d\d\] (<tom> |\* tom |-tom- (\* tom )?|\*\*\* )")

# What a person can type, and see again or let others see.
TYPED = [
    *("{}", "/{}", "//{}", "/me {}", "/msg watcher {}", "/msg {} x", "/topic {}", "/away {}", "/nick {}", "/join #{}"),
    *(
        "/part {}",
        "/quit {}",
        "/help {}",
        "/ignore {}",
        "/whois {}",
        "/names {}",
        "/rooms {}",
        "/search {}",
        "/edit {}",
    ),
    *("/react 1 {}", "/kick {} {}", "/history {}", "/json {}", "/timestamps {}", "/resume {}", "/delete {}", "/op {}"),
]


@pytest.fixture
def logs() -> Iterator[dict[str, io.StringIO]]:
    """What was logged, as it is written for people and for programs."""
    written = {form: io.StringIO() for form in ("text", "json")}
    observers = [LineObserver(output, LogSettings(level="debug", format=form)) for form, output in written.items()]  # type: ignore[arg-type]
    for observer in observers:
        globalLogPublisher.addObserver(observer)
    yield written
    for observer in observers:
        globalLogPublisher.removeObserver(observer)
    for line in written["text"].getvalue().splitlines():
        assert re.match(r"\d\d:\d\d:\d\d ", line), line
        assert clean_line(line) == line
        assert "gotcha" not in line, "texts of users stay out of the log"
    for line in written["json"].getvalue().splitlines():
        assert "gotcha" not in json.dumps(json.loads(line))


def told(watcher: Person, allowed: re.Pattern[str] = SHOWN) -> list[str]:
    """What the watcher's terminal shows; nothing of it is anything but a line of the server's making."""
    lines = watcher.reads()
    for line in lines:
        assert clean_line(line) == line
        assert allowed.match(line), line
        assert not line.startswith(FORGED)
    return lines


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_what_programs_write(logs: Any, evil: str) -> None:
    """Every field of every request, seen by a person: clean, on lines that the server began."""
    house = House()
    watcher = Person(house, "watcher")
    for field, made in REQUESTS.items():
        tom = house.come("tom", "#lobby")
        tom.ask("send", room="#lobby", body="first")
        told(watcher)
        tom.say({"id": "e", **made(evil)})
        tom.listen()
        house.settle(2)
        told(watcher)
        if tom.is_open:
            watcher.types("/whois tom", "/topic", "/history 5", "/rooms", "/names")
            told(watcher, re.compile(r"\[|\*\*\* |\d+ \[|-> "))
            tom.leave()
        told(watcher)
        assert watcher.is_open, field


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_what_programs_say_of_themselves(logs: Any, evil: str) -> None:
    """`client`, `client_version`, `device`, the nick that is wished for, a token: in nobody's sight, in no log."""
    house = House()
    watcher = Person(house, "watcher")
    guest = Peer(house)
    assert guest.ask("hello", versions=[1], client=evil, client_version=evil, caps=[evil])["ok"]
    assert not guest.ask("auth", mechanism="guest", nick=evil)["ok"]
    guest.ask("auth", mechanism="token", token=evil, nick="tom")
    guest.ask("auth", mechanism="guest", nick="tom", device=evil, data={evil: evil})
    guest.ask("join", room="#lobby")
    watcher.types("/whois tom")
    told(watcher, re.compile(r"\[|\*\*\* "))
    guest.leave()


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_what_people_type(logs: Any, evil: str) -> None:
    """On the line port: what others see, and what comes back to the one who typed it."""
    house = House()
    watcher = Person(house, "watcher")
    tom = Person(house, "tom")
    for typed in TYPED:
        if not tom.is_open:
            tom = Person(house, "tom")
        tom.types("/json off", "/join #lobby", "/nick tom")
        tom.reads()
        tom.sends(typed.replace("{}", evil).encode() + b"\n")
        own = tom.bytes().decode()
        for line in own.replace("\r\n", "\n").splitlines():
            assert line[:1] == "{" or clean_line(line) == line, typed
        assert len(own.split("\n")) == len(own.replace("\r\n", "\n").splitlines()) + 1
        for line in watcher.reads():
            assert clean_line(line) == line
            assert not line.startswith("[12:00:00]")
    tom.leaves()


def test_the_log_is_one_line_an_event_and_harmless(logs: Any) -> None:
    """Even what we quote by mistake can neither begin a line of its own nor paint the reader's terminal."""
    from twisted.logger import Logger

    for evil in EVIL:
        Logger(namespace="chatd.test").warn("quoted: {what}", what=evil.replace("gotcha", "got you") + "\udcff")
    assert len(logs["text"].getvalue().splitlines()) == len(EVIL)
    assert len(logs["json"].getvalue().splitlines()) == len(EVIL)
