"""What `chatd serve` writes to its standard output: one line an event, for people or for programs.

It knows the framework's log events and the settings under [log]. What is worth a line is said where it
happens; texts of users never are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

import msgspec
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogBeginner
from zope.interface import implementer

from chatd.core.text import clean_body, clean_line
from chatd.settings import LogSettings

_RANK = {level: n for n, level in enumerate(LogLevel.iterconstants())}  # from debug on
_WARNING = _RANK[LogLevel.warn]

# The framework tells at length what it starts and stops; only what worries it is passed on.
_FRAMEWORK_LEAST = _WARNING

_HIDDEN = "-"

# What JSON need not escape, and a terminal or somebody's idea of a line would not leave as it is.
_HARMFUL = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@implementer(ILogObserver)
class LineObserver:
    """Writes each event that is important enough as one line, and a traceback if our own code is to blame."""

    def __init__(self, output: TextIO, settings: LogSettings) -> None:
        self._output = output
        self.change(settings)

    def change(self, settings: LogSettings) -> None:
        """Write by these settings from the next line on."""
        self._least = _RANK[LogLevel.levelWithName(settings.level)]
        self._has_addresses = settings.addresses
        self._write: Callable[[LogEvent], str] = as_json if settings.format == "json" else as_text

    def set_level(self, name: str) -> None:
        """Write what is at least so important, until `change` says otherwise."""
        self._least = _RANK[LogLevel.levelWithName(name)]

    def __call__(self, event: LogEvent) -> None:
        if not self._is_wanted(event):
            return
        if not self._has_addresses and "address" in event:
            event = event | {"address": _HIDDEN}
        try:
            self._output.write(self._write(event) + "\n")
            self._output.flush()
        except (OSError, ValueError):
            return  # nobody reads any more: the chat goes on

    def _is_wanted(self, event: LogEvent) -> bool:
        rank = _RANK[event.get("log_level") or LogLevel.info]
        is_ours = str(event.get("log_namespace", "")).startswith("chatd")
        return rank >= self._least and (is_ours or rank >= _FRAMEWORK_LEAST)


def as_text(event: LogEvent) -> str:
    """The event for people: `14:02:33 what happened`; with its level if it is a warning or worse."""
    level = event.get("log_level") or LogLevel.info
    weight = f"{level.name}: " if _RANK[level] >= _WARNING else ""
    line = f"{_clock(int(event['log_time']))} {weight}{_message(event)}"
    traceback = _traceback(event)
    return f"{line}\n{traceback}" if traceback else line


def as_json(event: LogEvent) -> str:
    """The event for programs: a JSON object of `time`, `level`, `source`, `message` and its own fields."""
    fields = {key: _plain(value) for key, value in event.items() if _is_field(key)}
    document = {
        "time": datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="milliseconds"),
        "level": (event.get("log_level") or LogLevel.info).name,
        "source": str(event.get("log_namespace", "")),
        "message": _message(event),
        **{key: value for key, value in fields.items() if key not in ("time", "level", "source", "message")},
    }
    if traceback := _traceback(event):
        document["traceback"] = traceback
    return _HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", msgspec.json.encode(document).decode())


def _message(event: LogEvent) -> str:
    # One event is one line, and does nothing to the terminal of whoever reads it, whatever its fields hold.
    form = event.get("log_format")
    if type(form) is str and "()" not in form and "log_flattened" not in event:
        with suppress(Exception):  # the framework tells what is wrong with it
            return clean_line(form.format_map(event))  # the same as below, at a tenth of the time
    return clean_line(formatEvent(event))


@lru_cache(maxsize=4)
def _clock(second: int) -> str:
    return f"{datetime.fromtimestamp(second):%H:%M:%S}"


def _is_field(key: str) -> bool:
    # The framework's own keys, new and old, say how to write an event rather than what it is about.
    return not key.startswith("log_") and key not in (
        "time",
        "system",
        "isError",
        "message",
        "format",
        "failure",
        "why",
    )


def _plain(value: object) -> object:
    if isinstance(value, (int, float, bool, type(None))):
        return value
    return str(value).encode("utf-8", "replace").decode()  # a file's name may be no text


def _traceback(event: Mapping[str, Any]) -> str:
    failure = event.get("log_failure")
    return clean_body(str(failure.getTraceback())).rstrip() if failure is not None else ""


def begin(output: TextIO, settings: LogSettings) -> LineObserver:
    """Send the log to `output` from now on."""
    observer = LineObserver(output, settings)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    return observer
