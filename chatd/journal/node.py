"""The node: this process's part in a cluster. It publishes, follows the stream, writes the copy, and knows the others.

It lives in a thread of its own with an event loop of asyncio, which is what the client of NATS needs; the server's
reactor stays what it is. What it tells, it tells on that thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any

import msgspec
from msgspec import structs
from nats.errors import Error as NatsError
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.core.cluster_events import NodeCame, NodeGone
from chatd.core.events import Entry, Passing, Proposal
from chatd.core.questions import Present, Snapshot
from chatd.errors import Exit, OperatorError
from chatd.journal import servers
from chatd.journal.bundles import heard_whisper, whisper
from chatd.journal.commits import Commits
from chatd.journal.consumer import Consumer
from chatd.journal.following import Following, Waiters
from chatd.journal.newcomer import Newcomer, pieces_of
from chatd.journal.others import BEAT_SECONDS, Others
from chatd.journal.outlet import Outlet
from chatd.journal.replica import Replica, machine_of
from chatd.journal.streams import NAMES, has_come, names_of

LOOK_SECONDS = 0.25
RETRY_SECONDS = 1.0
GATHER_SECONDS = 0.01
END_SECONDS = 2.0


class Node:
    """A run of this node. `opened` hears once how it began, `told(entries, own)` everything that comes, in order; `own`
    is how many of them were waited for here. `ended` is the last that is heard."""

    log = Logger()

    def __init__(
        self,
        replica: Replica,
        folder: Path,
        *,
        url: str,
        settings: Any,
        opened: Callable[[Snapshot | Failure], None],
        told: Callable[[list[Entry], int], None],
        ended: Callable[[], None],
        secret: bytes = b"",
    ) -> None:
        self.replica = replica
        self.commits = Commits()
        self.run = ""
        self._folder, self._machine = folder, ""
        self._secret = secret or token_bytes(32)
        self._url, self._settings = url, settings
        self._opened, self._told, self._ended = opened, told, ended
        self._names = names_of(settings.stream, settings.shards)
        self.surety = servers.Surety(self._names, settings)
        self._outlet = Outlet(
            self._names,
            give_back=lambda entries: told(entries, len(entries)),
            spawn=self._spawn,
            later=lambda seconds, call: asyncio.get_running_loop().call_later(seconds, call),
            places=lambda: list(replica.positions),
            hold_seconds=settings.hold_seconds,
        )
        self._others = Others(replica.runs, settings.node_seconds)
        self._newcomer = Newcomer(self._others, settings.node_seconds, self._look_at_start)
        self._following = Following(
            replica, self._outlet.senders, self.commits, told=self._come, born=self._was_born, buried=self._was_given_up
        )
        self.failed: OperatorError | None = None
        self._is_due = False
        self._is_open = False
        self._is_ending = False
        self._troubles = ["" for _ in self._names]
        self._rooms_then: list[int] = []
        self._waiters = Waiters()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None
        self._consumers: list[Consumer] = []
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run_thread, name="journal node")

    @property
    def is_failing(self) -> bool:
        """Whether what was proposed last could not be stored."""
        return self._outlet.is_failing or bool(self._following.stuck or self.failed)

    # -- for the reactor's thread ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; `opened` is called."""
        self._thread.start()

    def put(self, proposals: Sequence[Proposal]) -> None:
        """Publish these."""
        self._call(self._outlet.put, proposals)

    def tell(self, event: Passing) -> None:
        """Tell the other nodes what has no place in the order."""
        self._call(self._shout, f"{self._settings.stream}.passing", whisper(self.run, event))

    def welcome(self, node: str, attempt: int, present: Present) -> None:
        """Tell a newcomer who is here."""
        for piece in pieces_of(attempt, present):
            self._call(self._shout, f"{self._settings.stream}.welcome.{node}", piece)

    def when_up_to_date(self, seconds: float, call: Callable[[Exception | None], None]) -> None:
        """Call this when everything that is in the streams after so long has been told."""
        self._call(lambda: self._spawn(self._up_to_date(seconds, call)))

    def end(self) -> None:
        """Publish what was put, say goodbye to the others, and end."""
        self._call(self._begin_end)

    def join(self) -> None:
        """Wait for the thread, which has told `ended`."""
        self._thread.join()

    def _call(self, function: Callable[..., Any], *args: Any) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(function, *args)

    # -- the thread -----------------------------------------------------------------------------------------------

    def _run_thread(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException:
            failure = Failure()  # type: ignore[no-untyped-call]  # Twisted does not say
            if not self._is_open:
                self._opened(failure)
            elif self.failed is None:
                self.log.failure("bug in the node", failure)
        finally:
            self._ended()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            self._machine = machine_of(self._folder)
            self.replica.open()
            await self._connect()
            self._follow()
            while not self._stop.is_set():
                if not self.run and has_come(self.replica.positions, self._rooms_then):
                    await self._begin_run()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), LOOK_SECONDS)
                self._look()
            if self.failed is not None:
                raise self.failed
            await self._finish()
        finally:
            self._is_ending = True
            for task in list(self._tasks):
                task.cancel()
            if self._client is not None:
                with suppress(NatsError, OSError, asyncio.TimeoutError):
                    await self._client.close()
            self.replica.close()

    async def _connect(self) -> None:
        settings, replica = self._settings, self.replica
        self._client = client = await servers.connect(
            self._url, settings, disconnected_cb=self._disconnected, reconnected_cb=self._reconnected
        )
        infos = await servers.find_streams(client, settings, is_new=not any(replica.positions), makes=True)
        for info, position, mark in zip(infos, replica.positions, replica.marks, strict=True):
            await servers.check_history(client, info, position, mark)
        found = await self.surety.look(client, infos)
        servers.check_required(found, settings.require, settings.stream)
        # Who is here is asked in the stream of names, once what was said in rooms by now is in the copy.
        self._rooms_then = [0, *(info.state.last_seq for info in infos[1:])]
        await self._outlet.connect(client)
        await client.subscribe(f"{settings.stream}.passing", cb=self._heard_passing)
        await client.subscribe(f"{settings.stream}.alive", cb=self._heard_alive)
        self.log.info(
            "stream {stream}: {durability}, NATS {versions}, message {last}; the copy has {position}",
            stream=settings.stream,
            durability=found.durability,
            versions=" ".join(found.versions),
            last=found.last,
            position=replica.positions[NAMES],
        )

    def _follow(self) -> None:
        self._consumers = [
            Consumer(
                self._client,
                name,
                self.replica.positions[stream],
                heard=partial(self._heard, stream),
                has_room=partial(self._following.has_room, stream),
                troubled=partial(self._troubled, stream),
            )
            for stream, name in enumerate(self._names)
        ]
        for consumer in self._consumers:
            self._spawn(consumer.run())
        self._spawn(self._beat())
        self._spawn(self.surety.watch(self._client))

    async def _begin_run(self) -> None:
        """A new run; nobody knows it so far."""
        self.run = f"{self._machine}-{token_hex(4)}"
        self._others.run = self.run
        if not self._is_open:
            subject = f"{self._settings.stream}.welcome.{self.run}"
            await self._client.subscribe(subject, cb=self._newcomer.heard)
        came = NodeCame(self.run, self._machine, self._secret)
        self._outlet.begin(self.run, Proposal(came, int(time.time() * 1e6)))

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, (NatsError, OSError, asyncio.TimeoutError)):
            self.log.failure("bug in the node", Failure(error))  # type: ignore[no-untyped-call]  # Twisted does not say

    # -- publishing -----------------------------------------------------------------------------------------------

    def _shout(self, subject: str, payload: bytes) -> None:
        if self._client is not None and self._client.is_connected:
            self._spawn(self._client.publish(subject, payload))

    async def _disconnected(self) -> None:
        self._outlet.disconnected()
        if not self._is_ending:
            self.log.warn("no connection to NATS")

    async def _reconnected(self) -> None:
        self.log.info("connected to NATS again")
        self._outlet.reconnected()
        for consumer in self._consumers:
            consumer.restart()

    # -- following ------------------------------------------------------------------------------------------------

    def _heard(self, stream: int, position: int, mark: str, payload: bytes, is_last: bool) -> None:
        self._following.heard(stream, position, mark, payload)
        (self._apply if is_last and self._is_open else self._apply_soon)()

    def _apply_soon(self) -> None:
        if not self._is_due and self._loop is not None:
            self._is_due = True
            if self._is_open:
                self._loop.call_soon(self._apply)
            else:  # nobody waits for a single message yet, and many at once cost less
                self._loop.call_later(GATHER_SECONDS, self._apply)

    def _apply(self) -> None:
        """Write what came, and tell it."""
        self._is_due = False
        try:
            while self.failed is None and self._following.step():
                if not self._is_open:
                    self._look_at_start()
        except OperatorError as error:
            self._give_up(error)
            return
        for consumer in self._consumers:
            consumer.more()
        if self._following.stuck and self._loop is not None:
            self._loop.call_later(RETRY_SECONDS, self._apply_soon)

    def _come(self, entries: list[Entry], own: int) -> None:
        self._outlet.made(entries)
        if self._is_ending:  # its own end is nothing to be told
            entries = [entry for entry in entries if not isinstance(entry.event, NodeGone)]
        if self._is_open and (entries or own):
            self._told(entries, own)
        self._waiters.come(self.replica.positions)

    def _troubled(self, stream: int, error: Exception | None) -> None:
        said, before = "" if error is None else str(error) or type(error).__name__, self._troubles[stream]
        if said and said != before:
            self.log.error("stream {stream} cannot be read: {error}", stream=self._names[stream], error=said)
        elif not said and before:
            self.log.info("stream {stream} can be read again", stream=self._names[stream])
        self._troubles[stream] = said

    def _give_up(self, error: OperatorError) -> None:
        """Nothing can be followed any more: this is the end of it."""
        self.failed = self.failed or error
        if self._stop is not None:
            self._stop.set()

    # -- the beginning --------------------------------------------------------------------------------------------

    def _look_at_start(self) -> None:
        """Whether it is known by now who is here; if so, begin in earnest."""
        present = self._newcomer.look(self._following.is_held)
        if present is not None:
            nodes = tuple(sorted(self.replica.runs.here().items()))
            snapshot = structs.replace(self.replica.snapshot(), present=structs.replace(present, nodes=nodes))
            self._is_open, self._following.is_held = True, False
            self._opened(snapshot)
            self._outlet.put([])  # from now on there may be sessions here
        elif (events := self._newcomer.proposals(self.run, self._machine)) is not None:
            self._following.is_held = False
            self._outlet.put([Proposal(event, int(time.time() * 1e6)) for event in events])
        else:
            return
        self._apply_soon()

    def _was_born(self, attempt: int) -> None:
        """Who is here is told as of this message: the next ones wait for that."""
        if not self._is_open:
            self._following.is_held = True
            self._newcomer.asked(attempt)

    def _was_given_up(self) -> None:
        """The others took this node for dead: its sessions are over, and it begins anew."""
        if self._is_ending:
            return
        self.log.error("the other nodes took this one for dead: everybody here has to come again")
        self._outlet.end_run()
        self._spawn(self._begin_run())

    # -- the others -----------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        while True:
            if self.run:
                self._shout(f"{self._settings.stream}.alive", self.run.encode())
            await asyncio.sleep(BEAT_SECONDS)

    async def _heard_alive(self, message: Any) -> None:
        for silent in self._others.heard(message.data.decode("ascii", "replace")):
            if self._is_open:
                self.log.warn("node {node} is silent, and taken for dead", node=silent)
                gone = NodeGone(silent, "its server is gone")
                self._outlet.put([Proposal(gone, int(time.time() * 1e6))])

    async def _heard_passing(self, message: Any) -> None:
        with suppress(msgspec.MsgspecError):
            run, event = heard_whisper(message.data)
            if run != self.run and self._is_open:
                self._told([Entry(event, int(time.time() * 1e6))], 0)

    async def _up_to_date(self, seconds: float, call: Callable[[Exception | None], None]) -> None:
        await asyncio.sleep(seconds)
        manager = self._client.jsm(timeout=END_SECONDS)
        try:
            infos = await asyncio.gather(*(manager.stream_info(name) for name in self._names))
        except (TimeoutError, NatsError, OSError) as error:
            call(error)
            return
        self._waiters.add([info.state.last_seq for info in infos], call)
        self._waiters.come(self.replica.positions)

    # -- from time to time, and at the end ------------------------------------------------------------------------

    def _look(self) -> None:
        self._outlet.look()
        if not self._is_open:
            self._look_at_start()
        if not self._is_open and self._newcomer.is_stuck(sum(self.replica.positions)):
            trouble = next(filter(None, self._troubles), "too few of its servers are there")
            why = f"it neither takes nor gives anything ({trouble})"
            stream = f"stream {self._settings.stream}"
            self._give_up(OperatorError(stream, why, "see the log of nats-server", Exit.UNAVAILABLE))

    def _begin_end(self) -> None:
        self._is_ending = True
        if self._is_open:
            self._outlet.put([Proposal(NodeGone(self.run, "the server is stopping"), int(time.time() * 1e6))])
        if self._stop is not None:
            self._stop.set()

    async def _finish(self) -> None:
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline and self._is_open and not (self._outlet.is_idle and self._following.is_idle):
            self._outlet.look()
            await asyncio.sleep(0.01)
        self._outlet.end_run()
