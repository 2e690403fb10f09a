"""Ids for messages, by which a repeat is known as one, and by which a client knows its own messages again.

All begin with a root that belongs to this client for as long as it keeps it (a bot keeps it in its cursor
file); then comes a part for this run of the program, and a number. The id of an answer is made from what it
answers, so that a bot which crashed between answering and taking note of it says the same thing with the same
id again.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2s

from msgspec import UNSET

from chatd.core.views import Message, Relation, View

REMEMBERED = 1000


class MsgIds:
    """`root` and `run` are random words without dots, at most 16 characters each."""

    def __init__(self, root: str, run: str) -> None:
        self.root = root
        self.run = run
        self._given: OrderedDict[str, None] = OrderedDict()  # ids that the user chose
        self._answers: OrderedDict[str, int] = OrderedDict()

    def take(self, given: str | None, number: int) -> str:
        """The id for a message: the given one, which is remembered as ours, or a new one."""
        if given is None:
            return f"{self.root}.{self.run}.{number}"
        if not given.startswith(self.root + "."):
            self._given[given] = None
            _forget_old(self._given)
        return given

    def answer(self, event_id: str) -> str:
        """The id for the next answer to this event: the same in another run that answers the same things."""
        count = self._answers.get(event_id, 0)
        self._answers[event_id] = count + 1
        _forget_old(self._answers)
        return f"{self.root}.re.{blake2s(event_id.encode(), digest_size=10).hexdigest()}.{count}"

    def is_own(self, event: View) -> bool:
        """Whether this client, or an earlier run of it with the same root, has sent this."""
        if not isinstance(event, Message | Relation) or event.msg_id is UNSET:
            return False
        return event.msg_id.startswith(self.root + ".") or event.msg_id in self._given


def _forget_old(remembered: OrderedDict[str, object] | OrderedDict[str, None] | OrderedDict[str, int]) -> None:
    while len(remembered) > REMEMBERED:
        remembered.popitem(last=False)
