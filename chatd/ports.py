"""Ports: how newcomers are let in, and how they wait while there is no room.

A `Gate` stands behind every port of a server, whatever endpoint made it, and counts who is inside. While as many are
inside as may be, or the kernel has no descriptor left to give, the ports are not listened to: newcomers wait in the
kernel, nothing is accepted only to be closed, and no loop turns for nothing. As soon as somebody leaves, or after a
second, it looks again. So the journal, its readers and a backup never lack a descriptor.

It knows Twisted's ports and this process's limit of open files. Who may come in from where is the hub's guard's to
say, and what is spoken is the protocols'.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
from contextlib import suppress
from functools import partial
from typing import Any

from twisted.logger import Logger

from chatd.protocols.transport import send_promptly

ACCEPTED_A_TURN = 8  # then those who are inside are heard again: a flood of newcomers makes no turn long
RETRY_SECONDS = 1.0
TELL_SECONDS = 60.0

# Descriptors that are not for connections: journal, readers, backup, log, ports and the loop's own.
KEPT_BACK = 64
FEW = 1024

# What the kernel says of a newcomer who is gone already. Whatever else it says, mostly that there is no descriptor
# or no memory left, holds for the next one too.
GONE = {errno.ECONNABORTED, errno.EPERM, errno.EPROTO}


class Gate:
    """Lets people in through all ports of a server, at most `most` at a time."""

    log = Logger()

    def __init__(self, reactor: Any, most: int) -> None:
        self.most = most
        self.inside = 0
        self._reactor = reactor
        self._closed: dict[Any, None] = {}  # ports that are not listened to for now
        self._timer: Any = None
        self._told_at: float | None = None
        self._when_closed = self.left  # one for all

    def guard(self, port: Any) -> None:
        """Let this listening port bring people in through the gate from now on."""
        send_promptly(port)
        if hasattr(port, "socket"):  # the reactor calls whatever stands there
            port.doRead = partial(self._accept, port)

    def left(self) -> None:
        """One of those inside is gone."""
        self.inside -= 1
        if self._closed:
            self._open()

    def close(self) -> None:
        """The ports are closed, or about to be: look no more."""
        self._closed.clear()
        self._stop_waiting()

    # -- letting in ---------------------------------------------------------------------------------------

    def _accept(self, port: Any) -> None:
        """Bring in those who wait at a port. The reactor calls it when there is somebody."""
        if self.inside >= self.most:
            self._shut(port, "no more can be (limits.connections, and what ulimit -n allows)")
            return
        for _ in range(min(ACCEPTED_A_TURN, self.most - self.inside)):
            try:
                accepted, peer = port.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in GONE:
                    continue
                self._shut(port, os.strerror(error.errno or 0))
                return
            self._receive(port, accepted, peer)

    def _receive(self, port: Any, accepted: socket.socket, peer: Any) -> None:
        """One newcomer: its protocol and its transport. A mistake of ours costs this connection only."""
        transport = None
        try:
            if port.addressFamily == socket.AF_INET6:  # with the name of the network card, where it needs one
                host, _ = socket.getnameinfo(peer, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
                peer = (host, *peer[1:])
            protocol = port.factory.buildProtocol(port._buildAddr(peer))
            if protocol is None:
                accepted.close()
                return
            number = port.sessionno
            port.sessionno = number + 1
            transport = port.transport(accepted, protocol, peer, port, number, port.reactor)
            if hasattr(transport, "when_closed"):
                self.inside += 1
                transport.when_closed = self._when_closed
            protocol.makeConnection(transport)
        except Exception:
            self.log.failure("bug in receiving a connection")
            if transport is None:
                accepted.close()
            else:
                transport.abortConnection()

    # -- waiting ------------------------------------------------------------------------------------------

    def _shut(self, port: Any, why: str) -> None:
        """Do not listen to a port for now."""
        port.stopReading()
        self._closed[port] = None
        if self._timer is None:
            self._timer = self._reactor.callLater(RETRY_SECONDS, self._look_again)
        now = self._reactor.seconds()
        if self._told_at is None or now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            self.log.warn("newcomers have to wait, {inside} are inside: {why}", inside=self.inside, why=why)

    def _look_again(self) -> None:
        self._timer = None
        self._open()

    def _open(self) -> None:
        """Listen again to every port that still is one."""
        ports, self._closed = self._closed, {}
        self._stop_waiting()
        for port in ports:
            if port.connected and not port.disconnecting:
                port.startReading()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def room_for_connections(wanted: int) -> int:
    """How many connections this process has descriptors for, and not more than `wanted`, if that is not 0.

    The limit of open files is raised as far as it may be; some are kept back for everything else.
    """
    files = raise_limit_of_files()
    room = max(files - KEPT_BACK, files // 2)
    if room < (wanted or FEW):
        Gate.log.warn("room for {room} connections: {files} files may be open (ulimit -n)", room=room, files=files)
    return min(wanted, room) if wanted else room


def raise_limit_of_files() -> int:
    """Allow this process as many open files as it may have, and say how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # not every system lets the soft one be that high
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft
