"""Lines out of text that comes in pieces: ended by LF, CR LF, CR NUL or CR alone, and never longer than allowed.

A line over the limit is told as soon as it is over, and then passed by until its end: at no time is more than the
limit kept. This file knows bytes only; whether they are UTF-8 and what they say is for others.
"""

from __future__ import annotations

from enum import Enum, auto


class Mark(Enum):
    """What can stand among the lines."""

    TOO_LONG = auto()  # a line is over the limit, and what it says is lost
    END = auto()  # Ctrl-D on an empty line: the person wants to leave


CTRL_D = b"\x04"


class LineReader:
    """Puts lines together. `limit` is the longest line in bytes, its end not counted."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._line = bytearray()
        self._too_long = False
        self._after_cr = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a line has come yet."""
        return not self._line and not self._too_long

    def feed(self, blob: bytes) -> list[bytes | Mark]:
        """The lines that end in these bytes, without their ends."""
        if not blob:
            return []
        if self._after_cr:
            self._after_cr = False
            if blob[:1] in (b"\n", b"\0"):
                blob = blob[1:]
        if b"\r" in blob:
            self._after_cr = blob.endswith(b"\r")
            blob = blob.replace(b"\r\n", b"\n").replace(b"\r\0", b"\n").replace(b"\r", b"\n")
        found: list[bytes | Mark] = []
        *ended, rest = blob.split(b"\n")
        for part in ended:
            self._add(part, found)
            self._end(found)
        if rest:
            self._add(rest, found)
            if self._line == CTRL_D:
                self._line.clear()
                found.append(Mark.END)
        return found

    def finish(self) -> list[bytes | Mark]:
        """The last line, if it had no end, once nothing more can come."""
        found: list[bytes | Mark] = []
        if self._line:
            self._end(found)
        self.erase_line()
        return found

    def erase_character(self) -> None:
        """Take back the last character of the line that is being typed."""
        line = self._line
        while line and line[-1] & 0xC0 == 0x80:  # the later bytes of a character in UTF-8
            line.pop()
        if line:
            line.pop()

    def erase_line(self) -> None:
        """Forget the line that is being typed."""
        self._line.clear()
        self._too_long = False

    def _add(self, part: bytes, found: list[bytes | Mark]) -> None:
        if self._too_long:
            return
        if len(self._line) + len(part) > self.limit:
            self._line.clear()
            self._too_long = True
            found.append(Mark.TOO_LONG)
        else:
            self._line += part

    def _end(self, found: list[bytes | Mark]) -> None:
        line = bytes(self._line)
        if not self._too_long:
            found.append(Mark.END if line == CTRL_D else line)
        self.erase_line()
