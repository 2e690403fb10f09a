"""Events as lines for a person: nothing that others wrote can do harm, or look like something else."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from chatd.client import happenings, show
from chatd.core import views

EVIL = "\x1b[2J\x1b]0;title\x07\u202e\x9b31m\r\nfake"
TIME = r"\[(\d\d\d\d-\d\d-\d\d )?\d\d:\d\d:\d\d\]"


def text(event: Any, own_nick: str = "tom", **more: bool) -> list[str]:
    shown = [line.text(**more) for line in show.lines(event, own_nick)]
    for line in shown:
        assert re.match(TIME + " ", line), line
    return [re.sub("^" + TIME + " ", "", line) for line in shown]


def test_messages_are_shown_as_on_the_line_port(words: Any) -> None:
    """A41: author and text are unambiguous, even if the text contains <bob>."""
    hello = words.message(1, "<bob> hello")
    assert text(hello) == ["<jerry> <bob> hello"]
    assert text(hello, with_number=True) == ["1 <jerry> <bob> hello"]
    assert text(hello, with_room=True) == ["#lobby <jerry> <bob> hello"]
    assert text(replace(hello, kind="action")) == ["* jerry <bob> hello"]
    assert text(replace(hello, reply_to=7)) == ["<jerry> [to 7] <bob> hello"]
    assert text(replace(hello, redacted=True, body="")) == ["*** message 1 by jerry was deleted"]
    direct = replace(hello, room="@jerry")
    assert text(direct) == ["-jerry- <bob> hello"]
    assert text(direct, own_nick="jerry") == ["-> jerry: <bob> hello"]


def test_further_lines_of_a_body_cannot_pass_for_messages(words: Any) -> None:
    shown = [line.text() for line in show.lines(words.message(1, "one\n[14:02:33] <bob> two"), "tom")]
    assert len(shown) == 2
    assert shown[1].endswith(" " * 11 + "[14:02:33] <bob> two")


def test_older_lines_have_their_date(words: Any) -> None:
    today = replace(words.message(1), time=datetime.now(UTC))
    assert re.match(r"\[\d\d:\d\d:\d\d\] ", show.lines(today, "tom")[0].text())
    older = replace(today, time=today.time - timedelta(days=3))
    assert re.match(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] ", show.lines(older, "tom")[0].text())


def every_event(words: Any, evil: str) -> list[Any]:
    time, author = words.message(1).time, views.Author(nick=evil)
    place = {"room": evil, "seq": 1, "event_id": "r:1", "time": time}
    relation = views.Relation(**place, author=author, rel="edit", target=1, body=evil, key=evil, reason=evil)
    member = views.Member(**place, who=evil, change="kick", by=evil, reason=evil, role=evil)
    presence = views.Presence(
        room=evil,
        joined=[evil, evil],
        left=[views.Left(nick=evil, reason=evil)],
        away=[views.AwayNow(nick=evil, away=True, message=evil)],
        renamed=[views.Renamed(old=evil, new=evil)],
    )
    return [
        *(views.Message(**place, author=author, kind=kind, body=evil) for kind in ("text", "action", "notice")),
        *(replace(relation, rel=rel) for rel in ("edit", "redact", "react", "unreact", "pin", "unpin")),
        *(replace(member, change=change) for change in ("kick", "ban", "unban", "mute", "unmute", "role", "invite")),
        replace(member, change="lockdown", until=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        views.Room(**place, by=evil, changes={"topic": evil, evil: evil}),
        presence,
        *(views.Gap(room=evil, first=1, last=2, reason=reason) for reason in ("retention", "skipped", "permission")),
        views.Notice(code=evil, message=evil),
        views.Invite(room=evil, by=evil),
        views.Error(code=evil, message=evil),
        happenings.KnownAs(wanted=evil, nick=evil, why=evil),
        happenings.Delayed(ticket=1, code=evil, message=evil, retry_in=9),
        happenings.RoomLost(room=evil, code=evil, message=evil),
        happenings.Rewound(room=evil, seen=9),
    ]


def test_nothing_that_others_wrote_does_harm(words: Any) -> None:
    """A7: escape sequences, control characters and overrides are taken out, wherever they stand."""
    for event in every_event(words, EVIL):
        shown = [line.text(with_room=True, with_number=True) for line in show.lines(event, "tom")]
        assert shown, event
        for line in shown:
            assert line.isprintable(), (event, line)


def test_who_is_muted_is_told_until_when_and_why() -> None:
    noon = datetime(2031, 5, 4, 12, 0, tzinfo=UTC)
    place = {"room": "#den", "seq": 3, "event_id": "r:3", "time": noon}
    mute = views.Member(**place, who="tom", change="mute", by="ann", reason="loud", until=noon)
    here = noon.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert text(mute) == [f"*** tom was muted by ann until {here} (loud)"]


def test_what_one_does_oneself_is_not_told(words: Any) -> None:
    presence = views.Presence(
        room="#lobby",
        joined=["tom", "jerry"],
        left=[views.Left(nick="spike", reason="quit")],
        away=[views.AwayNow(nick="tom", away=True)],
        renamed=[views.Renamed(old="tommy", new="tom"), views.Renamed(old="a", new="b")],
    )
    assert text(presence) == ["*** jerry joined #lobby", "*** spike left #lobby (quit)", "*** a is now called b"]


@pytest.mark.parametrize(("count", "told"), [(1, "n0"), (2, "n0 and n1"), (3, "n0, n1 and n2"), (12, "and 2 others")])
def test_many_names_are_one_line(count: int, told: str) -> None:
    assert show.listed([f"n{number}" for number in range(count)]).endswith(told)


def test_a_nick_has_its_colour_every_time_and_one_is_told_when_one_is_meant(words: Any) -> None:
    assert show.nick_style("jerry") == show.nick_style("jerry")
    assert len({show.nick_style(f"nick{number}") for number in range(200)}) == show.NICK_COLOURS
    [line] = show.lines(words.message(1, "hello Tom!"), "tom")
    assert line.loud
    assert not show.lines(words.message(1, "hello all"), "tom")[0].loud
