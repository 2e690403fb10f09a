"""The cursor file: what a bot has to remember so that it handles each message once, whatever happens to it.

It holds the way back to who the bot is (its token and nick), the root of its message ids, and for each room
the number of the last event that was handled. It is replaced as a whole and synced, so a crash leaves the old
or the new one, never half of one. Only its owner may read it, for the token is as good as a password.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct, field

from chatd.client.errors import ChatError
from chatd.core.names import fold
from chatd.core.views import Durable

try:
    import fcntl
except ImportError:  # not on this platform: two programs with one file are not told apart there
    fcntl = None  # type: ignore[assignment]

MOST_BYTES = 1 << 20


class CursorFileError(ChatError):
    """The cursor file cannot be used; the text says why and what to do."""


class Place(Struct):
    """How far a room was handled."""

    room: str
    room_id: str
    seq: int


class Remembered(Struct):
    """What the file holds. Fields are only ever added, with a default."""

    version: int = 1
    nick: str | None = None
    token: str | None = None
    root: str = field(default_factory=lambda: secrets.token_hex(5))
    rooms: dict[str, Place] = field(default_factory=dict)  # by folded name


class CursorFile:
    """The file, locked for as long as this object is not closed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = _lock(self.path)
        try:
            self.holds = _read(self.path)
        except BaseException:
            self.close()
            raise

    def place(self, room: str) -> Place | None:
        """How far this room was handled, or None if it never was."""
        return self.holds.rooms.get(fold(room))

    def start(self, room: str, room_id: str, seq: int) -> None:
        """The room is watched from this number on; a place that is known stays."""
        place = self.place(room)
        if place is None or place.room_id != room_id:
            self.holds.rooms[fold(room)] = Place(room, room_id, seq)
            self.save()

    def done(self, event: Durable) -> None:
        """This event, and all before it in its room, are handled."""
        room_id = event.event_id.rpartition(":")[0]
        place = self.place(event.room)
        if place is not None and place.room_id == room_id and place.seq >= event.seq:
            return
        self.holds.rooms[fold(event.room)] = Place(event.room, room_id, event.seq)
        self.save()

    def rewind(self, room: str) -> None:
        """The server's numbers of this room begin anew: nothing of it is handled."""
        place = self.place(room)
        if place is not None and place.seq:
            place.seq = 0
            self.save()

    def known_as(self, nick: str, token: str | None) -> None:
        """Who we are, and the way back to it."""
        if (nick, token) != (self.holds.nick, self.holds.token):
            self.holds.nick, self.holds.token = nick, token
            self.save()

    def save(self) -> None:
        """Make what is held durable. `CursorFileError` if that is not possible."""
        write_private(self.path, msgspec.json.format(msgspec.json.encode(self.holds)))

    def close(self) -> None:
        """Let others use the file."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def write_private(path: Path, content: bytes) -> None:
    """Replace a file that only its owner may read, all or nothing, and durably."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise CursorFileError(f"{path}: cannot be written: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lock(path: Path) -> IO[bytes] | None:
    if fcntl is None:
        return None
    try:
        lock = open(path.with_name(path.name + ".lock"), "ab")  # noqa: SIM115  # held until close()
    except OSError as error:
        raise CursorFileError(f"{path}: cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise CursorFileError(f"{path}: another program is using it; give each bot a file of its own") from None
    return lock


def _read(path: Path) -> Remembered:
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return Remembered()
    except OSError as error:
        raise CursorFileError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        holds = msgspec.json.decode(content[:MOST_BYTES], type=Remembered)
    except (ValueError, RecursionError):  # what is nested very deep is no cursor file either
        raise CursorFileError(f"{path}: is damaged or is no cursor file; remove it to begin anew") from None
    if holds.version != 1:
        raise CursorFileError(f"{path}: was written by a newer chatd (version {holds.version}); use that one")
    return holds
