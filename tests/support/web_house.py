"""The web way in of a house in memory: requests as bytes, answers as what they say."""

from __future__ import annotations

import json

from support.house import House, Json, Transport
from support.web import request
from twisted.internet.address import IPv4Address

from chatd.protocols import http_paths
from chatd.settings import Settings


class Caller:
    """A connection of HTTP to a house."""

    def __init__(self, house: House, address: str = "127.0.0.1") -> None:
        self.house = house
        self.transport = Transport(peerAddress=IPv4Address("TCP", address, 50_000))
        house.site = house.site or http_paths.site(house.hub, Settings())
        self.transport.protocol = self.protocol = house.site.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.transport.protocol.dataReceived(data)
        self.house.settle()

    def heard(self) -> bytes:
        data: bytes = self.transport.value()
        self.transport.clear()
        return data

    def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], str]:
        """A request, and the answer to it."""
        length = {"Content_Length": str(len(body))} if method == "POST" else {}
        self.send(request(path, method, body, **length, **headers))
        head, _, text = self.heard().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        told = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(first.split()[1]), told, text.decode()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def events(data: bytes) -> list[tuple[str, str, Json]]:
    """Id, name and object of each event of a stream."""
    found = []
    for block in data.decode().split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.split("\n") if not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
    return found
