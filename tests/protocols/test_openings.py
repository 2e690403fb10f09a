"""Whose the first bytes are: a table of openings, cut at every byte."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.protocols.openings import OPENINGS, otherwise, recognise

TLS = bytes.fromhex("16 03 01 02 00 01 00 01 fc 03 03")

TABLE = [
    (struct.pack("!I", 2) + b"{}", "framed"),
    (b"\x00", "framed"),
    (struct.pack("!I", 2**31) + b"x", "framed"),  # far too large: the framed way in says so
    (b"\x7f\xff\xff\xff", "framed"),
    (b"\x16\x99\x00\x00", "framed"),
    (b"\x01\x00\x00\x00", "framed"),
    (TLS, "tls"),
    (b"GET / HTTP/1.1\r\n", "http"),
    (b"POST /x HTTP/1.1\r\n", "http"),
    (b"HEAD / HTTP/1.0\r\n", "http"),
    (b"PRI * HTTP/2.0\r\n", "http"),
    (b"OPTIONS * HTTP/1.1\r\n", "http"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "ssh"),
    (b"CAP LS 302\r\n", "irc"),
    (b"NICK tom\r\n", "irc"),
    (b"PASS secret\r\n", "irc"),
    (b"USER tom 0 * :Tom\r\n", "irc"),
    (b"5         hello", "tutorial"),
    (b"123456789 hello", "tutorial"),
    (b"tom\n", "line"),
    (b"tom", "line"),
    (b"t", "line"),
    (b"\r\n", "line"),
    (b"\n", "line"),
    (b"GETTY\n", "line"),
    (b"get / http\n", "line"),
    (b"GET\n", "line"),
    (b"NICK\n", "line"),
    (b"Nick tom\n", "line"),
    (b"PATRICK\n", "line"),
    (b"SSHorty\n", "line"),
    (b"42\n", "line"),
    (b"1234567890\n", "line"),
    (b"5  apples, please\n", "line"),
    ("Ümit\n".encode(), "line"),
    ("你好\n".encode(), "line"),
    ("🎉\n".encode(), "line"),
    (b"\xff\xfb\x1f", "line"),  # PuTTY's telnet
    (b"\x04", "line"),
    (b"\x1b[A\n", "line"),
]


@pytest.mark.parametrize(("opening", "name"), TABLE)
def test_whose_an_opening_is(opening: bytes, name: str) -> None:
    assert recognise(opening) == name


@pytest.mark.parametrize(("opening", "name"), TABLE)
def test_cut_at_any_byte_it_is_never_taken_for_anything_else(opening: bytes, name: str) -> None:
    """One byte after the other: it stays open until it is clear, and then it is what the whole is."""
    for end in range(1, len(opening) + 1):
        found = recognise(opening[:end])
        if found is not None:
            assert found == name
            return
    pytest.fail("never recognised")


def test_nothing_is_nobodys() -> None:
    assert recognise(b"") is None


def test_a_beginning_is_waited_for_and_then_taken_for_a_person() -> None:
    for beginning in (b"G", b"GET", b"CAP", b"SSH", b"4", b"42  "):
        assert recognise(beginning) is None
        assert otherwise(beginning) == "line"
    assert recognise(b"\x16") is None
    assert otherwise(b"\x16") == "framed"
    assert otherwise(b"") == "line"


@given(st.binary(min_size=10))
def test_ten_bytes_are_always_enough(opening: bytes) -> None:
    assert recognise(opening) in {*OPENINGS, "line"}


@given(st.text(min_size=1).filter(lambda text: text[0].isalnum()))
def test_nobodys_name_is_taken_for_a_frame(name: str) -> None:
    assert recognise(name.encode() + b"\n" * 10) not in ("framed", "tls")
