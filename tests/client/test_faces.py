"""The three faces against a real server: the same verbs, the same events, each in its own way of waiting."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from chatd.client import (
    CannotConnect,
    ChatError,
    Message,
    Offline,
    Presence,
    Refused,
    WrongProtocol,
    aio,
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
    return f"#faces{next(_NUMBERS)}"


def name(nick: str) -> str:
    return f"{nick}{next(_NUMBERS)}"


async def until(events: AsyncIterator[Any], kind: type[Any]) -> Any:
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__} came")


# -- all three -----------------------------------------------------------------------------------------------


def test_the_faces_have_the_same_verbs() -> None:
    def verbs(face: type[Any]) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(what).parameters)
            for name, what in vars(face).items()
            if callable(what)
            and not name.startswith("_")
            and name not in ("next_event", "events", "poll", "fileno", "on_event")
        }

    assert verbs(aio.Chat) == verbs(blocking.Chat) == verbs(tx.Chat)
    assert {"join", "part", "send", "direct", "edit", "redact", "react", "history", "members", "rooms"} < verbs(
        aio.Chat
    ).keys()


# -- asyncio -------------------------------------------------------------------------------------------------


def test_a_conversation_with_asyncio(address: str, room: str, run: Callable[..., Any]) -> None:
    async def talk() -> None:
        async with connect(address, nick=name("tom")) as tom, connect(address, nick=name("jerry")) as jerry:
            assert (await tom.join(room)).last_seq == 0
            await jerry.join(room)
            assert (await until(tom.events(), Presence)).joined == [jerry.nick]
            sent = await tom.send(room, "hello", data={"when": 1, "raw": b"\xff"})
            heard = await until(jerry.events(), Message)
            assert (heard.seq, heard.body, heard.data) == (sent.seq, "hello", {"when": 1, "raw": b"\xff"})
            await jerry.answer(heard, "hello yourself")
            answer = await until(tom.events(), Message)
            assert (answer.body, answer.reply_to) == ("hello yourself", sent.seq)
            await tom.edit(sent, "hallo")
            await jerry.react(sent, "👍")
            await jerry.unreact(sent, "👍")
            await tom.redact(sent, "typo")
            await tom.topic(room, "cats and mice")
            page = await jerry.history(room, limit=50)
            assert [type(event).__name__ for event in page.events] == ["Message"] * 2 + ["Relation"] * 4 + ["Room"]
            assert {item["nick"] for item in await tom.members(room)} == {tom.nick, jerry.nick}
            assert [item["room"] for item in await tom.rooms(room)] == [room]
            assert (await tom.whois(jerry.nick))["nick"] == jerry.nick
            await tom.direct(jerry.nick, "psst")
            psst = await until(jerry.events(), Message)
            assert (psst.room, psst.body) == (f"@{tom.nick}", "psst")
            await tom.away("lunch")
            await tom.away(False)
            await tom.typing(room)
            assert (await tom.mark_read(room, 3)).seq == 3
            assert (await tom.ping({"n": 1})).data == {"n": 1}
            assert (await tom.change_nick(name("thomas"))).nick == tom.nick
            await tom.part(room)
            with pytest.raises(Refused) as refused:
                await tom.send(room, "too late")
            assert refused.value.code == "NOT_IN_ROOM"

    run(talk())


def test_sends_may_overlap_and_keep_their_order(address: str, room: str, run: Callable[..., Any]) -> None:
    """A8, A55: many at once, in order."""

    async def talk() -> None:
        async with connect(address, nick=name("tom")) as tom, connect(address, nick=name("jerry")) as jerry:
            await jerry.join(room)
            await tom.join(room)
            sent = await asyncio.gather(*(tom.send(room, str(number)) for number in range(300)))
            assert [one.seq for one in sent] == list(range(1, 301))
            bodies = [(await until(jerry.events(), Message)).body for _ in range(300)]
            assert bodies == [str(number) for number in range(300)]

    run(talk())


def test_who_sends_more_than_can_wait_is_held_back(address: str, room: str, run: Callable[..., Any]) -> None:
    async def talk() -> None:
        async with connect(address, nick=name("tom")) as tom:
            await tom.join(room)
            sent = await asyncio.gather(*(tom.send(room, str(number)) for number in range(2500)))
            assert [one.seq for one in sent] == list(range(1, 2501))

    run(talk())
    with blocking.connect(address, nick=name("jerry")) as jerry:
        jerry.join(room)
        pending = [jerry.ask(commands.Send(room=room, body=str(number))) for number in range(2500)]
        assert [one.result(20).seq for one in pending] == list(range(2501, 5001))


def test_nobody_there_is_told_in_a_line(run: Callable[..., Any]) -> None:
    """A16: where nothing is listening, it says so."""

    async def talk() -> None:
        async with connect("127.0.0.1:9", wait=0):
            raise AssertionError("who is there?")

    with pytest.raises(CannotConnect, match=r"nothing is listening at 127\.0\.0\.1:9"):
        run(talk())


def test_who_only_greets_people_is_told(shared_server: Any, run: Callable[..., Any]) -> None:
    async def talk() -> None:
        async with connect(f"127.0.0.1:{shared_server.line_port}"):
            raise AssertionError("who is there?")

    with pytest.raises(WrongProtocol, match="greets people"):
        run(talk())


def test_the_server_is_restarted_and_nobody_has_to_care(start_server: Any, run: Callable[..., Any]) -> None:
    """A53, A59: kill -9, start again: nothing is lost, nothing comes twice, the order is the same for all."""
    server = start_server()

    async def talk() -> None:
        address = f"127.0.0.1:{server.port}"
        async with connect(address, nick="tom") as tom, connect(address, nick="jerry") as jerry:
            await tom.join("#lobby")
            await jerry.join("#lobby")
            early = [asyncio.create_task(tom.send("#lobby", str(number))) for number in range(200)]
            await asyncio.wait(early, return_when=asyncio.FIRST_COMPLETED)
            server.kill9()
            late = [asyncio.create_task(tom.send("#lobby", str(number))) for number in range(200, 250)]
            assert (await until(jerry.events(), Offline)).first
            await asyncio.to_thread(server.restart)
            sent = await asyncio.gather(*early, *late)
            assert sorted(one.seq for one in sent) == list(range(1, 251)) == [one.seq for one in sent]
            page: list[Any] = []
            while len(page) < 250:
                page += (await jerry.history("#lobby", after=len(page))).events
            assert [event.body for event in page] == [str(number) for number in range(250)]
            assert (tom.nick, jerry.nick) == ("tom", "jerry")
            last = ""
            seqs: list[int] = []
            while last != "249":
                event = await until(jerry.events(), Message)
                seqs.append(event.seq)
                last = event.body
            assert seqs == list(range(seqs[0], 251))

    run(talk())


def test_a_reader_who_never_reads_does_not_stop_who_sends(
    address: str, room: str, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A46: more events than anyone keeps, and the answers come all the same; the reader gets every one later."""
    monkeypatch.setattr("chatd.client.face.MOST_EVENTS", 50)

    async def talk() -> None:
        async with connect(address, nick=name("tom")) as tom, connect(address, nick=name("jerry")) as jerry:
            await tom.join(room)
            await jerry.join(room)
            for number in range(400):
                await tom.send(room, str(number))
            assert (await jerry.ping()).ok
            bodies = [(await until(jerry.events(), Message)).body for _ in range(400)]
            assert bodies == [str(number) for number in range(400)]

    run(talk())


def test_a_bot_handles_each_message_once_across_restarts(
    address: str, room: str, tmp_path: Path, run: Callable[..., Any]
) -> None:
    handled: list[str] = []
    nick = name("bot")

    async def bot(most: int, crash: bool = False) -> str:
        async with connect(address, nick=nick, cursor_file=tmp_path / "bot.json") as chat:
            await chat.join(room)
            async for event in chat.events():
                if not isinstance(event, Message):
                    continue
                handled.append(event.body)
                await chat.answer(event, f"re: {event.body}")
                if len(handled) >= most:
                    if not crash:
                        chat.done(event)
                    return chat.nick
        raise AssertionError

    async def talk() -> None:
        async with connect(address, nick=name("tom")) as tom:
            await tom.join(room)
            first = asyncio.create_task(bot(2))
            await until(tom.events(), Presence)
            for body in "abc":
                await tom.send(room, body)
            assert await first == nick
            await tom.send(room, "d")
            assert await bot(4, crash=True) == nick, "the same guest"
            assert handled == ["a", "b", "c", "d"]
            await bot(5)
            assert handled == ["a", "b", "c", "d", "d"], "what was not finished is handled again"
            page = await tom.history(room)
            said = [event.body for event in page.events if isinstance(event, Message)]
            assert sorted(said) == sorted(["a", "b", "c", "d", "re: a", "re: b", "re: c", "re: d"]), "but said once"

    run(talk())


# -- Twisted -------------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_conversation_with_twisted(address: str, room: str) -> None:
    tom = await tx.connect(reactor, address, nick=name("tom"))
    jerry = await tx.connect(reactor, address, nick=name("jerry"))
    await tom.join(room)
    await jerry.join(room)
    sent = await tom.send(room, "hello")
    heard = await until(jerry.events(), Message)
    assert (heard.seq, heard.body) == (sent.seq, "hello")
    assert {item["nick"] for item in await tom.members(room)} == {tom.nick, jerry.nick}
    bodies: list[str] = []
    tom.on_event(lambda event: bodies.append(event.body) if isinstance(event, Message) else None)
    for number in range(100):
        jerry.send(room, str(number))
    await jerry.ping()
    await tom.ping()
    assert bodies == [str(number) for number in range(100)]
    with pytest.raises(Refused):
        await tom.edit(heard, "")
    with pytest.raises(ValueError, match="data"):
        await tom.send(room, "x", data=object())
    await tom.quit("bye")
    await jerry.quit()


@pytest_twisted.ensureDeferred
async def test_twisted_is_told_that_nobody_is_there() -> None:
    with pytest.raises(CannotConnect, match="nothing is listening"):
        await tx.connect(reactor, "127.0.0.1:9", wait=0)


@pytest_twisted.ensureDeferred
async def test_twisted_gives_up_when_asked_to() -> None:
    connecting = tx.connect(reactor, "127.0.0.1:9", wait=None, on_news=lambda news: None)
    connecting.cancel()
    with pytest.raises(ChatError):
        await connecting


@pytest_twisted.ensureDeferred
async def test_a_listener_that_fails_ends_the_session(address: str, room: str, logged_errors: Any) -> None:
    ended: list[Any] = []
    tom = await tx.connect(reactor, address, nick=name("tom"), on_news=ended.append)
    jerry = await tx.connect(reactor, address, nick=name("jerry"))
    await tom.join(room)
    await jerry.join(room)
    tom.on_event(lambda event: 1 / 0)
    await jerry.send(room, "hello")
    with pytest.raises(ChatError):
        await tom.send(room, "more")
    assert [type(error) for error in logged_errors.take(ZeroDivisionError)] == [ZeroDivisionError]
    await tom.quit()
    await jerry.quit()


@pytest_twisted.ensureDeferred
async def test_twisted_comes_back_after_a_crash(start_server: Any) -> None:
    server = start_server()
    tom = await tx.connect(reactor, f"127.0.0.1:{server.port}", nick="tom")
    await tom.join("#lobby")
    server.kill9()
    assert (await until(tom.events(), Offline)).first
    waiting = tom.send("#lobby", "kept")
    server.spawn()
    assert (await waiting).seq == 1
    await tom.quit()


def test_the_library_leaves_twisted_alone() -> None:
    """Who uses asyncio or no loop at all need not have the framework loaded."""
    program = textwrap.dedent(
        """
        import sys
        import chatd.client, chatd.client.blocking, chatd.client.pipes, chatd.client.terminal
        print([name for name in sys.modules if name.split(".")[0] in ("twisted", "zope", "prompt_toolkit")])
        """
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
