"""Talk on the line port: what people and programs in one room say, do, and hear of each other."""

from __future__ import annotations

import json
import re

from support.house import House
from support.person import Person

from chatd.protocols.line_commands import VERBS


def two(house: House | None = None) -> tuple[House, Person, Person]:
    """Tom and jerry in the lobby, with nothing left unread."""
    house = house or House()
    tom, jerry = Person(house, "tom"), Person(house, "jerry")
    tom.reads()
    return house, tom, jerry


def test_what_one_says_the_others_read_with_time_and_author() -> None:
    """A39, A41: `[time] <author> text`; one's own message does not come back."""
    _, tom, jerry = two()
    tom.types("hello", "<jerry> I owe you", "/me waves", "//slash")
    assert tom.reads() == []
    lines = jerry.reads()
    assert re.fullmatch(r"\[\d\d:\d\d:\d\d\] <tom> hello", lines[0])
    assert [line[11:] for line in lines] == [
        "<tom> hello",
        "<tom> <jerry> I owe you",
        "* tom waves",
        "<tom> /slash",
    ]


def test_a_room_is_one_for_people_and_programs() -> None:
    """A7: every letter of every language, both ways."""
    house, tom, _ = two()
    bot = house.come("bot", "#lobby")
    tom.reads()
    tom.types("Zoë: 你好 🎉")
    [event] = bot.events("message")
    assert (event["body"], event["kind"], event["from"]) == ("Zoë: 你好 🎉", "text", {"nick": "tom"})
    bot.ask("send", room="#lobby", body="one\n[00:00:00] <jerry> two\x1b[2J", kind="text")
    assert tom.hears() == ["<bot> one", "<bot> [00:00:00] <jerry> two"]


def test_nobody_has_to_take_turns() -> None:
    """A8, A55: five in a row, others in between: all arrive, in one order for everybody."""
    house, tom, jerry = two()
    ann = Person(house, "ann")
    tom.reads(), jerry.reads()
    tom.types("1", "2", "3")
    jerry.types("a", "b")
    tom.types("4", "5")
    order = ["<tom> 1", "<tom> 2", "<tom> 3", "<jerry> a", "<jerry> b", "<tom> 4", "<tom> 5"]
    assert ann.hears() == order
    assert tom.hears() == [line for line in order if "jerry" in line]
    ann.types("/history")
    assert [line.split("] ")[1] for line in ann.reads()] == order


def test_a_direct_message_reaches_one_person_only() -> None:
    """A49: who is told, who is not, and what is said of one who is not here."""
    house, tom, jerry = two()
    ann = Person(house, "ann")
    tom.reads(), jerry.reads()
    tom.types("/msg jerry psst", "/msg nobody psst")
    [mine, refusal] = tom.reads()
    assert mine.endswith("] -> jerry: psst")
    assert refusal == "*** Not sent: nobody here is called nobody. (NO_SUCH_USER)"
    assert jerry.hears() == ["-tom- psst"]
    assert ann.reads() == []
    jerry.types("/history @tom")
    [line] = jerry.reads()
    assert line.startswith("1 [")
    assert line.endswith("] -tom- psst")


def test_in_several_rooms_one_reads_them_all_and_speaks_in_the_last() -> None:
    _, tom, jerry = two()
    tom.types("/join ops", "in ops")
    assert [line.split(";")[0] for line in tom.reads()] == ["*** You are in #ops"]
    assert jerry.reads() == []
    jerry.types("in the lobby", "/join #ops", "in ops too")
    assert [line[11:] for line in tom.reads()] == [
        "#lobby <jerry> in the lobby",
        "*** jerry joined #ops",
        "<jerry> in ops too",
    ]
    tom.types("/join #LOBBY", "back")
    assert tom.reads() == ["*** What you type goes to #lobby now."]
    jerry.types("still in ops")
    assert tom.hears() == ["#ops <jerry> still in ops"]
    tom.types("/part", "now in ops")
    assert tom.reads() == ["*** You left #lobby.", "*** What you type goes to #ops now."]
    assert "<tom> now in ops" in jerry.hears()
    tom.types("/part too loud", "nowhere")
    assert tom.reads() == ["*** You left #ops.", "*** You are in no room. Enter one: /join #lobby"]
    assert jerry.hears()[-1] == "*** tom left #ops (too loud)"


def test_a_room_that_cannot_be_entered_leaves_one_where_one_is() -> None:
    _, tom, jerry = two(House(rooms_per_session=2))
    tom.types("/join #ops", "/join #three", "here", "/join bad#name", "and here")
    lines = tom.reads()
    assert "(LIMIT_EXCEEDED)" in lines[1]
    assert "(INVALID_PARAMS)" in lines[2]
    jerry.types("hi")
    assert tom.hears() == ["#lobby <jerry> hi"]
    tom.types("/part #nowhere", "/history")
    lines = tom.reads()
    assert "(NO_SUCH_ROOM)" in lines[0]
    assert [line.split("] ")[1] for line in lines[1:]] == ["<tom> here", "<tom> and here"]


def test_ones_own_messages_can_be_changed_and_taken_back() -> None:
    _, tom, jerry = two()
    tom.types("helo", "/edit hello", "second", "/edit #1 hello!", "/delete 1", "/react 3 👍", "/delete", "8")
    assert (
        tom.reads()
        == [
            "*** Message 1 is changed.",
            "*** Message 1 is changed.",
            "*** Message 1 is deleted.",
            "*** You react to message 3 with 👍",
            "*** Message 3 is deleted.",
        ]
        or tom.reads()
    )
    heard = jerry.hears()
    assert heard[:4] == [
        "<tom> helo",
        "*** tom edited message 1: hello",
        "<tom> second",
        "*** tom edited message 1: hello!",
    ]
    jerry.types("/edit #8 mine", "/react 99 👍")
    [forbidden, missing] = jerry.reads()
    assert "(FORBIDDEN)" in forbidden
    assert "(NO_SUCH_MESSAGE)" in missing


def test_the_numbers_are_in_the_history_and_it_goes_back_in_pages() -> None:
    _, tom, _ = two()
    tom.types("one", "two", "three", "/history 2")
    lines = tom.reads()
    assert [line.split(" ")[0] for line in lines[:2]] == ["2", "3"]
    assert lines[2] == "*** What was said before: /history 2 #2"
    tom.types(lines[2].split(": ")[1])
    [line] = tom.reads()
    assert line.startswith("1 [")
    assert line.endswith("<tom> one")


def test_who_is_here_and_what_rooms_there_are() -> None:
    """A48."""
    house, tom, jerry = two()
    house.come("bot", "#tea")
    jerry.types("/away lunch", "/topic words, words")
    tom.reads()
    tom.types("/who", "/names", "/names #lobby t", "/rooms", "/rooms te", "/whois jerry", "/whois bot", "/topic")
    assert tom.reads() == [
        "*** On the server, 3 people:",
        "*** bot, jerry (away), tom",
        "*** In #lobby, 2 people:",
        "*** jerry (away), tom",
        "*** In #lobby, 1 person:",
        "*** tom",
        "*** #lobby  2 people  words, words",
        "*** #tea  1 person",
        "*** #tea  1 person",
        "*** jerry is away: lunch",
        "*** jerry is, as you are, in #lobby.",
        "*** bot is here.",
        "*** The topic of #lobby: words, words",
    ]


def test_the_topic_a_new_name_and_being_away_are_told_to_the_others() -> None:
    _, tom, jerry = two()
    tom.types("/topic tea", "/topic -", "/nick thomas", "/away lunch", "/back", "/nick jerry")
    assert [line for line in tom.reads() if line.startswith("***")] == [
        "*** The topic is now: tea",
        "*** The topic is cleared.",
        "*** You are now called thomas.",
        "*** You are away: lunch",
        "*** You are back.",
        "*** The name jerry is in use. Try jerry_ (NICK_IN_USE)",
    ]
    assert jerry.hears()[:3] == [
        "*** tom set the topic: tea",
        "*** tom cleared the topic",
        "*** tom is now called thomas",
    ]


def test_ignoring_holds_for_one_connection_until_it_is_ended() -> None:
    house, tom, jerry = two()
    ann = Person(house, "ann")
    tom.reads(), jerry.reads()
    tom.types("/ignore JERRY", "/ignore", "/ignore tom")
    assert tom.reads() == [
        "*** You no longer see what JERRY says; the same again ends it.",
        "*** You ignore JERRY.",
        "*** That is you.",
    ]
    jerry.types("boo", "/msg tom boo", "/me boos")
    assert tom.reads() == []
    assert ann.hears() == ["<jerry> boo", "* jerry boos"]
    tom.types("/ignore jerry")
    tom.reads()
    jerry.types("hello")
    assert tom.hears() == ["<jerry> hello"]


def test_people_with_the_same_switches_share_one_encoder() -> None:
    """What is said to a room is encoded once for all of them; only one who ignores somebody has an own one."""
    house, tom, jerry = two()
    ann = Person(house, "ann")
    assert tom.protocol.encoder("#lobby") is jerry.protocol.encoder("#lobby")
    assert tom.protocol.encoder("#ops") is jerry.protocol.encoder("#tea")
    assert tom.protocol.encoder("#lobby") is not tom.protocol.encoder("#ops")
    [audience] = house.hub.fanout.audiences.values()
    assert [len(group) for group in audience.groups.values()] == [3]
    tom.types("/timestamps off")
    ann.types("/ignore tom")
    assert sorted(len(group) for group in audience.groups.values()) == [1, 1, 1]


def test_the_time_before_each_line_can_be_switched_off() -> None:
    _, tom, jerry = two()
    tom.types("/timestamps off")
    tom.reads()
    jerry.types("hi", "/msg tom psst")
    assert tom.reads() == ["<jerry> hi", "-jerry- psst"]
    tom.types("/msg jerry psst", "/timestamps")
    assert tom.reads() == ["-> jerry: psst", "*** The time before each line: on."]
    jerry.types("hi")
    assert tom.reads()[0].endswith("] <jerry> hi")


def test_json_makes_every_line_an_object_and_off_ends_it() -> None:
    """PROTOCOL.md section 7.5: for scripts that have only nc. `re` is the number of one's command."""
    _, tom, jerry = two()
    tom.types("/json on", "hi", "/xyzzy", "/msg nobody x", "/history 1", "/help quit", "/ping")
    jerry.types("hello\u2028there", "/nick jim")
    told = [json.loads(line) for line in tom.reads()]
    assert [(one.get("type"), one.get("ok")) for one in told] == [
        ("notice", None),
        (None, True),
        ("notice", None),
        (None, False),
        (None, True),
        ("notice", None),
        (None, True),
        ("message", None),
        ("presence", None),
    ]
    assert told[1]["seq"] == 1
    assert told[3]["error"]["code"] == "NO_SUCH_USER"
    assert told[4]["events"][0]["body"] == "hi"
    assert told[7]["from"] == {"nick": "jerry"}
    assert told[8]["renamed"] == [{"from": "jerry", "to": "jim"}]
    replies = [int(one["re"]) for one in told if "re" in one]
    assert replies == sorted(replies)
    tom.types("/json off")
    assert tom.reads() == ["*** One JSON object a line: off."]


def test_json_can_be_asked_for_at_the_door() -> None:
    house = House()
    bot = Person(house)
    bot.reads()
    bot.types("/json on", "bot")
    told = [json.loads(line) for line in bot.reads()]
    assert [one["message"] for one in told[:2]] == ["One JSON object a line: on.", "Choose a username..."]
    assert told[2]["nick"] == "bot"
    assert told[3]["room"] == "#lobby"


def test_time_ping_and_status() -> None:
    """A13."""
    _, tom, _ = two()
    tom.types("/time", "/ping", "/join #ops", "/status")
    lines = tom.reads()
    assert "22:13:20 UTC" in lines[0]
    assert lines[1].startswith("*** Pong")
    assert lines[3:] == [
        "*** You are tom, in #ops, and also in #lobby.",
        "*** The time before each line: on. You ignore nobody.",
        "*** The server is chatd, version 0.",
        "*** What was said may be gone once the server or its machine has stopped.",
    ]


def test_passwords_are_not_typed_behind_a_command() -> None:
    _, tom, jerry = two()
    for line, written in (
        ("/register secret", "/register"),
        ("/login tom secret", "/login NAME"),
        ("/passwd x", "/passwd"),
    ):
        tom.types(line)
        assert tom.reads() == [f"*** Passwords are asked for, so that nobody sees them. It is written: {written}"]
    assert jerry.reads() == []


def test_an_unknown_command_says_nothing_to_the_room() -> None:
    _, tom, jerry = two()
    tom.types("/jion #ops", "/msg")
    assert "Did you mean /join?" in tom.reads()[0]
    assert jerry.reads() == []


def test_help_tells_of_every_command() -> None:
    _, tom, _ = two()
    tom.types("/help")
    lines = tom.reads()
    assert all(any(line.startswith(f"*** /{name}") for line in lines) for name in VERBS)


def test_what_is_refused_is_told_with_its_reason() -> None:
    """A4: over a limit nothing is cut; the limit is named and the connection lives."""
    _, tom, jerry = two(House(body_bytes=1024))
    tom.types("é" * 512, "x" * 1025, "é" * 512 + "x", "/me " + "x" * 1025)
    assert jerry.hears() == ["<tom> " + "é" * 512]
    told = tom.reads()
    assert len(told) == 3
    assert all(line.startswith("*** Not sent: ") and "1024" in line for line in told)
    assert all(line.endswith(" are allowed. (MESSAGE_TOO_LONG)") for line in told)
    tom.types("still here")
    assert jerry.hears() == ["<tom> still here"]


def test_what_was_said_is_found_with_its_number() -> None:
    _, tom, jerry = two()
    tom.types("tea at five", "coffee at six", "more tea")
    jerry.reads()
    jerry.types("/search TEA", "/search cake", "/search !!!")
    lines = jerry.hears()
    assert [line.split("] ")[-1] for line in lines[:2]] == ["<tom> tea at five", "<tom> more tea"]
    assert lines[0].startswith("1 ")
    assert lines[2] == "*** Nothing like that was said in #lobby."
    assert lines[3] == "*** There is no word in what you look for. (INVALID_PARAMS)"
