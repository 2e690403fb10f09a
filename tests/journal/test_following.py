"""What comes out of the stream, while the disk of this node's copy fails: nothing is told before it is written, and
nothing is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chatd.core.cluster_events import NodeCame
from chatd.core.events import Entry, Event, MessageSent, Proposal, RoomMade
from chatd.journal.bundles import piece_of, seal
from chatd.journal.commits import Commits
from chatd.journal.following import Following
from chatd.journal.replica import Replica
from chatd.journal.sender import Sender
from chatd.journal.streams import NAMES


class Full(Replica):
    """A copy on a disk that may be full."""

    is_full = False

    def _write(self, *what: Any, **how: Any) -> None:
        if self.is_full:
            raise OSError(28, "No space left on device")
        super()._write(*what, **how)


def nothing(*_: Any) -> None: ...


def bundle(number: int, *events: Event) -> tuple[str, bytes]:
    """The id and the bytes of a bundle of another node's."""
    return f"n1.{number}.0", seal("n1", number, [piece_of(Proposal(event, number)) for event in events])


def test_a_full_disk_is_waited_for_and_everything_is_told_once(tmp_path: Path) -> None:
    replica = Full(tmp_path / "copy.db", ["s"])
    replica.open()
    told: list[Entry] = []
    sender = Sender(nothing, nothing, hold_seconds=1.0, clock=lambda: 0.0)
    following = Following(
        replica, [sender], Commits(), told=lambda entries, _: told.extend(entries), born=nothing, buried=nothing
    )
    bundles = [bundle(1, NodeCame("n1", "m1", b"s" * 32)), bundle(2, RoomMade("r", "#lobby"))]
    bundles += [bundle(n, MessageSent("r", "u", "tom", "text", f"{n}", f"m{n}")) for n in range(3, 9)]
    for position, one in enumerate(bundles[:4], 1):
        following.heard(NAMES, position, *one)
    assert following.step()
    replica.is_full = True
    for position, one in enumerate(bundles[4:6], 5):
        following.heard(NAMES, position, *one)
    before = len(told)
    assert not following.step()
    assert not following.step()
    assert (len(told), replica.positions) == (before, [4])
    assert "No space left" in following.stuck
    for position, one in enumerate(bundles[6:], 7):
        following.heard(NAMES, position, *one)
    replica.is_full = False
    while following.step():
        pass
    assert not following.stuck
    assert [entry.seq for entry in told if isinstance(entry.event, MessageSent)] == [1, 2, 3, 4, 5, 6]
    replica.close()
    again = Replica(tmp_path / "copy.db", ["s"])
    [room] = again.open().rooms
    assert (room.last_seq, again.positions, again.marks) == (6, [8], ["n1.8.0"])
    again.close()
