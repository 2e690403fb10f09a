"""The error codes that a peer can be answered with, and the refusal that carries one.

The names are the wire contract (PROTOCOL.md section 6). Each protocol turns a code into its own dialect.
"""

from __future__ import annotations

from enum import StrEnum, auto
from typing import Any


class _Upper(StrEnum):
    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[Any]) -> str:
        return name


class Code(_Upper):
    """One word for each thing that can go wrong; the value is the word itself."""

    BAD_FRAME = auto()
    FRAME_TOO_LARGE = auto()
    INVALID_UTF8 = auto()
    UNKNOWN_TYPE = auto()
    INVALID_PARAMS = auto()
    UNSUPPORTED_VERSION = auto()
    WRONG_PROTOCOL = auto()

    NOT_REGISTERED = auto()
    AUTH_FAILED = auto()
    ACCOUNT_REQUIRED = auto()
    ACCOUNT_EXISTS = auto()
    WEAK_PASSWORD = auto()
    REGISTRATION_CLOSED = auto()
    SESSION_EXPIRED = auto()

    NICK_INVALID = auto()
    NICK_IN_USE = auto()
    NICK_RESERVED = auto()
    NICK_CONFUSABLE = auto()

    NO_SUCH_ROOM = auto()
    NO_SUCH_USER = auto()
    NO_SUCH_MESSAGE = auto()
    NOT_IN_ROOM = auto()
    ALREADY_IN_ROOM = auto()
    ROOM_FULL = auto()
    INVITE_ONLY = auto()
    BAD_KEY = auto()
    BANNED = auto()
    MUTED = auto()
    FORBIDDEN = auto()

    MESSAGE_TOO_LONG = auto()
    MSG_ID_REUSED = auto()
    RATE_LIMITED = auto()
    LIMIT_EXCEEDED = auto()

    STORE_UNAVAILABLE = auto()
    OUTCOME_UNKNOWN = auto()
    SHUTTING_DOWN = auto()
    KICKED = auto()
    REPLACED = auto()
    INTERNAL = auto()


class Refusal(Exception):
    """A command is refused: the code, a sentence for a person, and facts for a program."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        retry_after: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.details = details


class Behind(Refusal):
    """A command names what has not happened yet, as far as is known here."""
