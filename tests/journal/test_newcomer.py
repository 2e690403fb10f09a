"""A node that begins: how it learns who is here, and what it does if nobody tells it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import pytest_twisted

from chatd.core.cluster_events import NodeCame, NodeGone
from chatd.core.questions import Present, PresentUser
from chatd.journal import newcomer
from chatd.journal.newcomer import ASK_SECONDS, CHUNK_BYTES, STUCK_SECONDS, Newcomer, pieces_of
from chatd.journal.others import BEAT_SECONDS, Others
from chatd.journal.runs import Runs

HERE = Present((("n1", "m1"),), (PresentUser("u1", "tom"),))


class Beginning:
    """A newcomer called `new`, beside a run `n1` that can have sessions; `now` is the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *others: str) -> None:
        self.now = 1000.0
        monkeypatch.setattr(newcomer, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.runs = Runs()
        for other in others:
            self.runs.takes(other, 1, NodeCame(other, f"m {other}", b""))
            self.runs.takes(other, 2, None)
        self.runs.takes("new", 1, NodeCame("new", "m", b""))
        found = Others(self.runs, 5.0)
        found.run = "new"
        self.known = 0
        self.newcomer = Newcomer(found, 5.0, self.count)
        self.newcomer.asked(0)

    def count(self) -> None:
        self.known += 1

    async def hear(self, *pieces: bytes) -> None:
        for piece in pieces:
            await self.newcomer.heard(SimpleNamespace(data=piece))

    def proposals(self) -> Any:
        return self.newcomer.proposals("new", "m")


def test_where_nobody_can_have_a_session_nobody_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Beginning(monkeypatch)
    assert one.newcomer.look(True) == Present()
    assert one.newcomer.look(False) is None, "the stream has not come to where it asked"


@pytest_twisted.ensureDeferred
async def test_it_is_told_in_as_many_pieces_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Beginning(monkeypatch, "n1")
    many = Present((), tuple(PresentUser(f"u{n}", "x" * 60) for n in range(20_000)))
    pieces = pieces_of(0, many)
    assert len(pieces) > 1
    assert max(map(len, pieces)) < CHUNK_BYTES + 100
    await one.hear(*pieces[:-1])
    assert one.newcomer.look(True) is None
    await one.hear(pieces[-1])
    assert (one.newcomer.look(True), one.known) == (many, 1)


@pytest_twisted.ensureDeferred
async def test_it_asks_again_and_takes_no_answer_to_an_earlier_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody knew at an earlier place of the order is not what is true at this one."""
    one = Beginning(monkeypatch, "n1")
    assert one.proposals() is None
    one.now += ASK_SECONDS
    assert one.proposals() == [NodeCame("new", "m", b"", 1)]
    assert one.proposals() is None, "once"
    one.newcomer.asked(1)
    await one.hear(*pieces_of(0, HERE), b"nonsense")
    assert one.newcomer.look(True) is None
    await one.hear(*pieces_of(1, HERE))
    assert one.newcomer.look(True) == HERE


def test_those_who_never_answer_are_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Beginning(monkeypatch, "n1")
    found: list[Any] = []
    for attempt in range(1, 9):
        one.now += ASK_SECONDS
        found = one.proposals() or []
        one.newcomer.asked(attempt)
        if len(found) > 1:
            break
    assert [type(event) for event in found] == [NodeGone, NodeCame]
    assert found[0].node == "n1"
    one.runs.takes("new", 2, found[0])
    assert one.newcomer.look(True) == Present()


def test_a_stream_out_of_which_nothing_comes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Beginning(monkeypatch)
    assert not one.newcomer.is_stuck(0)
    one.now += STUCK_SECONDS - 1
    assert not one.newcomer.is_stuck(7), "it has come further"
    one.now += STUCK_SECONDS - 1
    assert not one.newcomer.is_stuck(7)
    one.now += 2
    assert one.newcomer.is_stuck(7)


def test_who_is_silent_while_one_hears_oneself_is_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time in which nobody is heard, oneself neither, does not count."""
    one = Beginning(monkeypatch, "n1")
    others = Others(one.runs, 5.0)
    others.run = "new"
    beats = round(5.0 / BEAT_SECONDS)
    for _ in range(beats - 1):
        assert others.heard("new") == []
    assert others.heard("n1") == []
    for _ in range(beats - 1):
        assert others.heard("new") == []
    assert others.heard("new") == ["n1"]
