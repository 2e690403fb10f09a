"""Telnet as bytes: what comes in is taken apart into text, signals, and the answers that the peer is owed.

RFC 854 and 855, with options 857 (echo), 858 (go-ahead), 860 (timing mark) and the others treated alike: every
wish is refused, so the peer stays in its line mode and edits its lines itself. In the words of RFC 1143 every
option is in the state NO for ever: an offer is refused each time it is made, and a WONT or DONT, which agrees with
the state, is never answered. So no two sides can loop. One thing is offered, and only to a peer that has shown that it
speaks telnet, by a command or by ending a line with a carriage return: to echo, which means that its terminal does not
while a password is typed. Anybody else never sees a byte of telnet.

This file knows bytes only. What a line is, is for `lines`; what a signal means to a person, is for `line`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

IAC, DONT, DO, WONT, WILL, SB = 255, 254, 253, 252, 251, 250
EL, EC, AYT, AO, IP, BRK, DM, NOP, SE = 248, 247, 246, 245, 244, 243, 242, 241, 240
ABORT, SUSP, EOF = 238, 237, 236  # RFC 1184
TIMING_MARK = 6  # RFC 860
ECHO = 1  # RFC 857

# A subnegotiation longer than this is no longer believed: what follows is text again.
SUBNEGOTIATION_BYTES = 4096


class Signal(Enum):
    """What a peer can say besides text and options."""

    INTERRUPT = auto()  # Ctrl-C, break, abort
    ARE_YOU_THERE = auto()
    ERASE_CHARACTER = auto()
    ERASE_LINE = auto()
    END_OF_FILE = auto()
    MARK = auto()  # a timing mark was asked for: the peer discards what it gets until it sees the answer


class Answer(NamedTuple):
    """Bytes that the peer is owed, to be written at this place."""

    blob: bytes


Piece = bytes | Signal | Answer

SIGNALS = {
    IP: Signal.INTERRUPT,
    BRK: Signal.INTERRUPT,
    ABORT: Signal.INTERRUPT,
    AYT: Signal.ARE_YOU_THERE,
    EC: Signal.ERASE_CHARACTER,
    EL: Signal.ERASE_LINE,
    EOF: Signal.END_OF_FILE,
}

REFUSALS = {DO: WONT, WILL: DONT}


class _Place(Enum):
    """Where in the stream the next byte is."""

    TEXT = auto()
    COMMAND = auto()  # after IAC
    OPTION = auto()  # after IAC and DO, DONT, WILL or WONT
    SUBNEGOTIATION = auto()
    SUBNEGOTIATION_COMMAND = auto()  # after IAC inside one


class TelnetDecoder:
    """Takes telnet out of a stream of bytes, however it is cut."""

    def __init__(self) -> None:
        self._place = _Place.TEXT
        self._verb = 0
        self._subnegotiated = 0
        self._pieces: list[Piece] = []
        self._speaks = False  # telnet, as far as was heard
        self._hides = False  # our echo was offered

    def hide(self) -> bytes:
        """What makes the peer's terminal show nothing that is typed; nothing if the peer does not speak telnet."""
        self._hides = self._speaks
        return bytes((IAC, WILL, ECHO)) if self._hides else b""

    def reveal(self) -> bytes:
        """What makes the terminal show again what is typed, after the end of line that it did not show."""
        hidden, self._hides = self._hides, False
        return bytes((IAC, WONT, ECHO)) + b"\r\n" if hidden else b""

    def feed(self, blob: bytes) -> list[Piece]:
        """The text, signals and answers in the next bytes, in their order; adjoining text may be in several pieces."""
        self._speaks = self._speaks or IAC in blob or b"\r" in blob
        if self._place is _Place.TEXT and IAC not in blob:
            return [blob] if blob else []
        here = 0
        while here < len(blob):
            here = self._step(blob, here)
        pieces, self._pieces = self._pieces, []
        return pieces

    def _step(self, blob: bytes, here: int) -> int:
        """Deal with what begins here, and say where the next thing begins."""
        place = self._place
        if place is _Place.TEXT or place is _Place.SUBNEGOTIATION:
            command = blob.find(b"\xff", here)
            end = len(blob) if command < 0 else command
            if place is _Place.TEXT:
                self._text(blob[here:end])
            else:
                end = self._skip(here, end)
                if self._place is _Place.TEXT:
                    return end
            if command < 0:
                return end
            self._place = _Place.COMMAND if place is _Place.TEXT else _Place.SUBNEGOTIATION_COMMAND
            return command + 1
        byte = blob[here]
        if place is _Place.OPTION:
            self._place = _Place.TEXT
            self._negotiate(self._verb, byte)
        elif place is _Place.SUBNEGOTIATION_COMMAND and byte == IAC:
            self._place = _Place.SUBNEGOTIATION
        else:  # any other command ends a subnegotiation, as SE does
            self._command(byte)
        return here + 1

    def _text(self, blob: bytes) -> None:
        if blob:
            self._pieces.append(blob)

    def _skip(self, here: int, end: int) -> int:
        """Pass over a subnegotiation's bytes, up to the bound; gives where it stopped."""
        room = SUBNEGOTIATION_BYTES - self._subnegotiated
        if end - here > room:
            self._place = _Place.TEXT
            return here + room
        self._subnegotiated += end - here
        return end

    def _command(self, byte: int) -> None:
        self._place = _Place.TEXT
        if byte == IAC:
            self._pieces.append(b"\xff")
        elif byte == SB:
            self._place = _Place.SUBNEGOTIATION
            self._subnegotiated = 0
        elif WILL <= byte <= DONT:
            self._place = _Place.OPTION
            self._verb = byte
        elif byte in SIGNALS:
            self._pieces.append(SIGNALS[byte])

    def _negotiate(self, verb: int, option: int) -> None:
        if verb == DO and option == TIMING_MARK:
            self._pieces.append(Answer(bytes((IAC, WILL, TIMING_MARK))))
            self._pieces.append(Signal.MARK)
        elif verb == DO and option == ECHO and self._hides:
            return  # what was offered is wanted
        elif verb in REFUSALS:
            self._pieces.append(Answer(bytes((IAC, REFUSALS[verb], option))))
