"""Comings: who came to a room and who went since the room was last told, merged until it is told again.

It knows what is told to all, and what is left out for those who did it themselves. When it is told, and to whom, is
the fan-out's.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from msgspec import UNSET

from chatd.core.views import AwayNow, Left, Presence, Renamed
from chatd.hub.link import Link

BYTES_OF_A_CHANGE = 40  # that one coming or going takes besides its words, at most


class Comings:
    """Who came, went, changed name or went away since the last presence view of a room."""

    __slots__ = ("away", "joined", "left", "newcomers", "renamed")

    def __init__(self) -> None:
        self.joined: dict[str, None] = {}
        self.left: dict[str, str] = {}
        self.renamed: list[tuple[Link | None, Renamed]] = []  # with who did it, and knows
        self.away: dict[str, tuple[Link | None, str | None]] = {}
        self.newcomers: dict[Link, str] = {}  # who must not be told of itself: its nick

    def join(self, nick: str) -> None:
        """Somebody came; with a leave before it nothing has happened for those who watch."""
        if self.left.pop(nick, None) is None:
            self.joined[nick] = None

    def leave(self, nick: str, reason: str) -> None:
        """Somebody went; if the coming was not told yet, neither is."""
        if nick in self.joined:
            del self.joined[nick]
        else:
            self.left[nick] = reason

    def apart(self) -> dict[Link, None]:
        """Who is not told the same as all others, but only of the others."""
        causes = [link for link, _ in (*self.renamed, *self.away.values()) if link is not None]
        return dict.fromkeys((*self.newcomers, *causes))

    def views(self, room: str, count: int, most: int, skip: int = 0, to: Link | None = None) -> list[Presence]:
        """What is told of them, in views of about `most` bytes.

        Left out are the first `skip` of those who joined, and what the link `to` did itself.
        """
        views: list[Presence] = []
        lists: dict[str, list[Any]] = {}
        size = 0
        for kind, change, words in self.changes(skip, to):
            size += 4 * words + BYTES_OF_A_CHANGE  # no character takes more than 4 bytes
            if size > most and lists:
                views.append(Presence(room=room, count=count, **lists))
                lists, size = {}, 4 * words + BYTES_OF_A_CHANGE
            lists.setdefault(kind, []).append(change)
        return [*views, Presence(room=room, count=count, **lists)] if lists else views

    def changes(self, skip: int, to: Link | None) -> Iterator[tuple[str, Any, int]]:
        """Every change, by its field in a view, and how many characters its words have."""
        for nick in islice(self.joined, skip, None):
            yield "joined", nick, len(nick)
        for nick, reason in self.left.items():
            yield "left", Left(nick=nick, reason=reason), len(nick) + len(reason)
        for cause, change in self.renamed:
            if cause is None or cause is not to:
                yield "renamed", change, len(change.old) + len(change.new)
        for nick, (cause, message) in self.away.items():
            if cause is None or cause is not to:
                now = AwayNow(nick=nick, away=message is not None, message=message or UNSET)
                yield "away", now, len(nick) + len(message or "")
