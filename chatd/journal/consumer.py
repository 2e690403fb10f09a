"""The consumer: reads the stream in its order, each message once, from a place on, whatever happens meanwhile.

It is an ordered consumer as JetStream's clients have them, pulled so that no more comes than is taken: without
acknowledgements, in the server's memory, and made anew from the next place on as soon as a message is missing, the
server is silent, or the connection is another. (https://docs.nats.io/nats-concepts/jetstream/consumers)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from secrets import token_hex
from typing import Any

from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

AT_ONCE = 500
"""Messages that one pull asks for; the next is made when half of them have come."""

PULL_SECONDS = 30.0
BEAT_SECONDS = 0.5
SILENCE_SECONDS = 2.0
API_SECONDS = 2.0
AGAIN_SECONDS = 0.25
FORGET_SECONDS = 60.0


class Missing(Exception):
    """The stream does not have the message that is next."""


class Consumer:
    """Calls `heard(position, id, payload, is_last)` for each message after `position`.

    `is_last`: no other has come yet. `has_room` says whether more may be asked for; `troubled` hears what is wrong, and
    None when it reads again.
    """

    def __init__(
        self,
        client: Any,
        stream: str,
        position: int,
        *,
        heard: Callable[[int, str, bytes, bool], None],
        has_room: Callable[[], bool],
        troubled: Callable[[Exception | None], None],
    ) -> None:
        self.position = position
        self._client = client
        self._manager = client.jsm(timeout=API_SECONDS)
        self._stream = stream
        self._heard = heard
        self._has_room = has_room
        self._troubled = troubled
        self._name = ""
        self._inbox = ""
        self._wanted = 0  # messages that were asked for and have not come
        self._last = 0.0  # when the server was heard
        self._subscription: Any = None
        self._created: Any = None  # when the stream was made
        self._broken: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Read, until it is cancelled."""
        while True:
            try:
                await self._read()
            except (TimeoutError, NatsError, OSError, Missing) as error:
                self._troubled(error)
            await asyncio.sleep(AGAIN_SECONDS)

    def restart(self) -> None:
        """The server may have forgotten it: read on with a new one."""
        self._break(None)

    def more(self) -> None:
        """There is room again, perhaps."""
        if self._wanted <= AT_ONCE // 2 and self._name and self._client.is_connected and self._has_room():
            self._wanted += AT_ONCE
            wanted = {"batch": AT_ONCE, "expires": int(PULL_SECONDS * 1e9), "idle_heartbeat": int(BEAT_SECONDS * 1e9)}
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
            self._spawn(self._client.publish(subject, json.dumps(wanted).encode(), reply=self._inbox))

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        task.add_done_callback(self._spawned)

    def _spawned(self, task: asyncio.Future[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._break(error)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        self._broken = broken = loop.create_future()
        name, self._inbox = f"chatd-{token_hex(6)}", self._client.new_inbox()
        self._subscription = subscription = await self._client.subscribe(self._inbox, cb=self._came)
        try:
            config = ConsumerConfig(
                name=name,
                ack_policy=AckPolicy.NONE,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self.position + 1,
                mem_storage=True,
                num_replicas=1,
                inactive_threshold=FORGET_SECONDS,
            )
            await self._see_that_it_is_the_same()
            await self._manager.add_consumer(self._stream, config)
            self._name, self._wanted, self._last = name, 0, loop.time()
            self.more()
            while not broken.done():
                await asyncio.wait({broken}, timeout=BEAT_SECONDS)
                self.more()
                if not self._wanted:  # it has not been asked, as there was no room
                    self._last = loop.time()
                elif loop.time() - self._last > SILENCE_SECONDS:
                    break
            if broken.done():
                broken.result()
        finally:
            self._name = ""
            with suppress(NatsError, OSError, asyncio.TimeoutError):
                await subscription.unsubscribe()
                if self._client.is_connected:
                    await self._client.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{name}")

    async def _see_that_it_is_the_same(self) -> None:
        """Whoever reads on in another stream that is called so would have a history that never was."""
        info = await self._manager.stream_info(self._stream)
        self._created = self._created or info.created
        if info.created != self._created:
            raise Missing("it is another stream, made since")
        if info.state.last_seq < self.position:
            raise Missing(f"it ends with message {info.state.last_seq}, and message {self.position} was seen")

    def _break(self, error: BaseException | None) -> None:
        if self._broken is not None and not self._broken.done():
            if error is None:
                self._broken.set_result(None)
            else:
                self._broken.set_exception(error)

    async def _came(self, message: Any) -> None:
        if message.subject != self._inbox and not message.reply:
            return
        self._last = asyncio.get_running_loop().time()
        headers = message.headers or {}
        if (status := headers.get("Status")) is not None:
            self._told(status, headers)
            return
        tokens = message.reply.split(".")
        position = int(tokens[5] if len(tokens) == 9 else tokens[7])
        self._wanted -= 1
        if position <= self.position or self._broken is None or self._broken.done():
            return
        if position != self.position + 1:
            self._break(Missing(f"message {self.position + 1} is missing, {position} came"))
            return
        self.position = position
        self._troubled(None)
        is_last = self._subscription is None or not self._subscription.pending_msgs
        self._heard(position, headers.get("Nats-Msg-Id", ""), message.data, is_last)
        self.more()

    def _told(self, status: str, headers: Any) -> None:
        """A word of the server's: a sign of life, the end of a pull, or of the consumer."""
        if status == "100":
            self._troubled(None)
        elif status in ("404", "408") or "Nats-Pending-Messages" in headers:
            self._wanted = max(0, self._wanted - int(headers.get("Nats-Pending-Messages", AT_ONCE)))
            self.more()
        else:
            self._break(None)
