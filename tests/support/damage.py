"""Damage: what a failing disk does to a file, done on purpose, and a journal to do it to."""

from __future__ import annotations

import random
from pathlib import Path

from chatd.core.events import MessageSent, Proposal, RoomMade
from chatd.journal.store import Store

PAGE = 4096
SIZES = {"#lobby": 1500, "#ops": 300, "#few": 20, "#one": 1}
Truth = dict[tuple[str, int], MessageSent]


def journal(path: Path) -> Truth:
    """Make a journal with rooms of these sizes, and close it; what was said in it."""
    truth: Truth = {}
    path.parent.mkdir(exist_ok=True)
    store = Store(path, "memory")
    store.open()
    for room, size in SIZES.items():
        said = {seq: message(room, seq) for seq in range(1, size + 1)}
        truth |= {(room, seq): event for seq, event in said.items()}
        proposals = [Proposal(event, 1_000 + seq) for seq, event in said.items()]
        assert [entry.seq for entry in store.write([Proposal(RoomMade(room, room), 1), *proposals])][1:] == [*said]
    store.close()
    return truth


def message(room: str, seq: int) -> MessageSent:
    return MessageSent(room, "ann", "ann", "text", f"{room} message {seq} " + "and more " * (seq % 20), f"{room}.{seq}")


def flip(path: Path, bit: int) -> None:
    """Turn one bit of a file over."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        [old] = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([old ^ 1 << bit % 8]))


def flip_any(path: Path, chance: random.Random) -> int:
    """Turn over a bit somewhere: in one of four cases in the first page, which says what all the others are."""
    size = PAGE if chance.random() < 0.25 else path.stat().st_size
    bit = chance.randrange(size * 8)
    flip(path, bit)
    return bit


def place_of(path: Path, words: str) -> int:
    """Where in the file something was said."""
    place = path.read_bytes().find(words.encode())
    assert place >= 0, f"nobody said {words!r}"
    return place


def change(path: Path, words: str) -> None:
    """Turn over a bit in the middle of what somebody said."""
    flip(path, 8 * (place_of(path, words) + len(words) // 2))


def break_page(path: Path, words: str) -> None:
    """Overwrite the beginning of the page on which this was said."""
    with path.open("r+b") as file:
        file.seek(place_of(path, words) // PAGE * PAGE)
        file.write(b"\xff" * 64)
