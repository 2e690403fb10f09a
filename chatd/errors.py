"""Errors that are told to the operator or to the person at the command line, never to a peer.

What a peer did wrong is a reply with a code (`chatd.core.codes`); what an operator did wrong stops
the start with one line that says what, why and what to do.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from enum import IntEnum

from chatd.core.text import clean_line


class Exit(IntEnum):
    """Exit codes of `chatd`, after sysexits.h; PROTOCOL.md section 9."""

    OK = 0
    USAGE = 2
    UNAVAILABLE = 69
    SOFTWARE = 70
    DISK = 74
    TRY_AGAIN = 75
    PROTOCOL = 76
    NOT_ALLOWED = 77
    SETTINGS = 78
    INTERRUPTED = 130


class OperatorError(Exception):
    """Something the operator can mend; its text is one line: what, why, what to do."""

    def __init__(self, what: str, why: str, remedy: str = "", exit_code: Exit = Exit.SOFTWARE) -> None:
        super().__init__(what, why, remedy, exit_code)
        self.what = what
        self.why = why
        self.remedy = remedy
        self.exit_code = exit_code

    def __str__(self) -> str:
        line = f"{self.what}: {self.why}"
        return clean_line(f"{line}; {self.remedy}" if self.remedy else line)  # it may quote what somebody wrote


def status_of(run: Callable[[], int]) -> int:
    """The exit status of a command: its own, or what went wrong, told on stderr in one line."""
    try:
        return run()
    except OperatorError as error:
        print(f"chatd: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Who reads our output has heard enough; the interpreter's own last flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as error:
        traceback.print_exc()
        line = OperatorError(type(error).__name__, "a bug of ours, see above", "please report it")
        print(f"chatd: {line}", file=sys.stderr)
        return Exit.SOFTWARE
