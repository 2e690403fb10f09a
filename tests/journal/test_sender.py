"""The sender: what goes out, what goes out again, and what is given up; without a server, in a time of its own."""

from __future__ import annotations

from typing import Any

from chatd.core.cluster_events import NodeCame
from chatd.core.codes import Code
from chatd.core.events import Entry, Event, LoggedOut, MessageSent, NickChanged, Proposal
from chatd.journal.bundles import TooLarge, unseal
from chatd.journal.commits import GATHER_SECONDS
from chatd.journal.sender import AGAIN_SECONDS, WINDOW, Sender


class Stream:
    """What a sender publishes and gives back. `now` is the time."""

    def __init__(self, hold_seconds: float = 10.0) -> None:
        self.now = 100.0
        self.published: list[tuple[str, Any]] = []
        self.given_back: list[Entry] = []
        self.later: list[tuple[float, Any]] = []
        self.sender = Sender(
            lambda mark, payload, number: self.published.append((mark, unseal(payload))),
            self.given_back.extend,
            hold_seconds=hold_seconds,
            clock=lambda: self.now,
            later=lambda seconds, call: self.later.append((seconds, call)),
        )
        self.sender.is_connected = True
        self.sender.begin("n1", Proposal(NodeCame("n1", "m1", b""), 1))
        self.come_back(1)

    def say(self, *bodies: str) -> list[Proposal]:
        proposals = [Proposal(said(body), 1, object()) for body in bodies]
        self.sender.put(proposals)
        return proposals

    def come_back(self, number: int) -> Any:
        return self.sender.came_back(number)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.now += 0.25
            self.sender.look()

    def fresh(self) -> list[tuple[str, list[str]]]:
        """The id and the bodies of what was published since the last time."""
        published, self.published = self.published, []
        return [(mark, [getattr(event, "body", "-") for _, event in bundle.events]) for mark, bundle in published]


def said(body: str) -> Event:
    return MessageSent("r", "u", "ann", "text", body)


def stream(**more: Any) -> Stream:
    made = Stream(**more)
    made.fresh()
    return made


def test_what_is_put_while_bundles_are_on_their_way_makes_up_the_next_one() -> None:
    one = stream()
    for n in range(WINDOW + 3):
        one.say(f"{n}")
    assert one.fresh() == [(f"n1.{n + 2}.0", [f"{n}"]) for n in range(WINDOW)]
    one.come_back(2)
    one.sender.send_more()
    assert one.fresh() == [(f"n1.{WINDOW + 2}.0", [f"{n}" for n in range(WINDOW, WINDOW + 3)])]


def test_under_load_a_bundle_takes_with_it_what_comes_right_after() -> None:
    one = stream()
    one.say("a", "b")
    assert one.fresh() == [("n1.2.0", ["a", "b"])]
    one.say("c")
    one.say("d")
    assert one.fresh() == []
    [(seconds, call)] = one.later
    assert seconds == GATHER_SECONDS
    call()
    assert one.fresh() == [("n1.3.0", ["c", "d"])]
    one.say("e")
    one.later.pop()[1]()
    assert one.fresh() == [("n1.4.0", ["e"])]
    one.say("f")
    assert one.fresh() == [("n1.5.0", ["f"])], "who speaks alone waits for nobody"


def test_what_comes_back_are_the_very_proposals_with_their_tickets() -> None:
    one = stream()
    proposals = one.say("a", "b")
    sent, own = one.come_back(2)
    assert own == 2
    assert all(mine is theirs for mine, theirs in zip(sent, proposals, strict=True))
    assert one.come_back(2) == (None, 0)


def test_what_is_not_taken_is_published_again_with_all_that_came_after_it() -> None:
    one = stream()
    one.say("a")
    one.say("b")
    one.say("c")
    one.fresh()
    one.sender.taken(2)
    one.pass_time(AGAIN_SECONDS + 0.25)
    assert one.fresh() == [("n1.3.1", ["b"]), ("n1.4.1", ["c"])]


def test_nothing_is_published_without_a_connection_and_everything_after_it() -> None:
    one = stream()
    one.say("a")
    one.fresh()
    one.sender.is_connected = False
    one.say("b")
    one.pass_time(5)
    assert one.fresh() == []
    one.sender.is_connected = True
    one.sender.go_back(is_sure=True)
    one.sender.send_more()
    assert one.fresh() == [("n1.2.1", ["a"]), ("n1.3.1", ["b"])]


def test_what_is_held_for_too_long_is_given_up_and_said_so_truly() -> None:
    """What was published may be in the stream; what was not cannot be."""
    one = stream(hold_seconds=3)
    for n in range(WINDOW):
        one.say(f"{n}")
    waiting = one.say("later")
    one.pass_time(4)
    codes = [entry.code for entry in one.given_back]
    assert codes == [Code.OUTCOME_UNKNOWN] * WINDOW + [Code.STORE_UNAVAILABLE]
    assert one.given_back[-1].ticket is waiting[0].ticket
    assert one.sender.is_failing
    one.fresh()
    one.say("now?")
    assert one.given_back[-1].code == Code.STORE_UNAVAILABLE


def test_what_was_given_up_is_not_published_again() -> None:
    one = stream(hold_seconds=3)
    one.say("a")
    one.pass_time(4)
    one.fresh()
    one.sender.go_back(is_sure=True)
    assert [bodies for _, bodies in one.fresh()] == [[]]
    assert one.come_back(2) == (None, 0)  # if the first one is in the stream after all, it is read from there
    assert not one.sender.is_failing


def test_that_somebody_is_gone_is_never_given_up() -> None:
    one = stream(hold_seconds=3)
    gone = Proposal(LoggedOut("s1", "gone"), 1)
    one.sender.put([gone, Proposal(NickChanged("u", "x"), 1, object())])
    one.pass_time(10)
    assert [entry.event for entry in one.given_back] == [NickChanged("u", "x")]
    one.sender.put([Proposal(LoggedOut("s2", "gone"), 1)])
    one.come_back(2)
    one.sender.send_more()
    _, last = one.published[-1]
    assert [event for _, event in last.events] == [LoggedOut("s2", "gone")]


def test_while_it_fails_it_asks_whether_the_stream_takes_anything() -> None:
    one = stream(hold_seconds=3)
    one.sender.is_connected = False
    one.say("a")
    one.pass_time(4)
    assert one.sender.is_failing
    one.sender.is_connected = True
    one.pass_time(0.25)
    assert one.fresh() == [("n1.2.0", [])]
    one.come_back(2)
    assert not one.sender.is_failing
    one.say("b")
    assert one.fresh() == [("n1.3.0", ["b"])]


def test_a_run_that_is_over_gives_everything_back() -> None:
    one = stream()
    one.say("a")
    one.sender.end_run()
    assert [entry.code for entry in one.given_back] == [Code.STORE_UNAVAILABLE]
    assert one.sender.is_idle


def test_what_is_larger_than_any_message_is_refused_in_its_place() -> None:
    one = stream()
    one.sender.most_bytes = 200
    one.say("a", "x" * 500, "b")
    assert one.fresh() == [("n1.2.0", ["a", "b"])]
    sent, _ = one.come_back(2)
    assert isinstance(sent[1].event, TooLarge)
