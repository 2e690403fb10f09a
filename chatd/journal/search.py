"""Searching: an index of the words that were said, in a file of its own beside the journal's.

Nothing on the way of a message knows of it. A room is read into the index when somebody first looks for something
there, and from then on at each look as far as it has come; the file can be removed at any time, and is made again. What
was taken back is taken out at the next look, and whatever is found is read from the journal itself: the index only says
where. The words are those of SQLite's FTS5; the text of languages without spaces is cut into its characters.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import suppress

from chatd.core.codes import Code, Refusal
from chatd.core.events import MessageSent, Numbered, Related
from chatd.core.names import fold

VERSION = 1
MOST_TERMS = 20

TABLES = f"""
CREATE VIRTUAL TABLE words USING fts5(body, nick, tokenize = "unicode61 remove_diacritics 2");
CREATE TABLE progress (no INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL);
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

    def progress(self, no: int) -> tuple[int, int]:
        """From which number to which a room has been read."""
        found = self._connection.execute("SELECT first, last FROM progress WHERE no = ?", (no,)).fetchone()
        return (1, 0) if found is None else (int(found[0]), int(found[1]))

    def forget(self, low: int, high: int) -> None:
        """Take out what lies between two keys."""
        self._connection.execute("DELETE FROM words WHERE rowid BETWEEN ? AND ?", (low, high))

    def take(self, no: int, first: int, last: int, events: Iterable[tuple[int, Numbered]], gone: Iterable[int]) -> None:
        """Put these events in, by their keys, and take `gone` out; the room has been read from `first` to `last`."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            rows = [
                (key, spaced(event.body or ""), fold(event.nick))
                for key, event in events
                if isinstance(event, MessageSent | Related) and event.body and not event.redacted
            ]
            self._connection.executemany("INSERT OR REPLACE INTO words (rowid, body, nick) VALUES (?, ?, ?)", rows)
            removed = [(key,) for key in gone]
            self._connection.executemany("DELETE FROM words WHERE rowid = ?", removed)
            keep = "INSERT INTO progress VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET first = ?2, last = ?3"
            execute(keep, (no, first, last))
            execute("COMMIT")
        except BaseException:
            execute("ROLLBACK")
            raise
        if removed:  # or their words stay in the file for a while
            execute("INSERT INTO words (words, rank) VALUES ('merge', -500)")

    def find(self, wanted: str, low: int, high: int, *, descending: bool) -> Iterable[int]:
        """The keys between two others of what fits an `expression`, from one end on."""
        order = "DESC" if descending else "ASC"
        statement = f"SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid {order}"
        for (key,) in self._connection.execute(statement, (wanted, low, high)):
            yield int(key)
