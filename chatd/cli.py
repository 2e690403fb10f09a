"""The command `chatd`: finds the subcommand, runs it, and tells what went wrong in one line.

It knows the names of the subcommands and imports only the one that is asked for, so that help comes at once.
"""

from __future__ import annotations

import sys
from importlib import import_module

from chatd import __version__
from chatd.errors import Exit, OperatorError, status_of

# Each subcommand: where its `run(name, words) -> exit code` is, and what it does.
COMMANDS = {
    "serve": ("chatd.cli_serve", "run a server: everyone on this machine can join it on port 1234"),
    "connect": ("chatd.client.commands", "come in and talk: chatd connect localhost:1234 --nick tom"),
    "send": ("chatd.client.commands", "send a message, or each line of the input, and leave"),
    "tail": ("chatd.client.commands", "print what is said in a room, as it is said"),
    "history": ("chatd.client.commands", "print what was said in a room"),
    "admin": ("chatd.cli_admin", "see and steer the running server"),
    "user": ("chatd.cli_admin", "look after accounts: add, passwd, list, disable"),
    "invite": ("chatd.cli_invite", "make an invite: a word with which one account can be made"),
    "doctor": ("chatd.cli_doctor", "look at whether a server can run here, and say what to mend"),
    "cert": ("chatd.cli_cert", "make and show certificates, for encrypted connections"),
    "config": ("chatd.cli_config", "write, check and show the settings"),
    "backup": ("chatd.cli_journal", "copy the journal into a file, while the server runs"),
    "restore": ("chatd.cli_journal", "make a backup the journal again"),
    "export": ("chatd.cli_export", "write what was said to a file, to read or to import again"),
    "import": ("chatd.cli_export", "take rooms out of an export into the journal"),
    "purge": ("chatd.cli_journal", "remove what is old from the journal, for good"),
    "migrate": ("chatd.cli_journal", "take the journal of one machine into a stream that many share"),
    "rebuild": ("chatd.cli_journal", "make a node's copy of the stream anew"),
    "verify": ("chatd.cli_journal", "look through a journal's file for damage"),
    "bench": ("chatd.cli_bench", "put your own server under load, and see whether it keeps its promises"),
    "protocol": ("chatd.cli_protocol", "print the protocol's JSON Schema, for those who write clients"),
    "version": ("", "print the version"),
}

HELP_WORDS = ("help", "--help", "-h")
VERSION_WORDS = ("version", "--version", "-V")


def main(words: list[str] | None = None) -> int:
    """Run `chatd` with these words; the exit codes are those of `chatd.errors.Exit`."""
    given = sys.argv[1:] if words is None else words
    return status_of(lambda: run_command(given))


def run_command(words: list[str]) -> int:
    if not words or words[0] in HELP_WORDS:
        print(overview())
        return Exit.OK if words else Exit.USAGE
    name = words[0]
    if name in VERSION_WORDS:
        print(f"chatd {__version__}")
        return Exit.OK
    if name not in COMMANDS:
        raise _unknown(name)
    status: int = import_module(COMMANDS[name][0]).run(name, words[1:])
    return status


def _unknown(name: str) -> OperatorError:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    remedy = f"did you mean {near[0]}?" if near else "see chatd --help"
    return OperatorError("command", f"there is no {name[:40]!r}", remedy, Exit.USAGE)


def overview() -> str:
    """What `chatd --help` prints."""
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items())
    return (
        "chatd: a chat server that everyone can join, and a way to join it.\n\n"
        f"Usage: chatd COMMAND [options]\n\n{listed}\n\n"
        "Each command explains itself: chatd COMMAND --help"
    )


__all__ = ["COMMANDS", "main"]
