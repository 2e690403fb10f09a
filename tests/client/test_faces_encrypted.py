"""The three faces over an encrypted connection, and with a password that is not sent, against real servers."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from chatd.client import CannotConnect, ChatError, Message, Refused, aio, blocking, sockets, tx, tx_wire
from chatd.client.encrypted import context_of

SECRET = "correct horse battery"
MANY = 300


@pytest.fixture
def server(start_server: Any) -> Any:
    """One with a certificate."""
    made = start_server("--registration=open", until="made")
    command = [sys.executable, "-m", "chatd", "cert", "init", "localhost", "--data-dir", str(made.data_dir)]
    told = subprocess.run(command, env=made.environ, capture_output=True, text=True, check=True).stdout
    [made.fingerprint] = re.findall(r"SHA256:[0-9a-f]{64}", told)[:1]
    return made.start()


@pytest.fixture
def silence() -> Iterator[str]:
    """The address of a port that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def there(server: Any) -> str:
    return f"localhost:{server.port}"


def bodies() -> list[str]:
    """More than a record of TLS holds, and many at once."""
    return [f"{number} " + "x" * (number * 37 % 8000) for number in range(MANY)]


# -- asyncio ----------------------------------------------------------------------------------------------------------


def test_asyncio(server: Any, run: Callable[..., Any]) -> None:
    async def talk() -> None:
        async with aio.connect(there(server), nick="tom", tls=context_of(server.fingerprint)) as tom:
            await tom.join("#lobby")
            assert (await tom.send("#lobby", "one")).seq == 1
        async with aio.connect(
            there(server), account="ann", password=SECRET, register=True, tls=context_of(server.fingerprint)
        ):
            pass
        async with aio.connect(there(server), account="ann", password=SECRET, secretly=True) as ann:
            assert ann.nick == "ann"
        with pytest.raises(Refused, match="wrong"):
            await aio.connect(there(server), account="ann", password="wrong one", secretly=True)

    run(talk())


# -- blocking ---------------------------------------------------------------------------------------------------------


def test_blocking(server: Any) -> None:
    tls = context_of(server.fingerprint)
    with (
        blocking.connect(there(server), nick="tom", tls=tls) as tom,
        blocking.connect(there(server), nick="ben") as ben,
    ):
        tom.join("#lobby")
        ben.join("#lobby")
        for body in bodies():
            tom.send("#lobby", body)
        heard = [event.body for event in ben.events(timeout=2) if isinstance(event, Message)]
        assert heard == bodies()
        waiting = [ben.ask(one) for one in sends()]
        answers = [one.result(20).seq for one in waiting]
        assert answers == list(range(MANY + 1, 2 * MANY + 1))
        heard = [event.body for event in tom.events(timeout=2) if isinstance(event, Message)]
        assert heard == bodies()
        assert tom.fileno() >= 0


def sends() -> list[Any]:
    from chatd.core.commands import Send

    return [Send(room="#lobby", body=body) for body in bodies()]


def test_blocking_comes_back(server: Any) -> None:
    tls = context_of(server.fingerprint)
    with blocking.connect(there(server), nick="tom", tls=tls) as tom:
        tom.join("#lobby")
        tom.send("#lobby", "before")
        server.kill9()
        server.spawn()
        assert tom.send("#lobby", "after").seq == 2


def test_blocking_trusts_nobody_else(server: Any) -> None:
    with pytest.raises(CannotConnect, match=f"it has another certificate: {server.fingerprint}"):
        blocking.connect(there(server), nick="tom", tls=context_of("SHA256:" + "0" * 64), wait=0)
    with pytest.raises(CannotConnect, match="cannot be trusted"):
        blocking.connect(there(server), nick="tom", tls=True, wait=0)


def test_blocking_and_a_server_without_a_certificate(start_server: Any) -> None:
    with pytest.raises(CannotConnect, match=r"does not speak TLS|closed the connection at once"):
        blocking.connect(there(start_server()), nick="tom", tls=True, wait=0)


def test_blocking_does_not_wait_for_ever(silence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "DIAL_SECONDS", 0.3)
    begun = time.monotonic()
    with pytest.raises(CannotConnect, match="no answer"):
        blocking.connect(silence, nick="tom", tls=True, wait=0)
    assert time.monotonic() - begun < 5


def test_blocking_does_not_send_a_password(server: Any) -> None:
    with blocking.connect(there(server), account="ann", password=SECRET, register=True):
        pass
    with Eavesdropper(server.port) as ear:
        with blocking.connect(ear.address, account="ann", password=SECRET, secretly=True) as ann:
            assert ann.nick == "ann"
        with blocking.connect(ear.address, nick="tom", tls=context_of(server.fingerprint)) as tom:
            tom.join("#lobby")
            tom.send("#lobby", "between ourselves")
    heard = b"".join(ear.heard)
    assert b"scram-sha-256" in heard
    assert SECRET.encode() not in heard
    assert b"between ourselves" not in heard


class Eavesdropper:
    """Passes connections on, and remembers what it heard."""

    def __init__(self, port: int) -> None:
        self.heard: list[bytes] = []
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._begin(self._accept)

    def __enter__(self) -> Eavesdropper:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
        for one in self._sockets:
            one.close()

    def _begin(self, work: Callable[..., None], *about: Any) -> None:
        self._threads.append(threading.Thread(target=work, args=about, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            self._sockets += [near, far]
            self._begin(self._pass_on, near, far)
            self._begin(self._pass_on, far, near)

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while chunk := one.recv(65536):
                self.heard.append(chunk)
                other.sendall(chunk)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass


# -- Twisted ----------------------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_twisted(server: Any) -> None:
    tls = context_of(server.fingerprint)
    tom = await tx.connect(reactor, there(server), nick="tom", tls=tls)
    ben = await tx.connect(reactor, there(server), nick="ben")
    await tom.join("#lobby")
    await ben.join("#lobby")
    for sender, reader in ((tom, ben), (ben, tom)):
        for body in bodies():
            sender.send("#lobby", body)
        heard: list[str] = []
        while len(heard) < MANY:
            event = await reader.next_event()
            heard += [event.body] if isinstance(event, Message) else []
        assert heard == bodies()
    server.kill9()
    waiting = tom.send("#lobby", "kept")
    server.spawn()
    assert (await waiting).seq == 2 * MANY + 1
    await tom.quit()
    await ben.quit()


@pytest_twisted.ensureDeferred
async def test_twisted_trusts_nobody_else(server: Any) -> None:
    with pytest.raises(CannotConnect, match=f"it has another certificate: {server.fingerprint}"):
        await tx.connect(reactor, there(server), nick="tom", tls=context_of("SHA256:" + "0" * 64), wait=0)
    with pytest.raises(CannotConnect, match="cannot be trusted"):
        await tx.connect(reactor, there(server), nick="tom", tls=True, wait=0)


@pytest_twisted.ensureDeferred
async def test_twisted_does_not_send_a_password(server: Any) -> None:
    made = await tx.connect(reactor, there(server), account="ann", password=SECRET, register=True)
    await made.quit()
    ann = await tx.connect(reactor, there(server), account="ann", password=SECRET, secretly=True)
    assert ann.nick == "ann"
    await ann.quit()
    with pytest.raises(Refused, match="wrong"):
        await tx.connect(reactor, there(server), account="ann", password="wrong one", secretly=True)


@pytest_twisted.ensureDeferred
async def test_twisted_does_not_wait_for_ever(silence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tx_wire, "DIAL_SECONDS", 0.3)
    with pytest.raises(CannotConnect, match="no answer"):
        await tx.connect(reactor, silence, nick="tom", tls=True, wait=0)


@pytest_twisted.ensureDeferred
async def test_twisted_gives_up_when_asked_to(silence: str) -> None:
    connecting = tx.connect(reactor, silence, nick="tom", tls=True)
    reactor.callLater(0.3, connecting.cancel)  # type: ignore[attr-defined]
    begun = time.monotonic()
    with pytest.raises(ChatError):
        await connecting
    assert time.monotonic() - begun < 5
