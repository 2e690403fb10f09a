"""Keeping order at a terminal: what those in charge type, what they are told, and what the others see of it."""

from __future__ import annotations

import json

import pytest
from support.house import House
from support.person import Person

from chatd.core.charge import SERVER_ID, SERVER_ROOM
from chatd.core.events import Moderated, RoomMade

SECRET = "correct horse battery"


@pytest.fixture
def house() -> House:
    return House()


def three(house: House) -> tuple[Person, Person, Person]:
    """The owner of #den, and two others who are in it and look at it."""
    people = [Person(house, name) for name in ("alice", "tom", "jerry")]
    for one in people:
        one.types("/join #den")
    for one in people:
        one.reads()
    return people[0], people[1], people[2]


def boss(house: House) -> Person:
    """An operator of the server, who looks at #den."""
    person = Person(house, "boss")
    person.types("/register", SECRET)
    person.types(SECRET)
    user = house.hub.state.accounts.called("boss")
    assert user is not None
    role = Moderated(SERVER_ID, "", "operator", "role", "boss", user.id, user.id, role="operator")
    house.hub.propose((RoomMade(SERVER_ID, SERVER_ROOM), role), None)
    person.types("/join #den")
    person.reads()
    return person


def test_who_makes_a_room_is_told_that_it_is_theirs(house: House) -> None:
    alice = Person(house, "alice")
    alice.types("/join #den")
    assert alice.hears() == ["*** You are in #den; nobody else is here yet. The room is yours."]
    tom = Person(house, "tom")
    tom.types("/join #den")
    assert tom.hears()[:1] == ["*** You are in #den; 1 other here."]
    tom.types("/names")
    assert tom.hears() == ["*** In #den, 2 people:", "*** alice (owner), tom"]


def test_who_is_kicked_is_told_where_the_words_go_now(house: House) -> None:
    alice, tom, jerry = three(house)
    alice.types("/kick tom enough of that")
    assert alice.hears() == ["*** tom was put out of #den.", "*** tom left #den (kicked by alice: enough of that)"]
    assert jerry.hears() == [
        "*** tom was kicked by alice (enough of that)",
        "*** tom left #den (kicked by alice: enough of that)",
    ]
    assert tom.hears() == [
        "*** tom was kicked by alice (enough of that)",
        "*** You are in #den no longer (kicked by alice: enough of that).",
        "*** What you type goes to #lobby now.",
    ]
    tom.types("hello?")
    assert alice.hears() == ["#lobby <tom> hello?"]


def test_a_ban_has_a_time_and_a_reason_and_is_lifted(house: House) -> None:
    alice, tom, _ = three(house)
    alice.types("/ban tom 2h 3 warnings")
    assert alice.hears()[0] == "*** tom is banned from #den."
    tom.reads()
    tom.types("/join #den")
    [told] = tom.hears()
    assert told.startswith("*** You are banned from #den until ")
    assert told.endswith(": 3 warnings. (BANNED)")
    alice.types("/bans")
    [ban] = alice.hears()
    assert ban.startswith("*** tom was banned by alice until ")
    assert ban.endswith(": 3 warnings")
    alice.types("/unban tom", "/bans")
    assert alice.hears() == ["*** tom is no longer banned from #den.", "*** Nobody is banned from #den."]
    tom.types("/join #den")
    assert tom.hears()[0] == "*** You are in #den; 2 others here."


def test_muted_slow_and_read_only_are_told_in_a_sentence(house: House) -> None:
    alice, tom, jerry = three(house)
    alice.types("/mute tom rude")
    assert alice.hears() == ["*** tom may only listen in #den."]
    tom.reads()
    tom.types("but")
    assert tom.hears() == ["*** Not sent: you may not speak in #den: rude. (MUTED)"]
    alice.types("/unmute tom", "/set slow 30")
    assert alice.hears() == ["*** tom may speak again in #den.", "*** Everybody may speak every 30 s."]
    assert jerry.hears()[-1] == "*** alice made the room slow: everybody speaks every 30 s"
    tom.reads()
    tom.types("one", "two")
    [told] = tom.hears()
    assert told.startswith("*** Not sent: in #den one speaks every 30 s. Try again in ")
    alice.types("/set slow 0", "/set speak operators")
    alice.reads()
    jerry.reads()
    jerry.types("hm")
    assert jerry.hears() == ["*** Not sent: #den is to be read: only its operators speak. (FORBIDDEN)"]


def test_a_key_is_typed_behind_the_rooms_name(house: House) -> None:
    alice, tom, _ = three(house)
    alice.types("/set key sesame")
    assert alice.hears() == ["*** One needs the key to come in."]
    assert tom.hears() == ["*** alice set a key, without which nobody comes in"]
    eve = Person(house, "eve")
    eve.types("/join #den")
    assert eve.hears() == ["*** #den takes a key. (BAD_KEY)"]
    eve.types("/join #den sesame")
    assert eve.hears()[0] == "*** You are in #den; 3 others here."
    alice.types("/set key")
    assert alice.hears()[-1] == "*** One needs no key to come in."


def test_an_invitation_says_how_to_come(house: House) -> None:
    alice, _, _ = three(house)
    eve = Person(house, "eve")
    alice.reads()
    alice.types("/set join invite", "/invite eve")
    assert alice.hears() == ["*** join is now: invite", "*** eve is invited to #den."]
    assert eve.hears() == ["*** alice invites you to #den: /join #den"]
    eve.types("/join #den")
    assert eve.hears()[0] == "*** You are in #den; 3 others here."


def test_roles_are_given_and_taken(house: House) -> None:
    alice, tom, jerry = three(house)
    alice.types("/op tom", "/role jerry speaker")
    assert alice.hears() == ["*** tom is operator of #den.", "*** jerry is speaker of #den."]
    assert jerry.hears() == ["*** alice made tom operator", "*** alice made jerry speaker"]
    tom.reads()
    tom.types("/kick alice")
    assert tom.hears() == ["*** Alice is in charge as you are. (FORBIDDEN)"]
    alice.types("/deop tom")
    assert alice.hears() == ["*** tom is member of #den."]
    tom.reads()
    tom.types("/kick jerry")
    assert tom.hears() == ["*** Only an operator of #den may kick. (FORBIDDEN)"]


def test_an_operator_takes_back_what_others_said(house: House) -> None:
    alice, tom, jerry = three(house)
    tom.types("something bad")
    alice.reads()
    jerry.reads()
    alice.types("/history 1")
    [shown] = alice.reads()
    alice.types("/delete " + shown.split()[0])
    assert alice.hears() == ["*** Message 1 is deleted."]
    assert jerry.hears() == ["*** alice deleted message 1"]
    alice.types("mine")
    jerry.reads()
    jerry.types("/delete 3")
    assert jerry.hears() == ["*** Only its author may redact message 3. (FORBIDDEN)"]


def test_the_servers_operators_type_server(house: House) -> None:
    op = boss(house)
    tom, eve = Person(house, "tom"), Person(house, "eve")
    op.types("/server ban tom 1h spam")
    assert "*** tom is banned from the server." in op.hears()
    assert tom.hears()[-1] == "*** The server closes the connection: banned by boss: spam" or not tom.is_open
    op.types("/server bans")
    [ban] = op.hears()
    assert ban.startswith("*** tom was banned by boss until ")
    op.types("/server lockdown guests")
    assert op.hears() == ["*** The lockdown is now: guests."]
    eve.reads()
    eve.types("hello")
    assert eve.hears() == ["*** Not sent: only people with an account speak now. (ACCOUNT_REQUIRED)"]
    eve.types("/server lockdown off")
    assert eve.hears() == ["*** Only the server's operators may lock it. (FORBIDDEN)"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/set", "*** It is written: /set SETTING [value]"),
        ("/set colour blue", "*** It is written: /set SETTING [value]"),
        ("/set join sometimes", "*** It is written: /set join open|accounts|invite"),
        ("/set slow fast", "*** It is written: /set slow SECONDS; 0 ends it."),
        ("/kick", "*** It is written: /kick NAME [why]"),
        ("/role tom", "*** It is written: /role NAME ROLE"),
        ("/server", "*** It is written: /server ACTION NAME …"),
        ("/server burn", "*** It is written: /server ACTION NAME …"),
        ("/server lockdown", "*** It is written: /server lockdown off|registration|guests|everyone"),
        (
            "/join #den two words",
            "*** The name of a room has no spaces, nor has its key. It is written: /join #room [KEY]",
        ),
    ],
)
def test_what_is_written_wrongly_is_told(house: House, line: str, told: str) -> None:
    alice, _, _ = three(house)
    alice.types(line)
    assert alice.hears() == [told]


def test_scripts_are_told_as_objects(house: House) -> None:
    alice, tom, _ = three(house)
    tom.types("/json on")
    tom.reads()
    alice.types("/kick tom")
    objects = [json.loads(one) for one in tom.reads()]
    assert [one["type"] for one in objects] == ["member", "presence"]
    assert objects[1] == {"type": "presence", "room": "#den", "left": [{"nick": "tom", "reason": "kicked by alice"}]}


def test_whom_one_ignores_is_kept_with_the_account(house: House) -> None:
    carol, tom = Person(house, "carol"), Person(house, "tom")
    carol.types("/register", SECRET)
    carol.types(SECRET)
    carol.reads()
    carol.types("/ignore tom")
    assert carol.hears() == ["*** You no longer see what tom says; the same again ends it."]
    carol.leaves()
    house.restart()
    tom = Person(house, "tom")
    again = Person(house, "carol")
    again.types(SECRET)
    again.reads()
    tom.types("hello")
    assert again.hears() == []
    again.types("/ignore tom")
    again.reads()
    tom.types("hello again")
    assert again.hears() == ["<tom> hello again"]
