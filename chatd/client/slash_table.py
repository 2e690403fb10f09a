"""Tables of slash commands, and the words that they share. The commands are in `slash` and `slash_order`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from chatd.client.talk import RoomView, Talk

Run = Callable[[Talk, str], Awaitable[None]]


class Misused(Exception):
    """A command cannot be carried out as it was typed; the text says why."""


@dataclass(frozen=True)
class Slash:
    """A command: how it is written, what it is for, and what it does with what follows its name."""

    usage: str
    about: str
    run: Run


class Table(dict[str, Slash]):
    """Commands by name."""

    def command(self, usage: str) -> Callable[[Run], Run]:
        """Enter a function, under the name that its usage begins with; its docstring's first line is its help."""

        def enter(run: Run) -> Run:
            self[usage.split()[0].removeprefix("/")] = Slash(usage, (run.__doc__ or "").split("\n")[0], run)
            return run

        return enter


def here(talk: Talk) -> RoomView:
    """The room that is looked at."""
    if talk.room is None:
        raise Misused("you are in no room; /join #lobby")
    return talk.room


def needs(words: str, usage: str) -> str:
    """The words, which must be there."""
    if not words:
        raise Misused(f"it is written: {usage}")
    return words


def room_name(word: str) -> str:
    """A room's name as typed; the sign before it may be left out."""
    return word if word[:1] in ("#", "@") else "#" + word
