"""What tests of keeping order share: people with accounts, an operator of the server, and a room with its owner."""

from __future__ import annotations

from typing import Any

from support.house import House, Json, Peer

from chatd.core.charge import SERVER_ID, SERVER_ROOM
from chatd.core.events import Moderated, RoomMade

SECRET = "correct horse battery"


def code(reply: Json) -> str:
    assert not reply["ok"], reply
    return str(reply["error"]["code"])


def member(peer: Peer, name: str) -> Json:
    """What a room's list says of somebody."""
    [item] = [one for one in peer.ask("list", what="members", room="#den")["items"] if one["nick"] == name]
    return item


def account(house: House, name: str, *rooms: str, **more: Any) -> Peer:
    return house.come(name, *rooms, mechanism="register", password=SECRET, **more)


def operator(house: House, name: str = "root_op", *rooms: str) -> Peer:
    """Somebody who may do everything, everywhere."""
    peer = account(house, name, *rooms)
    user = house.hub.state.accounts.called(name)
    assert user is not None
    made = RoomMade(SERVER_ID, SERVER_ROOM)
    role = Moderated(SERVER_ID, "", "operator", "role", name, user.id, user.id, role="operator")
    house.hub.propose((made, role), None)
    house.settle()
    return peer


def three(house: House) -> tuple[Peer, Peer, Peer]:
    """The owner of #den, and two others who are in it."""
    owner = house.come("alice", "#den")
    tom, jerry = house.come("tom", "#den"), house.come("jerry", "#den")
    for one in (owner, tom, jerry):
        one.listen()
    return owner, tom, jerry
