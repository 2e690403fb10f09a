"""Accounts at a terminal: a name is kept and come back to, passwords are asked for unseen, nobody is left outside."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from support.house import House
from support.person import Person

from chatd.core.identity import invite_key
from chatd.protocols.telnet import ECHO, IAC, WILL, WONT

SECRET = "correct horse battery"
OTHER = "staple and a stable"
PROMPT = "Choose a username..."
QUESTION = "alice belongs to an account. Its password, or an empty line if it is not yours:"
HIDE, REVEAL = bytes((IAC, WILL, ECHO)), bytes((IAC, WONT, ECHO))


@pytest.fixture
def house() -> House:
    return House()


def registered(house: House, name: str = "alice", password: str = SECRET) -> Person:
    person = Person(house, name)
    person.types("/register")
    assert person.reads() == ["A new password:"]
    person.types(password)
    assert person.reads() == ["The same again:"]
    person.types(password)
    assert person.reads() == [f"*** The name {name} is yours now. Next time type it, and then your password."]
    return person


def at_the_door(house: House, *lines: str) -> tuple[Person, list[str]]:
    person = Person(house)
    person.reads()
    for line in lines:
        person.types(line)
    return person, person.hears()


def test_a_name_is_kept_and_come_back_to(house: House) -> None:
    alice = registered(house)
    tom = Person(house, "tom")
    tom.types("one")
    alice.types("hello")
    assert tom.hears() == ["<alice> hello"]
    alice.reads()
    alice.leaves()
    tom.types("two", "/msg alice are you there?")
    tom.reads()
    house.restart()
    again, lines = at_the_door(house, "Alice", SECRET)
    assert lines[0] == QUESTION
    assert lines[1:3] == ["You are connected to the server!", "Your name is alice."]
    assert "*** You are back in #lobby; you missed 2 messages." in lines
    assert lines[-2:] == ["<tom> two", "-tom- are you there?"]
    again.types("/status")
    assert again.reads()[0] == "*** You are alice, in #lobby."


def test_who_types_somebodys_name_by_mistake_is_in_under_another(house: House) -> None:
    registered(house).leaves()
    other, lines = at_the_door(house, "alice", "")
    assert lines[:2] == [QUESTION, "*** alice belongs to an account. If it is yours, type: /login alice"]
    assert lines[2:4] == ["You are connected to the server!", "Your name is alice_2."]
    listener = Person(house, "ben")
    other.types("hello")
    assert listener.hears() == ["<alice_2> hello"]


def test_a_wrong_password_is_no_dead_end_either(house: House) -> None:
    registered(house).leaves()
    other, lines = at_the_door(house, "alice", "guess")
    assert lines[1].startswith("*** The account or the password is wrong")
    assert lines[2:5] == [
        "*** alice belongs to an account. If it is yours, type: /login alice",
        "You are connected to the server!",
        "Your name is alice_2.",
    ]
    other.types("/login alice")
    assert other.hears()[-1] == "Password:"
    other.types(SECRET)
    assert other.hears() == ["*** You are alice now, logged in to your account."]
    other.types("/status")
    assert other.reads()[0] == "*** You are alice, in #lobby."


def test_what_was_typed_before_the_question_is_no_answer_to_it(house: House) -> None:
    """`printf 'alice\\nhello\\n' | nc …` is not a guess, and is heard."""
    registered(house).leaves()
    listener = Person(house, "ben")
    script, _ = at_the_door(house)
    script.types("alice", "hello")
    lines = script.hears()
    assert lines[0] == "*** alice belongs to an account. If it is yours, type: /login alice"
    assert "<alice_2> hello" in listener.hears()


def test_names_that_look_like_somebodys_are_refused_at_the_door(house: House) -> None:
    registered(house, "paypal").leaves()
    other, lines = at_the_door(house, "PayPaI")
    assert lines[-1] == PROMPT
    assert "NICK_CONFUSABLE" in lines[0]
    other.types("paypal2x")
    assert "Your name is paypal2x." in other.hears()


def test_the_password_is_not_shown_on_telnet_and_nc_sees_no_telnet(house: House) -> None:
    registered(house).leaves()
    telnet = Person(house)
    telnet.bytes()
    telnet.sends(b"alice\r\n")
    asked = telnet.bytes()
    assert asked.startswith(QUESTION.encode())
    assert asked.endswith(HIDE)
    telnet.sends(bytes((IAC, 253, ECHO)))  # DO ECHO
    assert telnet.bytes() == b"", "what was offered is wanted, and not answered"
    telnet.sends(f"{SECRET}\r\n".encode())
    assert telnet.bytes().startswith(REVEAL + b"\r\nYou are connected")
    nc = Person(house)
    nc.bytes()
    nc.types("alice", "/quit")
    assert IAC not in nc.bytes()


def test_ctrl_c_ends_the_question(house: House) -> None:
    listener, alice = Person(house, "ben"), Person(house)
    alice.sends(b"alice\r\n")
    alice.sends(b"/register\r\n")
    assert alice.bytes().endswith(HIDE)
    alice.sends(bytes((IAC, 244)))  # Interrupt Process
    told = alice.bytes()
    assert REVEAL in told
    assert b"*** Nothing was changed." in told
    alice.sends(b"hello\r\n")
    assert "<alice> hello" in listener.hears()


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (["short", "short"], "A password has at least 8 characters"),
        (["password123", "password123"], "would be guessed at once"),
        ([SECRET, OTHER], "*** These were two different passwords. Nothing was changed."),
        ([""], "*** Nothing was changed."),
        ([SECRET, ""], "*** Nothing was changed."),
    ],
)
def test_what_is_no_password_changes_nothing(house: House, answers: list[str], told: str) -> None:
    alice, listener = Person(house, "alice"), Person(house, "ben")
    alice.reads()
    alice.types("/register")
    for answer in answers:
        alice.reads()
        alice.types(answer)
    [line] = alice.reads()
    assert told in line
    assert not house.hub.state.accounts.by_id
    alice.types("hello")
    assert "<alice> hello" in listener.hears()


def test_a_password_is_changed_and_ends_the_other_sessions(house: House) -> None:
    here, there = registered(house), at_the_door(house, "alice", SECRET)[0]
    here.types("/sessions")
    assert here.hears()[-3] == "*** You are logged in 2 times:"
    here.types("/passwd")
    for prompt, answer in (("Your present password:", SECRET), ("A new password:", OTHER), ("The same again:", OTHER)):
        assert here.reads() == [prompt]
        here.types(answer)
    told = "*** Your password is changed. Everything else that was logged in to your account is logged out."
    assert told in here.hears()
    assert not there.is_open
    assert "password was changed" in there.hears()[-1]
    here.types("/sessions")
    assert here.hears() == ["*** You are logged in once:", "***   in #lobby (this connection)"]
    assert at_the_door(house, "alice", SECRET)[1][1].startswith("*** The account or the password is wrong")
    assert "Your name is alice." in at_the_door(house, "/login alice", OTHER)[1]


def test_login_at_the_door_asks_again_for_a_name_when_it_was_wrong(house: House) -> None:
    person, lines = at_the_door(house, "/login nobody", "guess")
    assert lines[0] == "Password:"
    assert lines[1].startswith("*** The account or the password is wrong")
    assert lines[2] == PROMPT
    person.types("/login nobody", "")
    assert person.hears() == ["Password:", "*** Nothing was changed.", PROMPT]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/passwd", "You have no account. /register makes one of your name."),
        ("/login", "It is written: /login NAME"),
        ("/register word", "Passwords are asked for, so that nobody sees them. It is written: /register"),
        ("/sessions", "You are logged in once:"),
    ],
)
def test_what_a_guest_is_told(house: House, line: str, told: str) -> None:
    guest = Person(house, "guest7")
    guest.types(line)
    assert guest.reads()[0] == f"*** {told}"


def with_registration(house: House, registration: Any) -> None:
    house.hub.rules = structs.replace(house.hub.rules, registration=registration)


def test_who_may_register_is_the_operators_to_say(house: House) -> None:
    with_registration(house, "closed")
    alice = Person(house, "alice")
    alice.types("/register")
    assert alice.reads() == ["*** This server makes no accounts by itself; ask its operator for one."]
    with_registration(house, "invite")
    ben = Person(house, "ben")
    ben.types("/register")
    assert ben.reads() == ["*** An account takes an invite here. It is written: /register INVITE"]
    from chatd.core.events import InviteMade

    word = "abcd-efgh"
    house.hub.propose((InviteMade(invite_key(house.hub.rules.secret, word), house.hub.now() + 10**9),), None)
    house.settle()
    ben.types(f"/register {word}", SECRET, SECRET)
    assert ben.reads()[-1].startswith("*** The name ben is yours now.")
    eve = Person(house, "eve")
    eve.types(f"/register {word}", SECRET, SECRET)
    assert "invite is not good" in eve.reads()[-1]


def test_guesses_are_slowed_down_at_the_door_and_the_owner_can_wait_inside(house: House) -> None:
    registered(house).leaves()
    house.hub.accounts.guesses._places.clear()  # as after a restart: the owner was not here lately
    told = [at_the_door(house, "alice", f"guess {n}")[1] for n in range(5)]
    assert all("The account or the password is wrong" in lines[1] for lines in told[:3])
    assert all("RATE_LIMITED" in lines[1] for lines in told[3:])
    assert "Your name is alice_6." in told[4]
