"""Whatever stands in a file that is to be imported: it comes in whole and can be shown, or one line says why not.

With `--soak` each of these tries a million inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from support.fuzz import as_json, damaged, explore, nested, numbers, plain, values, words

from chatd.core.events import Entry
from chatd.core.shown import view_of
from chatd.errors import OperatorError
from chatd.journal import schema
from chatd.journal.bring_in import _Import
from chatd.journal.exported import read_line
from chatd.journal.stored import decode
from chatd.journal.verify import verify
from chatd.protocols.text import numbered_lines
from chatd.protocols.wire import json_view

Extent = Callable[[int, int], int]

pytestmark = pytest.mark.timeout(600)

FEW, MANY = 300, 1_000_000
HEAD = {"line": "chatd-export/1"}
ROOM = {"line": "room", "room_id": "r1", "name": "#lobby", "made": 1}
ids = st.sampled_from(["r1", "r2"]) | words
moments = st.sampled_from([0, 1_700_000_000_000_000, -(10**15)]) | numbers

LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "room_id": ids,
    "name": st.sampled_from(["#lobby", "#other"]) | words,
    "made": moments,
    "time": moments,
    "seq": st.integers(1, 4) | numbers,
    "first_seq": st.integers(1, 3) | numbers,
    "parties": st.lists(st.tuples(words, words), max_size=2),
    "link": st.sampled_from(["", "00" * 16, "zz"]),
    "link_before": st.sampled_from(["", "00" * 16, "0"]),
    "digest": st.sampled_from(["", "00" * 16]),
    "stored": st.sampled_from(["", "gA==", "no base64"]),
}
event = st.fixed_dictionaries(
    {"type": st.sampled_from(["message/1", "relation/1", "room/1"]) | words},
    optional={
        "room_id": ids,
        "author": words,
        "nick": words,
        "kind": st.sampled_from(["text", "action", "notice"]) | plain,
        "body": words,
        "data": values,
        "msg_id": words,
        "rel": st.sampled_from(["edit", "redact", "react"]) | plain,
        "target": numbers,
        "key": words,
        "reply_to": numbers,
        "redacted": st.booleans(),
        "changes": plain,
    },
)
SAID = {"type": "message/1", "room_id": "r1", "author": "u", "nick": "tom", "kind": "text", "body": "x"}


def near(tag: str, required: dict[str, st.SearchStrategy[Any]], *optional: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"line": st.just(tag), **required}, optional={name: LIKELY.get(name, words) | plain for name in optional}
    )


rooms = near(
    "room", {"room_id": ids, "name": LIKELY["name"], "made": moments}, "parties", "topic", "first_seq", "link_before"
)
events = near(
    "event",
    {
        "seq": LIKELY["seq"],
        "time": moments,
        "event": st.just(SAID) | st.builds(lambda more: SAID | more, event) | event,
    },
    "link",
    "digest",
    "stored",
)
cursors = near("cursor", {"user_id": words, "room_id": ids, "seq": LIKELY["seq"]})
some = st.one_of(rooms, events, events, cursors, st.just(HEAD)).map(as_json)
raw = st.one_of(some, some, damaged(some), st.binary(max_size=20), st.just(nested(5000)))


def test_lines_of_an_export(extent: Extent) -> None:
    """A line is read, or refused by the decoder."""

    def check(line: bytes) -> None:
        try:
            read_line(line)
        except (ValueError, RecursionError):
            return

    explore(check, extent(FEW, MANY), line=raw)


def test_imports(extent: Extent, tmp_path: Path) -> None:
    """An import is refused with its line, or everything in it is in order, and can be shown to people and programs."""
    path = tmp_path / "chatd.db"
    schema.make(path)
    with closing(schema.connect(path, "memory")) as connection:

        def check(lines: list[bytes], is_begun: bool) -> None:
            begun = [as_json(HEAD), as_json(ROOM)] if is_begun else []
            connection.execute("BEGIN IMMEDIATE")
            try:
                _Import(connection, "test").take([*begun, *lines])
                faults: list[str] = []
                assert verify(connection, faults.append).faults == 0, faults
                for seq, time, blob in connection.execute("SELECT id, time, event FROM events"):
                    view = view_of(Entry(decode(blob), time, seq), "#lobby")
                    json_view(view)
                    numbered_lines(view, 0)
            except OperatorError as error:
                if "\n" in str(error):
                    raise
            finally:
                connection.execute("ROLLBACK")

        explore(check, extent(FEW, MANY), lines=st.lists(raw, max_size=5), is_begun=st.booleans())


def test_the_first_lines_are_good_ones(tmp_path: Path) -> None:
    """Or nothing would be tried."""
    path = tmp_path / "chatd.db"
    schema.make(path)
    with closing(schema.connect(path, "memory")) as connection:
        said = {"line": "event", "seq": 1, "time": 1, "event": SAID}
        _Import(connection, "test").take([as_json(one) for one in (HEAD, ROOM, said)])
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (1,)
        assert msgspec.json.decode(as_json(said))["seq"] == 1
