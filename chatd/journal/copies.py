"""Copies of a journal's file: a backup out of a running server, and the way back.

A copy gets its name when it is whole, verified and on the disk, so that what has the name can be relied on. Who else
may be using the files is for the caller to know.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

from chatd.errors import Exit, OperatorError
from chatd.journal import schema
from chatd.journal.verify import Tell, Verified, verify

BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a file, under the file's name and one of these."""


def backup(path: Path, file: Path, *, tell: Tell, is_forced: bool = False) -> Verified:
    """Copy the journal at `path`, on which a server may be running, into one file that stands alone.

    It holds everything that was committed when the copying began. A file that is there already is replaced only if
    `is_forced`. Raises `OperatorError`; then nothing has been replaced, and the faults, if any, have been told.
    """
    if file.exists() and not is_forced:
        raise _refused(f"backup {file}", "is there already", "name another file, or overwrite it with --force")
    if file.exists() and path.exists() and file.samefile(path):
        raise _refused(f"backup {file}", "is the journal itself", "name another file")
    draft = file.with_name(file.name + ".new")
    try:
        found = _copy(path, draft, tell)
        draft.replace(file)
        schema.sync(file.parent)
    except OSError as error:
        raise _refused(f"backup {file}", f"cannot be written ({error.strerror})", "name another file") from error
    finally:
        _remove(draft)
    return found


def restore(file: Path, path: Path, *, tell: Tell, is_forced: bool = False) -> tuple[Verified, Path | None]:
    """Make a copy of `file` the journal at `path`, which no server may be using.

    A journal that is there already is kept beside it, under the name that is returned, and only if `is_forced`; else
    it is refused. Raises `OperatorError`.
    """
    was_there = [name for name in _names(path) if name.exists()]
    if was_there and not is_forced:
        raise _refused(f"journal {path}", "is there already", "put it aside with --force, or name another --data-dir")
    if path.exists() and file.exists() and file.samefile(path):
        raise _refused(f"backup {file}", "is the journal itself", "name another file")
    draft = path.with_name(path.name + ".new")
    try:
        found = _copy(file, draft, tell)
        aside = _put_aside(path) if was_there else None
        draft.rename(path)
        schema.sync(path.parent)
    except OSError as error:
        raise _refused(f"journal {path}", f"cannot be written ({error.strerror})", "make it writable") from error
    finally:
        _remove(draft)
    return found, aside


def _copy(source: Path, draft: Path, tell: Tell) -> Verified:
    """A verified copy on the disk, for this user only. Raises `OperatorError` or `OSError`."""
    with closing(schema.connect_known(source)) as reader:
        _remove(draft)
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
                reader.backup(copy)  # in one piece: what is written meanwhile does not make it begin anew
                copy.execute("PRAGMA journal_mode = DELETE")  # it stands alone
                found = verify(copy, tell)
        except sqlite3.Error as error:
            raise schema.explain(draft, error) from error
    if found.faults:
        raise _refused(f"journal {source}", "has faults, see above, and was not copied", "copy an earlier backup")
    schema.sync(draft)
    return found


def _put_aside(path: Path) -> Path:
    """Give the journal another name, with all that belongs to it."""
    candidates = (path.with_name(f"{path.name}.old-{number}") for number in count(1))
    aside = next(one for one in candidates if not any(name.exists() for name in _names(one)))
    # The file first: a WAL without its file is refused at a start, but never played into another one.
    for name, other in zip(_names(path), _names(aside), strict=True):
        if name.exists():
            name.rename(other)
    schema.sync(path.parent)
    return aside


def _names(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + ending) for ending in BESIDE)]


def _remove(draft: Path) -> None:
    for name in (*_names(draft), draft.with_name(draft.name + "-journal")):
        name.unlink(missing_ok=True)


def _refused(what: str, why: str, remedy: str) -> OperatorError:
    return OperatorError(what, why, remedy, Exit.DISK)
