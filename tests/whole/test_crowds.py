"""Many at once: nobody waits for the silent, nothing is lost in a large room, and memory stays small."""

from __future__ import annotations

import resource
import socket
import time
from typing import Any

import psutil
import pytest
from support.crowd import Crowd, LineWire, Wire, frame

MEBIBYTE = 1 << 20


def descriptors(count: int) -> None:
    """Allow this process, and what it starts, so many open sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    elif hard < count:
        pytest.skip(f"this machine allows {hard} open files, {count} are needed")


def memory_of(server: Any) -> float:
    """The server's resident memory in MiB."""
    return psutil.Process(server.pid).memory_info().rss / MEBIBYTE


def talk(server: Any, members: int, per_second: int, seconds: float) -> None:
    """A full room, and one who speaks at a steady rate; the crowd checks each number that it is shown."""
    descriptors(2 * members + 200)
    crowd = Crowd((server.host, server.port), "#lobby", members)
    try:
        crowd.run_until(lambda: crowd.joined == members, 60)
        count = int(per_second * seconds)
        with Wire((server.host, server.port)) as speaker:
            speaker.enter("speaker", "#lobby")
            start = time.monotonic()
            for n in range(count):
                speaker.send({"type": "send", "room": "#lobby", "body": f"message {n} " + "x" * 80})
                crowd.run(max(0.0, start + (n + 1) / per_second - time.monotonic()))
            crowd.run_until(lambda: min(crowd.heard) == count, 60)
        assert crowd.total == members * count
    finally:
        crowd.close()


@pytest.mark.timeout(120)
def test_a_large_room_loses_nothing(server: Any) -> None:
    """A50: 300 members, 50 messages a second: none lost, none twice, none out of order."""
    talk(server, 300, 50, 4)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_thousand_members_for_a_minute(server: Any) -> None:
    """A50: 1,000 members in one room, 50 messages a second for a minute; the log is free of tracebacks."""
    talk(server, 1000, 50, 60)


@pytest.mark.parametrize("members", [1, 2, 100])
def test_small_rooms_too(server: Any, members: int) -> None:
    """A50: one, two, a hundred."""
    talk(server, members, 50, 0.5)


def test_an_idle_server_is_small(server: Any) -> None:
    """Under 60 MiB."""
    with Wire((server.host, server.port)) as tom:
        tom.enter("tom", "#lobby")
        assert memory_of(server) < 60


@pytest.mark.timeout(180)
def test_five_thousand_idle_members_are_small(server: Any) -> None:
    """A60: 5,000 connections in under 250 MiB, and no thread for each. One more takes less than 3,000 bytes."""
    descriptors(10_500)
    before = memory_of(server)
    crowd = Crowd((server.host, server.port), "#lobby", 5000)
    try:
        crowd.run_until(lambda: crowd.joined == 5000, 90)
        assert memory_of(server) < 250
        assert (memory_of(server) - before) * MEBIBYTE < 5000 * 3_000
        assert psutil.Process(server.pid).num_threads() < 20
        with Wire((server.host, server.port)) as tom:
            tom.enter("tom", "#elsewhere")
            assert tom.ask("ping")["ok"]
    finally:
        crowd.close()


@pytest.mark.timeout(120)
def test_a_person_by_telnet_takes_little_more(server: Any) -> None:
    """Less than 6,300 bytes, with the word to come back with and how far one has read."""
    people: list[LineWire] = []
    before = 0.0
    try:
        for n in range(1500):
            if n == 100:
                before = memory_of(server)
            people.append(LineWire((server.host, server.port)))
            people[-1].enter(f"m{n}")
        assert (memory_of(server) - before) * MEBIBYTE < 1400 * 6_300
    finally:
        for one in people:
            one.socket.close()


@pytest.mark.alone
def test_the_silent_hold_nobody_up(server: Any) -> None:
    """A32: 50 connections that say nothing; the next one is in within a second."""
    silent = [socket.create_connection((server.host, server.port)) for _ in range(50)]
    start = time.monotonic()
    with Wire((server.host, server.port)) as tom:
        tom.enter("tom", "#lobby")
        assert time.monotonic() - start < 1
    for one in silent:
        one.close()


def test_two_hundred_come_at_the_same_time(server: Any) -> None:
    """A51: the backlog holds them all."""
    sockets = []
    for _ in range(200):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex((server.host, server.port))
        sockets.append(one)
    for n, one in enumerate(sockets):
        one.settimeout(10)
        one.sendall(frame({"type": "hello", "id": "h", "versions": [1]}))
        assert b'"re":"h","ok":true' in one.recv(65536), n
        one.close()


def test_thirty_from_one_address_within_a_minute(server: Any) -> None:
    """A28: a classroom behind one address is not held back."""
    wires = []
    for n in range(30):
        person = LineWire((server.host, server.port))
        person.enter(f"student{n}")
        wires.append(person)
    wires[0].say("hello class")
    for person in wires[1:]:
        person.until("<student0> hello class")
        person.socket.close()
    wires[0].socket.close()


def test_ten_of_a_hundred_break_off_in_the_middle(server: Any) -> None:
    """A45: the ninety others get every message."""
    wires = [Wire((server.host, server.port)) for _ in range(100)]
    for n, wire in enumerate(wires):
        wire.enter(f"m{n}", "#lobby")
    with Wire((server.host, server.port)) as tom:
        tom.enter("tom", "#lobby")
        for n in range(100):
            tom.send({"type": "send", "room": "#lobby", "body": str(n)})
            if n == 50:
                for wire in wires[:10]:
                    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                    wire.socket.close()
        for wire in wires[10:]:
            assert [wire.until("message")["body"] for _ in range(100)] == [str(n) for n in range(100)]
            wire.socket.close()


@pytest.mark.alone
@pytest.mark.timeout(90)
def test_a_reader_who_stops_holds_nobody_up(server: Any) -> None:
    """A46: 10 MB to a room with somebody who does not read; the others do not wait, the server does not grow.

    The reader comes back to all of it, in order. Hundreds of them, and the bound for each: test_slow.
    """
    with (
        Wire((server.host, server.port)) as stuck,
        Wire((server.host, server.port)) as tom,
        Wire((server.host, server.port)) as jerry,
    ):
        stuck.enter("stuck", "#lobby")
        jerry.enter("jerry", "#lobby")
        tom.enter("tom", "#lobby")
        before = memory_of(server)
        waits = []
        for n in range(1400):
            start = time.monotonic()
            tom.send({"type": "send", "room": "#lobby", "body": f"{n} " + "x" * 7500})
            jerry.until("message")
            waits.append(time.monotonic() - start)
        assert sorted(waits)[int(len(waits) * 0.99)] < 0.1
        assert memory_of(server) - before < 16
        bodies = [stuck.until("message")["body"].split()[0] for _ in range(1400)]
        assert bodies == [str(n) for n in range(1400)]
