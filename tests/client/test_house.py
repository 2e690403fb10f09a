"""Sessions in a house with the real rules: what two clients see of each other, and of a server that comes and goes."""

from __future__ import annotations

from typing import Any

import pytest
from support.house import House

from chatd.client import happenings, verbs
from chatd.client.errors import Refused
from chatd.core import commands, views


def say(body: str, room: str = "#lobby", **more: Any) -> commands.Send:
    return verbs.send(room, body, **more)


def join(room: str = "#lobby", since: Any = None) -> commands.Join:
    return commands.Join(room=room, since=since)


def test_two_talk_at_the_same_time(house: House, guest: Any) -> None:
    """A55: nobody takes turns."""
    tom, jerry = guest(house, "tom").come(), guest(house, "jerry").come()
    tom.ask(join())
    jerry.ask(join())
    for number in range(5):
        tom.session.ask(say(f"tom {number}"), tom.now)
        jerry.session.ask(say(f"jerry {number}"), jerry.now)
    for _ in range(3):
        tom.exchange()
        jerry.exchange()
    assert [body for _, body in tom.bodies()] == [f"jerry {n}" for n in range(5)]
    assert [body for _, body in jerry.bodies()] == [f"tom {n}" for n in range(5)]


def test_what_was_said_while_one_was_away_comes_once_and_in_order(house: House, guest: Any) -> None:
    """A59: order holds across a reconnect."""
    tom, jerry = guest(house, "tom").come(), guest(house, "jerry").come()
    tom.ask(join())
    jerry.ask(join())
    jerry.ask(say("one"))
    tom.exchange().lose()
    for body in ("two", "three"):
        jerry.ask(say(body))
    tom.come()
    jerry.ask(say("four"))
    assert tom.exchange().bodies() == [(1, "one"), (2, "two"), (3, "three"), (4, "four")]
    assert [one.again for one in tom.news(happenings.Online)] == [False, True]
    assert tom.session.nick == "tom"


def test_an_answer_that_was_lost_does_not_say_it_twice(house: House, guest: Any) -> None:
    tom, jerry = guest(house, "tom").come(), guest(house, "jerry").come()
    tom.ask(join())
    jerry.ask(join())
    tickets = [tom.session.ask(say(str(number)), tom.now) for number in range(10)]
    tom.write_but_lose_the_answer()
    tom.come()
    assert [tom.outcomes[ticket].seq for ticket in tickets] == list(range(1, 11))
    assert all(tom.outcomes[ticket].duplicate for ticket in tickets)
    assert jerry.exchange().bodies() == [(number + 1, str(number)) for number in range(10)]


def test_a_crash_of_the_server_loses_and_doubles_nothing(house: House, guest: Any) -> None:
    """A53: the same order and numbers after a restart; a guest is who it was."""
    tom, jerry = guest(house, "tom").come(), guest(house, "jerry").come()
    tom.ask(join())
    jerry.ask(join())
    tom.ask(say("before"))
    waiting = tom.session.ask(say("just then"), tom.now)
    tom.protocol.dataReceived(tom.session.to_send())
    house.settle()
    house.restart()
    tom.lose().come()
    jerry.lose().come()
    tom.ask(say("after"))
    assert tom.outcomes[waiting].seq == 2
    assert jerry.exchange().bodies() == [(1, "before"), (2, "just then"), (3, "after")]
    assert tom.news(happenings.KnownAs) == jerry.news(happenings.KnownAs) == []


def test_what_is_said_while_the_server_is_away_is_said_when_it_is_back(house: House, guest: Any) -> None:
    tom, jerry = guest(house, "tom").come(), guest(house, "jerry").come()
    tom.ask(join())
    jerry.ask(join())
    tom.lose()
    for body in "abc":
        tom.ask(say(body))
    tom.come()
    assert [body for _, body in jerry.exchange().bodies()] == ["a", "b", "c"]


def test_direct_messages_are_resumed_too(house: House, guest: Any) -> None:
    """A49: a message to one person, also after a lost connection."""
    tom, jerry = guest(house, "tom").come(), guest(house, "jerry").come()
    jerry.ask(verbs.direct("tom", "one"))
    tom.exchange()
    tom.lose().come()
    jerry.ask(verbs.direct("tom", "two"))
    assert tom.exchange().bodies("@jerry") == [(1, "one"), (2, "two")]
    assert jerry.bodies("@tom") == []


def test_a_replay_from_the_beginning_shows_everything(house: House, guest: Any) -> None:
    tom = guest(house, "tom").come()
    tom.ask(join())
    for number in range(300):
        tom.session.ask(say(str(number)), tom.now)
    tom.exchange()
    jerry = guest(house, "jerry").come()
    jerry.ask(join(since=0))
    assert jerry.exchange().bodies() == [(number + 1, str(number)) for number in range(300)]
    assert [one.seq for one in jerry.news(views.CaughtUp)] == [300]


def test_a_reader_who_takes_nothing_catches_up_page_by_page(house: House, guest: Any) -> None:
    """A46: a full reader keeps nothing in memory, and misses nothing."""
    tom, jerry = guest(house, "tom").come(), guest(house, "jerry").come()
    tom.ask(join())
    jerry.ask(join())
    jerry.session.rooms.full = True
    for number in range(500):
        tom.session.ask(say(str(number)), tom.now)
    tom.exchange()
    assert jerry.exchange().bodies() == []
    jerry.session.make_room(jerry.now)
    tom.ask(say("live"))
    assert [seq for seq, _ in jerry.exchange().bodies()] == list(range(1, 502))


def test_an_author_cannot_be_claimed(house: House, guest: Any) -> None:
    """A30: another client's message is never taken for one's own, whatever id it carries."""
    tom, jerry = guest(house, "tom", root="aaa").come(), guest(house, "jerry").come()
    tom.ask(join())
    jerry.ask(join())
    jerry.ask(say("spoof", msg_id="aaa.run.1"))
    assert tom.exchange().bodies() == [(1, "spoof")], "ids are shown to their author only"


def test_the_same_answer_of_a_bot_that_crashed_is_said_once(house: House, guest: Any) -> None:
    jerry = guest(house, "jerry").come()
    jerry.ask(join())
    jerry.ask(say("ping"))
    sent = []
    token = None
    for run in ("first", "second"):
        bot = guest(house, "bot", root="bot", run=run, token=token).come()
        bot.ask(join(since=0))
        [event] = [one for one in bot.shown if isinstance(one, views.Message)]
        sent.append(bot.ask(say("pong", msg_id=bot.session.msg_ids.answer(event.event_id))))
        token = bot.login.token
        bot.lose()
    assert [one.seq for one in sent] == [2, 2]
    assert [one.duplicate for one in sent] == [False, True]
    assert jerry.exchange().bodies() == [(2, "pong")]


def test_a_token_gives_the_nick_back_and_another_takes_the_suggestion(house: House, guest: Any) -> None:
    tom = guest(house, "tom").come()
    other = guest(house, "tom").come()
    assert other.session.nick != "tom"
    assert [one.wanted for one in other.news(happenings.KnownAs)] == ["tom"]
    again = guest(house, "tom", token=tom.login.token).come()
    assert again.session.nick == "tom"


def test_a_strict_one_is_told_of_the_suggestion(house: House, guest: Any) -> None:
    guest(house, "tom").come()
    other = guest(house, "tom", flexible=False).come()
    [ended] = other.news(happenings.Ended)
    assert isinstance(ended.error, Refused)
    assert ended.error.suggestion


@pytest.mark.parametrize("limit", [7, 50])
def test_lists_are_read_to_their_end(house: House, guest: Any, limit: int) -> None:
    """A48: everyone is listed, however many pages it takes."""
    house = House(history_page=limit)
    for number in range(60):
        house.come(f"user{number}", "#lobby")
    tom = guest(house, "tom").come()
    steps = verbs.listing("users")
    command = next(steps)
    found = None
    while found is None:
        try:
            command = steps.send(tom.ask(command))
        except StopIteration as end:
            found = end.value
    assert len(found) == 61
