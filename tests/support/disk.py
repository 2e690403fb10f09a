"""A disk for tests of real servers: it fails when told to, and after a loss of power it has only what was synced.

The library of faults.c, loaded into the server, tells in a trace what happened to the files below one folder, and on
sockets. `Disk` is the test's side: it says what is to go wrong, reads the trace, and makes of it what a machine would
find on its disk if the power had failed. It knows files and folders, and nothing of a journal.
"""

from __future__ import annotations

import mmap
import os
import random
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("faults.c")
CONTROL = struct.Struct("=qiiii")
WALL_OFFSET, SYNC_DELAY, SYNC_ERROR, WRITE_ERROR, SYNC_TIMES = range(5)
RECORD = struct.Struct("=IiiIQQQ")
PIECE = 4096
"""What a disk writes as a whole, or not at all."""


class Kind(IntEnum):
    """Of records; as in faults.c."""

    OPENED = 1
    WRITTEN = 2
    TRUNCATED = 3
    SYNC_BEGINS = 4
    SYNC_ENDS = 5
    LISTED = 6
    RECEIVED = 7
    SENDING = 8
    CLOSING = 9


class Record(NamedTuple):
    """One thing that happened; `time` in seconds of `time.monotonic`."""

    kind: Kind
    fd: int
    error: int
    offset: int
    inode: int
    time: float
    bytes: bytes


def build(cc: str, folder: Path) -> Path:
    """The library, made by this C compiler."""
    library = folder / "faults.so"
    subprocess.run([cc, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    return library


class Disk:
    """One server's disk. `root` is the folder that it watches, to be given to a server with `environ`."""

    def __init__(self, library: Path, folder: Path) -> None:
        folder = folder.resolve()
        self.root = folder / "disk"
        self.root.mkdir(parents=True)
        self.trace = folder / "trace"
        control = folder / "control"
        control.write_bytes(bytes(CONTROL.size))
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), CONTROL.size)
        self.environ = {
            "LD_PRELOAD": str(library),
            "FAULTS_ROOT": str(self.root),
            "FAULTS_CONTROL": str(control),
            "FAULTS_TRACE": str(self.trace),
        }
        self._before = Surviving(self.root)

    # -- what goes wrong ----------------------------------------------------------------------------------

    def fail(self, *, sync: int = 0, write: int = 0, times: int = 0) -> float:
        """From now on syncs, or writes, fail with these errors: all, or so many syncs. Since when."""
        return self._tell(SYNC_ERROR, sync, write, times)

    def heal(self) -> float:
        """From now on nothing fails. Since when."""
        return self._tell(SYNC_ERROR, 0, 0, 0)

    def slow_down(self, seconds: float) -> None:
        """Every sync takes so much longer."""
        self._tell(SYNC_DELAY, int(seconds * 1_000_000))

    def set_clock(self, seconds: float) -> None:
        """The server's time of day is off by so much."""
        self._tell(WALL_OFFSET, int(seconds * 1_000_000_000))

    def _tell(self, place: int, *values: int) -> float:
        told = list(CONTROL.unpack(self._control[:]))
        told[place : place + len(values)] = values
        self._control[:] = CONTROL.pack(*told)
        return time.monotonic()

    # -- what happened ------------------------------------------------------------------------------------

    def records(self) -> Iterator[Record]:
        """The trace so far, in its order."""
        with self.trace.open("rb") as file:
            while len(head := file.read(RECORD.size)) == RECORD.size:
                kind, fd, error, length, offset, inode, nanoseconds = RECORD.unpack(head)
                content = file.read(length)
                if len(content) < length:
                    return
                yield Record(Kind(kind), fd, error, offset, inode, nanoseconds / 1e9, content)

    def forget(self) -> None:
        """Begin a new trace; what is on the disk now counts as synced. No server may be running."""
        self.trace.unlink(missing_ok=True)
        self._before = Surviving(self.root)

    def lose_power(self, chance: random.Random | None = None) -> None:
        """Leave only what was synced; with `chance`, and some of the pieces that were not. No server may be running."""
        left = self._before
        for record in self.records():
            left.happened(record)
        if chance is not None:
            left.survive(self.root, chance)
        draft = self.root.with_name("surviving")
        left.write(draft)
        shutil.rmtree(self.root)
        draft.rename(self.root)
        self.forget()


class Write(NamedTuple):
    """A change of a file that was not synced: bytes at an offset, or (None) the size that it is cut to."""

    offset: int
    content: bytes | None
    has_failed: bool = False


Key = tuple[int, int]


class Surviving:
    """What a disk has for certain, and what it may have besides: a model, moved on record by record.

    A sync that failed leaves nothing for certain, and neither does a later one that succeeds: Linux may take pages
    that it could not write for written (https://lwn.net/Articles/752063/). They have to be written again.
    """

    def __init__(self, root: Path) -> None:
        self._reused: dict[int, int] = {}  # how often an inode was given to a new file
        self._files: dict[Key, bytearray] = {}
        self._folders: dict[Key, dict[str, tuple[str, Key]]] = {}
        self._waiting: dict[Key, list[Write]] = {}
        self._syncing: dict[int, int] = {}
        self._open: dict[int, Key] = {}
        self._root = self._key(root.stat().st_ino)
        for folder, names in _listings(root):
            self._folders[self._key(folder.stat().st_ino)] = self._entries(names)
            for name, (kind, inode) in names.items():
                if kind == "-":
                    self._files[self._key(inode)] = bytearray((folder / name).read_bytes())

    def _key(self, inode: int) -> Key:
        return inode, self._reused.get(inode, 0)

    def _entries(self, names: dict[str, tuple[str, int]]) -> dict[str, tuple[str, Key]]:
        return {name: (kind, self._key(inode)) for name, (kind, inode) in names.items()}

    def happened(self, record: Record) -> None:
        """Move on by one record."""
        if record.kind is Kind.OPENED:
            if record.offset & 1:
                self._reused[record.inode] = self._reused.get(record.inode, 0) + 1
            self._open[record.fd] = self._key(record.inode)
            if record.offset & 2:
                self._wait(record, Write(0, None))
        elif record.kind is Kind.WRITTEN and not record.error:
            self._wait(record, Write(record.offset, record.bytes))
        elif record.kind is Kind.TRUNCATED:
            self._wait(record, Write(record.offset, None))
        elif record.kind is Kind.SYNC_BEGINS and record.fd in self._open:
            self._syncing[record.fd] = len(self._waiting.get(self._open[record.fd], ()))
        elif record.kind is Kind.SYNC_ENDS and record.fd in self._open:
            self._synced(self._open[record.fd], self._syncing.pop(record.fd), record.error)
        elif record.kind is Kind.LISTED and not record.error:
            self._folders[self._key(record.inode)] = self._entries(_read_listing(record.bytes))

    def _wait(self, record: Record, write: Write) -> None:
        # A file keeps its key while it is open, whoever gets its inode next.
        key = self._open.get(record.fd, self._key(record.inode))
        self._waiting.setdefault(key, []).append(write)

    def _synced(self, key: Key, count: int, error: int) -> None:
        waiting = self._waiting.get(key, [])
        if error:
            waiting[:count] = [write._replace(has_failed=True) for write in waiting[:count]]
            return
        for write in waiting[:count]:
            if not write.has_failed:
                self._apply(key, write)
        del waiting[:count]

    def _apply(self, key: Key, write: Write) -> None:
        file = self._files.setdefault(key, bytearray())
        if write.content is None:
            del file[write.offset :]
        end = write.offset + len(write.content or b"")
        file.extend(bytes(max(0, end - len(file))))
        file[write.offset : end] = write.content or b""

    def survive(self, root: Path, chance: random.Random) -> None:
        """Let some of what was not synced be there too: names, cuts, and pieces of what was written."""
        for folder, names in _listings(root):
            known = self._folders.setdefault(self._key(folder.stat().st_ino), {})
            now = self._entries(names)
            for name in sorted({*known, *now}):
                if known.get(name) != now.get(name) and chance.random() < 0.5:
                    if name in now:
                        known[name] = now[name]
                    else:
                        del known[name]
        for key, waiting in self._waiting.items():
            for write in waiting:
                for piece in _pieces(write):
                    if chance.random() < 0.5:
                        self._apply(key, piece)

    def write(self, path: Path, key: Key | None = None) -> None:
        """Put it all into a new folder."""
        path.mkdir()
        for name, (kind, inside) in self._folders.get(key or self._root, {}).items():
            if kind == "d":
                self.write(path / name, inside)
            else:
                (path / name).write_bytes(self._files.get(inside, b""))


def _pieces(write: Write) -> Iterator[Write]:
    if write.content is None:
        yield write
        return
    start, end = write.offset, write.offset + len(write.content)
    while start < end:
        stop = min(end, (start // PIECE + 1) * PIECE)
        yield Write(start, write.content[start - write.offset : stop - write.offset])
        start = stop


def _listings(root: Path) -> Iterator[tuple[Path, dict[str, tuple[str, int]]]]:
    """Every folder, with the kind and the inode of what is in it."""
    for path, _, _ in os.walk(root):
        with os.scandir(path) as found:
            yield Path(path), {one.name: ("d" if one.is_dir() else "-", one.inode()) for one in found}


def _read_listing(text: bytes) -> dict[str, tuple[str, int]]:
    names: dict[str, tuple[str, int]] = {}
    for line in text.decode().splitlines():
        inode, kind, name = line.split(" ", 2)
        names[name] = (kind, int(inode))
    return names
