"""The blocking face against a real server: scripts, and programs with a loop of their own."""

from __future__ import annotations

import itertools
import select
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from chatd.client import (
    Message,
    Offline,
    Online,
    Refused,
    TimedOut,
    blocking,
    connect,
    tx,
)
from chatd.core import commands

_NUMBERS = itertools.count()


@pytest.fixture
def address(shared_server: Any) -> str:
    return f"127.0.0.1:{shared_server.port}"


@pytest.fixture
def room() -> str:
    return f"#blocking{next(_NUMBERS)}"


def name(nick: str) -> str:
    return f"{nick}{next(_NUMBERS)}"


async def until(events: AsyncIterator[Any], kind: type[Any]) -> Any:
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__} came")


# -- blocking ------------------------------------------------------------------------------------------------


def test_a_conversation_without_threads_or_loops(address: str, room: str) -> None:
    """A56: send whenever one wants, and no threads."""
    with blocking.connect(address, nick=name("tom")) as tom, blocking.connect(address, nick=name("jerry")) as jerry:
        tom.join(room)
        jerry.join(room)
        sent = tom.send(room, "hello")
        event = next(event for event in jerry.events(timeout=10) if isinstance(event, Message))
        assert (event.seq, event.body) == (sent.seq, "hello")
        pending = [tom.ask(commands.Send(room=room, body=str(number))) for number in range(100)]
        assert [one.result(10).seq for one in pending] == list(range(2, 102))
        with pytest.raises(Refused):
            tom.edit(event, "")
        before = time.monotonic()
        assert all(not isinstance(event, Message) for event in tom.events(timeout=0.05))
        assert time.monotonic() - before < 10


def test_polling_beside_a_loop_of_ones_own(address: str, room: str) -> None:
    """A56: with tkinter or select: a descriptor to watch, and a call that never waits."""
    with blocking.connect(address, nick=name("tom")) as tom, blocking.connect(address, nick=name("jerry")) as jerry:
        tom.join(room)
        jerry.join(room)
        jerry.poll()
        assert jerry.poll() == []
        assert select.select([jerry.fileno()], [], [], 0)[0] == []
        tom.send(room, "hello")
        assert select.select([jerry.fileno()], [], [], 10)[0] == [jerry.fileno()]
        begun = time.monotonic()
        heard: list[Any] = []
        while not heard and time.monotonic() < begun + 10:
            heard = [event.body for event in jerry.poll() if isinstance(event, Message)]
        assert heard == ["hello"]


def test_the_descriptor_stays_when_the_server_goes(start_server: Any) -> None:
    server = start_server()
    with blocking.connect(f"127.0.0.1:{server.port}", nick="tom") as tom:
        tom.join("#lobby")
        descriptor = tom.fileno()
        tom.poll()
        server.kill9()
        assert isinstance(tom.next_event(10), Offline)
        waiting = tom.ask(commands.Send(room="#lobby", body="kept"))
        with pytest.raises(TimedOut, match="server is away"):
            tom.ask(commands.Send(room="#lobby", body="impatient")).result(0.05)
        server.restart()
        assert waiting.result(30).seq == 1
        assert any(isinstance(event, Online) and event.again for event in tom.events(timeout=5))
        assert tom.fileno() == descriptor


def test_a_script_waits_for_a_server_that_comes_later(start_server: Any) -> None:
    """A24: the client may be started first."""
    first = start_server()
    port = first.port
    first.stop()
    news: list[Any] = []

    def told(one: Any) -> None:
        news.append(one)
        if len(news) == 2:
            first.spawn()

    with blocking.connect(f"127.0.0.1:{port}", nick="tom", wait=30, on_news=told) as tom:
        assert tom.ping().ok
    assert [type(one) for one in news[:2]] == [Offline, Offline]
    assert Online in map(type, news)


def test_what_poll_gave_counts_as_handled_at_the_next_one(address: str, room: str, tmp_path: Path) -> None:
    path, nick = tmp_path / "window.json", name("window")

    def bodies(chat: blocking.Chat, most: int) -> list[str]:
        found: list[str] = []
        while len(found) < most:
            found += [event.body for event in chat.poll() if isinstance(event, Message)]
        return found

    with blocking.connect(address, nick=name("tom")) as tom:
        tom.join(room)
        with blocking.connect(address, nick=nick, cursor_file=path) as window:
            window.join(room)
            tom.send(room, "one")
            assert bodies(window, 1) == ["one"]
            window.poll()
            tom.send(room, "two")
            assert bodies(window, 1) == ["two"]
        with blocking.connect(address, cursor_file=path) as window:
            assert window.nick == nick
            window.join(room)
            assert bodies(window, 1) == ["two"]


def other_way(start_server: Any, where: str, tmp_path: Path) -> str:
    """The address of a server that is reached in another way than by IPv4."""
    if where == "unix":
        start_server(f"--port=unix:{tmp_path}/socket")
        return f"unix:{tmp_path}/socket"
    server = start_server(r"--port=tcp6:0:interface=\:\:1")
    return f"[::1]:{server.port}"


@pytest.mark.parametrize("where", ["unix", "::1"])
def test_other_ways_to_the_server(start_server: Any, tmp_path: Path, where: str, run: Callable[..., Any]) -> None:
    """A14, A20: a Unix socket, and IPv6."""
    address = other_way(start_server, where, tmp_path)
    with blocking.connect(address, nick="tom") as tom:
        tom.join("#lobby")
        tom.send("#lobby", "one")

    async def talk() -> list[str]:
        async with connect(address, nick="jerry") as jerry:
            await jerry.join("#lobby")
            await jerry.send("#lobby", "two")
            return [event.body for event in (await jerry.history("#lobby")).events]

    assert run(talk()) == ["one", "two"]


@pytest.mark.parametrize("where", ["unix", "::1"])
@pytest_twisted.ensureDeferred
async def test_other_ways_to_the_server_with_twisted(start_server: Any, tmp_path: Path, where: str) -> None:
    """A14, A20: a Unix socket, and IPv6."""
    tom = await tx.connect(reactor, other_way(start_server, where, tmp_path), nick="tom")
    await tom.join("#lobby")
    assert (await tom.send("#lobby", "one")).seq == 1
    await tom.quit()
