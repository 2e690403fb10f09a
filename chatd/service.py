"""The service: makes the parts, gives them to each other, starts them in order and stops them in reverse.

This is the one place where objects are made. It knows what needs what, and how long an end may take; the
rules, the bytes and the keeping are the parts' own. What keeps it from starting is told in one line.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

import chatd
from chatd.admin import Admin, AdminFactory
from chatd.config import Loaded
from chatd.core.events import Entry
from chatd.core.limits import Rules
from chatd.core.retention import Ages, ages
from chatd.datafolder import DataFolder, admin_socket, certificate_folder, folder_path, needs_openssl, owner_only
from chatd.errors import Exit, OperatorError
from chatd.exposure import check_exposed, check_listeners
from chatd.hub import Hub
from chatd.hub.reload import change_rules
from chatd.hub.retention import Retention
from chatd.journal import file_of, open_journal
from chatd.journal_settings import JournalSettings
from chatd.listeners import LOOPBACK, Listener, Way, addresses, endpoint_of, listen, listener_of, wanted
from chatd.logs import LineObserver
from chatd.ports import Gate, room_for_connections
from chatd.protocols import detect, framed, line, web
from chatd.protocols.tls import DoorFactory
from chatd.readiness import how_to_join, notify_systemd, remove_ready_file, write_ready_file
from chatd.reload import AFTER_RESTART, changes, could_start, in_effect, reloading
from chatd.settings import Settings

if TYPE_CHECKING:
    from chatd.certificates import Certificate, Certificates
    from chatd.monitor import Monitor

# An end takes 10 seconds at most, goodbyes and the disk together.
GOODBYE_SECONDS = 6.0
CLOSE_SECONDS = 3.0

FACTORIES: dict[str, Callable[..., IProtocolFactory]] = {
    "detect": detect.factory,
    "framed": framed.factory,
    "line": line.factory,
    "http": web.factory,
}


class ChatService(Service):
    """A chat server. `give_up` is called with an `OperatorError` if it cannot start.

    `listeners` tells where it listens, once it does.
    """

    name = "chatd"
    log = Logger()

    def __init__(
        self,
        loaded: Loaded,
        *,
        reactor: Any,
        give_up: Callable[[OperatorError], None],
        read_again: Callable[[], Loaded],
        observer: LineObserver | None = None,
    ) -> None:
        self.settings = loaded.settings
        self.listeners: list[Listener] = []
        self._loaded = loaded
        self._reactor = reactor
        self._give_up = give_up
        self._beginning: Deferred[None] | None = None
        self._is_stopping = False
        self._hub: Hub | None = None
        self._read_again = read_again
        self._observer = observer
        self._is_ready = False
        self._is_reload_due = False
        self._monitor: Monitor | None = None
        self._ports: list[Any] = []  # by which people come in
        self._detectors: list[Any] = []  # factories of ports that everyone can join
        self._certificates: Certificates | None = None
        # What undoes each step of the beginning, latest last: its name, how long it may take, what to call.
        self._undoings: list[tuple[str, float, Callable[[], Any]]] = []

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callWhenRunning(self._begin)

    def stopService(self) -> Deferred[None]:
        """Say goodbye to everyone, keep what was said, and end; within 10 seconds, whatever happens."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._is_stopping = True
        return ensureDeferred(self._end())

    def reload(self) -> None:
        """Read the settings again and take over what can be. A mistake in them changes nothing, and is told."""
        if not self._is_ready:
            self._is_reload_due = True
        elif not self._is_stopping:
            notify_systemd(reloading(), os.environ)
            try:
                loaded = self._read_again()
                could_start(loaded, self._reactor)
                self._take_over(loaded)
            except OperatorError as error:
                self.log.error("settings stay as they are: {error}", error=error)
            finally:
                notify_systemd("READY=1", os.environ)

    def _take_over(self, loaded: Loaded) -> None:
        """Give the new settings to the parts, and say what has changed and what has not."""
        assert self._hub is not None, "it is ready"
        certificates = self._certificates_in(loaded.settings)
        found = changes(self.settings, loaded)
        self.settings = settings = in_effect(self.settings, loaded.settings)
        rules = self._hub.rules
        change_rules(self._hub, rules_of(settings, rules.durability, rules.secret), settings)
        self._renew(certificates, self._hub)
        if self._observer is not None:
            self._observer.change(settings.log)
        at_once = [str(change) for change in found if change.name not in AFTER_RESTART]
        self.log.info("settings read again: {changes}", changes=", ".join(at_once) or "nothing changed")
        for change in found:
            if change.name in AFTER_RESTART:
                self.log.warn("{change}", change=change.waits())
            elif self._observer is None and change.name.startswith("log."):
                self.log.warn("{name} does nothing here: twistd's log has options of its own", name=change.name)

    def _begin(self) -> None:
        if not self._is_stopping:
            self._beginning = ensureDeferred(self._start())
            self._beginning.addErrback(self._begin_failed)

    async def _start(self) -> None:
        """Everything in its order; nobody can come in before all the rest is there."""
        ways = wanted(self._loaded)
        interfaces = addresses(self._loaded)
        check_exposed(self._loaded)
        for way in ways:
            if not isinstance(way.place, int):
                endpoint_of(self._reactor, way)  # a mistake in it is told before anything is touched
        self._prepare_ready_file()
        gate = Gate(self._reactor, room_for_connections(self.settings.limits.connections))
        hub = await self._open_journal()
        self._on_end("closing the gate", gate.close)

        def change_gate(settings: Settings) -> None:
            gate.most = room_for_connections(settings.limits.connections)

        hub.on_change.append(change_gate)
        self._open_admin(hub)
        self._renew(self._certificates_in(self.settings), hub)
        for way in ways:
            if way.protocol == "metrics":
                await self._open_monitor(way, hub)
            else:
                await self._open(way, interfaces, hub, gate)
        self._tell_ready()

    async def _open_journal(self) -> Hub:
        """The journal, and the hub with what the journal keeps."""
        settings = self.settings.journal
        path = folder_path(self.settings.server.data_dir, os.environ)
        journal = open_journal(settings.url, reactor=self._reactor, settings=settings, data_dir=path)
        if not settings.url.startswith("memory:"):
            folder = DataFolder.hold(path, file_of(settings.url, path))
            self._on_end("giving back the data folder", folder.release)
        snapshot = await journal.open(self._entries_received)
        self._on_end("closing the journal", journal.close)
        journal.failed.addErrback(self._begin_failed)
        rules = rules_of(self.settings, journal.durability, snapshot.secret)
        self._hub = hub = Hub(
            journal=journal, rules=rules, reactor=self._reactor, settings=self.settings, wall=time.time
        )
        hub.start(snapshot)
        self._on_end("ending the hashing of passwords", hub.accounts.hasher.stop)
        self._on_end("saying goodbye", hub.stop, GOODBYE_SECONDS)
        retention = Retention(hub, ages_in(settings))
        hub.on_change.append(lambda settings: retention.change(ages_in(settings.journal)))
        retention.start()
        self._on_end("leaving what is old", retention.stop)
        return hub

    def _entries_received(self, entries: Sequence[Entry]) -> None:
        # The hub is made of what the journal keeps, and the journal's entries go to the hub.
        if self._hub is not None:
            self._hub.entries_received(entries)

    def _certificates_in(self, settings: Settings) -> Certificates | None:
        """The certificates in the folder of these settings; None if there are none. Raises `OperatorError`."""
        folder = certificate_folder(settings, os.environ)
        if not folder.is_dir() or not any(folder.iterdir()):
            return None
        with needs_openssl():
            from chatd.certificates import Certificates  # only where there are some: OpenSSL takes a while
        return Certificates(folder, settings.tls.minimum) or None

    def _shown_first(self) -> Certificate | None:
        """The certificate that is shown to who asks for none by name."""
        return self._certificates.all[0] if self._certificates else None

    def _renew(self, certificates: Certificates | None, hub: Hub) -> None:
        """Show newcomers these certificates."""
        if certificates is None:
            if self._certificates is not None:
                self.log.warn("there is no certificate any more; the earlier ones are shown until a restart")
            return
        if self._certificates is None:
            self._certificates = certificates
            for factory in self._detectors:
                self._take_tls(factory, certificates, hub)
        else:
            self._certificates.take(certificates)
        for one in certificates.all:
            self.log.info("certificate {path} {fingerprint}", path=str(one.path), fingerprint=one.fingerprint)

    def _take_tls(self, factory: Any, certificates: Certificates, hub: Hub) -> None:
        """Let a port that everyone can join take TLS too."""
        inside = factory.behind()
        hub.on_change.append(inside.settings_changed)
        factory.ways["tls"] = self._behind_tls(inside, certificates)

    def _behind_tls(self, factory: IProtocolFactory, certificates: Certificates) -> IProtocolFactory:
        return DoorFactory(self._reactor, certificates, factory, lambda: self.settings.tls.handshake_seconds)

    async def _open(self, way: Way, interfaces: Sequence[str], hub: Hub, gate: Gate) -> None:
        factory = FACTORIES[way.protocol](hub, self.settings)
        if way.protocol in ("detect", "http"):
            door: Any = factory
            (door.ways["http"] if way.protocol == "detect" else door).watched = lambda: self._monitor_of(hub).root
        if way.protocol == "detect":
            self._detectors.append(factory)
            if self._certificates is not None:
                self._take_tls(factory, self._certificates, hub)
        if way.is_tls:
            if self._certificates is None:
                folder = certificate_folder(self.settings, os.environ)
                told = f"{way.option} tls:{way.place}"
                raise OperatorError(
                    told, f"there is no certificate in {folder}", "chatd cert init makes one", way.exit_code
                )
            factory = self._behind_tls(factory, self._certificates)
        try:
            ports = await listen(self._reactor, way, interfaces, factory, gate)
        except OperatorError as error:
            if way.is_chosen or way.protocol != "line":
                raise
            self.log.warn("going on without {option}: {error}", option=way.option, error=error)
            return
        for port in ports:
            self._on_end("closing a port", port.stopListening)
            self._ports.append(port)
            self.listeners.append(listener_of(way.protocol, port, is_tls=way.is_tls))
        check_listeners(self._loaded, self.listeners)

    def _open_admin(self, hub: Hub) -> None:
        """The operator's socket. A server goes on without it, and says so."""
        settings = self.settings
        folder = folder_path(settings.server.data_dir, os.environ)
        in_memory = settings.journal.url.startswith("memory:")
        path = admin_socket(settings.server.admin_socket, folder, in_memory=in_memory)
        if path is None:
            return
        set_level = None if self._observer is None else self._observer.set_level
        admin = Admin(hub, self.listeners, self._shown_first, drain=self._drain, set_level=set_level)
        try:
            path.unlink(missing_ok=True)  # of a server that was killed: this one holds the folder
            with owner_only():
                port = self._reactor.listenUNIX(os.fspath(path), AdminFactory(admin), mode=0o600)
        except (OSError, CannotListenError) as error:
            reason = " ".join(str(getattr(error, "socketError", error)).split())
            self.log.warn("there is no admin socket {path}: {reason}", path=str(path), reason=reason)
            return
        self._on_end("closing the admin socket", port.stopListening)

    def _drain(self) -> None:
        """Let nobody in any more."""
        for port in self._ports:
            port.stopListening()
        self._ports.clear()
        if self._monitor is not None:
            self._monitor.is_ready = False

    def _monitor_of(self, hub: Hub) -> Monitor:
        """The monitor, made when somebody first wants it."""
        if self._monitor is None:
            from chatd.monitor import Monitor  # only then: it brings a web server with it

            self._monitor = monitor = Monitor(hub, self._reactor)
            monitor.is_ready = self._is_ready
            monitor.start()
            self._on_end("stopping the monitor", monitor.stop)
        return self._monitor

    async def _open_monitor(self, way: Way, hub: Hub) -> None:
        monitor = self._monitor_of(hub)
        gate = Gate(self._reactor, monitor.places)
        self._on_end("closing the gate of the monitor", gate.close)
        for port in await listen(self._reactor, way, LOOPBACK, monitor.factory(), gate):
            self._on_end("closing a port", port.stopListening)
            self.listeners.append(listener_of(way.protocol, port, is_tls=way.is_tls))

    def _prepare_ready_file(self) -> None:
        if name := self.settings.server.ready_file:
            remove_ready_file(Path(name))  # of a server that was killed

    def _tell_ready(self) -> None:
        for line_ in how_to_join(self.listeners):
            self.log.info("{line}", line=line_)
        if name := self.settings.server.ready_file:  # last, so that who waits for it finds the log complete
            write_ready_file(Path(name), self.listeners)
            self._on_end("removing the ready file", lambda: remove_ready_file(Path(name)))
        notify_systemd("READY=1", os.environ)
        self._on_end("telling systemd", lambda: notify_systemd("STOPPING=1", os.environ))
        self._is_ready = True
        if self._monitor is not None:
            self._monitor.is_ready = True
        if self._is_reload_due:
            self.reload()

    def _begin_failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, CancelledError):
            return  # told to stop while starting
        if not isinstance(error, OperatorError):
            self.log.failure("bug in starting", failure)
            error = OperatorError("start", "a bug of ours, see above", "please report it", Exit.SOFTWARE)
        self._give_up(error)

    async def _end(self) -> None:
        """Undo what was begun, from the last step to the first."""
        if self._beginning is not None:
            await self._beginning.addTimeout(CLOSE_SECONDS, self._reactor, lambda result, _: result)
        is_running = bool(self.listeners)
        while self._undoings:
            step, seconds, undo = self._undoings.pop()
            try:
                undone = undo()
                if isinstance(undone, Deferred):
                    await undone.addTimeout(seconds, self._reactor)
            except TimeoutError:
                self.log.warn("{step} took more than {seconds} s", step=step, seconds=seconds)
            except Exception:
                self.log.failure("bug in {step}", step=step)
        if is_running:
            self.log.info("stopped")

    def _on_end(self, step: str, undo: Callable[[], Any], seconds: float = CLOSE_SECONDS) -> None:
        self._undoings.append((step, seconds, undo))


def ages_in(settings: JournalSettings) -> Ages:
    """How long rooms keep what was said."""
    return ages(settings.retention, settings.retention_by_room)


def rules_of(settings: Settings, durability: str, secret: bytes) -> Rules:
    """What the rules have to know of a server with these settings, whose journal has this secret."""
    server = settings.server
    return Rules(
        limits=settings.limits,
        server=server.name,
        server_version=chatd.__version__,
        network=server.network,
        motd=server.motd,
        durability=durability,
        secret=secret,
        registration=settings.accounts.registration,
        password_chars=settings.accounts.password_chars,
        scram=settings.accounts.scram,
        lobby=settings.line.lobby,
        quarantine_seconds=settings.accounts.quarantine_hours * 3600,
    )
