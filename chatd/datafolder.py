"""The data folder: where it is, that it is ours alone, and that one server at a time uses it.

It knows paths and one lock. What lies in the folder is the journal's.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from chatd.config import xdg_folder
from chatd.errors import Exit, OperatorError

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


class DataFolder:
    """A data folder that this process holds; nobody else gets it until `release`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def hold(cls, path: Path) -> DataFolder:
        """Make the folder if it is not there, and take its lock.

        Raises `OperatorError` if it cannot be written, or if another server has it.
        """
        what = f"data folder {path}"
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            reason = f"cannot be written ({error.strerror})"
            raise OperatorError(what, reason, f"make it writable, or {_ANOTHER}", Exit.DISK) from error
        try:
            # A lock of the kernel's ends with the process, however it ends: nothing is left to clean up.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
            os.close(lock)
            who = f"another chatd (process {holder})" if holder else "another chatd"
            raise OperatorError(what, f"is in use by {who}", f"stop that one, or {_ANOTHER}", Exit.TRY_AGAIN) from None
        except OSError as error:
            os.close(lock)
            reason = f"cannot be locked ({error.strerror})"
            raise OperatorError(what, reason, f"free some space, or {_ANOTHER}", Exit.DISK) from error
        return cls(path, lock)

    def release(self) -> None:
        """Let another server have the folder. The lock's file stays: removing it would let two servers in."""
        if self._lock >= 0:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = -1
