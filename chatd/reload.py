"""Reloading: what becomes of settings that are read again while the server runs.

Some change at once, some need a restart, and a mistake changes none. Here is which is which; they are compared, told,
and put together. Where they are read from is `chatd.tap`'s to know, and `chatd.service` gives them to the parts. What
asks for it is SIGHUP, and that is here too.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from chatd.config import BUILT_IN, Loaded, toml_value, without_password
from chatd.exposure import check_exposed
from chatd.journal import file_of
from chatd.listeners import addresses, endpoint_of, wanted
from chatd.settings import Settings, declared

# What a server that is told to reload does with each setting that has changed. Every setting is in one of the two.
AFTER_RESTART = frozenset(
    {
        "server.port",
        "server.line_port",
        "server.http_port",
        "server.metrics_port",
        "server.admin_socket",
        "server.interface",
        "server.public",
        "server.detect",
        "server.data_dir",
        "server.ready_file",
        "journal.url",
        "journal.durability",
        "journal.stream",
        "journal.shards",
        "journal.replicas",
        "journal.require",
        "journal.monitor",
        "journal.hold_seconds",
        "journal.node_seconds",
        "journal.credentials",
        "journal.tls_ca",
        "journal.tls_certificate",
        "journal.tls_key",
    }
)
AT_ONCE = frozenset(
    {
        "server.host",
        "server.alternate",
        "server.name",
        "server.network",
        "server.motd",
        "journal.retention",
        "journal.retention_by_room",
        "limits.frame_bytes",
        "limits.body_bytes",
        "limits.body_lines",
        "limits.data_bytes",
        "limits.data_depth",
        "limits.topic_chars",
        "limits.rooms_per_session",
        "limits.history_page",
        "limits.login_seconds",
        "limits.idle_seconds",
        "limits.dead_seconds",
        "limits.messages_per_second",
        "limits.messages_burst",
        "limits.logins_per_minute",
        "limits.keys_per_minute",
        "limits.connections_per_address",
        "limits.connections_per_private_address",
        "limits.connections",
        "limits.trusted_networks",
        "limits.requests_in_flight",
        "limits.send_queue_bytes",
        "limits.kernel_queue_bytes",
        "limits.requests_per_second",
        "limits.requests_burst",
        "limits.presence_batch_members",
        "limits.presence_count_members",
        "limits.bans_per_room",
        "line.lobby",
        "line.history_lines",
        "line.silence_seconds",
        "line.resume_days",
        "line.resume_most",
        "line.resume_guesses_per_minute",
        "accounts.registration",
        "accounts.password_chars",
        "accounts.quarantine_hours",
        "accounts.guesses_per_minute",
        "accounts.invite_days",
        "accounts.hash_memory_kib",
        "accounts.hash_passes",
        "accounts.hash_threads",
        "accounts.scram",
        "accounts.scram_iterations",
        "tls.certificates",
        "tls.minimum",
        "tls.handshake_seconds",
        "web.page",
        "web.origins",
        "web.proxies",
        "log.level",
        "log.format",
        "log.addresses",
    }
)

MOST_SHOWN = 80
TERMINAL = (0, 1, 2)  # the descriptors by which a program is joined to its terminal


class Change(Struct, frozen=True):
    """A setting that is another one than before, and where the new one comes from."""

    name: str
    old: object
    new: object
    origin: str

    def __str__(self) -> str:
        return f"{self.name} {shown(self.old)} -> {shown(self.new)}"

    def waits(self) -> str:
        """What is told of it if it needs a restart."""
        source = "the default is" if self.origin == BUILT_IN else f"{self.origin} says"
        return f"{self.name} needs a restart: still {shown(self.old)}, {source} {shown(self.new)}"


def shown(value: object) -> str:
    """A value as it is written in TOML, or its beginning."""
    written = without_password(toml_value(value))
    return written if len(written) <= MOST_SHOWN else written[:MOST_SHOWN] + "…"


def changes(old: Settings, new: Loaded) -> list[Change]:
    """What is another value than before, in the order of the settings."""
    return list(_changes(old, new))


def _changes(old: Settings, new: Loaded) -> Iterator[Change]:
    for setting in declared().values():
        before = getattr(getattr(old, setting.section), setting.key)
        after = getattr(getattr(new.settings, setting.section), setting.key)
        if before != after:
            yield Change(setting.name, before, after, new.origins[setting.name])


def in_effect(old: Settings, new: Settings) -> Settings:
    """The new settings, with those that need a restart as they were."""
    found = new
    for name in AFTER_RESTART:
        section, key = name.split(".")
        kept = structs.replace(getattr(found, section), **{key: getattr(getattr(old, section), key)})
        found = structs.replace(found, **{section: kept})
    return found


def could_start(loaded: Loaded, reactor: Any) -> None:
    """Raise `OperatorError` for what would keep a server with these settings from starting. Touches nothing."""
    addresses(loaded)
    check_exposed(loaded)
    for way in wanted(loaded):
        if not isinstance(way.place, int):
            endpoint_of(reactor, way)
    file_of(loaded.settings.journal.url, Path())


def reloading() -> str:
    """What systemd is told at the beginning of a reload (sd_notify(3)); at its end it is told READY=1."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


class Hangup:
    """Takes SIGHUP: to reload, once for each burst of signals; or to stop, when our terminal has been closed.

    It is installed at once, so that a signal while starting does no harm. From the beginning of the stop on it is
    ignored.
    """

    def __init__(self, reactor: Any, *, reload: Callable[[], None], stop: Callable[[], None]) -> None:
        self._reactor = reactor
        self._reload = reload
        self._stop = stop
        self._terminal: list[int] = []
        self._is_due = False
        self._is_over = False
        signal.signal(signal.SIGHUP, self._signalled)
        reactor.callWhenRunning(self._look_for_terminal)  # not earlier: a daemon leaves its terminal first
        reactor.addSystemEventTrigger("before", "shutdown", self._ignore)

    def _look_for_terminal(self) -> None:
        self._terminal = [number for number in TERMINAL if os.isatty(number)]

    def _ignore(self) -> None:
        self._is_over = True
        # A signal of this very moment is ignored as well, but Python would print that it was.
        hook, sys.unraisablehook = sys.unraisablehook, lambda told: None
        try:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        finally:
            sys.unraisablehook = hook

    def _signalled(self, number: int, frame: object) -> None:
        # Signals interrupt whatever runs; the reactor takes this up between two of its turns.
        if not self._is_due:
            self._is_due = True
            self._reactor.callFromThread(self._act)

    def _act(self) -> None:
        self._is_due = False
        if self._is_over:
            return
        if self._terminal and not any(map(os.isatty, self._terminal)):
            self._stop()  # whoever closes the window of a program expects it to end
        else:
            self._reload()
