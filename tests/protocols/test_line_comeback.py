"""Coming back with a word: the same person again, in the same rooms, who is shown what was missed and nothing twice."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from support.house import House
from support.person import Person, line_factory
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from chatd.core.events import Entry, Purged
from chatd.core.limits import Limits
from chatd.settings import LineSettings, Settings

PROMPT = "Choose a username..."
WORD = re.compile(r"/resume ([a-z]+-[a-z]+-[0-9]{4})$")


def word_in(lines: list[str]) -> str:
    [found] = [match[1] for line in lines if (match := WORD.search(line))]
    return found


def arrives(house: House, name: str) -> tuple[Person, str]:
    """Somebody who is in the lobby now, and the word that the welcome told."""
    person = Person(house)
    person.types(name)
    return person, word_in(person.reads())


def comes_back(house: House, word: str, more: str = "") -> tuple[Person, list[str]]:
    """Who typed the word instead of a name, and what was read then."""
    person = Person(house)
    person.reads()
    person.types(f"/resume {word}{more}")
    return person, person.hears()


def is_killed(house: House) -> None:
    """The server is killed, and started again."""
    house.restart()


def test_who_was_cut_off_is_the_same_again_and_reads_what_was_missed_and_nothing_else() -> None:
    house = House()
    jerry = Person(house, "jerry")
    tom, word = arrives(house, "tom")
    jerry.types("one", "two")
    assert tom.hears() == ["<jerry> one", "<jerry> two"]
    tom.leaves()
    jerry.types("three", "four")
    jerry.reads()
    tom, lines = comes_back(house, word)
    assert lines[:2] == ["You are connected to the server!", "Your name is tom."]
    assert word_in(lines) == word
    assert lines[-3:] == ["*** You are back in #lobby; you missed 2 messages.", "<jerry> three", "<jerry> four"]
    assert jerry.hears() == ["*** tom joined #lobby"]
    jerry.types("five")
    tom.types("six")
    assert tom.hears() == ["<jerry> five"]
    assert jerry.hears() == ["<tom> six"]


def test_one_is_in_the_same_rooms_again_and_looks_at_the_same_one() -> None:
    house = House()
    jerry = Person(house, "jerry")
    jerry.types("/join #ops", "/join #tea")
    tom, word = arrives(house, "tom")
    tom.types("/join #ops", "/join #tea", "/part #lobby", "/join #ops")
    tom.leaves()
    jerry.types("/join #ops", "to ops", "/join #tea", "to tea", "/join #lobby", "to all")
    tom, lines = comes_back(house, word)
    assert "*** You are back in #ops, #tea; you missed 2 messages." in lines
    assert "*** What you type goes to #ops." in lines
    assert lines[-2:] == ["<jerry> to ops", "#tea <jerry> to tea"]
    jerry.types("/join #ops")
    jerry.reads()
    tom.types("here")
    assert jerry.hears() == ["<tom> here"]


def test_what_was_said_to_one_alone_is_shown_too_and_not_twice() -> None:
    house = House()
    jerry = Person(house, "jerry")
    tom, word = arrives(house, "tom")
    tom.types("/msg jerry hello")
    jerry.types("/msg tom first")
    assert tom.hears() == ["-> jerry: hello", "-jerry- first"]
    house.settle(3)
    jerry.types("/msg tom second")
    is_killed(house)
    tom, lines = comes_back(house, word)
    assert lines[-1] == "-jerry- second"
    assert not any(line in ("-jerry- first", "-> jerry: hello") for line in lines)


def test_the_word_outlives_every_end_of_a_server() -> None:
    """A kept word and a kept place: after a stop, and after a kill some seconds later than the last line."""
    house = House()
    jerry, _ = arrives(house, "jerry")
    tom, word = arrives(house, "tom")
    tom.types("/join #quiet")  # nothing is ever said there: the house forgets it with the crash
    jerry.types("one")
    house.settle(3)
    is_killed(house)
    jerry = Person(house, "jerry")
    jerry.types("two")
    tom, lines = comes_back(house, word)
    assert "*** You are back in #lobby, #quiet; you missed 1 message." in lines
    assert "*** What you type goes to #quiet." in lines
    assert "*** The server was cut off while you were here: the first of them may come twice." in lines
    assert [line for line in lines if "jerry>" in line] == ["#lobby <jerry> two"]


def test_after_a_kill_what_was_shown_last_comes_twice_and_nothing_is_missing() -> None:
    house = House()
    jerry, _ = arrives(house, "jerry")
    tom, word = arrives(house, "tom")
    jerry.types("one")
    house.settle(3)
    jerry.types("two")
    assert tom.hears() == ["<jerry> one", "<jerry> two"]
    is_killed(house)
    tom, lines = comes_back(house, word)
    assert "*** The server was cut off while you were here: the first of them may come twice." in lines
    assert lines[-1] == "<jerry> two"
    assert "<jerry> one" not in lines


def test_a_kill_right_after_the_welcome_loses_nothing() -> None:
    house = House()
    jerry, _ = arrives(house, "jerry")
    jerry.types(*map(str, range(50)))
    _, word = arrives(house, "tom")
    jerry.types(*map(str, range(50, 100)))
    is_killed(house)
    _, lines = comes_back(house, word)
    said = [line for line in lines if line.startswith("<jerry>")]
    assert said == [f"<jerry> {n}" for n in range(30, 100)]  # from the first line that the welcome had shown
    assert any("twice" in line for line in lines)


def test_a_program_says_itself_where_it_goes_on_and_then_nothing_comes_twice() -> None:
    house = House()
    jerry, _ = arrives(house, "jerry")
    tom, word = arrives(house, "tom")
    jerry.types("one")
    house.settle(3)
    jerry.types("two", "three")
    is_killed(house)
    tom, lines = comes_back(house, word, " #lobby 2")
    assert not any("twice" in line for line in lines)
    assert [line for line in lines if "<jerry>" in line] == ["<jerry> three"]
    tom.leaves()
    tom, lines = comes_back(house, word, " #lobby 1")  # once more from there on, if that is wanted
    assert [line for line in lines if "<jerry>" in line] == ["<jerry> two", "<jerry> three"]
    tom.leaves()
    tom, lines = comes_back(house, word, " #lobby 4")
    assert "since is 4, but the last number in #lobby is 3" in lines[0].lower()
    assert lines[-1] == PROMPT
    tom.types(f"/resume {word} #lobby 3")
    assert not [line for line in tom.hears() if "<jerry>" in line]


def test_json_tells_the_word_and_the_joint() -> None:
    house = House()
    jerry, _ = arrives(house, "jerry")
    tom = Person(house)
    tom.reads()
    tom.types("/json on", "tom")
    word = re.findall(r'"word":"([-a-z0-9]+)"', "".join(tom.reads()))[0]
    jerry.types("one")
    tom.leaves()
    jerry.types("two")
    tom = Person(house)
    tom.reads()
    tom.types("/json on", f"/resume {word} #lobby 0")
    lines = tom.reads()
    assert '"since":{"#lobby":0}' in "".join(lines)
    assert [re.findall('"body":"(.*?)"', line)[0] for line in lines if '"message","room"' in line] == ["one", "two"]
    assert '{"type":"caught_up","room":"#lobby","seq":2}' in lines


def test_a_word_of_old_days_is_as_wrong_as_one_that_was_never_told() -> None:
    house = House()
    tom, word = arrives(house, "tom")
    carl, old = arrives(house, "carl")
    carl.leaves()
    house.clock.advance(2 * 86_400)
    tom.leaves()  # it counts from the end of the visit
    house.clock.advance(6 * 86_400)
    carl, told = comes_back(house, old)
    assert told == comes_back(house, "bold-otter-0000")[1]
    assert "(SESSION_EXPIRED)" in told[0]
    assert told[-1] == PROMPT
    carl.types("carl")
    assert carl.reads()[0] == "You are connected to the server!"
    _, lines = comes_back(house, word)
    assert "Your name is tom." in lines


def test_nobody_can_go_on_guessing() -> None:
    """The limit falls on wrong words, by address; it holds in trusted networks too, ten times as wide."""
    house = House()
    house.hub.comebacks.settings_changed(Settings(line=LineSettings(resume_guesses_per_minute=1)))
    _, word = arrives(house, "tom")
    thief = Person(house)
    thief.reads()
    for n in range(10):
        thief.types(f"/resume bold-otter-{1000 + n}")
        assert "SESSION_EXPIRED" in thief.reads()[0]
    thief.types(f"/resume {word}")  # even the right one is not looked up now
    told = thief.reads()
    assert "RATE_LIMITED" in told[0]
    assert told[-1] == PROMPT
    house.settle(7)
    thief.types(f"/resume {word}")
    assert "Your name is tom." in thief.reads()


def test_who_comes_back_while_the_old_connection_is_half_dead_takes_its_place() -> None:
    house = House()
    jerry = Person(house, "jerry")
    old, word = arrives(house, "tom")
    jerry.types("one")
    jerry.reads()
    new, lines = comes_back(house, word)
    assert lines[-1] == "*** You are back in #lobby; you missed nothing."
    assert old.hears() == ["<jerry> one", "*** You came back by another connection; this one ends."]
    assert jerry.hears() == []  # nobody came, nobody left
    jerry.types("two")
    assert new.hears() == ["<jerry> two"]
    house.settle(6)
    assert not old.is_open
    new.leaves()
    jerry.types("three")
    _, lines = comes_back(house, word)
    assert lines[-1] == "<jerry> three"


def test_whoever_has_the_name_now_keeps_it_and_coming_back_is_no_dead_end() -> None:
    house = House()
    jerry = Person(house, "jerry")
    tom, word = arrives(house, "tom")
    tom.leaves()
    thief = Person(house, "tom")
    _, lines = comes_back(house, word)
    assert "Your name is tom_." in lines
    assert "*** Somebody else is called tom now, so you are tom_." in lines
    assert thief.is_open
    assert jerry.is_open


def test_what_is_no_longer_kept_is_told_in_words() -> None:
    house = House()
    jerry = Person(house, "jerry")
    tom, word = arrives(house, "tom")
    tom.leaves()
    jerry.types("one", "two", "three")
    room = house.hub.state.room_called("#lobby")
    assert room is not None
    house.hub.propose((Purged(room.id, 3),), None)
    house.settle()
    _, lines = comes_back(house, word)
    assert lines[-2:] == ["*** messages 1 to 2 of #lobby are no longer kept", "<jerry> three"]


def test_the_word_is_told_again_when_asked_and_cannot_be_used_inside() -> None:
    house = House()
    tom, word = arrives(house, "tom")
    tom.types("/resume")
    assert tom.reads() == [f"*** Instead of a name, type: /resume {word}"]
    tom.types(f"/resume {word}")
    [told] = tom.reads()  # and no prompt: who is in has a name
    assert "type it in a new connection, instead of a name" in told
    jerry = Person(house, "jerry")
    tom.types("still here")
    assert jerry.hears() == ["<tom> still here"]
    tom.types("/quit")
    _, lines = comes_back(house, word.upper())
    assert "Your name is tom." in lines


def test_at_the_door_the_command_alone_tells_how_it_is_written() -> None:
    house = House()
    tom = Person(house)
    tom.reads()
    tom.types("/resume")
    assert tom.reads() == ["*** It is written: /resume WORD, with the word that you were told at the welcome.", PROMPT]


def test_it_can_be_switched_off() -> None:
    house = House()
    line_factory(house, resume_days=0)
    tom = Person(house)
    tom.types("tom")
    assert not any("/resume" in line for line in tom.reads())
    tom.types("/resume")
    assert tom.reads() == ["*** This server tells no words to come back with."]


def test_nothing_of_the_word_itself_is_kept() -> None:
    house = House()
    tom, word = arrives(house, "tom")
    tom.leaves()
    bookmarks = house.journal.memory._bookmarks
    assert len(bookmarks) == 1
    assert word not in repr(bookmarks)


@pytest.mark.parametrize("rooms", [2, 3])
def test_no_more_rooms_than_one_may_be_in(rooms: int) -> None:
    house = House()
    jerry = Person(house, "jerry")
    for name in ("a", "b", "c"):
        jerry.types(f"/join #{name}")
    tom, word = arrives(house, "tom")
    tom.types("/join #a", "/join #b", "/join #c")
    tom.leaves()
    house.limits = Limits(rooms_per_session=rooms)
    is_killed(house)
    _, lines = comes_back(house, word)
    [told] = [line for line in lines if "You are back in" in line]
    assert told.count("#") == rooms


def test_what_is_said_in_the_very_turn_in_which_one_is_cut_off_is_read_later() -> None:
    """It is in the room already, and nobody has written it yet when the end is heard."""
    house = House()
    jerry = Person(house, "jerry")
    tom, word = arrives(house, "tom")
    take = house.hub.entries_received

    def take_and_lose_tom(entries: Sequence[Entry]) -> None:
        take(entries)
        tom.transport.connected = False
        tom.protocol.connectionLost(Failure(ConnectionDone("gone")))

    house.hub.entries_received = take_and_lose_tom  # type: ignore[method-assign]
    jerry.protocol.dataReceived(b"just now\n")
    while tom.is_open:
        house.clock.advance(0)
    house.hub.entries_received = take  # type: ignore[method-assign]
    house.settle()
    _, lines = comes_back(house, word)
    assert lines[-2:] == ["*** You are back in #lobby; you missed 1 message.", "<jerry> just now"]


def test_who_was_being_shown_what_was_missed_when_the_server_stopped_is_shown_the_rest_later() -> None:
    house = House(messages_burst=1000)
    jerry = Person(house, "jerry")
    tom, word = arrives(house, "tom")
    tom.leaves()
    said = [str(n) for n in range(700)]
    jerry.types(*said)
    tom = Person(house)
    ask = house.hub.replay.ask
    house.hub.replay.ask = lambda question: deferLater(house.clock, 0.05, ask, question)  # each page takes a while
    tom.transport.loseWriteConnection = lambda: None  # type: ignore[attr-defined]  # the peer's own end comes later
    tom.protocol.dataReceived(f"/resume {word}\n".encode())
    house.clock.advance(0)
    stopped = house.hub.stop()
    while not stopped.called:
        house.clock.advance(0.01)
    read = [line for line in tom.hears() if line.startswith("<jerry> ")]
    is_killed(house)
    _, lines = comes_back(house, word)
    read += [line for line in lines if line.startswith("<jerry> ")]
    assert read == [f"<jerry> {one}" for one in said]
