"""What a hub does that is one of several: it looks after its own sessions, and tells newcomers who is here."""

from __future__ import annotations

from typing import Any

import pytest
from support.house import House

from chatd.core.cluster_events import NodeCame, NodeGone
from chatd.core.events import Entry, LoggedIn
from chatd.core.questions import Present


class Node(House):
    """A house that is the node n1; what it tells newcomers is in `welcomed`."""

    def __init__(self) -> None:
        super().__init__()
        self.welcomed: list[tuple[str, int, Present]] = []
        journal: Any = self.journal
        journal.node = "n1"
        journal.welcome = lambda *told: self.welcomed.append(told)
        self.happen(NodeCame("n1", "m1", b""))

    def happen(self, *events: Any) -> None:
        self.hub.entries_received([Entry(event, 1) for event in events])
        self.settle()


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_login_that_nobody_waits_for_any_more_is_ended(node: Node) -> None:
    node.happen(LoggedIn("lost", "u1", "tom", node="n1"))
    assert not node.hub.state.sessions
    tom = node.come("tom")
    assert tom.is_open


def test_a_login_on_another_node_is_its_own_affair(node: Node) -> None:
    node.happen(NodeCame("n2", "m2", b""), LoggedIn("there", "u1", "tom", node="n2"))
    assert list(node.hub.state.sessions) == ["there"]


def test_one_of_the_others_tells_a_newcomer_and_all_do_when_it_asks_again(node: Node) -> None:
    node.come("tom", "#lobby")
    node.happen(NodeCame("n0", "m0", b""))
    [(newcomer, attempt, told)] = node.welcomed
    assert (newcomer, attempt) == ("n0", 0)
    assert [user.nick for user in told.users] == ["tom"]
    node.happen(NodeCame("n2", "m2", b""))
    assert len(node.welcomed) == 1, "n0 tells it"
    node.happen(NodeCame("n2", "m2", b"", 1))
    assert len(node.welcomed) == 2


def test_who_is_on_a_node_that_was_given_up_is_told_to_come_again(node: Node) -> None:
    tom = node.come("tom", "#lobby")
    kim = node.come("kim", "#lobby")
    kim.leave()
    node.happen(NodeGone("n1", "it was silent"))
    [closing] = tom.events("closing")
    assert (closing["code"], tom.is_open) == ("SHUTTING_DOWN", False)
    assert not node.hub.state.sessions
