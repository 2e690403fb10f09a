"""From options to a service: what `twistd -n chatd` takes, and `chatd serve` too.

It knows the options by name and which settings they stand for; everything else is `chatd.config`'s and
`chatd.service`'s. Importing it imports no reactor, so that `twistd -r` can still choose one.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python import usage

import chatd
from chatd.config import Loaded, Source, find_file, load_from, nearest
from chatd.errors import Exit, OperatorError
from chatd.exposure import check_exposed
from chatd.listeners import addresses, wanted

_log = Logger()

# Each option and the setting that it stands for.
SETTINGS = {
    "port": "server.port",
    "line-port": "server.line_port",
    "http-port": "server.http_port",
    "metrics-port": "server.metrics_port",
    "interface": "server.interface",
    "public": "server.public",
    "data-dir": "server.data_dir",
    "journal": "journal.url",
    "no-detect": "server.detect",
    "ready-file": "server.ready_file",
    "registration": "accounts.registration",
}


class ServeOptions(usage.Options):
    """The options of a server. After parsing, `loaded` has the settings in effect.

    `parseOptions` raises `OperatorError` for whatever is wrong with them or with the settings.
    """

    synopsis = "[options]"
    longdesc = (
        "Ports take a number, 0 for any free one, none, or an endpoint such as unix:/run/chatd/chatd.sock."
        " Settings come from these options, then from the environment (CHATD__SECTION__KEY), then from the"
        " settings file, then from what is built in: see chatd config show."
    )
    optParameters = [  # noqa: RUF012  # the framework reads it from the class
        ["port", "p", None, "The port that everyone can join. [default: 1234]"],
        ["line-port", None, None, "A port only for people with telnet or nc. [default: 2323]"],
        ["http-port", None, None, "A port for the web alone, which --port takes as well. [default: none]"],
        ["metrics-port", None, None, "A port for programs that watch the server. [default: none]"],
        ["interface", None, None, "The address to listen on. [default: localhost]"],
        ["data-dir", "d", None, "The folder of the journal. [default: ~/.local/state/chatd]"],
        ["config", "c", None, "The settings file. [default: ~/.config/chatd/chatd.toml]"],
        [
            "journal",
            "j",
            None,
            "Where messages are kept: sqlite:, sqlite:/a/file.db, nats://host,host or memory:. [default: sqlite:]",
        ],
        ["ready-file", None, None, "A file to write, as JSON, once everything listens."],
        [
            "registration",
            None,
            None,
            "Who can make an account: open, invite or closed. Needed where other machines can come in.",
        ],
    ]
    optFlags = [  # noqa: RUF012  # the framework reads it from the class
        ["public", None, "Listen on all addresses, not only for this machine."],
        ["no-detect", None, "Let only programs in on --port, and do not guess."],
    ]

    loaded: Loaded
    _file: Path | None = None

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def parseOptions(self, options: list[str] | None = None) -> None:
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as error:
            raise self._misused(str(error)) from error
        self.loaded = self.read_again()
        wanted(self.loaded)
        addresses(self.loaded)
        check_exposed(self.loaded)

    def read_again(self) -> Loaded:
        """The settings from the same places as the first time; a file that was read then has to be there.

        Raises `OperatorError` for the first thing that is wrong.
        """
        if self._file is None:
            found = find_file(self["config"], os.environ)
            self._file = found and found.absolute()  # whatever folder we are in later
        return load_from(self._file, self._chosen(), os.environ)

    def _misused(self, reason: str) -> OperatorError:
        remedy = "see them all with --help"
        word = reason.removeprefix("option ").split(" ")[0]
        near = nearest(word.lstrip("-"), [option.rstrip("=") for option in self.longOpt])
        if "not recognized" in reason and near:
            remedy = f"did you mean --{near}?"
        return OperatorError("options", reason.rstrip("."), remedy, Exit.USAGE)

    def parseArgs(self, *words: str) -> None:
        if words:
            raise usage.UsageError(f"{words[0]!r} is one word too many")

    def _chosen(self) -> Source:
        """The settings that were given as options."""
        given: dict[str, Any] = {
            option: self[option] for option in SETTINGS if self[option] is not None and self[option] != 0
        }
        if "no-detect" in given:
            given["no-detect"] = False
        if "public" in given:
            given["public"] = True
        return Source(
            label="command line",
            values={SETTINGS[option]: value for option, value in given.items()},
            spelled={SETTINGS[option]: f"--{option}" for option in given},
            exit_code=Exit.USAGE,
        )

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"chatd {chatd.__version__}")
        sys.exit(0)


class Options(ServeOptions):
    """The same for `twistd`, which would answer a wrong option with a page of help."""

    def parseOptions(self, options: list[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except OperatorError as error:
            print(f"chatd: {error}", file=sys.stderr)
            raise SystemExit(int(error.exit_code)) from None


def makeService(options: ServeOptions) -> IService:
    """The service that `twistd` starts and stops."""
    from twisted.internet import reactor

    from chatd.reload import Hangup
    from chatd.service import ChatService
    from chatd.steady import keep_steady

    keep_steady(reactor)

    def give_up(error: OperatorError) -> None:
        _log.critical("chatd: {error}", error=error)
        # twistd has no way to end with a status of ours: it is the last thing this process does.
        atexit.register(_leave, int(error.exit_code))
        reactor.stop()

    service = ChatService(options.loaded, reactor=reactor, give_up=give_up, read_again=options.read_again)
    Hangup(reactor, reload=service.reload, stop=reactor.stop)
    return service


def _leave(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
