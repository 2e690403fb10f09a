"""The port that everyone can join: who is handed to whom, when, and that nothing is lost on the way."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from support.house import House, Transport
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from chatd.protocols import detect

SILENCE = 0.8


class Newcomer:
    """A connection to the port that everyone can join; whatever it is handed to, bytes go where Twisted sends them."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.factory = detect.factory(house.hub)
        self.transport = Transport()
        self.transport.protocol = self.factory.buildProtocol(None)
        self.transport.protocol.makeConnection(self.transport)

    @property
    def protocol(self) -> Any:
        return self.transport.protocol

    def sends(self, data: bytes, step: int = 1_000_000) -> None:
        for start in range(0, len(data), step):
            self.protocol.dataReceived(data[start : start + step])
        self.house.settle()

    def waits(self, seconds: float) -> None:
        self.house.settle(seconds)

    def reads(self) -> bytes:
        data: bytes = self.transport.value()
        self.transport.clear()
        return data


FRAMES = b"".join(
    struct.pack("!I", len(blob)) + blob
    for blob in (
        json.dumps({"type": "hello", "id": "1", "versions": [1]}).encode(),
        json.dumps({"type": "auth", "id": "2", "mechanism": "guest", "nick": "tom"}).encode(),
    )
)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1000])
def test_a_program_is_heard_however_its_frames_are_cut(step: int) -> None:
    newcomer = Newcomer(House())
    newcomer.sends(FRAMES, step)
    assert newcomer.protocol.protocol == "framed"
    answers = newcomer.reads()
    assert b'"re":"1","ok":true' in answers
    assert b'"re":"2","ok":true' in answers


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("name", ["tom", "Ümit", "GET", "42", "5 x", "NICK", "\xff", "CAPtain"])
def test_a_person_is_heard_however_the_name_is_cut(name: str, step: int) -> None:
    house = House()
    newcomer = Newcomer(house)
    newcomer.sends(f"{name}\r\n/quit\r\n".encode(), step)
    told = newcomer.reads().decode()
    assert told.startswith("Welcome to chatd.\r\nChoose a username...\r\n")
    assert ("You are connected" in told) or ("Try " in told)
    assert told.endswith("*** Goodbye.\r\n")
    assert not newcomer.transport.connected


def test_silence_is_a_person_but_not_too_soon() -> None:
    newcomer = Newcomer(House())
    newcomer.waits(SILENCE - 0.01)
    assert newcomer.reads() == b""
    newcomer.waits(0.02)
    assert newcomer.reads() == b"Welcome to chatd.\r\nChoose a username...\r\n"
    newcomer.sends(b"tom\n")
    assert b"You are connected to the server!" in newcomer.reads()


def test_half_an_opening_and_then_silence_is_a_person_and_its_bytes_are_kept() -> None:
    newcomer = Newcomer(House())
    newcomer.sends(b"G")
    newcomer.waits(SILENCE / 2)
    newcomer.sends(b"E")
    newcomer.waits(SILENCE / 2 + 0.01)
    assert newcomer.reads() == b""  # each byte is waited for anew
    newcomer.waits(SILENCE)
    assert newcomer.reads().startswith(b"Welcome")
    newcomer.sends(b"orge\n")
    assert b"Your name is GEorge." in newcomer.reads()


def test_bytes_that_wait_unread_when_the_time_is_up_are_read_first() -> None:
    """In a storm of connections the timer runs out before the reactor has read: it reads once more."""
    newcomer = Newcomer(House())
    newcomer.protocol._stop_waiting()
    newcomer.protocol._time_is_up()  # the reactor's turn: timers first
    newcomer.protocol.dataReceived(FRAMES)  # and then it reads
    newcomer.house.settle()
    assert newcomer.protocol.protocol == "framed"


@pytest.mark.parametrize(
    ("opening", "answer"),
    [
        (b"\x16\x03\x01\x02\x00\x01", b"\x15\x03\x01"),
        (b"SSH-2.0-x\r\n", b"This is chatd"),
        (b"NICK tom\r\n", b"ERROR :This is chatd"),
        (b"5         hello", b"5         chatd"),
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_others_are_answered_in_their_own_dialect(opening: bytes, answer: bytes, step: int) -> None:
    """A27, and TLS, SSH and IRC."""
    newcomer = Newcomer(House())
    newcomer.sends(opening, step)
    assert newcomer.reads().startswith(answer)
    assert not newcomer.transport.connected


@pytest.mark.parametrize("length", [2**31, 2**32 - 2**25, 2**24 * 0x90, 2**24])
def test_a_length_that_no_frame_has_is_told_in_frames(length: int) -> None:
    newcomer = Newcomer(House())
    newcomer.sends(struct.pack("!I", length))
    assert b"FRAME_TOO_LARGE" in newcomer.reads()
    assert not newcomer.transport.connected


def test_an_end_before_a_beginning_is_a_close_and_leaves_nothing() -> None:
    """A3."""
    house = House()
    newcomer = Newcomer(house)
    newcomer.protocol.readConnectionLost()
    assert not newcomer.transport.connected
    other = Newcomer(house)
    other.protocol.connectionLost(Failure(ConnectionDone()))
    house.settle(10)
    assert other.reads() == newcomer.reads() == b""
    assert not house.hub.links


def test_who_says_a_little_and_no_more_is_a_person() -> None:
    """`printf NICK | nc -N`: not an IRC client yet, and never will be."""
    newcomer = Newcomer(House())
    newcomer.sends(b"NICK")
    newcomer.protocol.readConnectionLost()
    newcomer.house.settle(0.1)
    told = newcomer.reads()
    assert b"Your name is NICK." in told
    assert told.endswith(b"*** Goodbye.\r\n")
    assert not newcomer.transport.connected


class Odd(Protocol):
    """Not half-closeable; keeps what it is given."""

    def __init__(self) -> None:
        self.got = b""

    def dataReceived(self, data: bytes) -> None:
        self.got += data


def test_another_way_in_takes_the_place_of_a_stranger() -> None:
    newcomer = Newcomer(House())
    newcomer.factory.ways = {**newcomer.factory.ways, "irc": Factory.forProtocol(Odd)}
    newcomer.sends(b"CAP LS\r\n", 1)
    newcomer.sends(b"NICK tom\r\n")
    assert newcomer.protocol.got == b"CAP LS\r\nNICK tom\r\n"


def test_a_way_in_that_breaks_costs_one_connection_and_is_logged(logged_errors: Any) -> None:
    class Broken(Factory):
        def buildProtocol(self, addr: Any) -> Any:
            raise ZeroDivisionError

    house = House()
    newcomer = Newcomer(house)
    newcomer.factory.ways = {**newcomer.factory.ways, "line": Broken()}
    newcomer.waits(SILENCE + 0.1)
    assert not newcomer.transport.connected
    assert len(logged_errors.take(ZeroDivisionError)) == 1


def test_a_transport_that_wraps_its_protocol_is_given_another_too() -> None:
    class Wrapping(Transport):
        wrappedProtocol: Any = None

    transport, target = Wrapping(), Odd()
    detect.give(transport, target)
    assert transport.wrappedProtocol is target
