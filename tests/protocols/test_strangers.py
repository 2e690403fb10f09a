"""Peers that speak what this server does not: each is told so in its own dialect."""

from __future__ import annotations

import struct

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from chatd.protocols.openings import recognise
from chatd.protocols.strangers import DIALECTS, LISTEN_SECONDS, Stranger, factories


class Transport(StringTransport):
    """Remembers that our side was closed."""

    half_closed = False
    aborted = False

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True


def meet(name: str) -> tuple[Clock, Stranger, Transport]:
    clock, transport = Clock(), Transport()
    stranger = factories(clock)[name].buildProtocol(None)
    stranger.makeConnection(transport)
    return clock, stranger, transport


def ask(name: str, request: bytes) -> bytes:
    """The answer to a request, which comes in one piece, and then our side is closed."""
    _, stranger, transport = meet(name)
    stranger.dataReceived(request)
    assert transport.half_closed
    answer: bytes = transport.value()
    return answer


def test_tls_gets_an_alert_record() -> None:
    kind, version, length, level, what = struct.unpack("!BHHBB", ask("tls", b"\x16\x03\x01"))
    assert (kind, version, length) == (21, 0x0301, 2)
    assert (level, what) == (2, 40)  # fatal, handshake_failure


def test_ssh_gets_a_line_an_identification_and_a_disconnect() -> None:
    answer = ask("ssh", b"SSH-2.0-OpenSSH_9.2\r\n")
    text, identification, packet = answer.split(b"\r\n", 2)
    assert not text.startswith(b"SSH-")  # RFC 4253 section 4.2
    assert identification == b"SSH-2.0-chatd"
    length, padding, message, reason, size = struct.unpack("!LBBLL", packet[:14])
    assert len(packet) == 4 + length
    assert len(packet) % 8 == 0
    assert padding >= 4
    assert (message, reason) == (1, 7)  # SSH_MSG_DISCONNECT, service not available
    assert packet[14 : 14 + size] == text
    assert length == 1 + 1 + 4 + 4 + size + 4 + padding


@pytest.mark.parametrize("extra", range(8))
def test_the_disconnect_is_padded_whatever_its_length(extra: int) -> None:
    from chatd.protocols.strangers import ssh_disconnect

    packet = ssh_disconnect(b"x" * extra)
    length, padding = struct.unpack("!LB", packet[:5])
    assert len(packet) == 4 + length
    assert len(packet) % 8 == 0
    assert 4 <= padding < 12


def test_irc_gets_an_error_line() -> None:
    answer = ask("irc", b"CAP LS 302\r\nNICK tom\r\n")
    assert answer.startswith(b"ERROR :")
    assert answer.endswith(b"\r\n")
    assert answer.count(b"\n") == 1
    assert len(answer) <= 512


def test_the_tutorials_client_gets_a_message_that_it_prints() -> None:
    """A27: its own framing, a name and a text, each behind ten characters of length."""
    answer = ask("tutorial", b"3         tom").decode()
    parts = []
    while answer:
        length = int(answer[:10])
        parts.append(answer[10 : 10 + length])
        answer = answer[10 + length :]
    name, text = parts
    assert name == "chatd"
    assert "another protocol" in text


@pytest.mark.parametrize("name", DIALECTS)
def test_who_says_no_more_is_answered_all_the_same(name: str) -> None:
    clock, stranger, transport = meet(name)
    clock.advance(LISTEN_SECONDS)
    assert transport.value() != b""
    assert transport.half_closed
    assert not transport.aborted
    clock.advance(LISTEN_SECONDS)
    assert transport.aborted
    stranger.connectionLost()
    assert not clock.getDelayedCalls()


@pytest.mark.parametrize("name", DIALECTS)
def test_who_closes_is_answered_and_let_go_at_once(name: str) -> None:
    clock, stranger, transport = meet(name)
    stranger.readConnectionLost()
    assert transport.value() != b""
    assert transport.disconnecting
    stranger.connectionLost()
    assert not clock.getDelayedCalls()


def test_every_dialect_can_be_told_by_its_opening() -> None:
    openings = {
        "tls": b"\x16\x03",
        "ssh": b"SSH-",
        "irc": b"NICK x",
        "tutorial": b"1         x",
    }
    assert {name: recognise(opening) for name, opening in openings.items()} == {name: name for name in DIALECTS}
