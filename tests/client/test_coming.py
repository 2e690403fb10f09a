"""How a session comes in, comes back, and notices silence: with a server that says exactly what the test wants."""

from __future__ import annotations

from typing import Any

import pytest

from chatd.client import happenings
from chatd.client.errors import CannotConnect, Disconnected, Refused, WrongProtocol
from chatd.client.phase import Phase
from chatd.core import commands, replies, views
from chatd.core.codes import Code


def say(body: str, **more: Any) -> commands.Send:
    return commands.Send(room="#lobby", body=body, **more)


# -- coming in -----------------------------------------------------------------------------------------------


def test_it_greets_and_names_itself_in_one_packet(script: Any) -> None:
    """A29: hello and auth come first."""
    tom = script("tom").connect()
    hello, auth = tom.hears()
    assert (hello.versions, auth.mechanism, auth.nick) == ([1], "guest", "tom")
    assert "echo" in hello.caps
    tom.ask(say("early"))
    assert tom.hears() == [], "nothing else before we are inside"


def test_a_token_is_the_way_back(script: Any) -> None:
    tom = script("tom").come(token="c1.tom")
    tom.lose().connect()
    _, auth = tom.hears()
    assert (auth.mechanism, auth.token, auth.nick) == ("token", "c1.tom", "tom")


@pytest.mark.parametrize("code", [Code.SESSION_EXPIRED, Code.AUTH_FAILED])
def test_a_token_that_is_not_valid_any_more_gives_way_to_a_guest(script: Any, words: Any, code: Code) -> None:
    tom = script("tom", token="c1.old").connect()
    hello, auth = tom.hears()
    tom.tells(tom.welcome(hello), words.refusal(auth, code))
    [again] = tom.hears()
    assert (again.mechanism, again.nick) == ("guest", "tom")


def test_a_taken_nick_gives_way_to_the_suggestion_and_the_user_is_told(script: Any, words: Any) -> None:
    tom = script("tom").connect()
    hello, auth = tom.hears()
    taken = words.refusal(auth, Code.NICK_IN_USE, "the name tom is in use", details={"suggestion": "tom2"})
    [again] = tom.tells(tom.welcome(hello), taken).hears()
    assert again.nick == "tom2"
    tom.tells(replies.LoggedIn(re=again.id, session="s", nick="tom2", rooms=[]))
    assert tom.news(happenings.KnownAs) == [happenings.KnownAs(wanted="tom", nick="tom2", why="the name tom is in use")]


def test_who_wants_no_other_nick_is_refused(script: Any, words: Any) -> None:
    tom = script("tom", flexible=False).connect()
    hello, auth = tom.hears()
    tom.tells(tom.welcome(hello), words.refusal(auth, Code.NICK_IN_USE, details={"suggestion": "tom2"}))
    [ended] = tom.news(happenings.Ended)
    assert isinstance(ended.error, Refused)
    assert (ended.error.code, ended.error.suggestion) == (Code.NICK_IN_USE, "tom2")


def test_coming_back_nobody_is_shut_out_by_a_taken_nick(script: Any, words: Any) -> None:
    tom = script("tom", flexible=False).come()
    hello, auth = tom.lose().connect().hears()
    taken = words.refusal(auth, Code.NICK_IN_USE, details={"suggestion": "tom2"})
    [again] = tom.tells(tom.welcome(hello), taken).hears()
    assert (again.mechanism, again.nick) == ("token", "tom2"), "the identity stays, under another name"


@pytest.mark.parametrize("code", [Code.STORE_UNAVAILABLE, Code.RATE_LIMITED, Code.SHUTTING_DOWN])
def test_a_server_that_cannot_let_us_in_now_is_tried_again_later(script: Any, words: Any, code: Code) -> None:
    tom = script("tom", wait=None).connect()
    hello, auth = tom.hears()
    tom.tells(tom.welcome(hello), words.refusal(auth, code, retry_after=5.0))
    assert tom.session.hang_up
    tom.lose()
    assert tom.session.dial_at == tom.now + 5.0


def test_who_only_greets_people_is_no_server_for_us(script: Any) -> None:
    tom = script("tom").connect()
    tom.take(tom.session.receive(b"Welcome\r\nChoose a username...\r\n", tom.now))
    [ended] = tom.news(happenings.Ended)
    assert isinstance(ended.error, WrongProtocol)
    assert tom.session.hang_up


def test_a_server_that_never_answers_is_given_up(script: Any) -> None:
    tom = script("tom", wait=None).connect()
    assert tom.session.next_tick(tom.now) == tom.now + 15
    assert tom.passes(16).session.hang_up


# -- trying again --------------------------------------------------------------------------------------------


def test_the_first_connection_is_waited_for_as_long_as_was_said(script: Any) -> None:
    """A24: the client may be started first."""
    tom = script("tom", wait=1.0)
    waits = []
    while tom.session.dial_at is not None:
        tom.now = tom.session.dial_at
        tom.session.dialling()
        tom.take(tom.session.failed("nothing is listening", tom.now))
        if tom.session.dial_at is not None:
            waits.append(round(tom.session.dial_at - tom.now, 3))
    assert waits == [0.2, 0.4]
    [ended] = tom.news(happenings.Ended)
    assert isinstance(ended.error, CannotConnect)
    assert [one.first for one in tom.news(happenings.Offline)] == [True, False], "told once as news"


def test_a_lost_connection_is_sought_again_for_ever(script: Any) -> None:
    tom = script("tom", wait=0.0).come().lose()
    for _ in range(50):
        tom.now = tom.session.dial_at
        tom.session.dialling()
        tom.take(tom.session.failed("nothing is listening", tom.now))
    assert tom.session.phase is Phase.AWAY
    assert tom.session.dial_at - tom.now == 15


def test_a_lost_connection_is_sought_as_long_as_was_said(script: Any) -> None:
    tom = script("tom", wait=None, away=1.0).come()
    ticket = tom.ask(say("hello"))
    tom.passes(100).lose()
    while tom.session.dial_at is not None:
        tom.now = tom.session.dial_at
        tom.session.dialling()
        tom.take(tom.session.failed("nothing is listening", tom.now))
    assert tom.now < 1102
    assert isinstance(tom.outcomes[ticket], CannotConnect)


def test_a_server_that_always_throws_us_out_is_asked_ever_more_seldom(script: Any) -> None:
    tom = script("tom")
    waits = []
    for _ in range(6):
        tom.come().lose()
        waits.append(round(tom.session.dial_at - tom.now, 3))
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4]
    tom.come().passes(10).lose()
    assert round(tom.session.dial_at - tom.now, 3) == 0.2


def test_who_does_not_want_to_come_back_ends(script: Any) -> None:
    tom = script("tom", reconnect=False).come()
    ticket = tom.ask(say("hello"))
    tom.lose()
    assert isinstance(tom.outcomes[ticket], Disconnected)
    assert isinstance(tom.news(happenings.Ended)[0].error, Disconnected)


def test_the_server_says_when_to_come_back(script: Any) -> None:
    """A52: a server that shuts down says so, and when it will be there again."""
    tom = script("tom").come()
    tom.tells(views.Closing(code=Code.SHUTTING_DOWN, reason="new version", reconnect_after=7.5))
    tom.lose("closed")
    assert tom.session.dial_at == tom.now + 7.5
    assert tom.news(happenings.Offline)[0].reason == "new version"


@pytest.mark.parametrize("code", [Code.KICKED, Code.BANNED, Code.REPLACED])
def test_who_was_thrown_out_does_not_come_back(script: Any, code: Code) -> None:
    tom = script("tom").come().tells(views.Closing(code=code, reason="go"))
    tom.lose()
    assert tom.news(happenings.Ended)[0].error.code == code


# -- silence -------------------------------------------------------------------------------------------------


def test_it_shows_signs_of_life_and_measures_lag_and_skew(script: Any) -> None:
    """A13: the client knows the lag, and how far the clocks are apart."""
    tom = script("tom").come()
    assert tom.passes(29).hears() == []
    [ping] = tom.passes(1).hears()
    tom.now += 0.25
    their_time = views.moment(int((tom.now - 0.125 + tom.session._wall + 100) * 1e6))
    tom.tells(replies.Pong(re=ping.id, time=their_time))
    assert tom.session.link.lag == pytest.approx(0.25)
    assert tom.session.link.skew == pytest.approx(100, abs=1e-3)


def test_a_ping_is_answered(script: Any, words: Any) -> None:
    tom = script("tom").come().tells(views.Ping(time=words.message(1).time))
    assert [type(one) for one in tom.hears()] == [commands.Ping]
    assert tom.shown[1:] == []


def test_a_silent_server_is_given_up(script: Any) -> None:
    """A44: a pulled cable is noticed."""
    tom = script("tom").come()
    for _ in range(6):
        assert not tom.session.hang_up
        tom.passes(12.5)
    assert tom.session.hang_up
    tom.lose()
    assert tom.news(happenings.Offline)[0].reason == "the server has fallen silent"
