"""The line port and bytes: how they are cut, telnet among them, too many of them, and peers that do not read."""

from __future__ import annotations

import json
import random
import re

import pytest
from support.house import House
from support.person import Person

from chatd.protocols.connection import REQUESTS_A_TURN
from chatd.protocols.line_length import COMMAND_BYTES

IAC, DO, WILL, WONT, TM = 255, 253, 251, 252, 6


def two(house: House | None = None) -> tuple[House, Person, Person]:
    """Tom and jerry in the lobby, with nothing left unread."""
    house = house or House()
    tom, jerry = Person(house, "tom"), Person(house, "jerry")
    tom.reads()
    return house, tom, jerry


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\0", b"\r"])
def test_lines_end_as_every_terminal_ends_them(end: bytes) -> None:
    """A8: two sends are two messages, glued or cut."""
    for step in (1000, 1):
        _, tom, jerry = two()
        packet = b"one" + end + b"two" + end
        for start in range(0, len(packet), step):
            tom.sends(packet[start : start + step])
        assert jerry.hears() == ["<tom> one", "<tom> two"]


def test_however_the_bytes_are_cut_the_same_is_heard() -> None:
    """A2, A5: one packet, one byte at a time, and cut by chance."""
    packet = "tom\r\nZoë: 你好 🎉\r\n/me waves\r\n\xff".encode() + bytes((IAC, DO, 1)) + b"end\r\n/quit\r\n"
    refusal = bytes((IAC, WONT, 1))  # owed at once, while what is typed waits for its turn
    heard = set()
    for seed in range(30):
        house, cut = House(), random.Random(seed)
        jerry = Person(house, "jerry")
        tom = Person(house)
        start = 0
        while start < len(packet):
            end = start + {0: len(packet), 1: 1}.get(seed, cut.randint(1, 12))
            tom.sends(packet[start:end])
            start = end
        told = tom.bytes()
        assert refusal in told
        told = re.sub(rb"/resume [-a-z0-9]+", b"/resume WORD", told.replace(refusal, b""))
        heard.add((tuple(jerry.hears()), told))
    [(lines, _)] = heard
    assert lines == (
        "*** tom joined #lobby",
        "<tom> Zoë: 你好 🎉",
        "* tom waves",
        "<tom> ÿend",
        "*** tom left #lobby (quit)",
    )


def test_a_thousand_messages_on_one_connection() -> None:
    """A1: the connection stays open, and all arrive in their order."""
    _, tom, jerry = two()
    tom.types(*map(str, range(1000)))
    assert jerry.hears() == [f"<tom> {n}" for n in range(1000)]
    assert tom.reads() == []


def test_a_paste_is_taken_in_order_with_commands_in_between() -> None:
    """What a line means can depend on the answer to the one before: the room, one's last message."""
    _, tom, jerry = two()
    tom.types("one", "/edit two", "/join #ops", "three", "/edit four", "/join #lobby", "five", "/delete", "six")
    assert jerry.hears() == [
        "<tom> one",
        "*** tom edited message 1: two",
        "<tom> five",
        "*** tom deleted message 3",
        "<tom> six",
    ]


def test_control_keys_leave_no_trace() -> None:
    _, tom, jerry = two()
    tom.types("\x1b[A\x1b[1;5Chi\x07 there\x08!", "tab\tbed")
    assert jerry.hears() == ["<tom> hi there!", "<tom> tab bed"]


def test_what_is_not_utf8_is_told_and_nothing_else_happens() -> None:
    """A6: the reply names the code, the session survives, nobody hears a thing."""
    _, tom, jerry = two()
    tom.sends(b"\xc3\x28\nok\n")
    assert tom.reads() == ["*** Not sent: that line is not UTF-8. (INVALID_UTF8)"]
    assert jerry.hears() == ["<tom> ok"]


def test_a_line_without_end_is_told_once_and_forgotten() -> None:
    """A4: the limit is named at once, nothing of the line is kept or sent, what comes behind its end is heard."""
    _, tom, jerry = two()
    for _ in range(20):
        tom.sends(b"x" * 65_536)
    assert tom.reads() == ["*** Not sent: the line is too long, 8192 bytes are allowed. (MESSAGE_TOO_LONG)"]
    tom.sends(b"\nok\n")
    assert jerry.hears() == ["<tom> ok"]


def test_as_long_as_a_message_may_be_a_line_may_be_with_a_command_before_it() -> None:
    """A4: 1,023, 1,024, 1,025 bytes and the limit itself all pass whole."""
    _, tom, jerry = two()
    for size in (1023, 1024, 1025, 8192):
        tom.types("x" * size, f"/msg jerry {'y' * size}")
        assert jerry.hears() == [f"<tom> {'x' * size}", f"-tom- {'y' * size}"]
    tom.types("x" * (8192 + COMMAND_BYTES + 1))
    assert tom.reads()[-1].endswith("(MESSAGE_TOO_LONG)")


# -- telnet -----------------------------------------------------------------------------------------------------------


def test_telnet_is_spoken_only_to_those_who_speak_it() -> None:
    _, tom, jerry = two()
    tom.types("hello")
    assert b"\xff" not in tom.bytes() + jerry.bytes()
    tom.sends(bytes((IAC, WILL, 31, IAC, DO, 3)))
    assert tom.bytes() == bytes((IAC, 254, 31, IAC, WONT, 3))


def test_ctrl_c_clears_the_line_and_the_hint_comes_behind_the_timing_mark() -> None:
    """RFC 860: telnet throws away what it gets until the mark is answered, in one packet or in two."""
    mark = bytes((IAC, WILL, TM))
    for cut in (2, 100):
        _, tom, jerry = two()
        tom.sends(b"half a lin")
        keys = bytes((IAC, 244, IAC, DO, TM))
        tom.sends(keys[:cut])
        tom.sends(keys[cut:])
        told = tom.bytes()
        assert mark in told
        assert b"/quit" in told.split(mark)[1]
        tom.types("whole")
        assert jerry.hears() == ["<tom> whole"]


def test_a_timing_mark_alone_is_answered_and_nothing_else() -> None:
    _, tom, _ = two()
    tom.sends(bytes((IAC, DO, TM)))
    assert tom.bytes() == bytes((IAC, WILL, TM))


def test_are_you_there_and_the_erasing_keys() -> None:
    _, tom, jerry = two()
    tom.sends(bytes((IAC, 246)))
    assert tom.reads() == ["*** chatd is here."]
    tom.sends(b"wrong" + bytes((IAC, 248)) + "rightë".encode() + bytes((IAC, 247)) + b"\r\n")
    assert jerry.hears() == ["<tom> right"]


@pytest.mark.parametrize("key", [b"\x04", bytes((IAC, 236)), b"\x04\r\n"])
def test_ctrl_d_on_an_empty_line_leaves(key: bytes) -> None:
    _, tom, jerry = two()
    tom.sends(b"half\x04\r\n" + key)
    assert tom.reads() == ["*** Goodbye."]
    assert not tom.is_open
    assert jerry.hears() == ["<tom> half", "*** tom left #lobby (quit)"]


# -- the end of what is said ------------------------------------------------------------------------------------------


def test_a_last_line_without_end_is_said_and_everything_is_heard_before_the_close() -> None:
    """`printf 'tom\\nhi' | nc -N`: the peer closes its side at once, and still gets every answer."""
    house = House()
    jerry = Person(house, "jerry")
    jerry.types("earlier")
    tom = Person(house)
    tom.protocol.dataReceived(b"tom\nhi\n/history\nlast")
    tom.ends_input()
    house.settle(0.1)
    told = tom.hears()
    assert told[2] == "You are connected to the server!"
    assert "<jerry> earlier" in told
    assert any(line.startswith("2 [") and line.endswith("<tom> hi") for line in told)
    assert told[-1] == "*** Goodbye."
    assert not tom.is_open
    assert jerry.hears() == [
        "*** tom joined #lobby",
        "<tom> hi",
        "<tom> last",
        "*** tom left #lobby (connection closed)",
    ]


def test_who_only_looks_in_is_shown_the_last_messages() -> None:
    house = House()
    jerry = Person(house, "jerry")
    jerry.types("earlier")
    tom = Person(house)
    tom.protocol.dataReceived(b"tom\n")
    tom.ends_input()
    house.settle(0.1)
    assert tom.hears()[-2:] == ["<jerry> earlier", "*** Goodbye."]


def test_who_says_nothing_at_all_is_let_go() -> None:
    for said in (b"", b"\n", b"  "):
        tom = Person(House())
        tom.protocol.dataReceived(said)
        tom.ends_input()
        assert tom.reads()[-1] == "*** Goodbye."
        assert not tom.is_open


def test_a_refused_name_and_nothing_more_is_told_before_the_close() -> None:
    house = House()
    Person(house, "tom")
    other = Person(house)
    other.protocol.dataReceived(b"tom")
    other.ends_input()
    assert "(NICK_IN_USE)" in other.reads()[2]
    assert not other.is_open


def test_our_side_is_closed_first_and_the_rest_when_the_peer_has_ended() -> None:
    """A full close at once could be a reset, and the peer would lose our last words."""
    for ended_before in (True, False):
        _, tom, _ = two()
        tom.transport.loseWriteConnection = lambda: None
        if ended_before:
            tom.ends_input()
            tom.house.settle(0.1)
        else:
            tom.types("/quit")
            assert tom.is_open
            tom.ends_input()
        assert not tom.is_open


# -- too much ---------------------------------------------------------------------------------------------------------


def test_while_lines_wait_nothing_more_is_read() -> None:
    """Memory for what is typed stays as much as one read brought."""
    _, tom, _ = two()
    tom.protocol.dataReceived(b"/history\n" * 100)
    assert not tom.transport.reading
    tom.house.settle()
    assert tom.transport.reading
    assert tom.reads() == ["*** Nothing was said in #lobby yet."] * 100


def test_when_the_hub_has_enough_under_way_lines_wait_and_none_is_lost() -> None:
    _, tom, jerry = two(House(requests_in_flight=4))
    tom.protocol.dataReceived(b"".join(b"%d\n" % n for n in range(100)))
    assert not tom.transport.reading
    tom.house.settle()
    assert tom.transport.reading
    assert jerry.hears() == [f"<tom> {n}" for n in range(100)]


def test_what_we_say_ourselves_is_bounded_too() -> None:
    """Ten thousand times /help in one packet is not made into many megabytes at once, and none is left out."""
    _, tom, _ = two()
    tom.protocol.dataReceived(b"/help\n" * 10_000)
    assert tom.transport.value().count(b"*** /help ") <= REQUESTS_A_TURN
    assert not tom.transport.reading
    tom.leaves()
    _, jerry, _ = two()
    jerry.types(*["/help"] * 200)
    assert sum(line.startswith("*** /help") for line in jerry.reads()) == 200


def test_who_does_not_read_is_not_heard_until_he_does() -> None:
    _, tom, jerry = two()
    tom.transport.stall()
    assert not tom.transport.reading
    tom.protocol.dataReceived(b"/help\nhello\n" * 5)
    tom.house.settle()
    assert tom.bytes() == b""
    assert jerry.reads() == []
    tom.transport.drain()
    tom.house.settle()
    assert jerry.hears() == ["<tom> hello"] * 5
    assert tom.transport.reading


def test_after_the_close_nothing_is_heard_or_said() -> None:
    _, tom, jerry = two()
    tom.protocol.dataReceived(b"/quit\n")
    tom.protocol.dataReceived(b"hello\n")
    tom.house.settle()
    assert jerry.hears() == ["*** tom left #lobby (quit)"]


def test_garbage_costs_nobody_else_anything() -> None:
    """A47: whatever one connection sends, the neighbours talk on."""
    house, tom, jerry = two()
    chance = random.Random(7)
    for _ in range(200):
        other = Person(house)
        other.sends(chance.randbytes(chance.randint(1, 300)))
        other.sends(b"\n" + chance.randbytes(100) + b"\n/quit\n")
        if other.is_open:
            other.leaves()
    tom.reads(), jerry.reads()
    tom.types("hello")
    assert jerry.hears() == ["<tom> hello"]


def test_json_answers_what_cannot_be_read_in_json() -> None:
    _, tom, _ = two()
    tom.types("/json on")
    tom.reads()
    tom.sends(b"\xff\xff\n" + b"x" * 10_000 + b"\n")
    codes = [json.loads(line)["error"]["code"] for line in tom.reads()]
    assert codes == ["INVALID_UTF8", "MESSAGE_TOO_LONG"]


def test_a_flood_of_are_you_there_is_answered_once_a_turn() -> None:
    """Two bytes that ask are no way to have twenty sent each time."""
    tom = Person(House(), "tom")
    tom.sends(b"\xff\xf6" * 5000)
    assert tom.reads() == ["*** chatd is here."]
    tom.sends(b"\xff\xf6")
    assert tom.reads() == ["*** chatd is here."]
