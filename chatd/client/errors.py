"""What can go wrong for someone who uses the client, as exceptions that say what, why and what to do.

All are `ChatError`. None carries anything that others said.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from chatd.core.replies import Problem


class ChatError(Exception):
    """Anything that the client reports; its text is one line for a person."""


class BadAddress(ChatError, ValueError):
    """What was given as an address is none."""


class CannotConnect(ChatError, ConnectionError):
    """No connection came about, or none came back."""


class WrongProtocol(ChatError):
    """Something answers there, but it is not the framed protocol of chatd."""


class Disconnected(ChatError, ConnectionError):
    """The connection ended, and what was asked is not safe to repeat: perhaps it was done, perhaps not."""


class TimedOut(ChatError, TimeoutError):
    """No answer came in the time that was given. What was asked may still be carried out."""


class Refused(ChatError):
    """The server refused: `code` for programs (PROTOCOL.md section 6), `message` for people."""

    def __init__(
        self, code: str, message: str, retry_after: float | None = None, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(code, message, retry_after, details)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.details = details or {}

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"

    @property
    def suggestion(self) -> str | None:
        """Another nick that would do, where the server names one."""
        suggestion = self.details.get("suggestion")
        return suggestion if isinstance(suggestion, str) else None


def refused(problem: Problem) -> Refused:
    """The exception for the error part of a reply."""
    return Refused(
        problem.code,
        problem.message,
        None if problem.retry_after is UNSET else problem.retry_after,
        None if problem.details is UNSET else problem.details,
    )
