"""The log of `chatd serve`: a line an event, for people and for programs."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from twisted.logger import Logger

from chatd.logs import LineObserver
from chatd.settings import LogSettings


class Log:
    """Says things, and has what was written of them."""

    def __init__(self, namespace: str = "chatd.hub", **settings: Any) -> None:
        self.output = io.StringIO()
        self.say = Logger(namespace, observer=LineObserver(self.output, LogSettings(**settings)))

    @property
    def lines(self) -> list[str]:
        return self.output.getvalue().splitlines()


def test_people_read_the_time_and_what_happened() -> None:
    """A37: one event is one line."""
    log = Log()
    log.say.info("{nick} joined", nick="alice")
    log.say.warn("slow\ndisk")
    assert re.fullmatch(r"\d\d:\d\d:\d\d alice joined", log.lines[0])
    assert re.fullmatch(r"\d\d:\d\d:\d\d warn: slow disk", log.lines[1])


def test_programs_read_fields_by_name() -> None:
    """A37: the log as JSON, one object a line."""
    log = Log(format="json")
    log.say.info("{nick} joined {room}", nick="alice", room="#lobby", session="s1", count=3, thing=object)
    (line,) = log.lines
    event = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", event.pop("time"))
    assert event == {
        "level": "info",
        "source": "chatd.hub",
        "message": "alice joined #lobby",
        "nick": "alice",
        "room": "#lobby",
        "session": "s1",
        "count": 3,
        "thing": "<class 'object'>",
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_addresses_are_left_out_on_request(form: str) -> None:
    """A36, A37: where somebody is need not be written down."""
    for shown in (True, False):
        log = Log(format=form, addresses=shown)
        log.say.info("connected from {address}", address="192.0.2.7")
        assert ("192.0.2.7" in log.lines[0]) is shown


def test_what_is_less_important_is_left_out() -> None:
    log = Log(level="warn")
    log.say.info("something")
    log.say.error("something else")
    assert len(log.lines) == 1


def test_the_framework_is_heard_only_when_it_worries() -> None:
    log = Log("twisted.internet.protocol")
    log.say.info("Starting factory")
    log.say.warn("trouble")
    assert [line[9:] for line in log.lines] == ["warn: trouble"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_our_mistakes_come_with_a_traceback(form: str) -> None:
    log = Log(format=form)
    try:
        raise LookupError("lost")
    except LookupError:
        log.say.failure("bug")
    text = json.loads(log.lines[0])["traceback"] if form == "json" else "\n".join(log.lines)
    assert "Traceback" in text
    assert "LookupError: lost" in text


def test_nobody_reading_is_no_reason_to_stop() -> None:
    log = Log()
    log.output.close()
    log.say.info("into the void")


def test_a_line_is_written_as_the_framework_would() -> None:
    """Formats that Python knows by itself are written without it, since that is done for everyone who comes."""
    log = Log()
    log.say.info("{count:>3} {name!r} {thing.real} {call()}", count=3, name="x", thing=7, call=lambda: "called")
    log.say.info("{count:>3} {name!r} {thing.real}", count=3, name="x\ny", thing=7)
    log.say.info("{missing} is missing")
    assert [line[9:] for line in log.lines[:2]] == ["  3 'x' 7 called", "  3 'x\\ny' 7"]
    assert "Unable to format event" in log.lines[2]
    assert "'missing'" in log.lines[2]
