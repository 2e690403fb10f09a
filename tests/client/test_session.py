"""What becomes of what a session asks and hears: with a server that says exactly what the test wants."""

from __future__ import annotations

from typing import Any

import pytest

from chatd.client import happenings, outbox
from chatd.client.errors import Disconnected, Refused
from chatd.core import commands, replies, views
from chatd.core.codes import Code
from chatd.core.limits import Limits


def say(body: str, **more: Any) -> commands.Send:
    return commands.Send(room="#lobby", body=body, **more)


# -- what was not answered -----------------------------------------------------------------------------------


def test_what_was_not_answered_is_sent_again_with_the_same_ids_and_in_order(script: Any, words: Any) -> None:
    tom = script("tom").come().join()
    tickets = [tom.ask(say(body)) for body in "abc"]
    first = tom.hears()
    tom.tells(words.sent(first[0], 1))
    tom.lose()
    late = tom.ask(say("d"))
    tom.come()
    resume, *waiting = tom.hears()
    assert (type(resume), waiting) == (commands.Resume, []), "first we are in the room again"
    tom.tells(
        replies.Resumed(re=resume.id, rooms={"#lobby": replies.ResumedRoom(last_seq=1, limited=False)}, expired=False)
    )
    again = tom.hears()
    assert [one.body for one in again] == ["b", "c", "d"]
    assert [(one.id, one.msg_id) for one in again[:2]] == [(one.id, one.msg_id) for one in first[1:]]
    tom.tells(*[words.sent(one, number) for number, one in enumerate(again, 2)])
    assert [tom.outcomes[ticket].seq for ticket in [*tickets, late]] == [1, 2, 3, 4]


def test_what_cannot_be_repeated_safely_is_given_up_and_told(script: Any) -> None:
    tom = script("tom").come().join()
    topic = tom.ask(commands.Set(room="#lobby", changes=commands.Changes(topic="new")))
    tom.hears()
    tom.lose()
    assert isinstance(tom.outcomes[topic], Disconnected)
    waiting = tom.ask(commands.Set(room="#lobby", changes=commands.Changes(topic="newer")))
    tom.come()
    [resume] = tom.hears()
    tom.tells(
        replies.Resumed(re=resume.id, rooms={"#lobby": replies.ResumedRoom(last_seq=0, limited=False)}, expired=False)
    )
    assert [one.id for one in tom.hears()] == [str(waiting)], "what was never written is safe"


@pytest.mark.parametrize("code", [Code.STORE_UNAVAILABLE, Code.OUTCOME_UNKNOWN, Code.RATE_LIMITED, Code.SHUTTING_DOWN])
def test_what_the_server_cannot_take_now_is_repeated_and_order_is_kept(script: Any, words: Any, code: Code) -> None:
    tom = script("tom").come().join()
    tickets = [tom.ask(say(body)) for body in "abc"]
    a, b, c = tom.hears()
    tom.tells(words.sent(a, 1), words.refusal(b, code, retry_after=2.0), words.refusal(c, code, retry_after=2.0))
    tom.ask(say("d"))
    assert tom.hears() == []
    assert [one.retry_in for one in tom.news(happenings.Delayed)] == [2.0, 2.0]
    assert tom.session.next_tick(tom.now) == tom.now + 2.0
    assert tom.passes(1.9).hears() == []
    [again] = tom.passes(0.1).hears()
    assert (again.body, again.msg_id) == ("b", b.msg_id)
    tom.tells(words.sent(again, 2))
    assert tom.outcomes[tickets[1]].seq == 2
    said = [one.body for one in tom.hears()]
    assert said[0] == "c", "one at a time, until it goes well"


def test_a_wait_that_is_too_long_is_told_instead(script: Any, words: Any) -> None:
    tom = script("tom").come().join()
    ticket = tom.ask(say("a"))
    [a] = tom.hears()
    tom.tells(words.refusal(a, Code.RATE_LIMITED, "slow mode", retry_after=300.0))
    assert tom.outcomes[ticket].code == Code.RATE_LIMITED


def test_a_server_that_never_takes_it_is_told_at_last(script: Any, words: Any) -> None:
    tom = script("tom").come().join()
    ticket = tom.ask(say("a"))
    tries = 0
    while ticket not in tom.outcomes:
        for one in tom.passes(15).hears():
            if isinstance(one, commands.Send):
                tries += 1
                tom.tells(words.refusal(one, Code.STORE_UNAVAILABLE))
            else:
                tom.tells(replies.Pong(re=one.id, time=words.message(1).time))
    assert tom.outcomes[ticket].code == Code.STORE_UNAVAILABLE
    assert tries == outbox.MOST_REPEATS + 1


def test_a_limit_that_is_told_is_kept_from_the_start(script: Any, words: Any) -> None:
    """One message too many may be refused while the next is taken: so no more than the burst goes out at once."""
    tom = script("tom").come(limits={"messages_burst": 3, "messages_per_second": 2})
    for body in "abcdefgh":
        tom.ask(say(body))
    burst = tom.hears()
    assert [one.body for one in burst] == ["a", "b", "c"]
    tom.tells(words.sent(burst[0], 1), words.sent(burst[1], 2))
    assert tom.hears() == []
    tom.tells(words.sent(burst[2], 3))
    [d] = tom.hears()
    tom.tells(words.sent(d, 4))
    [e] = tom.hears()
    tom.tells(words.sent(e, 5))
    assert [one.body for one in tom.hears()] == ["f", "g", "h"], (
        "more was taken than the limits allow: they do not hold"
    )


def test_the_outbox_is_bounded(script: Any) -> None:
    tom = script("tom")
    for number in range(outbox.MOST_WAITING):
        tom.ask(say(str(number)))
    with pytest.raises(Refused, match="waiting for the server") as refused:
        tom.ask(say("one too many"))
    assert refused.value.code == Code.LIMIT_EXCEEDED


def test_what_would_not_fit_into_a_frame_is_never_sent(script: Any) -> None:
    """A4: the server would close the connection, and we would send it again for ever."""
    tom = script("tom").come()
    with pytest.raises(Refused, match="65536") as refused:
        tom.ask(say("x" * 65536))
    assert refused.value.code == Code.MESSAGE_TOO_LONG
    assert tom.hears() == []


# -- oneself -------------------------------------------------------------------------------------------------


def test_own_messages_count_and_are_not_shown(script: Any, words: Any) -> None:
    tom = script("tom").come().join()
    tom.ask(say("mine"))
    tom.ask(say("mine too", msg_id="chosen"))
    one, two = tom.hears()
    echoes = [words.message(1, msg_id=one.msg_id), words.message(2, msg_id=two.msg_id), words.message(3)]
    tom.tells(*echoes, words.sent(one, 1), words.sent(two, 2))
    assert tom.bodies() == [(3, "message 3")]
    assert tom.hears() == [], "nothing is missing"


def test_own_messages_of_an_earlier_run_are_known_again(script: Any, words: Any) -> None:
    tom = script("tom", root="bot", run="second").come().join()
    tom.tells(words.message(1, msg_id="bot.first.17"), words.message(2, msg_id="robot.first.17"))
    assert tom.bodies() == [(2, "message 2")]


def test_own_messages_are_shown_to_who_wants_them(script: Any, words: Any) -> None:
    """A40: the echo, once, in its place."""
    tom = script("tom", own=True).come().join()
    tom.ask(say("mine"))
    [mine] = tom.hears()
    tom.tells(words.sent(mine, 1), words.message(1, "mine", msg_id=mine.msg_id))
    assert tom.bodies() == [(1, "mine")]


def test_a_new_nick_is_kept_over_a_lost_connection(script: Any) -> None:
    tom = script("tom").come()
    tom.ask(commands.Nick(nick="thomas"))
    [nick] = tom.hears()
    tom.tells(replies.NickTaken(re=nick.id, nick="thomas"))
    _, auth = tom.lose().connect().hears()
    assert auth.nick == "thomas"
    assert tom.news(happenings.KnownAs) == []


def test_being_away_is_said_again_to_a_server_that_forgot(script: Any) -> None:
    tom = script("tom").come()
    tom.ask(commands.Set(myself=commands.SelfChanges(away="lunch")))
    [away] = tom.hears()
    tom.tells(replies.Changed(re=away.id))
    tom.lose().come()
    [again] = tom.hears()
    assert again.myself == commands.SelfChanges(away="lunch")


def test_leaving_ends_the_session(script: Any) -> None:
    tom = script("tom").come()
    ticket = tom.ask(commands.Quit(reason="bye"))
    [leave] = tom.hears()
    tom.tells(replies.Done(re=leave.id), views.Closing(code="QUIT", reason="bye"))
    tom.lose("closed")
    assert tom.outcomes[ticket].ok
    assert tom.news(happenings.Ended) == [happenings.Ended(error=None)]
    with pytest.raises(Disconnected):
        tom.ask(say("too late"))


# -- rooms that are lost -------------------------------------------------------------------------------------


def test_when_one_room_is_in_the_way_the_others_are_taken_up_one_by_one(script: Any, words: Any) -> None:
    tom = script("tom").come().join("#lobby", 5).join("#secret", 2, key="sesame")
    [resume] = tom.lose().come().hears()
    assert resume.rooms == {"#lobby": 5, "#secret": 2}
    tom.tells(words.refusal(resume, Code.BAD_KEY, "a key is needed"))
    lobby, secret = tom.hears()
    assert [(one.room, one.since, one.key) for one in (lobby, secret)] == [
        ("#lobby", 5, None),
        ("#secret", 2, "sesame"),
    ]
    tom.ask(say("hello"))
    assert tom.hears() == []
    tom.tells(words.joined(lobby, 5), words.refusal(secret, Code.BANNED, "you are banned"))
    assert tom.news(happenings.RoomLost) == [
        happenings.RoomLost(room="#secret", code=Code.BANNED, message="you are banned")
    ]
    assert [one.body for one in tom.hears()] == ["hello"]


def test_numbers_that_the_server_does_not_have_mean_that_everything_is_new(script: Any, words: Any) -> None:
    tom = script("tom").come().join("#lobby", 500)
    [resume] = tom.lose().come().hears()
    refused = words.refusal(resume, Code.INVALID_PARAMS, "since is 500", details={"room": "#lobby", "last_seq": 3})
    [join] = tom.tells(refused).hears()
    [again] = tom.tells(words.refusal(join, Code.INVALID_PARAMS)).hears()
    assert (again.room, again.since) == ("#lobby", 0)
    assert tom.news(happenings.Rewound) == [happenings.Rewound(room="#lobby", seen=500)]
    tom.tells(words.joined(again, 1, room_id="r2"), words.message(1, room_id="r2"))
    assert tom.bodies() == [(1, "message 1")]


def test_a_room_from_the_cursor_file_begins_anew_if_the_server_does(script: Any, words: Any) -> None:
    tom = script("tom").come()
    tom.session.rooms.known("#lobby", "r1", 500)
    ticket = tom.session.ask(commands.Join(room="#lobby", since=500), tom.now, elastic=True)
    [join] = tom.hears()
    [again] = tom.tells(words.refusal(join, Code.INVALID_PARAMS)).hears()
    assert again.since == 0
    assert tom.news(happenings.Rewound) == [happenings.Rewound(room="#lobby", seen=500)]
    tom.tells(words.joined(again, 1, room_id="r2"), words.message(1, room_id="r2"))
    assert tom.outcomes[ticket].ok
    assert tom.bodies() == [(1, "message 1")]


def test_a_kick_ends_the_room(script: Any, words: Any) -> None:
    tom = script("tom").come().join("#lobby", 0)
    event = words.message(1)
    kick = views.Member(
        room="#lobby", seq=1, event_id="r1:1", time=event.time, who="tom", change="kick", by="jerry", reason="spam"
    )
    tom.tells(kick)
    assert tom.news(views.Member) == [kick]
    assert tom.lose().come().hears() == []


def test_a_room_that_was_left_is_left_however_it_was_spelt(script: Any) -> None:
    tom = script("tom").come().join("#lobby")
    tom.ask(commands.Part(room="#Lobby"))
    [part] = tom.hears()
    tom.tells(replies.Done(re=part.id))
    assert tom.lose().come().hears() == []


def test_a_hole_is_asked_for_and_filled(script: Any, words: Any) -> None:
    tom = script("tom").come().join()
    [ask] = tom.tells(words.message(1), words.message(4)).hears()
    assert (ask.room, ask.after) == ("#lobby", 1)
    tom.tells(words.page(ask, [words.message(n) for n in (2, 3, 4)], last=4), words.message(5))
    assert [seq for seq, _ in tom.bodies()] == [1, 2, 3, 4, 5]


def test_history_that_cannot_be_had_now_is_asked_again(script: Any, words: Any) -> None:
    tom = script("tom").come().join()
    [ask] = tom.tells(words.message(2)).hears()
    assert tom.tells(words.refusal(ask, Code.STORE_UNAVAILABLE)).hears() == []
    [again] = tom.passes(1.5).hears()
    tom.tells(words.page(again, [words.message(n) for n in (1, 2)], last=2))
    assert [seq for seq, _ in tom.bodies()] == [1, 2]


def test_the_limits_have_the_names_that_the_server_tells() -> None:
    assert Limits().told(trusted=False)["frame"] == 65536
