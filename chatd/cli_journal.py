"""The commands that look after the journal's file: `chatd verify`, `chatd backup`, `chatd restore`,
`chatd purge`.

They find the file as a server with the same settings would. What is done with it is the journal's; this module knows
the words and what is printed.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from chatd.config import Source, load
from chatd.core.retention import PATTERN, age
from chatd.datafolder import DataFolder, folder_path
from chatd.errors import Exit, OperatorError
from chatd.journal import COPY, file_of, is_cluster, needs_nats, schema
from chatd.settings import Settings

if TYPE_CHECKING:
    from chatd.journal.verify import Verified

Commands = dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]]


class Parser(argparse.ArgumentParser):
    """argparse, with errors as one line that says what to do."""

    def error(self, message: str) -> NoReturn:
        raise OperatorError(self.prog.removeprefix("chatd "), message, f"see {self.prog} --help", Exit.USAGE)


def run(name: str, words: list[str]) -> int:
    return run_one(name, words, COMMANDS)


def run_one(name: str, words: list[str], commands: Commands) -> int:
    """Run one of these commands, which all take a data folder and a settings file."""
    about, add, command = commands[name]
    parser = Parser(prog=f"chatd {name}", description=about, allow_abbrev=False)
    add(parser)
    parser.add_argument("--data-dir", "-d", metavar="FOLDER", help="the server's data folder")
    parser.add_argument("--config", "-c", metavar="FILE", help="the server's settings file")
    try:
        chosen = parser.parse_args(words)
    except SystemExit:  # after --help
        return Exit.OK
    return command(chosen)


def where(chosen: argparse.Namespace) -> tuple[Settings, Path]:
    """The settings and the data folder of the server that is meant."""
    given = Source(
        label="command line",
        values={} if chosen.data_dir is None else {"server.data_dir": chosen.data_dir},
        spelled={"server.data_dir": "--data-dir"},
        exit_code=Exit.USAGE,
    )
    settings = load(given, file=chosen.config).settings
    return settings, folder_path(settings.server.data_dir, os.environ)


def places(chosen: argparse.Namespace) -> tuple[Path, Path]:
    """The data folder and the journal's file of a server with these settings."""
    settings, folder = where(chosen)
    path = file_of(settings.journal.url, folder)
    if path is None:
        raise OperatorError(f"journal {settings.journal.url}", "it is in no file", "see journal.url", Exit.SETTINGS)
    return folder, path


# -- verify -----------------------------------------------------------------------------------------------


def verify(chosen: argparse.Namespace) -> int:
    """Walk through the file, and tell what is wrong."""
    from chatd.journal.verify import verify

    _, path = places(chosen)
    began = time.perf_counter()
    with closing(schema.connect_known(path)) as connection:
        found = verify(connection, print)
    seconds = max(time.perf_counter() - began, 1e-6)
    print(f"{path}: {summary(found)}; {seconds:.1f} s, {found.events / seconds:,.0f} events a second")
    if found.faults:
        raise OperatorError(f"journal {path}", "it has faults", schema.REPAIR, Exit.DISK)
    return Exit.OK


def summary(found: Verified) -> str:
    """What was looked at, in words."""
    accounts = f" {counted(found.accounts, 'account')}," if found.accounts else ""
    return (
        f"{counted(found.rooms, 'room')}, {counted(found.events, 'event')} ({found.redacted:,} redacted),{accounts}"
        f" {counted(found.faults, 'fault')}"
    )


def counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


# -- backup and restore -----------------------------------------------------------------------------------


def backup(chosen: argparse.Namespace) -> int:
    """Copy the journal into a file."""
    from chatd.journal.copies import backup

    _, path = places(chosen)
    found = backup(path, chosen.file.absolute(), tell=print, is_forced=chosen.force)
    print(f"copied {path} to {chosen.file}: {summary(found)}")
    return Exit.OK


def restore(chosen: argparse.Namespace) -> int:
    """Make a copy of a file the journal."""
    from chatd.journal.copies import restore

    folder, path = places(chosen)
    held = DataFolder.hold(folder, path)
    try:
        found, aside = restore(chosen.file.absolute(), path, tell=print, is_forced=chosen.force)
    finally:
        held.release()
    print(f"restored {path} from {chosen.file}: {summary(found)}")
    if aside is not None:
        print(f"what was there before is {aside}")
    return Exit.OK


# -- a node's copy of a stream ----------------------------------------------------------------------------


def stream_of(settings: Settings) -> str:
    """The URL of the stream. Raises `OperatorError` if the journal is none."""
    url = settings.journal.url
    if not is_cluster(url):
        raise OperatorError(f"journal {url}", "it is no stream", "see journal.url", Exit.SETTINGS)
    return url


def not_a_copy(path: Path, remedy: str) -> None:
    """Refuse to change a copy of a stream: it would be another one than those of the other nodes."""
    if path.name == COPY:
        raise OperatorError(f"journal {path}", "it is a copy of a stream", remedy, Exit.NOT_ALLOWED)


def rebuild(chosen: argparse.Namespace) -> int:
    """Make the copy anew, out of the stream."""
    settings, folder = where(chosen)
    url = stream_of(settings)
    with needs_nats():
        from chatd.journal.rebuild import rebuild

    path = folder / COPY
    held = DataFolder.hold(folder, path)
    try:
        began = time.perf_counter()
        count = rebuild(path, url, settings.journal, print)
    finally:
        held.release()
    print(f"rebuilt {path} from the stream: {counted(count, 'message')} in {time.perf_counter() - began:.1f} s")
    return Exit.OK


def migrate(chosen: argparse.Namespace) -> int:
    """Take the journal of one machine into a stream."""
    settings, folder = where(chosen)
    url = stream_of(settings)
    with needs_nats():
        from chatd.journal.moving import migrate

    source = (chosen.source or folder / "chatd.db").absolute()
    held = DataFolder.hold(folder, source)
    try:
        rooms, events = migrate(source, folder / COPY, url, settings.journal, print)
    finally:
        held.release()
    print(f"took {counted(rooms, 'room')} and {counted(events, 'event')} from {source} into the stream")
    return Exit.OK


# -- purge ------------------------------------------------------------------------------------------------


def purge(chosen: argparse.Namespace) -> int:
    """Remove what is old."""
    from chatd.journal.purge import purge

    before = int(time.time() * 1_000_000) - chosen.older_than
    folder, path = places(chosen)
    not_a_copy(path, "journal.retention removes what is old on all nodes")
    if not path.exists():
        raise OperatorError(f"journal {path}", "there is no such file", "name its folder with --data-dir", Exit.DISK)
    held = DataFolder.hold(folder, path)
    try:
        removed = purge(path, before, chosen.room)
    finally:
        held.release()
    print(f"removed {counted(sum(removed), 'event')} from {counted(len(removed), 'room')}")
    return Exit.OK


def _age(text: str) -> int:
    if not text or not re.match(PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no age such as 30d, 12h or 8w")
    return age(text)


def _what_to_purge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--older-than", type=_age, required=True, metavar="AGE", help="30d, 12h or 8w: days, hours or weeks"
    )
    parser.add_argument("--room", metavar="ROOM", help="only this room: its name or its id")


def _file(what: str, force: str) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help=what)
        parser.add_argument("--force", action="store_true", help=force)

    return add


def _source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", type=Path, metavar="FILE", help="the journal, if not chatd.db in the data folder")


def _nothing(parser: argparse.ArgumentParser) -> None:
    """No more words than all of them take."""


# Each command: what it is for, what words it takes, and what it does.
COMMANDS: Commands = {
    "backup": (
        "Copy the journal into a file of its own; a server may be running on it.",
        _file("the copy to make", "overwrite the file if it is there"),
        backup,
    ),
    "restore": (
        "Make a copy of a backup the journal of a server that is not running.",
        _file("the backup", "if there is a journal, put it aside under another name"),
        restore,
    ),
    "purge": (
        "Remove what is old from the journal of a server that is not running, for good.",
        _what_to_purge,
        purge,
    ),
    "migrate": (
        "Take the journal of one machine into the stream that journal.url names; no server may be running on it.",
        _source,
        migrate,
    ),
    "rebuild": ("Make this node's copy anew, out of the stream, while the node is not running.", _nothing, rebuild),
    "verify": ("Look through a journal's file; a server may be running on it.", _nothing, verify),
}
