"""`chatd export` and `chatd import`: what was said, out of the journal for people or for another journal, and back.

What people read is worded as on the line port, and cleaned in the same way: nothing that somebody wrote is more than
words in a terminal or in a browser. The form that can be imported is the journal's own.
"""

from __future__ import annotations

import argparse
import html
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import msgspec

from chatd.cli_journal import Commands, not_a_copy, places, run_one, summary
from chatd.core.events import Entry
from chatd.core.shown import view_of
from chatd.core.text import clean_line
from chatd.core.views import moment
from chatd.datafolder import DataFolder
from chatd.errors import Exit, OperatorError
from chatd.journal import export, schema
from chatd.journal.export import Kept, Lost
from chatd.journal.exported import LINE_BYTES
from chatd.journal.salvage import Read
from chatd.protocols.text import LINES

Told = Callable[[sqlite3.Connection, list[Kept], Lost], Iterator[bytes]]


def run(name: str, words: list[str]) -> int:
    return run_one(name, words, COMMANDS)


# -- export -----------------------------------------------------------------------------------------------


def write_export(chosen: argparse.Namespace) -> int:
    """Write rooms to a file or to standard output."""
    _, path = places(chosen)
    lost: list[str] = []

    def tell(room: str, first: int, last: int) -> None:
        numbers = f"{first}" if first == last else f"{first} to {last}"
        lost.append(f"{room} {numbers}")
        print(f"{clean_line(room)} {numbers}: damaged, and left out", file=sys.stderr)

    with closing(schema.connect_known(path)) as connection:
        try:
            told = export.rooms(connection, chosen.room, chosen.since_seq)
            if chosen.room is not None and not told:
                why = f"there is no room {chosen.room[:100]!r}"
                raise OperatorError("export", why, there_are(connection), Exit.USAGE)
            pieces = FORMATS[chosen.format](connection, told, tell)
            if chosen.format == "jsonl" and chosen.room is None:
                pieces = chain(pieces, export.accounts(connection, chosen.with_passwords))
            if chosen.output is None:
                sys.stdout.buffer.writelines(pieces)
                sys.stdout.buffer.flush()
            else:
                _write(chosen.output.absolute(), pieces)
        except sqlite3.Error as error:
            raise schema.explain(path, error) from error
        except (msgspec.MsgspecError, TypeError, AttributeError) as error:
            raise OperatorError(f"journal {path}", "it is damaged", "see what is: chatd verify", Exit.DISK) from error
    if lost:
        why = "it is damaged, and what is named above is not in the export"
        raise OperatorError(f"journal {path}", why, "everything else is", Exit.DISK)
    return Exit.OK


def there_are(connection: sqlite3.Connection) -> str:
    """Which rooms somebody may have meant."""
    connection.rollback()
    names = [room.name for room in export.rooms(connection) if room.name]
    return f"there are {', '.join(names[:10])}{' and others' if names[10:] else ''}" if names else "there are none"


def _write(file: Path, pieces: Iterable[bytes]) -> None:
    """Write a file for this user only, which has its name when it is whole."""
    what = f"export {file}"
    if file.exists():
        raise OperatorError(what, "is there already", "name another file", Exit.DISK)
    draft = file.with_name(file.name + ".new")
    try:
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.writelines(pieces)
            opened.flush()
            os.fsync(opened.fileno())
        draft.rename(file)
    except OSError as error:
        raise OperatorError(what, f"cannot be written ({error.strerror})", "name another file", Exit.DISK) from error
    finally:
        draft.unlink(missing_ok=True)


def text(connection: sqlite3.Connection, told: list[Kept], lost: Lost) -> Iterator[bytes]:
    """Rooms as lines for people; times are UTC."""
    for number, room in enumerate(told):
        yield f"{'' if number == 0 else chr(10)}=== {clean_line(room.title)} ===\n".encode("utf-8", "replace")
        for seq, time, lines in _shown(connection, room, lost):
            for line in lines:
                yield f"[{time}] {seq} {line}\n".encode("utf-8", "replace")


_PAGE = """\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>chatd</title>
<style>
body { font-family: sans-serif; max-width: 60em; margin: auto; padding: 1em }
p { margin: 0.2em 0; overflow-wrap: anywhere; white-space: pre-wrap }
time, a { color: #666; text-decoration: none; margin-right: 0.7em }
</style>
</head>
<body>
"""


def page(connection: sqlite3.Connection, told: list[Kept], lost: Lost) -> Iterator[bytes]:
    """Rooms as one page for a browser, without scripts; times are UTC."""
    yield _PAGE.encode()
    for room in told:
        anchor = html.escape(room.room_id)
        yield f"<h2>{html.escape(clean_line(room.title))}</h2>\n".encode("utf-8", "replace")
        for seq, time, lines in _shown(connection, room, lost):
            words = html.escape("\n".join(lines))
            place = f'<a id="{anchor}:{seq}" href="#{anchor}:{seq}">{seq}</a>'
            yield f"<p><time>{time}</time>{place}{words}</p>\n".encode("utf-8", "replace")
    yield b"</body>\n</html>\n"


def _shown(connection: sqlite3.Connection, room: Kept, lost: Lost) -> Iterator[tuple[int, str, list[str]]]:
    """Number, time and lines of everything in a room, safe to print."""
    title = clean_line(room.title)
    when = ""
    for one in export.events(connection, room):
        if isinstance(one, Read):
            when = f"{moment(one.row.time):%Y-%m-%d %H:%M:%S}"
            view = view_of(Entry(one.event, one.row.time, one.row.seq), title)
            yield one.row.seq, when, LINES[type(view)](view)
        else:
            lost(room.title, *one)
            numbers = f"message {one[0]} is" if one[0] == one[1] else f"messages {one[0]} to {one[1]} are"
            yield one[0], when, [f"*** {numbers} damaged"]


FORMATS: dict[str, Told] = {"jsonl": export.lines, "text": text, "html": page}


# -- import -----------------------------------------------------------------------------------------------


def read_import(chosen: argparse.Namespace) -> int:
    """Take an export into the journal."""
    from chatd.journal.bring_in import bring_in

    folder, path = places(chosen)
    not_a_copy(path, "import into a journal of its own, and let chatd migrate take that into the stream")
    held = DataFolder.hold(folder, path)
    try:
        with chosen.file.open("rb") as opened:
            found = bring_in(_lines(opened, chosen.file), path, name=str(chosen.file), tell=print)
    except OSError as error:
        what = f"export {chosen.file}"
        raise OperatorError(what, f"cannot be read ({error.strerror})", "name another file", Exit.DISK) from error
    finally:
        held.release()
    print(f"imported {chosen.file} into {path}, which now has {summary(found)}")
    return Exit.OK


def _lines(opened: BinaryIO, file: Path) -> Iterator[bytes]:
    while line := opened.readline(LINE_BYTES + 1):
        if len(line) > LINE_BYTES:
            raise OperatorError(f"export {file}", f"a line has more than {LINE_BYTES} bytes", exit_code=Exit.DISK)
        yield line


def _what_to_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=FORMATS, default="jsonl", help="jsonl, which can be imported (the default), text or html"
    )
    parser.add_argument("--room", metavar="ROOM", help="only this room: its name or its id")
    parser.add_argument("--since-seq", type=int, default=0, metavar="N", help="only what comes after number N")
    parser.add_argument(
        "--with-passwords", action="store_true", help="with what is kept of the accounts' passwords: keep it secret"
    )
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help="a new file; else standard output")


def _what_to_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="what chatd export wrote as jsonl")


COMMANDS: Commands = {
    "export": ("Write what was said; a server may be running.", _what_to_export, write_export),
    "import": (
        "Take rooms out of an export into the journal of a server that is not running.",
        _what_to_import,
        read_import,
    ),
}
