"""What Tab completes: commands, rooms, and the names of those who are here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from chatd.client.slash import SLASHES
from chatd.client.talk import Talk
from chatd.core.names import fold

# Commands whose first word is a name.
_NAMED = frozenset({"/msg", "/whois"})


class Completions(Completer):
    """Completes the word before the cursor."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What the word may become, in alphabetical order."""
        before = document.text_before_cursor
        word = before.rpartition(" ")[2]
        for choice in sorted(self._choices(before, word), key=fold):
            yield Completion(choice, start_position=-len(word))

    def _choices(self, before: str, word: str) -> Iterator[str]:
        talk, begun = self._talk, fold(word)
        if word == before and word.startswith("/"):
            yield from (f"/{name} " for name in SLASHES if name.startswith(begun[1:]))
        elif word.startswith("#"):
            rooms = talk.known_rooms | set(talk.rooms)
            yield from (room + " " for room in rooms if fold(room).startswith(begun))
        elif word:
            nicks = {nick for room in talk.rooms.values() for nick in room.members} - {talk.chat.nick}
            first = word == before
            bare = begun.removeprefix("@")
            for nick in nicks:
                if fold(nick).startswith(bare):
                    yield ("@" if word.startswith("@") else "") + nick + (": " if first else " ")
