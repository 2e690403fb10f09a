"""What the journal costs: `python bench/journal.py [--messages N] [--rooms N] [--authors N] [--prefill N]`.

Prints, for batches of several sizes, the processor time of the writing thread for a message (Python, SQLite and the
kernel's part of the writing) and the messages a second, and what the whole way costs: append, thread, commit,
follower. With `--prefill` the file has so many messages before, and the time of pages out of it is told as well.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from chatd.core.events import Entry, MessageSent, Proposal, RoomMade
from chatd.core.questions import EntryWanted, PageWanted, Question, Side
from chatd.journal.memory import Memory
from chatd.journal.reader import answer_from
from chatd.journal.schema import connect_reader
from chatd.journal.sqlite import SqliteJournal
from chatd.journal.store import Store

SIZES = (1, 10, 100, 1000)
count = 0


def proposals(options: argparse.Namespace, size: int) -> list[Proposal]:
    """Messages of some hundred bytes, each with a `msg_id`, in random rooms by random authors."""
    global count
    made = []
    for _ in range(size):
        count += 1
        room, author = f"room{random.randrange(options.rooms)}", f"author{count % options.authors:011}"
        event = MessageSent(
            room,
            author,
            "nick",
            "text",
            "so they say, and so it is said again " * 2,
            f"{author}.run.{count // options.authors}",
        )
        made.append(Proposal(event, count))
    return made


def rooms(options: argparse.Namespace) -> list[Proposal]:
    return [Proposal(RoomMade(f"room{n}", f"#room{n}"), 0) for n in range(options.rooms)]


def bench_batches(store: Store | Memory, options: argparse.Namespace) -> None:
    for size in SIZES:
        batches = [proposals(options, size) for _ in range(max(20, options.messages // size // len(SIZES)))]
        wall, cpu, worst = time.perf_counter(), time.thread_time(), 0.0
        for batch in batches:
            began = time.perf_counter()
            store.write(batch)
            worst = max(worst, time.perf_counter() - began)
        wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
        messages = len(batches) * size
        print(
            f"  batches of {size:4}: {cpu / messages * 1e6:6.2f} µs a message, {messages / wall:9,.0f} a second,"
            f" slowest batch {worst * 1e3:5.1f} ms"
        )


def bench_pages(path: Path, options: argparse.Namespace) -> None:
    reader = connect_reader(path)
    last = answer_from(reader, PageWanted("room0", Side.BEFORE, None, 1)).last_seq
    questions: dict[str, list[Question]] = {
        "latest 200": [PageWanted("room0", Side.BEFORE, None, 200)],
        "200 before a number": [PageWanted("room0", Side.BEFORE, random.randint(1, last), 200) for _ in range(50)],
        "200 around a number": [PageWanted("room0", Side.AROUND, random.randint(1, last), 200) for _ in range(50)],
        "200 after a time": [
            PageWanted("room0", Side.AFTER, random.randint(1, count), 200, by_time=True) for _ in range(50)
        ],
        "one entry": [EntryWanted("room0", random.randint(1, last)) for _ in range(50)],
    }
    for name, asked in questions.items():
        times = []
        for question in asked:
            began = time.perf_counter()
            answer_from(reader, question)
            times.append((time.perf_counter() - began) * 1e3)
        times.sort()
        print(f"  {name:20} of {last:,}: median {times[len(times) // 2]:.2f}, most {times[-1]:.2f} ms")
    reader.close()


async def bench_whole(folder: Path, options: argparse.Namespace) -> None:
    journal = SqliteJournal(folder / "whole.db", reactor=reactor, durability=options.durability)
    told = batches = 0
    finished: Deferred[None] = Deferred()

    def follow(entries: list[Entry]) -> None:
        nonlocal told, batches
        told, batches = told + len(entries), batches + 1
        if told == options.messages + options.rooms:
            finished.callback(None)

    await journal.open(follow)
    journal.append(rooms(options))
    waiting = proposals(options, options.messages)
    wall, cpu = time.perf_counter(), time.process_time()

    def turn(start: int = 0) -> None:
        # As a busy hub: some messages a turn, and no more than a thousand on their way.
        if start - told < 1000:
            journal.append(waiting[start : start + 20])
            start += 20
        if start < len(waiting):
            reactor.callLater(0, turn, start)

    turn()
    await finished
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    await journal.close()
    print(
        f"  20 a turn: {cpu / options.messages * 1e6:.2f} µs a message with the reactor's turns,"
        f" {options.messages / wall:,.0f} a second, {options.messages / batches:.0f} a batch"
    )


async def bench(options: argparse.Namespace) -> None:
    memory = Memory()
    memory.write(rooms(options))
    print("memory")
    bench_batches(memory, options)
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        path = Path(name, "bench.db")
        store = Store(path, options.durability)
        store.open()
        store.write(rooms(options))
        for _ in range(0, options.prefill, 5000):
            store.write(proposals(options, 5000))
        print(f"SQLite, {options.durability}, {count:,} messages before, {path.stat().st_size >> 20} MB")
        bench_batches(store, options)
        if options.prefill:
            bench_pages(path, options)
        store.close()
        began = time.perf_counter()
        store = Store(path, options.durability)
        store.open()
        print(f"  opened in {(time.perf_counter() - began) * 1e3:.0f} ms")
        store.close()
        print("the journal as the hub sees it")
        await bench_whole(Path(name), options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for option, default in (("messages", 40_000), ("rooms", 10), ("authors", 200), ("prefill", 0)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--durability", choices=("fsync", "normal", "memory"), default="fsync")
    parser.add_argument("--dir", help="where the files are made")
    done = Deferred.fromCoroutine(bench(parser.parse_args()))
    done.addErrback(lambda failure: failure.printTraceback())
    done.addBoth(lambda _: reactor.callWhenRunning(reactor.stop))  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
