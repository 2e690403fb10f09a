"""The doctor: looks at whether a server can run here, and would go on running, and says what to mend.

It changes nothing, and can be asked beside a running server. Each look is a function that yields what it found; what
is wrong has a remedy in the same line.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from enum import Enum
from pathlib import Path

from msgspec import Struct

from chatd.config import Loaded
from chatd.datafolder import admin_socket, certificate_folder, folder_path, needs_openssl
from chatd.errors import OperatorError
from chatd.exposure import check_exposed
from chatd.journal import COPY, check, file_of, is_cluster, needs_nats, schema
from chatd.listeners import addresses, wanted
from chatd.ports import FEW, KEPT_BACK

LOW_BYTES = 1 << 30
LEAST_BYTES = 64 << 20
SOON_DAYS = 14
AHEAD_SECONDS = 60.0


class Grade(Enum):
    """How a finding is."""

    GOOD = "good"
    CARE = "care"  # it will do, for now
    BAD = "bad"


class Finding(Struct, frozen=True):
    """What was looked at, how it is, and what to do about it."""

    grade: Grade
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.grade.value}  {self.what}" + (f"; {self.remedy}" if self.remedy else "")


def good(what: str) -> Finding:
    return Finding(Grade.GOOD, what)


def care(what: str, remedy: str) -> Finding:
    return Finding(Grade.CARE, what, remedy)


def bad(what: str, remedy: str) -> Finding:
    return Finding(Grade.BAD, what, remedy)


def look(loaded: Loaded) -> Iterator[Finding]:
    """Everything, in the order in which a start would come upon it."""
    for one in LOOKS:
        try:
            yield from one(loaded)
        except OperatorError as error:
            yield bad(f"{error.what}: {error.why}", error.remedy)


def _folder(loaded: Loaded) -> Path:
    return folder_path(loaded.settings.server.data_dir, os.environ)


def _is_running(loaded: Loaded) -> bool:
    settings = loaded.settings
    in_memory = settings.journal.url.startswith("memory:")
    path = admin_socket(settings.server.admin_socket, _folder(loaded), in_memory=in_memory)
    if path is None:
        return False
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(2)
        try:
            asking.connect(os.fspath(path))
        except OSError:
            return False
    return True


def settings(loaded: Loaded) -> Iterator[Finding]:
    """The settings could be read: what of them wants thought."""
    yield good("settings: read" + (f" from {loaded.file}" if loaded.file is not None else ", all built in"))
    check_exposed(loaded)
    journal = loaded.settings.journal
    if journal.url.startswith("memory:"):
        yield care("journal: in memory, so everything is gone when the server stops", 'journal.url = "sqlite:"')
    elif journal.durability != "fsync":
        yield care(f"durability: {journal.durability}, so a power cut can take the last messages", "fsync keeps them")


def data_folder(loaded: Loaded) -> Iterator[Finding]:
    """Whether it can be written, by nobody else, and has room."""
    if loaded.settings.journal.url.startswith("memory:"):
        return
    path = _folder(loaded)
    if not path.exists():
        yield good(f"data folder {path}: not there yet, it is made at the start")
        path = next(parent for parent in path.parents if parent.exists())
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield care(f"data folder {path}: other users can look into it", f"chmod 700 {path}")
    if not os.access(path, os.W_OK | os.X_OK):
        yield bad(
            f"data folder {path}: this user cannot write there", "make it writable, or choose another with --data-dir"
        )
        return
    free = shutil.disk_usage(path).free
    told = f"data folder {path}: {free / 1e9:,.1f} GB free"
    if free < LEAST_BYTES:
        yield bad(told, "make room: messages are refused when there is none")
    else:
        yield care(told, "make room soon") if free < LOW_BYTES else good(told)


def stream(loaded: Loaded) -> Iterator[Finding]:
    """Whether the stream of a cluster can be used, and how surely it keeps what is said."""
    settings = loaded.settings.journal
    if not is_cluster(settings.url):
        return
    with needs_nats():
        from chatd.journal.rebuild import examine
        from chatd.journal.servers import check_required
    try:
        found = examine(settings.url, settings, _folder(loaded) / COPY)
    except OperatorError as error:
        if error.why != "it is not there":
            raise
        yield care(f"{error.what}: {error.why}", "the first node that starts makes it")
        return
    told = f"stream {settings.stream}: {found.durability}, messages {found.first} to {found.last}"
    if settings.shards > 1:
        told += f"; with the {settings.shards} streams of rooms {found.messages} in all"
    check_required(found, settings.require, settings.stream)
    if found.is_synced:
        yield good(told)
    else:
        yield care(
            f"{told}; nothing says that each write is synced before it is acknowledged, so a power cut of all servers"
            " at once can take the last messages",
            "set sync_interval: always there, and journal.monitor here",
        )


def journal(loaded: Loaded) -> Iterator[Finding]:
    """Whether it is a journal of ours, and what of it is damaged, as far as that shows at once."""
    path = file_of(loaded.settings.journal.url, _folder(loaded))
    if path is None:
        return
    if not path.exists():
        yield good(f"journal {path}: not there yet, it is made at the start")
        return
    try:
        faults = check.check(path)
        with closing(schema.connect_known(path)) as connection:
            newest = connection.execute("SELECT max(time) FROM (SELECT time FROM events ORDER BY id DESC LIMIT 100)")
            ahead = (newest.fetchone()[0] or 0) / 1e6 - time.time()
    except sqlite3.Error as error:
        problem = schema.explain(path, error)
        yield bad(f"{problem.what}: {problem.why}", problem.remedy)
        return
    for fault in faults:
        yield bad(f"journal {path}: {fault}", "see what else is: chatd verify")
    if ahead > AHEAD_SECONDS:
        yield care(f"clock: the newest message is {ahead:,.0f} s ahead of it", "set the clock, by NTP best")
    if not faults:
        yield good(f"journal {path}: {path.stat().st_size / 1e6:,.1f} MB, sound as far as a quick look tells")


def ports(loaded: Loaded) -> Iterator[Finding]:
    """Whether a server answers, or could listen."""
    is_running = _is_running(loaded)
    yield good("server: running" if is_running else "server: not running")
    for way in wanted(loaded):
        if not isinstance(way.place, int) or way.place == 0:
            continue
        for host in addresses(loaded):
            told = f"port {way.place} on {host}"
            if is_running:
                continue
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family) as trying:
                trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    trying.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                try:
                    trying.bind((host, way.place))
                except OSError as error:
                    yield bad(f"{told}: cannot be had ({error.strerror})", f"choose another with {way.option}")
                else:
                    yield good(f"{told}: free")


def files(loaded: Loaded) -> Iterator[Finding]:
    """How many connections there can be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = max(hard - KEPT_BACK, hard // 2)
    told = f"open files: {hard:,}, so room for {room:,} connections"
    if room < (loaded.settings.limits.connections or FEW):
        yield care(told, "raise ulimit -n, or LimitNOFILE of the service")
    else:
        yield good(told)


def certificates(loaded: Loaded) -> Iterator[Finding]:
    """Whether they can be used, and for how long."""
    folder = certificate_folder(loaded.settings, os.environ)
    is_wanted = any(way.is_tls for way in wanted(loaded))
    if not folder.is_dir() or not any(folder.iterdir()):
        if is_wanted:
            yield bad(f"certificates: there is none in {folder}", "chatd cert init makes one")
        return
    with needs_openssl():
        from chatd.certificates import load
    for one in load(folder, loaded.settings.tls.minimum):
        days = (one.until.timestamp() - time.time()) / 86400
        told = f"certificate {one.path}: good until {one.until:%Y-%m-%d}"
        if days < 0:
            yield bad(told, "renew it, then send SIGHUP")
        else:
            yield care(told, "renew it, then send SIGHUP") if days < SOON_DAYS else good(told)


LOOKS: tuple[Callable[[Loaded], Iterator[Finding]], ...] = (
    settings,
    data_folder,
    stream,
    journal,
    ports,
    files,
    certificates,
)
