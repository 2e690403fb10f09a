"""The client's commands: `chatd connect`, `chatd send`, `chatd tail`, `chatd history`.

`run` reads the words, runs the command, and turns whatever goes wrong into one line and an exit code. The
commands themselves are in `pipes` and `terminal`.
"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from io import TextIOWrapper

from chatd.client import options
from chatd.client.errors import ChatError, Refused
from chatd.client.outcome import told
from chatd.client.passwords import forget, with_password
from chatd.core.codes import Code
from chatd.errors import status_of

# Where the coroutine function `(choices) -> exit code` of each command is.
_COMMANDS = {
    "connect": ("chatd.client.terminal", "connect"),
    "send": ("chatd.client.pipes", "send"),
    "tail": ("chatd.client.pipes", "tail"),
    "history": ("chatd.client.pipes", "history"),
}


def run(name: str, words: list[str]) -> int:
    """Run one of the commands with these words; its exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # people write what not every terminal can show
    return status_of(lambda: _run(name, words))


def _run(name: str, words: list[str]) -> int:
    choices = with_password(options.read(name, words))
    module, function = _COMMANDS[name]
    try:
        return int(asyncio.run(getattr(import_module(module), function)(choices)))
    except ChatError as error:
        if isinstance(error, Refused) and error.code == Code.SESSION_EXPIRED:
            forget(choices)
        raise told(name, error, choices.server) from error
