"""At the door of the line port: the greeting, the name, what a newcomer sees first, and going."""

from __future__ import annotations

import re

import pytest
from msgspec import structs
from support.house import House
from support.person import Person, line_factory

from chatd.core.views import Closing

PROMPT = "Choose a username..."
GREETING = ["Welcome to chatd.", PROMPT]


def test_who_comes_is_greeted_and_asked_for_a_name() -> None:
    """A31: the prompt appears, the first line is the name."""
    house = House()
    tom = Person(house)
    assert tom.reads() == GREETING
    tom.types("tom")
    assert tom.reads()[0] == "You are connected to the server!"
    jerry = house.come("jerry", "#lobby")
    assert [one["nick"] for one in jerry.ask("list", what="users")["items"]] == ["jerry", "tom"]


def test_a_newcomer_reads_the_welcome_the_name_the_hints_and_the_room() -> None:
    """A25, A43: the words of welcome come first, then the nick, three hints, the house's own words and the room."""
    house = House()
    house.hub.rules = structs.replace(house.hub.rules, motd="Be kind.\nNo ads.")
    tom = Person(house)
    tom.reads()
    tom.types("tom")
    lines = tom.reads()
    assert lines[0] == "You are connected to the server!"
    assert lines[1] == "Your name is tom."
    assert all(hint in lines[2] for hint in ("/help", "/join", "/quit"))
    assert re.fullmatch("If you are cut off, come back with: /resume [a-z]+-[a-z]+-[0-9]{4}", lines[3])
    assert max(map(len, lines)) < 80
    assert lines[4:] == ["*** Be kind.", "*** No ads.", "*** You are in #lobby; nobody else is here yet."]


def test_the_others_are_told_once_and_the_newcomer_not_at_all() -> None:
    """A42: everyone else reads that somebody came; the one who came reads the welcome instead."""
    house = House()
    tom = Person(house, "tom")
    jerry = Person(house)
    jerry.types("jerry")
    assert tom.hears() == ["*** jerry joined #lobby"]
    assert not any("joined" in line for line in jerry.reads())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tom", "Try tom_ (NICK_IN_USE)"),
        ("TOM", "(NICK_IN_USE)"),
        ("ｔｏｍ", "(NICK_IN_USE)"),
        ("tоm", "(NICK_"),  # with a Cyrillic о
        ("t0m", "(NICK_CONFUSABLE)"),
        ("two words", "Try two_words (NICK_INVALID)"),
        ("-tom", "(NICK_INVALID)"),
        ("x" * 33, "(NICK_INVALID)"),
        ("x" * 8000, "(NICK_INVALID)"),
        ("admin", "(NICK_RESERVED)"),
    ],
)
def test_a_bad_name_is_refused_with_the_reason_and_asked_again(name: str, told: str) -> None:
    """A31, A33: duplicates, look-alikes, spaces and giants are refused with a suggestion, as often as it takes."""
    house = House()
    Person(house, "tom")
    jerry = Person(house)
    jerry.reads()
    for _ in range(4):
        jerry.types(name)
        [refusal, *hints, prompt] = jerry.reads()
        assert hints == (
            ["*** If it is you, come back with /resume and the word that you were told."] * ("IN_USE" in refusal)
        )
        assert told in refusal
        assert "Try " in refusal
        assert len(refusal) < 200
        assert prompt == PROMPT
    jerry.types("jerry")
    assert jerry.reads()[0] == "You are connected to the server!"


def test_an_empty_name_is_no_name() -> None:
    """A33: an empty line, or one of blanks or control characters, and it is asked again."""
    tom = Person(House())
    tom.reads()
    tom.types("", "   ", "\x00\x1b[A")
    assert tom.reads() == [PROMPT] * 3
    tom.sends(b"\xff\xfd\xff\n")  # telnet asks for an option, and then an empty line
    assert tom.bytes() == b"\xff\xfc\xff" + f"{PROMPT}\r\n".encode()


def test_a_name_that_is_not_utf8_is_told_so() -> None:
    """A6, A33."""
    tom = Person(House())
    tom.reads()
    tom.sends(b"Zo\xeb\n")
    assert tom.reads() == ["*** Not sent: that line is not UTF-8. (INVALID_UTF8)", PROMPT]
    tom.types("Zoë")
    assert tom.reads()[0] == "You are connected to the server!"


def test_what_is_typed_behind_the_name_waits_for_it() -> None:
    """The name, a refused name before it, and messages: in one packet, or byte by byte, all in their order."""
    for step in (10_000, 1):
        house = House()
        tom = Person(house, "tom")
        jerry = Person(house)
        packet = b"tom\njerry\none\n/join #ops\ntwo\n/quit\n"
        for start in range(0, len(packet), step):
            jerry.sends(packet[start : start + step])
        assert tom.hears() == ["*** jerry joined #lobby", "<jerry> one", "*** jerry left #lobby (quit)"]
        assert "*** You are in #ops; nobody else is here yet. The room is yours." in jerry.reads()
        assert not jerry.is_open
        tom.types("/join #ops", "/history 1")
        assert "1 <jerry> two" in [line.replace(line[2:13], "", 1) for line in tom.reads() if line.startswith("1 ")]


def test_the_last_messages_of_the_lobby_come_first_and_then_live_without_hole_or_overlap() -> None:
    house = House()
    line_factory(house, history_lines=3)
    tom = Person(house, "tom")
    tom.types("one", "two", "three", "four", "five")
    jerry = Person(house, "")
    jerry.reads()
    jerry.protocol.dataReceived(b"jerry\n")
    tom.protocol.dataReceived(b"six\n")
    tom.types("seven")
    said = [line for line in jerry.hears() if line.startswith("<")]
    whole = [f"<tom> {word}" for word in ("one", "two", "three", "four", "five", "six", "seven")]
    assert len(said) >= 3
    assert said == whole[-len(said) :]


def test_history_can_be_switched_off() -> None:
    house = House()
    line_factory(house, history_lines=0, lobby="#hall")
    tom = Person(house, "tom")
    tom.types("secret")
    jerry = Person(house)
    jerry.types("jerry")
    assert jerry.reads()[-1] == "*** You are in #hall; 1 other here."


def test_at_the_door_one_can_ask_for_help_and_leave() -> None:
    tom = Person(House())
    tom.reads()
    tom.types("/help quit", "/msg tom hi", "/xyzzy")
    assert tom.reads() == ["*** /quit [reason]: leave.", PROMPT, PROMPT, PROMPT]
    tom.types("/quit", "tom")
    assert tom.reads() == ["*** Goodbye."]
    assert not tom.is_open


def test_a_browser_is_not_made_to_speak_for_anybody() -> None:
    """A page of somebody else's can post lines to a port of this machine: none becomes a name or a message."""
    house = House()
    jerry, browser = Person(house, "jerry"), Person(house)
    browser.reads()
    browser.types("POST / HTTP/1.1\r", "Host: localhost\r", "\r", "mallory", "buy this")
    [told] = browser.hears()
    assert told.endswith("(WRONG_PROTOCOL)")
    assert not browser.is_open
    assert jerry.reads() == []


def test_who_chooses_no_name_in_time_is_told_and_let_go() -> None:
    """A32: a silent newcomer holds its place for `login_seconds`, no longer; a person with a name has all the time."""
    house = House(login_seconds=30)
    tom, jerry = Person(house, "tom"), Person(house)
    jerry.reads()
    for _ in range(40):
        house.settle(1)
    [line] = jerry.reads()
    assert "30 seconds" in line
    assert not jerry.is_open
    for _ in range(400):
        house.settle(1)
    assert tom.is_open
    assert tom.reads() == []


def test_quit_says_goodbye_here_and_the_reason_there() -> None:
    """A44, A52: one leave, with its reason."""
    house = House()
    tom, jerry = Person(house, "tom"), Person(house, "jerry")
    tom.reads()
    jerry.types("/quit see you", "not said any more")
    assert jerry.reads() == ["*** Goodbye."]
    assert not jerry.is_open
    assert tom.hears() == ["*** jerry left #lobby (see you)"]


def test_who_vanishes_leaves_once() -> None:
    """A44."""
    house = House()
    tom, jerry = Person(house, "tom"), Person(house, "jerry")
    tom.reads()
    jerry.leaves()
    assert tom.hears() == ["*** jerry left #lobby (connection closed)"]


def test_the_last_words_of_the_house_are_read_before_it_closes() -> None:
    house = House()
    tom = Person(house, "tom")
    tom.protocol.finish(Closing(code="SHUTTING_DOWN", reason="the server is stopping", reconnect_after=1.0))
    assert tom.hears() == ["*** The server is stopping.", "*** Come again in 1 second."]
    assert not tom.is_open
