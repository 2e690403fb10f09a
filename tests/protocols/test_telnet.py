"""Telnet taken apart: tables of bytes, whole, one at a time, and however chance cuts them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.protocols.telnet import SUBNEGOTIATION_BYTES, Answer, Piece, Signal, TelnetDecoder

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
TM, ECHO, SGA, TTYPE, NAWS = 6, 1, 3, 24, 31


def telnet(*codes: int) -> bytes:
    return bytes((IAC, *codes))


def answer(*codes: int) -> Answer:
    return Answer(telnet(*codes))


TABLE: list[tuple[bytes, list[Piece]]] = [
    (b"", []),
    (b"hello\r\n", [b"hello\r\n"]),
    ("Zoë 🎉".encode(), ["Zoë 🎉".encode()]),
    (b"a" + telnet(IAC) + b"b", [b"a\xffb"]),
    (b"a" + telnet(241) + b"b", [b"ab"]),  # NOP
    (telnet(242), []),  # the data mark
    (telnet(249) + telnet(239) + b"x", [b"x"]),  # go ahead; and one that means nothing
    (telnet(244), [Signal.INTERRUPT]),
    (telnet(243), [Signal.INTERRUPT]),  # break
    (telnet(238), [Signal.INTERRUPT]),  # abort
    (telnet(246), [Signal.ARE_YOU_THERE]),
    (b"ab" + telnet(247) + b"c", [b"ab", Signal.ERASE_CHARACTER, b"c"]),
    (b"ab" + telnet(248) + b"c", [b"ab", Signal.ERASE_LINE, b"c"]),
    (telnet(236), [Signal.END_OF_FILE]),
    (telnet(DO, ECHO), [answer(WONT, ECHO)]),
    (telnet(DO, SGA) + telnet(WILL, SGA), [answer(WONT, SGA), answer(DONT, SGA)]),
    (telnet(WILL, NAWS) + telnet(WILL, TTYPE), [answer(DONT, NAWS), answer(DONT, TTYPE)]),
    (telnet(WONT, ECHO) + telnet(DONT, ECHO), []),  # agrees with how things are: never answered
    (telnet(DO, 255), [answer(WONT, 255)]),  # the option 255 is no command
    (telnet(244) + telnet(DO, TM), [Signal.INTERRUPT, answer(WILL, TM), Signal.MARK]),
    (telnet(DO, TM) + telnet(DO, TM), [answer(WILL, TM), Signal.MARK, answer(WILL, TM), Signal.MARK]),
    (telnet(WILL, TM), [answer(DONT, TM)]),
    (b"a" + telnet(SB, TTYPE, 0) + b"xterm\r\n" + telnet(SE) + b"b", [b"ab"]),
    (telnet(SB, NAWS, 0, 80, IAC, IAC, 0) + telnet(SE) + b"b", [b"b"]),  # 255 columns
    (telnet(SB, NAWS, 1) + telnet(244) + b"b", [Signal.INTERRUPT, b"b"]),  # cut short by another command
    (telnet(SB) + telnet(SE) + b"b", [b"b"]),
]


def together(pieces: list[Piece]) -> list[Piece]:
    """Text in one piece, whatever the pieces it came in."""
    found: list[Piece] = []
    for piece in pieces:
        if found and type(piece) is bytes and type(found[-1]) is bytes:
            found[-1] += piece
        else:
            found.append(piece)
    return found


@pytest.mark.parametrize(("sent", "heard"), TABLE)
def test_what_a_peer_sends_is_taken_apart(sent: bytes, heard: list[Piece]) -> None:
    assert together(TelnetDecoder().feed(sent)) == heard


@pytest.mark.parametrize(("sent", "heard"), TABLE)
def test_and_so_it_is_one_byte_at_a_time(sent: bytes, heard: list[Piece]) -> None:
    decoder = TelnetDecoder()
    assert together([piece for byte in sent for piece in decoder.feed(bytes((byte,)))]) == heard


@given(st.lists(st.sampled_from([sent for sent, _ in TABLE])), st.data())
def test_where_it_is_cut_makes_no_difference(sent: list[bytes], chance: st.DataObject) -> None:
    whole = b"".join(sent)
    cuts = sorted(chance.draw(st.sets(st.integers(0, len(whole)))) | {0, len(whole)})
    decoder = TelnetDecoder()
    parts = [piece for one, other in pairwise(cuts) for piece in decoder.feed(whole[one:other])]
    assert together(parts) == together(TelnetDecoder().feed(whole))


@given(st.binary())
def test_whatever_comes_nothing_is_offered_and_nothing_of_telnet_is_left_in_the_text(sent: bytes) -> None:
    for piece in TelnetDecoder().feed(sent):
        if type(piece) is Answer:
            assert piece.blob[:2] in (telnet(WONT), telnet(DONT)) or piece.blob == telnet(WILL, TM)
            assert len(piece.blob) == 3
        elif type(piece) is bytes:
            assert len(piece) <= len(sent)


@given(st.lists(st.tuples(st.sampled_from((DO, DONT, WILL, WONT)), st.integers(0, 255))))
def test_two_sides_that_refuse_everything_come_to_rest(offers: list[tuple[int, int]]) -> None:
    """RFC 1143: an answer is never answered, so there is no loop."""
    first = TelnetDecoder().feed(b"".join(telnet(*offer) for offer in offers if offer != (DO, TM)))
    echoed = TelnetDecoder().feed(b"".join(piece.blob for piece in first if type(piece) is Answer))
    assert echoed == []


def test_a_subnegotiation_without_end_does_not_swallow_what_is_said() -> None:
    decoder = TelnetDecoder()
    decoder.feed(telnet(SB, TTYPE))
    assert decoder.feed(b"x" * (SUBNEGOTIATION_BYTES - 1)) == []
    assert decoder.feed(b"hello\n") == [b"hello\n"]
