"""Searching: an index of the words that were said, in a file of its own beside the journal's.

Nothing on the way of a message knows of it. A room is read into the index when somebody first looks for something
there, and from then on at each look as far as it has come; the file can be removed at any time, and is made again. What
was taken back is taken out soon after, and whatever is found is read from the journal itself: the index only says
where. The words are those of SQLite's FTS5; the text of languages without spaces is cut into its characters.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from typing import Any, Protocol

from chatd.core.codes import Code, Refusal
from chatd.core.events import Entry, MessageSent, Numbered, Related
from chatd.core.names import fold
from chatd.core.questions import Found, SearchWanted, Side
from chatd.journal.schema import SEQ_MASK, event_id

VERSION = 1
MOST_TERMS = 20

TABLES = f"""
CREATE VIRTUAL TABLE words USING fts5(body, nick, tokenize = "unicode61 remove_diacritics 2");
CREATE TABLE progress (no INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, mark BLOB NOT NULL);
CREATE TABLE journal (secret BLOB NOT NULL);
PRAGMA user_version = {VERSION};
"""

# Scripts that put no spaces between words: Thai, Lao, Khmer, Burmese, kana, and the characters of Chinese.
_UNSPACED = re.compile(
    r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])"
)
_TERM = re.compile(r'"([^"]*)"?|(\S+)')


def spaced(text: str) -> str:
    """The text with its words apart, also where they are written without spaces."""
    return text if text.isascii() else _UNSPACED.sub(r" \1 ", text)


def expression(query: str, author: str) -> str:
    """What FTS5 is asked: all of these words, a "phrase in quotes" as a whole, `wor*` for a beginning; and the author.

    Raises `Refusal` if there is nothing to look for. Nothing of FTS5's own language can get in.
    """
    terms = []
    for phrase, word in _TERM.findall(query):
        text = spaced(phrase or word)
        if any(character.isalnum() for character in text):
            star = "*" if word.endswith("*") else ""
            terms.append('body : "' + text.replace('"', " ").replace("\0", " ") + '"' + star)
    if query.strip() and not terms:
        raise Refusal(Code.INVALID_PARAMS, "there is no word in what you look for")
    if len(terms) > MOST_TERMS:
        raise Refusal(Code.INVALID_PARAMS, f"one can look for {MOST_TERMS} words at once")
    if any(character.isalnum() for character in author):
        terms.append('nick : "' + fold(author).replace('"', " ").replace("\0", " ") + '"')
    if not terms:
        raise Refusal(Code.INVALID_PARAMS, "look for what? give query, or from")
    return " AND ".join(terms)


class Room(Protocol):
    """A room of a journal, at one look."""

    no: int
    first: int
    last: int

    def mark(self, seq: int) -> bytes:
        """What tells whether it is still the same event that has this number; empty if it is not there."""

    def events(self, low: int, high: int) -> Iterable[tuple[int, Numbered]]:
        """The events that can be read in a stretch, with their numbers."""

    def related(self, seq: int) -> Iterable[int]:
        """The numbers of what relates to an event."""


class Index:
    """The words of events, by the events' keys in the journal. Used by one thread."""

    def __init__(self, connection: sqlite3.Connection, secret: bytes) -> None:
        self._connection = connection
        connection.execute("PRAGMA secure_delete = ON")
        [(version,)] = connection.execute("PRAGMA user_version")
        if not version:
            connection.executescript(f"BEGIN; {TABLES} COMMIT")
            connection.execute("INSERT INTO journal VALUES (?)", (secret,))
            with suppress(sqlite3.Error):  # from SQLite 3.42 on, words that are taken out are so at once
                connection.execute("INSERT INTO words (words, rank) VALUES ('secure-delete', 1)")
        elif version != VERSION or connection.execute("SELECT secret FROM journal").fetchone() != (secret,):
            raise sqlite3.DatabaseError("it is the index of something else")

    def knows(self, room: Room) -> bool:
        """Whether anything of a room has been read."""
        found = self._connection.execute("SELECT 1 FROM progress WHERE no = ?", (room.no,))
        return found.fetchone() is not None

    def read_on(self, room: Room, most: int) -> bool:
        """Read up to `most` more events of a room into the index; whether it has come to the end."""
        begun, done = self._place(room)
        if begun >= room.first and done >= room.last:
            return True
        start = max(done, room.first - 1)
        end = min(room.last, start + most)
        events = list(room.events(start + 1, end))
        gone = {seq for _, event in events for seq in taken_back(room, event)}
        self._take(room, begun, end, [one for one in events if one[0] not in gone], gone)
        return end >= room.last

    def _place(self, room: Room) -> tuple[int, int]:
        """From which number to which a room has been read; nothing of it counts if the journal was set back since."""
        statement = "SELECT first, last, mark FROM progress WHERE no = ?"
        found = self._connection.execute(statement, (room.no,)).fetchone()
        if found is None:
            return room.first, room.first - 1
        begun, done, mark = found
        if done >= room.first and room.mark(done) != mark:
            self._connection.execute(FORGET, (event_id(room.no, 0), event_id(room.no, SEQ_MASK)))
            return room.first, room.first - 1
        return int(begun), int(done)

    def _take(
        self, room: Room, begun: int, end: int, events: list[tuple[int, Numbered]], gone: Collection[int]
    ) -> None:
        """Put events in and take others out; the room has been read up to `end`."""
        execute, many = self._connection.execute, self._connection.executemany
        rows = [(event_id(room.no, seq), *words_of(event)) for seq, event in events if has_words(event)]
        execute("BEGIN IMMEDIATE")
        try:
            if begun < room.first:
                execute(FORGET, (event_id(room.no, 0), event_id(room.no, room.first - 1)))
            many("INSERT OR REPLACE INTO words (rowid, body, nick) VALUES (?, ?, ?)", rows)
            many("DELETE FROM words WHERE rowid = ?", [(event_id(room.no, seq),) for seq in gone])
            keep = "INSERT OR REPLACE INTO progress (no, first, last, mark) VALUES (?, ?, ?, ?)"
            execute(keep, (room.no, room.first, end, room.mark(end)))
            execute("COMMIT")
        except BaseException:
            execute("ROLLBACK")
            raise
        if gone or begun < room.first:  # or their words stay in the file for a while
            execute("INSERT INTO words (words, rank) VALUES ('merge', -500)")

    def find(self, wanted: str, no: int, low: int, high: int, *, descending: bool) -> Iterator[int]:
        """The numbers in a stretch of a room of what fits an `expression`, from one end on."""
        order = "DESC" if descending else "ASC"
        statement = f"SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid {order}"
        for (key,) in self._connection.execute(statement, (wanted, event_id(no, low), event_id(no, high))):
            yield key & SEQ_MASK


FORGET = "DELETE FROM words WHERE rowid BETWEEN ? AND ?"


def has_words(event: Numbered) -> bool:
    """Whether an event says something: a message, or what an edit makes of one."""
    return isinstance(event, MessageSent | Related) and bool(event.body) and not event.redacted


def words_of(event: Any) -> tuple[str, str]:
    """What is kept of an event: its words, and its author's name."""
    return spaced(event.body), fold(event.nick)


def taken_back(room: Room, event: Numbered) -> Iterator[int]:
    """The numbers of what an event takes back: a message, and its edits."""
    if isinstance(event, Related) and event.rel == "redact":
        yield event.target
        yield from room.related(event.target)


def search(index: Index, room: Room, question: SearchWanted, one: Callable[[int], Entry | None]) -> Found:
    """The answer to a question, once the room has been read; `one` gives the entry with a number, if it is there."""
    wanted = expression(question.query, question.author)
    low, high = room.first, min(room.last, room.last if question.last is None else question.last)
    is_before = question.side is Side.BEFORE
    if question.place is not None:
        low, high = (low, min(high, question.place - 1)) if is_before else (max(low, question.place + 1), high)
    author = fold(question.author)
    entries: list[Entry] = []
    for seq in index.find(wanted, room.no, low, high, descending=is_before):
        entry = one(seq)
        event: Any = None if entry is None else entry.event
        if entry is None or not has_words(event) or (author and fold(event.nick) != author):
            continue
        if len(entries) == question.limit:
            return Found(entries[::-1] if is_before else entries, room.first, True)
        entries.append(entry)
    return Found(entries[::-1] if is_before else entries, room.first, False)


def being_read() -> Refusal:
    """What somebody is told who asks before a room has been read."""
    reason = "what was said there is being read for the first time; try again in a while"
    return Refusal(Code.STORE_UNAVAILABLE, reason, retry_after=5.0)
