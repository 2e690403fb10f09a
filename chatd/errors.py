"""Errors that are told to the operator or to the person at the command line, never to a peer.

What a peer did wrong is a reply with a code (`chatd.core.codes`); what an operator did wrong stops
the start with one line that says what, why and what to do.
"""

from __future__ import annotations

from enum import IntEnum


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
        return f"{line}; {self.remedy}" if self.remedy else line
