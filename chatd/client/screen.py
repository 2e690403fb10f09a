"""The screen of a terminal: messages above, a status bar below, and between them the line that is being
typed.

Messages are printed into the terminal's own scrollback, so scrolling, selecting and searching work as
everywhere; prompt_toolkit takes the line away for that moment and puts it back as it was.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style

from chatd.client.complete import Completions
from chatd.client.show import Line, Piece
from chatd.client.slash import typed
from chatd.client.talk import Talk
from chatd.core.text import clean_line
from chatd.errors import Exit

TWICE_SECONDS = 3.0
REFRESH_SECONDS = 1.0

NICKS = "ansigreen ansicyan ansiyellow ansiblue ansimagenta ansired ansibrightgreen ansibrightcyan ansibrightblue"
NICKS += " ansibrightmagenta ansibrightred ansibrightyellow"

STYLE = Style.from_dict(
    {
        "time": "ansibrightblack",
        "room": "ansibrightblack bold",
        "notice": "ansibrightblack",
        "action": "italic",
        "loud": "bold",
        "own": "bold",
        "prompt": "bold",
        "bottom-toolbar": "noreverse bg:ansibrightblack ansiwhite",
        "bar.here": "bold",
        "bar.loud": "ansibrightyellow bold",
        "bar.away": "bg:ansired ansiwhite bold",
        **{f"nick{number}": colour for number, colour in enumerate(NICKS.split())},
    }
)


class PromptScreen:
    """One prompt for the whole conversation."""

    all_rooms = False

    def __init__(self) -> None:
        self.talk: Talk | None = None
        self._lines: list[Line] = []
        self._typed: asyncio.Queue[str] = asyncio.Queue()
        self._interrupted = 0.0
        self._printing: asyncio.Task[None] | None = None
        self._session: PromptSession[int] | None = None

    # -- showing ---------------------------------------------------------------------------------------------

    def show(self, lines: Iterable[Line]) -> None:
        """Print these lines above the one being typed; many in one go are one redraw."""
        self._lines += lines
        if self._printing is None or self._printing.done():
            self._printing = asyncio.ensure_future(self._print())

    async def _print(self) -> None:
        while self._lines:
            await run_in_terminal(self._print_now)

    def _print_now(self) -> None:
        lines, self._lines = self._lines, []
        talk = self.talk
        pieces: list[Piece] = []
        for line in lines:
            elsewhere = talk is not None and bool(line.room) and line.room != talk.current
            pieces += line.with_head(with_room=elsewhere, with_number=talk is not None and talk.numbers)
            pieces.append(("", "\n"))
        session = self._session
        assert session is not None
        print_formatted_text(
            FormattedText((f"class:{style}" if style else "", text) for style, text in pieces),
            style=STYLE,
            color_depth=_colours(),
            output=session.app.output,
            end="",
        )

    # -- running ---------------------------------------------------------------------------------------------

    async def run(self, talk: Talk, rooms: list[str]) -> int:
        """Until the person leaves, or the session cannot go on; the exit code."""
        session: PromptSession[int] = PromptSession(
            message=self._prompt,
            bottom_toolbar=self._bar,
            completer=Completions(talk),
            complete_while_typing=False,
            key_bindings=self._keys(talk),
            style=STYLE,
            color_depth=_colours(),
            erase_when_done=True,
            refresh_interval=REFRESH_SECONDS,
        )
        self._session = session
        with patch_stdout(raw=True), _signals(lambda: session.app.exit(result=Exit.INTERRUPTED)):
            prompting = asyncio.create_task(session.prompt_async())
            tasks = {
                prompting,
                asyncio.create_task(self._listen(talk)),
                asyncio.create_task(self._carry_out(talk, rooms)),
            }
            done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            if self._printing is not None:
                await self._printing
        for task in done:
            task.result()
        return prompting.result() if prompting in done else Exit.OK

    async def _listen(self, talk: Talk) -> None:
        async for event in talk.chat.events():
            talk.happened(event)
            self._redraw()

    async def _carry_out(self, talk: Talk, rooms: list[str]) -> None:
        """One line after the other, so that `/join` is done before what follows it is said."""
        await talk.begin(rooms)
        while not talk.leaving:
            await typed(talk, await self._typed.get())
            self._redraw()

    def _redraw(self) -> None:
        if self._session is not None:
            self._session.app.invalidate()

    # -- keys ------------------------------------------------------------------------------------------------

    def _keys(self, talk: Talk) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def _enter(event: KeyPressEvent) -> None:
            text = event.current_buffer.text
            event.current_buffer.reset(append_to_history=bool(text.strip()))
            if text.strip() == "/quit" and not talk.chat.online:
                event.app.exit(result=Exit.OK)
            else:
                self._typed.put_nowait(text)

        @keys.add("c-c")
        @keys.add("<sigint>")
        def _interrupt(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.reset()
                return
            now = time.monotonic()
            if now - self._interrupted < TWICE_SECONDS:
                event.app.exit(result=Exit.INTERRUPTED)
                return
            self._interrupted = now
            talk.tell("press Ctrl-C again, or Ctrl-D, to leave")

        @keys.add("c-d")
        def _end(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.delete()
            else:
                event.app.exit(result=Exit.OK)

        for digit in "123456789":

            @keys.add("escape", digit)
            def _go(event: KeyPressEvent, number: int = int(digit)) -> None:
                rooms = list(talk.rooms.values())
                if number <= len(rooms):
                    talk.look_at(rooms[number - 1])

        return keys

    # -- what stands below -----------------------------------------------------------------------------------

    def _prompt(self) -> FormattedText:
        room = self.talk.current if self.talk is not None else ""
        return FormattedText([("class:prompt", f"{clean_line(room)}> ")])

    def _bar(self) -> FormattedText:
        talk = self.talk
        if talk is None:
            return FormattedText()
        now = time.monotonic()
        pieces: list[Piece] = [("", f" {clean_line(talk.chat.nick)} ")]
        for number, room in enumerate(talk.rooms.values(), 1):
            style = "bar.here" if room.name == talk.current else "bar.loud" if room.loud else ""
            count = f" {room.unread}" if room.unread else ""
            pieces.append((style, f" {number}:{clean_line(room.name)}{count} "))
        if talk.offline is not None:
            left = max(0.0, talk.offline[1] - now)
            waiting = talk.chat.unanswered + self._typed.qsize()
            kept = f", {waiting} waiting" if waiting else ""
            pieces.append(("bar.away", f" the server is away, next try in {left:.0f} s{kept} "))
        elif talk.chat.lag is not None:
            pieces.append(("", f" {talk.chat.lag * 1000:.0f} ms "))
        room_here = talk.room
        if room_here is not None:
            room_here.typing = {nick: until for nick, until in room_here.typing.items() if until > now}
            if room_here.typing:
                pieces.append(("", f" {', '.join(map(clean_line, room_here.typing))} … "))
        return FormattedText((f"class:{style}" if style else "", text) for style, text in pieces)


@contextmanager
def _signals(leave: Callable[[], None]) -> Iterator[None]:
    """Whoever ends us, the terminal is left as it was."""
    loop, watched = asyncio.get_running_loop(), [signal.SIGTERM]
    watched += [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
    with suppress(NotImplementedError):  # some platforms have no such thing
        for number in watched:
            loop.add_signal_handler(number, leave)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            for number in watched:
                loop.remove_signal_handler(number)


def _colours() -> ColorDepth | None:
    return ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None
