"""Connections over real sockets: what has arrived before the last word is answered before it."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import suppress
from typing import Any

import pytest_twisted
from support.crowd import frame, greeting
from support.house import House
from twisted.internet import reactor, task
from twisted.internet.endpoints import TCP4ServerEndpoint

from chatd.core.views import Closing

BYE = Closing(code="SHUTTING_DOWN", reason="the server is stopping")


def objects(data: bytes) -> list[dict[str, Any]]:
    found = []
    while data:
        size = struct.unpack("!I", data[:4])[0]
        found.append(json.loads(data[4 : 4 + size]))
        data = data[4 + size :]
    return found


@pytest_twisted.ensureDeferred
async def test_what_has_arrived_is_refused_before_the_last_word() -> None:
    """A52: the loop has not come to read it yet; it is answered all the same, before `closing`."""
    house = House()
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(house.framed)
    with socket.create_connection(("127.0.0.1", port.getHost().port)) as tom:
        tom.sendall(greeting("tom", "#lobby"))
        while not any(link.session and link.session.rooms for link in house.hub.links.values()):
            await task.deferLater(reactor, 0.01)
            house.settle()
        [link] = house.hub.links.values()
        house.hub.stopping = True
        tom.sendall(frame({"type": "send", "id": "late", "room": "#lobby", "body": "x"}))
        link.connection.hear_out()
        link.connection.finish(BYE)
        tom.setblocking(False)
        heard = b""
        while b"closing" not in heard:
            await task.deferLater(reactor, 0.01)
            with suppress(BlockingIOError):
                heard += tom.recv(65536)
        *_, answer, last = objects(heard)
        assert (answer["re"], answer["error"]["code"]) == ("late", "SHUTTING_DOWN")
        assert last["type"] == "closing"
    while house.hub.links:
        await task.deferLater(reactor, 0.01)
    house.settle(10)
    await port.stopListening()


def test_a_close_that_is_over_keeps_nothing_waiting() -> None:
    house = House()
    before = len(house.clock.getDelayedCalls())
    tom = house.come("tom", "#lobby")
    assert tom.ask("quit")["ok"]
    tom.leave()
    assert len(house.clock.getDelayedCalls()) == before
