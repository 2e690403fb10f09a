"""The plain screen: lines in, lines out, nothing is ever redrawn. For pipes, screen readers, and simple terminals."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable

from chatd.client.lines import lines
from chatd.client.outcome import say
from chatd.client.show import Line
from chatd.client.slash import typed
from chatd.client.talk import Talk
from chatd.errors import Exit


class PlainScreen:
    """Prints to standard output, what is said in every room."""

    all_rooms = True
    talk: Talk

    def show(self, lines: Iterable[Line]) -> None:
        """Print these lines, at once."""
        for line in lines:
            elsewhere = bool(line.room) and line.room != self.talk.current
            print(line.text(with_room=elsewhere, with_number=self.talk.numbers))
        sys.stdout.flush()

    async def run(self, talk: Talk, rooms: list[str]) -> int:
        """Carry out what is typed until the input ends; then wait for the answers, and leave."""
        listening = asyncio.create_task(self._listen(talk))
        typing = asyncio.create_task(self._type(talk, rooms))
        done, others = await asyncio.wait({listening, typing}, return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for task in done:
            task.result()
        return Exit.OK

    async def _listen(self, talk: Talk) -> None:
        async for event in talk.chat.events():
            talk.happened(event)

    async def _type(self, talk: Talk, rooms: list[str]) -> None:
        await talk.begin(rooms)
        async for one in lines():
            if one.fault:
                say(f"line {one.number} was not sent: {one.fault}")
                continue
            await typed(talk, one.text)
            if talk.leaving:
                return
        await talk.settle()
