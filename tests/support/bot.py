"""A bot for the fault test: says numbered messages, and writes down once what it hears, however often it is killed.

    python bot.py FACE ADDRESS NAME FOLDER

FACE is `aio`, `blocking`, `poll` or `tx`. Its folder has `cursor.json`, the library's; `handled`, a line `seq
body` for each message that it has handled; `shown`, what the library showed it, with `run` where a run began; `said`
and `acked`, the numbers that it has asked to be stored and those that were; `times`, how long it was away, and how
old the messages were. While there is a file `hush` beside its folder it begins nothing new.

The pattern of handling once: the number is kept with the effect, in one write. What comes again, because the bot was
killed (or has killed itself, by chance) between its effect and the library's note of it, is passed over by its number.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatd.client import ChatError, Gap, Message, Offline, Online, aio, backoff, blocking, verbs
from chatd.core.commands import Command

ROOM = "#storm"
UNDER_WAY = 6
PAUSE = 0.02
LONGEST_WAIT = 1.0  # before it connects again; the library's is made for storms of hours
CRASH = 1 / 800  # how often it dies between an effect and the next event


class Ledger:
    """What a bot has in its folder; and what it is to say next."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.hush = folder.parent / "hush"
        self.cursor = folder / "cursor.json"
        self._files = {
            kind: (folder / kind).open("ab", buffering=0) for kind in ("handled", "shown", "said", "acked", "times")
        }
        handled = (folder / "handled").read_bytes().splitlines()
        self.last = int(handled[-1].split()[0]) if handled else 0
        acked = {line.split()[0] for line in (folder / "acked").read_bytes().splitlines()}
        said = (folder / "said").read_bytes().split()
        self._again = [int(number) for number in said if number not in acked]
        self._next = len(said) + 1
        self._away = 0.0
        self.open = 0
        self._write("shown", "run")

    def _write(self, kind: str, line: object) -> None:
        self._files[kind].write(f"{line}\n".encode())  # one write: all of it is there after a kill, or nothing

    def take(self, event: Any) -> None:
        """Handle an event, once."""
        match event:
            case Offline(first=True):
                self._away = time.monotonic()
            case Online() if self._away:
                self._write("times", f"away {time.monotonic() - self._away:.3f}")
                self._away = 0.0
            case Gap():
                self._write("shown", f"gap {event.first} {event.last}")
            case Message():
                self._write("shown", event.seq)
                if event.seq > self.last:
                    self._write("handled", f"{event.seq} {event.body}")
                    self.last = event.seq
                    self._write("times", f"age {time.time() - event.time.timestamp():.3f}")
                    if random.random() < CRASH and not self.hush.exists():
                        os.kill(os.getpid(), signal.SIGKILL)  # the library has not heard that it is handled

    def to_say(self) -> Iterator[tuple[int, Command]]:
        """What is to be asked now, with its number: first what an earlier run had asked and was not answered."""
        while self.open < UNDER_WAY:
            if self._again:
                number = self._again.pop(0)
            elif self.hush.exists():
                return
            else:
                number, self._next = self._next, self._next + 1
                self._write("said", number)
            self.open += 1
            yield number, verbs.send(ROOM, f"{self.name} {number}", msg_id=f"storm-{number}")
            if not self._again:
                return  # one at a time, at the pace of the loop

    def answered(self, number: int, reply: Any) -> None:
        """It is stored."""
        self.open -= 1
        self._write("acked", f"{number} {reply.seq}")

    def given_up(self, number: int, error: object) -> None:
        """The library gave it up: it is asked again, under the same id."""
        self.open -= 1
        self._write("times", f"given-up {number} {error}")
        self._again.append(number)

    def wishes(self) -> dict[str, Any]:
        """How every face connects."""
        return {"nick": self.name, "cursor_file": self.cursor, "own": True, "bot": True, "wait": None}


async def run_aio(ledger: Ledger, address: str) -> None:
    async with aio.connect(address, **ledger.wishes()) as chat:
        await chat.join(ROOM, since=0)

        async def say(number: int, command: Command) -> None:
            try:
                ledger.answered(number, await chat.ask(command))
            except ChatError as error:
                ledger.given_up(number, error)

        async def talk() -> None:
            asked = set()
            while True:
                for number, command in ledger.to_say():
                    asked.add(task := asyncio.create_task(say(number, command)))
                    task.add_done_callback(asked.discard)
                await asyncio.sleep(PAUSE)

        talking = asyncio.create_task(talk())
        async for event in chat.events():
            ledger.take(event)
        talking.cancel()


def run_blocking(ledger: Ledger, address: str, *, by_poll: bool = False) -> None:
    with blocking.connect(address, **ledger.wishes()) as chat:
        chat.join(ROOM, since=0)
        pending: dict[int, blocking.Pending] = {}
        said_at = 0.0
        while True:
            if time.monotonic() >= said_at + PAUSE:
                said_at = time.monotonic()
                pending |= {number: chat.ask(command) for number, command in ledger.to_say()}
            if by_poll:
                for event in chat.poll():
                    ledger.take(event)
                time.sleep(PAUSE / 2)
            else:
                ledger.take(chat.next_event(timeout=PAUSE))
            for number in [number for number, answer in pending.items() if answer.ready]:
                try:
                    ledger.answered(number, pending.pop(number).result())
                except ChatError as error:
                    ledger.given_up(number, error)


def run_tx(ledger: Ledger, address: str) -> None:
    from twisted.internet import task
    from twisted.internet.defer import ensureDeferred

    from chatd.client import tx

    async def main(reactor: Any) -> None:
        chat = await tx.connect(reactor, address, **ledger.wishes())
        await chat.join(ROOM, since=0)

        async def say(number: int, command: Command) -> None:
            try:
                ledger.answered(number, await chat.ask(command))
            except ChatError as error:
                ledger.given_up(number, error)

        def talk() -> None:
            for number, command in ledger.to_say():
                ensureDeferred(say(number, command))

        talking = task.LoopingCall(talk)
        talking.clock = reactor
        talking.start(PAUSE)  # type: ignore[no-untyped-call]
        async for event in chat.events():
            ledger.take(event)

    task.react(lambda reactor: ensureDeferred(main(reactor)))  # type: ignore[no-untyped-call]


def main(face: str, address: str, name: str, folder: str) -> None:
    backoff.LONGEST_SECONDS = LONGEST_WAIT
    ledger = Ledger(name, Path(folder))
    match face:
        case "aio":
            asyncio.run(run_aio(ledger, address))
        case "tx":
            run_tx(ledger, address)
        case _:
            run_blocking(ledger, address, by_poll=face == "poll")


FACES = ("aio", "blocking", "tx", "poll")

if __name__ == "__main__":
    main(*sys.argv[1:])
