"""Whether a server keeps its promises while it is loaded: every message once, in one order, each ok with its number.

Pure: it is told what was said, answered and shown, with the moments, and knows no sockets. Messages are counted from
0 in the order in which they fall due; a member is known by its number. Numbers (`seq`) are the server's.
"""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TypeGuard

from msgspec import Struct

# More numbers than messages were said can only come from somebody else in the room, or be wrong.
STRANGERS = 1000
SHARP = 5  # each power of two of microseconds has 2**SHARP steps, so a time is known to 3 %

FAULTS = {
    "lost": "what was in the room was not shown to a member",
    "twice": "a member was shown a number a second time",
    "disordered": "a member was shown a number after a later one",
    "holes": "a member was shown a number, and one before it never came",
    "gaps": "the server announced that it will not show something that was just said",
    "unanswered": "a message got neither an ok nor a refusal",
    "answered_twice": "a message was answered a second time",
    "unnumbered": "an ok, or a message, came without its number",
    "renumbered": "one message was told under two numbers",
}


class Times:
    """How long things took, in steps fine enough for a quantile; in seconds."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        micros = max(1, int(seconds * 1e6))
        shift = max(0, micros.bit_length() - SHARP - 1)
        self._counts[(micros >> shift) << shift] += 1
        self.count += 1
        self.longest = max(self.longest, seconds)

    def quantile(self, part: float) -> float:
        """So long, or less, took this part of them; 0 if there were none."""
        wanted, passed = part * self.count, 0
        for micros in sorted(self._counts):
            passed += self._counts[micros]
            if passed >= wanted:
                return min(micros / 1e6, self.longest)
        return 0.0


class Member:
    """How far a member knows the room: the last number, those before it that are missing, how many it was shown.

    One's own numbers come with the ok, which has no place among what others say; `latest` is the last of theirs.
    """

    __slots__ = ("last", "latest", "missing", "shown")

    def __init__(self, last: int) -> None:
        self.last, self.latest = last, 0
        self.missing: set[int] = set()
        self.shown = 0


class Account(Struct, frozen=True, kw_only=True):
    """What came of it all. `faults` has each of `FAULTS` that happened, and how often."""

    said: int
    kept: int
    shown: int
    refused: dict[str, int]
    faults: dict[str, int]


class Verdict:
    """The book that is kept while the load runs."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.to_show, self.to_answer = Times(), Times()
        self.faults: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._due = array("d")
        self._speaker = array("L")
        self._seq = array("Q")  # 0: not known yet
        self._is_answered = bytearray()

    @property
    def said(self) -> int:
        """How many messages were said."""
        return len(self._due)

    @property
    def is_settled(self) -> bool:
        """Every message is answered, and everyone has been shown all that is in the room."""
        top = max((one.last for one in self.members), default=0)
        is_answered = not self._is_answered.count(0)
        return is_answered and all(one.last == top and not one.missing for one in self.members)

    def enter(self, last_seq: int) -> int:
        """Somebody has joined, when this was the room's last number; the member's own number."""
        self.members.append(Member(last_seq))
        return len(self.members) - 1

    def say(self, speaker: int, due: float) -> int:
        """A message fell due at this moment; its number among those said."""
        self._due.append(due)
        self._speaker.append(speaker)
        self._seq.append(0)
        self._is_answered.append(0)
        return len(self._due) - 1

    def answer(self, message: int, seq: object, now: float) -> None:
        """The server has said ok, and with which number."""
        if not self._answered(message):
            return
        self.to_answer.add(now - self._due[message])
        if not self._is_number(seq):
            return
        self._number(message, seq)
        self._reach(self.members[self._speaker[message]], seq)

    def refuse(self, message: int, code: str) -> None:
        """The server has refused it; that breaks no promise."""
        if self._answered(message):
            self.refused[code] += 1

    def show(self, number: int, message: int | None, seq: object, now: float) -> None:
        """A member was shown a message; None for one that is not ours."""
        member = self.members[number]
        if not self._is_number(seq) or not self._reach(member, seq):
            return
        self.faults["disordered"] += seq < member.latest
        member.latest = max(member.latest, seq)
        if message is not None and 0 <= message < self.said:
            member.shown += 1
            self._number(message, seq)
            self.to_show.add(now - self._due[message])

    def announce_gap(self, number: int, last: int) -> None:
        """A member was told that what comes up to this number will not be shown."""
        self.faults["gaps"] += 1
        member = self.members[number]
        if self._is_near(member, last):
            member.last = max(member.last, last)

    def close(self) -> Account:
        """The end: what has not come by now is missing."""
        top = max((one.last for one in self.members), default=0)
        known = len(self._seq) - self._seq.count(0)
        # Nobody is shown what they said themselves, and without a good answer they do not know its number either.
        speakers = {seq: speaker for seq, speaker in zip(self._seq, self._speaker, strict=True) if seq}
        spoke = Counter(speakers.values())
        for number, member in enumerate(self.members):
            self.faults["lost"] += max(0, known - spoke[number] - member.shown)
            missing = member.missing.union(range(member.last + 1, top + 1))
            self.faults["holes"] += sum(speakers.get(seq) != number for seq in missing)
        self.faults["unanswered"] += self._is_answered.count(0)
        return Account(
            said=self.said,
            kept=known,
            shown=sum(one.shown for one in self.members),
            refused=dict(self.refused),
            faults={name: self.faults[name] for name in FAULTS if self.faults[name]},
        )

    # -- inside -----------------------------------------------------------------------------------------------

    def _answered(self, message: int) -> bool:
        """Whether this is the first answer to something that was said."""
        if not 0 <= message < self.said or self._is_answered[message]:
            self.faults["answered_twice"] += 1
            return False
        self._is_answered[message] = 1
        return True

    def _is_number(self, seq: object) -> TypeGuard[int]:
        if isinstance(seq, int) and not isinstance(seq, bool) and 0 < seq <= 2**53:
            return True
        self.faults["unnumbered"] += 1
        return False

    def _number(self, message: int, seq: int) -> None:
        """A message has one number, whoever is told it."""
        if not self._seq[message]:
            self._seq[message] = seq
        elif self._seq[message] != seq:
            self.faults["renumbered"] += 1

    def _is_near(self, member: Member, seq: int) -> bool:
        """Whether the room can have come so far: what is far beyond must not fill our memory."""
        return seq - member.last <= self.said + STRANGERS

    def _reach(self, member: Member, seq: int) -> bool:
        """Take note that a member knows of this number; whether it is new to it."""
        if not self._is_near(member, seq):
            self.faults["holes"] += 1
            return True
        if seq > member.last:
            member.missing.update(range(member.last + 1, seq))
            member.last = seq
            return True
        if seq not in member.missing:
            self.faults["twice"] += 1
            return False
        member.missing.discard(seq)
        return True
