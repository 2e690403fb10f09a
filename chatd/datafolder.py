"""The data folder and the journal's file: where they are, that they are ours alone, and that one server at a time uses
each.

It knows paths and locks. What lies in the folder, and in the file, is the journal's.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from chatd.config import xdg_folder
from chatd.errors import Exit, OperatorError
from chatd.journal.schema import sync
from chatd.settings import Settings

LOCK_NAME = "chatd.lock"

_ANOTHER = "choose another with --data-dir"


def folder_path(given: str, environ: Mapping[str, str]) -> Path:
    """Where the data folder is: the given one, systemd's, the user's; never the current folder by itself."""
    if given:
        return Path(given).expanduser().absolute()
    # systemd separates several folders by colons; the first is the one that belongs to the service.
    if state := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(state).absolute()
    return xdg_folder(environ, "XDG_STATE_HOME", ".local/state") / "chatd"


def certificate_folder(settings: Settings, environ: Mapping[str, str]) -> Path:
    """Where the certificates of a server with these settings are."""
    if settings.tls.certificates:
        return Path(settings.tls.certificates).expanduser().absolute()
    return folder_path(settings.server.data_dir, environ) / "tls"


@contextmanager
def needs_openssl() -> Iterator[None]:
    """Say what to install, if it is not here."""
    try:
        yield
    except ImportError as error:
        raise OperatorError(
            "TLS",
            f"OpenSSL is not here ({error})",
            "pip install cryptography pyopenssl service-identity",
            Exit.SETTINGS,
        ) from error


@contextmanager
def owner_only() -> Iterator[None]:
    """What is made meanwhile is for this user alone from its first moment on."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def admin_socket(setting: str, folder: Path, *, in_memory: bool) -> Path | None:
    """Where the admin socket is; None if there is none."""
    if setting == "none" or (in_memory and not setting):
        return None
    return Path(setting).expanduser().absolute() if setting else folder / "admin.sock"


class DataFolder:
    """A data folder, and perhaps a journal's file, that this process holds; nobody else gets them until `release`."""

    def __init__(self, path: Path, locks: list[_Lock], made: list[Path]) -> None:
        self.path = path
        self._locks = locks
        self._made = made

    @classmethod
    def hold(cls, path: Path, journal: Path | None = None) -> DataFolder:
        """Make the folder if it is not there, and take its lock, and that of the journal's file.

        The file has a lock of its own, as it may lie anywhere. Raises `OperatorError` if one of them cannot be
        written, or if another server has it.
        """
        what = f"data folder {path}"
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        locks: list[_Lock] = []
        folder = cls(path, locks, made)
        try:
            try:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                for new in made:
                    sync(new.parent)  # what is synced in a folder is lost with the folder's own name
            except OSError as error:
                raise _unwritable(what, error, _ANOTHER) from error
            locks.append(_Lock(path / LOCK_NAME, what, _ANOTHER))
            if journal is not None:
                file = journal.resolve()  # by whatever name it is called
                lock = file.with_name(file.name + ".lock")
                locks.append(_Lock(lock, f"journal {journal}", "choose another with --journal"))
        except BaseException:
            folder.release()
            raise
        return folder

    def release(self) -> None:
        """Let another server have them. A folder that was made for this, and in which nothing lies, goes again."""
        while self._locks:
            self._locks.pop().release()
        made, self._made = self._made, []
        for folder in made:
            try:
                folder.rmdir()
            except OSError:  # something lies there, or somebody has just begun to use it
                break


class _Lock:
    """A lock of the kernel's on a file. It ends with the process, however that ends: nothing is left to clean up."""

    def __init__(self, path: Path, what: str, another: str) -> None:
        self._path = path
        self._lock = _open(path, what, another)
        try:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(self._lock)
            reason = f"cannot be locked ({error.strerror})"
            raise OperatorError(what, reason, f"free some space, or {another}", Exit.DISK) from error

    def release(self) -> None:
        # First the name: who has opened the file already then sees that it is no lock any more.
        self._path.unlink(missing_ok=True)
        os.close(self._lock)


def _open(path: Path, what: str, another: str) -> int:
    """The locked file."""
    while True:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _unwritable(what, error, another) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
            os.close(lock)
            who = f"another chatd (process {holder})" if holder else "another chatd"
            raise OperatorError(what, f"is in use by {who}", f"stop that one, or {another}", Exit.TRY_AGAIN) from None
        except OSError as error:
            os.close(lock)
            raise OperatorError(what, f"cannot be locked ({error.strerror})", another, Exit.DISK) from error
        if _is_at(path, lock):
            return lock
        os.close(lock)  # who had it has just removed it


def _is_at(path: Path, opened: int) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), path.stat())
    except FileNotFoundError:
        return False


def _unwritable(what: str, error: OSError, another: str) -> OperatorError:
    return OperatorError(what, f"cannot be written ({error.strerror})", f"make it writable, or {another}", Exit.DISK)
