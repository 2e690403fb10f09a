"""The lines of one person, and when each of them is taken. The half of the line way in that is about waiting.

A message is passed on behind the others; a command waits until what was typed before it has been answered, and what
follows it waits for its answer, because the answer may change what the next line means. So many are taken in a turn,
then the others have theirs; and while any wait, nothing more is read. What a line means is not known here.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from chatd.protocols.connection import REQUESTS_A_TURN
from chatd.protocols.lines import Mark

if TYPE_CHECKING:
    from chatd.hub import Hub, Link

LOOK_SECONDS = 0.02
LOOKS = 100  # as long one who said everything at once is still shown what was said before, if nothing more of it comes


class Stage(Enum):
    """How far the person has come."""

    NAMING = auto()  # the next line is a name
    ENTERING = auto()  # the name is being looked at, nothing further is taken
    TALKING = auto()
    LEAVING = auto()  # what comes now is not heard


class LineQueue:
    """A mixin before a connection. It calls `_take` for each line, in order and not too soon."""

    hub: Hub
    link: Link | None
    transport: Any
    closing: bool
    ended: bool
    stage: Stage
    _lines: list[bytes | Mark]  # the next one last: a list is 700 bytes smaller than a deque, and is taken from there
    _open = 0  # commands that are not answered yet
    _alone = False  # one of them is such that the next line has to wait for its answer
    _stopped = False  # the hub has enough under way, or the peer does not read
    _paused = False  # the transport reads nothing
    _patience = LOOKS
    _taking = False
    _due = False

    def _take(self, item: bytes | Mark) -> None:
        raise NotImplementedError

    def _put(self, lines: list[bytes | Mark]) -> None:
        """Let these wait behind the others."""
        self._lines[:0] = lines[::-1]

    def _take_lines(self) -> None:
        """Take as many lines as can be taken now."""
        if self._taking:
            return
        self._taking = True
        most = len(self._lines) if self.hub.stopping else REQUESTS_A_TURN
        try:
            while self._lines and self._is_ready(self._lines[-1]):
                if not most:  # the others have their turn
                    self._take_later()
                    break
                most -= 1
                self._take(self._lines.pop())
        finally:
            self._taking = False
            self._regulate()

    def _is_ready(self, line: bytes | Mark) -> bool:
        """Whether this line can be taken, or has to wait."""
        if self.stage is Stage.ENTERING or self._stopped or self.closing:
            return False
        if self._open and (self._alone or (type(line) is bytes and line[:1] == b"/")):
            return False
        if line is Mark.END and self.ended and self._is_being_shown():
            self._take_later(LOOK_SECONDS)
            return False
        return True

    def _is_being_shown(self) -> bool:
        """Whether a room's last messages are still on their way, to somebody who waits only for them."""
        self._patience -= 1
        return self._patience > 0 and self.link is not None and bool(self.link.feeds)

    def _take_later(self, seconds: float = 0) -> None:
        """Go on when the hub has done what it is doing: it must not be called from within."""
        if not self._due:
            self._due = True
            self.hub.reactor.callLater(seconds, self._take_now)

    def _take_now(self) -> None:
        self._due = False
        self._take_lines()

    def _regulate(self) -> None:
        """Read nothing more while lines are waiting, so that no more is kept than one read brought."""
        wanted = not self.closing and (self._stopped or bool(self._lines))
        if wanted is not self._paused and not self.ended:
            self._paused = wanted
            if wanted:
                self.transport.pauseProducing()
            else:
                self.transport.resumeProducing()
