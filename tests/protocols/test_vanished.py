"""Peers whose machine is gone while something is on its way to them: what the kernel's notes say."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any

import pytest
from support.house import House
from support.person import Person
from twisted.internet.task import Clock

from chatd.protocols.vanished import NOTES, TCP_INFO, TCP_RTO_MAX_MS, Watch, ask_often, is_vanished, notes_of

needs_linux = pytest.mark.skipif(TCP_INFO is None, reason="the kernel tells this on Linux only")


def notes(sent_again: int = 0, asked: int = 0, silent: float = 0.0) -> bytes:
    return struct.pack("=BBBB4x12x32x4xI", 1, 0, sent_again, asked, int(silent * 1000))


@pytest.mark.parametrize(
    ("found", "gone"),
    [
        (notes(sent_again=5, silent=61), True),
        (notes(asked=5, silent=61), True),  # it read nothing, and then it was gone
        (notes(sent_again=5, silent=59), False),  # perhaps the cable comes back
        (notes(silent=1000), False),  # nothing was said
        (notes(asked=1, silent=70), False),  # it does not read, but it is there
        (notes(silent=119), False),  # it has not read for an hour, and is asked every two minutes
        (notes(asked=1, silent=126), True),  # it has not, and now it does not answer either
        (b"", False),  # no TCP
    ],
)
def test_who_answers_nothing_for_long_though_asked_is_gone(found: bytes, gone: bool) -> None:
    """A44."""
    assert is_vanished(found, 60.0) is gone


def test_a_kernel_that_asks_often_need_not_be_waited_for() -> None:
    assert is_vanished(notes(asked=1, silent=61), 60.0, 60.0)
    assert not is_vanished(notes(asked=1, silent=59), 60.0, 60.0)
    assert not is_vanished(notes(silent=61), 60.0, 60.0)


class Connection:
    """As much of a connection as is looked at."""

    def __init__(self, found: bytes) -> None:
        self.transport = self
        self.found = found
        self.is_gone = False

    def getHandle(self) -> Connection:
        return self

    def setsockopt(self, level: int, option: int, value: int) -> None:
        raise OSError("an older kernel")

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option, size) == (socket.IPPROTO_TCP, TCP_INFO, NOTES.size)
        return self.found

    def vanished(self) -> None:
        self.is_gone = True


@needs_linux
def test_a_watch_looks_for_as_long_as_there_is_anybody() -> None:
    clock = Clock()
    watch = Watch(clock, dead_seconds=90)
    assert not clock.getDelayedCalls()
    here, gone = Connection(notes()), Connection(notes())
    watch.add(here)
    watch.add(gone)
    clock.advance(15)
    assert not gone.is_gone
    gone.found = notes(sent_again=6, silent=60)
    clock.advance(15)
    assert (here.is_gone, gone.is_gone) == (False, True)
    watch.remove(gone)
    assert len(clock.getDelayedCalls()) == 1
    watch.remove(here)
    watch.remove(here)
    assert not clock.getDelayedCalls()


@needs_linux
def test_the_kernel_notes_stand_where_we_look_for_them() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening, socket.create_connection(listening.getsockname()) as peer, listening.accept()[0] as ours:
        ours.sendall(b"x")
        assert peer.recv(1) == b"x"

        class Transport:
            def getHandle(self) -> Any:
                return ours

        with contextlib.suppress(OSError):  # a kernel before 6.15
            ours.getsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS)
            ask_often(Transport(), 11.25)
            assert 11_250 <= ours.getsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS) < 11_300
        found = notes_of(Transport())
        assert len(found) == NOTES.size
        sent_again, asked, silent_ms = NOTES.unpack(found)
        assert (sent_again, asked) == (0, 0)
        assert silent_ms < 10_000


def test_somebody_who_vanished_leaves_once_with_the_reason() -> None:
    """A44: a pulled cable is one leave, and the connection is given up."""
    house = House()
    tom, jerry = Person(house, "tom"), Person(house, "jerry")
    tom.reads()
    jerry.protocol.vanished()
    house.settle()
    assert not jerry.is_open
    assert tom.hears() == ["*** jerry left #lobby (timed out)"]
    jerry.protocol.vanished()
    assert tom.hears() == []


@needs_linux
def test_people_are_watched_until_they_are_gone() -> None:
    house = House()
    tom = Person(house, "tom")
    kernel = Connection(notes(asked=9, silent=99))
    tom.transport.getHandle = kernel.getHandle
    house.settle(15)
    assert not tom.is_open
