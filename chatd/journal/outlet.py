"""The outlet: what a node proposes goes to the streams through it, each event to its own.

A sender for each stream sees to the order there. What happens in a room that is still to be made waits here until it
is: the room's name is in another stream.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from chatd.core.codes import Code
from chatd.core.events import Entry, Proposal
from chatd.journal.order import refused
from chatd.journal.sender import Sender
from chatd.journal.streams import MAKES_ROOMS, NAMES, number_of, subject_of


class Outlet:
    """The ways out of a node into the streams called so. `give_back(entries)` hears what will not come back by itself,
    `spawn(coroutine)` runs what is to be sent, `later(seconds, call)` calls later, and `places` says how far this node
    has come in each stream."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        give_back: Callable[[list[Entry]], None],
        spawn: Callable[[Any], None],
        later: Callable[[float, Callable[[], None]], object],
        places: Callable[[], list[int]],
        hold_seconds: float,
    ) -> None:
        self._stream = names[NAMES]
        self._client: Any = None
        self._acks = ""
        self._give_back = give_back
        self._spawn = spawn
        self._making: dict[str, list[Proposal]] = {}  # what waits for these rooms
        self.senders = [
            Sender(
                partial(self._publish, number),
                self._given_back,
                hold_seconds=hold_seconds,
                clock=time.monotonic,
                later=later,
                after=places if len(names) > 1 else list,
                is_names=number == NAMES,
            )
            for number in range(len(names))
        ]

    async def connect(self, client: Any) -> None:
        """From now on it is sent by this client."""
        self._client, self._acks = client, client.new_inbox()
        for sender in self.senders:
            sender.most_bytes = min(sender.most_bytes, client.max_payload - 1024)
        await client.subscribe(f"{self._acks}.>", cb=self._acknowledged)

    @property
    def is_failing(self) -> bool:
        """A stream does not take what is sent."""
        return any(sender.is_failing for sender in self.senders)

    @property
    def is_idle(self) -> bool:
        """Everything has come back."""
        return not self._making and all(sender.is_idle for sender in self.senders)

    def begin(self, node: str, came: Proposal) -> None:
        """A run begins: nothing of it counts in the stream of names before it is known there."""
        for sender in self.senders:
            sender.is_connected = True
            sender.begin(node, came if sender is self.senders[NAMES] else None)

    def put(self, proposals: Sequence[Proposal]) -> None:
        """Publish these, each after what was put into its stream before."""
        if len(self.senders) == 1 or not proposals:
            self.senders[NAMES].put(proposals)
            return
        shares: list[list[Proposal]] = [[] for _ in self.senders]
        for proposal in proposals:
            event: Any = proposal.event
            number = number_of(event, len(shares))
            if type(event) in MAKES_ROOMS:
                self._making.setdefault(event.room_id, [])
            waiting = self._making.get(event.room_id) if number != NAMES else None
            (shares[number] if waiting is None else waiting).append(proposal)
        for sender, share in zip(self.senders, shares, strict=True):
            if share:
                sender.put(share)

    def made(self, entries: Sequence[Entry]) -> None:
        """These are in this node's copy: what waited for a room among them goes on."""
        if not self._making:
            return
        for entry in entries:
            event: Any = entry.event
            if type(event) in MAKES_ROOMS and (waiting := self._making.pop(event.room_id, None)):
                self.senders[number_of(waiting[0].event, len(self.senders))].put(waiting)

    def _given_back(self, entries: list[Entry]) -> None:
        """With a room, what waited for it."""
        for entry in list(entries):
            event: Any = entry.event
            if type(event) in MAKES_ROOMS:
                entries += [refused(one, Code.STORE_UNAVAILABLE) for one in self._making.pop(event.room_id, ())]
        self._give_back(entries)

    def disconnected(self) -> None:
        """There is no connection."""
        for sender in self.senders:
            sender.is_connected = False

    def reconnected(self) -> None:
        """There is one again: whatever was on its way may be lost."""
        for sender in self.senders:
            sender.is_connected = True
            sender.go_back(is_sure=True)
            sender.send_more()

    def look(self) -> None:
        """See what is lost, and what has waited for too long."""
        for sender in self.senders:
            sender.look()

    def end_run(self) -> None:
        """This run is over."""
        for sender in self.senders:
            sender.end_run()
        self._given_back([refused(one, Code.STORE_UNAVAILABLE) for some in self._making.values() for one in some])
        self._making.clear()

    def _publish(self, stream: int, mark: str, payload: bytes, number: int | None) -> None:
        reply = "" if number is None else f"{self._acks}.{stream}.{number}"
        subject = subject_of(self._stream, stream)
        self._spawn(self._client.publish(subject, payload, reply=reply, headers={"Nats-Msg-Id": mark}))

    async def _acknowledged(self, message: Any) -> None:
        stream, number = (int(part) for part in message.subject.split(".")[-2:])
        try:
            is_taken = "error" not in json.loads(message.data)
        except ValueError:  # nobody answers for the stream just now
            is_taken = False
        if is_taken:
            self.senders[stream].taken(number)
        else:
            self.senders[stream].not_taken(number)
