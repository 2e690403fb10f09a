"""How a command ends: one line on standard error, and a code for the shell (PROTOCOL.md section 9)."""

from __future__ import annotations

import sys

from chatd.client.cursor import CursorFileError
from chatd.client.errors import BadAddress, CannotConnect, ChatError, Disconnected, Refused, TimedOut, WrongProtocol
from chatd.core.codes import Code
from chatd.core.text import clean_line
from chatd.errors import Exit, OperatorError

_TRY_AGAIN = frozenset(
    {
        Code.RATE_LIMITED,
        Code.LIMIT_EXCEEDED,
        Code.STORE_UNAVAILABLE,
        Code.OUTCOME_UNKNOWN,
        Code.SHUTTING_DOWN,
        Code.INTERNAL,
        Code.ROOM_FULL,
    }
)
_PROTOCOL = frozenset({Code.UNSUPPORTED_VERSION, Code.WRONG_PROTOCOL, Code.BAD_FRAME, Code.UNKNOWN_TYPE})

START = "start it with: twistd -n chatd --port {}"


def exit_code(error: ChatError) -> Exit:
    """The code that stands for an error."""
    match error:
        case BadAddress():
            return Exit.USAGE
        case CannotConnect():
            return Exit.UNAVAILABLE
        case WrongProtocol():
            return Exit.PROTOCOL
        case Disconnected() | TimedOut():
            return Exit.TRY_AGAIN
        case CursorFileError():
            return Exit.DISK
        case Refused():
            if error.code in _TRY_AGAIN:
                return Exit.TRY_AGAIN
            return Exit.PROTOCOL if error.code in _PROTOCOL else Exit.NOT_ALLOWED
        case _:
            return Exit.SOFTWARE


def told(name: str, error: ChatError, server: str) -> OperatorError:
    """The error as the one line that the person at the shell gets: what, why, what to do."""
    code = exit_code(error)
    if isinstance(error, CannotConnect):
        return OperatorError("cannot connect", str(error), remedy_for(str(error), server), code)
    if isinstance(error, WrongProtocol):
        return OperatorError("cannot connect", f"{server}: {error}", "look at the address and the port", code)
    if isinstance(error, Refused) and error.code.startswith("NICK_"):
        remedy = f"try --nick {error.suggestion}" if error.suggestion else "try another --nick"
        if error.code == Code.NICK_RESERVED:
            remedy += ", or --account if it is yours"
        return OperatorError("nick", clean_line(error.message), remedy, code)
    if isinstance(error, Refused):
        return OperatorError(name, clean_line(str(error)), "", code)
    return OperatorError(name, clean_line(str(error)), "try again" if code is Exit.TRY_AGAIN else "", code)


def remedy_for(reason: str, server: str) -> str:
    """What helps when nobody is there."""
    is_one = reason.startswith("nothing is listening") and "," not in server
    return START.format(server.rpartition(":")[2]) if is_one else ""


def say(line: str) -> None:
    """One line on standard error."""
    print(f"chatd: {clean_line(line)}", file=sys.stderr, flush=True)
