"""What people write as an address, and what is told to them when it is none."""

from __future__ import annotations

import pytest

from chatd.client.address import Address, Places, parse
from chatd.client.errors import BadAddress
from chatd.core.defaults import DEFAULT_PORT


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", Address("localhost", 1234)),
        ("localhost", Address("localhost", 1234)),
        ("localhost:4321", Address("localhost", 4321)),
        (":4321", Address("localhost", 4321)),
        (" chat.example.org:99 ", Address("chat.example.org", 99)),
        ("127.0.0.1:1", Address("127.0.0.1", 1)),
        ("[::1]:4321", Address("::1", 4321)),
        ("[::1]", Address("::1", 1234)),
        ("::1", Address("::1", 1234)),
        ("fe80::1%eth0", Address("fe80::1%eth0", 1234)),
        ("chatd://chat.example.org", Address("chat.example.org", 1234)),
        ("chatd://[::1]:7/", Address("::1", 7)),
        ("bücher.example", Address("xn--bcher-kva.example", 1234)),
        ("unix:/run/chatd.sock", Address(path="/run/chatd.sock")),
    ],
)
def test_what_is_written_is_understood(written: str, meant: Address) -> None:
    """A16: the port that is not said is the server's own default."""
    assert parse(written) == meant
    assert DEFAULT_PORT == 1234


@pytest.mark.parametrize("address", ["localhost:1234", "[::1]:7", "127.0.0.1:80", "unix:/a/b"])
def test_an_address_is_written_as_it_is_read(address: str) -> None:
    assert str(parse(address)) == address


@pytest.mark.parametrize(
    "written",
    [
        "123.456.789.123",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1:80",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:port",
        "localhost:٣",
        "[::1",
        "[::1]x",
        "[::g]:1",
        "::1::2",
        "http://localhost:1234",
        "two words",
        "a..b",
        "-a.example",
        "a\nb",
        "unix:",
        "x" * 301,
        "x" * 64,
    ],
)
def test_what_is_no_address_is_told_before_any_network(written: str) -> None:
    """A18: 123.456.789.123 is not a valid address."""
    with pytest.raises(BadAddress, match=r"not a valid address|too long"):
        parse(written)


def test_of_several_addresses_the_next_is_tried_each_time() -> None:
    places = Places("a:1, b:2,c")
    tried = []
    for _ in range(5):
        places.turn("")
        tried.append(str(places.now))
    assert tried == ["a:1", "b:2", "c:1234", "a:1", "b:2"]
    assert str(places) == "a:1,b:2,c:1234"


def test_where_the_server_says_to_go_is_tried_once() -> None:
    places = Places("a:1,b:2")
    places.turn("")
    places.turn("elsewhere:3")
    assert str(places.now) == "elsewhere:3"
    places.turn("")
    assert str(places.now) == "b:2"
    places.turn("not an address")
    assert str(places.now) == "a:1"


@pytest.mark.parametrize("written", ["a:1,", "a,b:0", "a" * 5000])
def test_one_wrong_address_among_several_is_told(written: str) -> None:
    with pytest.raises(BadAddress):
        Places(written)
