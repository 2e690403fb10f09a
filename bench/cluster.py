"""What a stream costs: `python -m bench.cluster [--loadgen PATH] [--repeat N] [--messages N]`.

It starts a NATS server of its own and prints, measured in one run:

- processor time a delivery with the journal in a stream, beside the SQLite journal, and what NATS takes for it;
- what two nodes take that share the members of a room, beside one that has them all;
- how many messages a second one node gets acknowledged, with each write synced and without;
- how long a node with an empty folder takes to serve a stream of so many messages, and one that is started again.

Everything stays on loopback and in temporary folders.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import loadgen, servers
from bench.scenarios import SCENARIOS, Scenario

TREE = Path(__file__).parent.parent
sys.path.append(str(TREE / "tests"))

NAMES = ("saturate-1000", "saturate-100", "saturate-10", "paced-100", "rooms")
A_BUNDLE = 50
ROOMS = 16
NEWCOMER_SECONDS = 300.0
NODE_SECONDS = 8


def main() -> None:
    words = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    words.formatter_class = argparse.RawDescriptionHelpFormatter
    words.add_argument("--loadgen", metavar="PATH", help="the load generator")
    words.add_argument("--repeat", type=int, default=3, metavar="N", help="measure each N times, show the median (3)")
    words.add_argument("--messages", type=int, default=1_000_000, metavar="N", help="in the stream (1,000,000)")
    words.add_argument(
        "--shards", type=int, default=1, metavar="N", help="rooms in so many streams (1: in that of all)"
    )
    words.add_argument("--only", choices=("deliveries", "nodes", "acknowledged", "newcomer"), help="only this")
    chosen = words.parse_args()
    try:
        if chosen.only in (None, "deliveries"):
            deliveries(loadgen.find(chosen.loadgen), chosen.repeat, chosen.shards)
        if chosen.only in (None, "nodes"):
            two_nodes(loadgen.find(chosen.loadgen), chosen.repeat, chosen.shards)
        if chosen.only in (None, "acknowledged"):
            acknowledged(loadgen.find(chosen.loadgen), chosen.repeat, chosen.shards)
        if chosen.only in (None, "newcomer"):
            newcomer(chosen.messages, chosen.shards)
    except loadgen.CannotMeasure as error:
        raise SystemExit(f"bench: {error}") from None


def node(url: str, shards: int) -> servers.Subject:
    """A node on a stream, or on several."""
    subject = servers.chatd("framed", "sqlite")

    def command(folder: Path, port: int) -> list[str]:
        words = subject.command(folder, port)
        (folder / "chatd.toml").write_text(f"[journal]\nshards = {shards}\n")
        return [f"--journal={url}" if word.startswith("--journal=") else word for word in words]

    return replace(subject, name="chatd, framed, in a stream", command=command)


def nats(folder: str, **more: Any) -> Any:
    """A NATS server that runs."""
    from support.nats import NatsServer  # it is found by the line above

    return NatsServer(Path(folder) / "nats", **more).start()


def seconds_of(pid: int) -> float:
    """The processor time of a process so far (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def deliveries(program: Path, repeat: int, shards: int) -> None:
    """A table: µs of processor time a delivery."""
    print(f"{'':<16}{'SQLite':>10}{'stream':>10}{'ratio':>8}{'NATS':>8}   µs of processor time a delivery")
    for scenario in (SCENARIOS[name] for name in NAMES):
        alone, shared, below = [], [], []
        for _ in range(repeat):
            with servers.serving(servers.chatd("framed", "sqlite")) as running:
                alone.append(_measured(program, scenario, running)[scenario.key])
            with tempfile.TemporaryDirectory(prefix="chatd-bench-") as folder:
                server = nats(folder)
                try:
                    with servers.serving(node(server.url, shards)) as running:
                        before = seconds_of(server.pid)
                        found = _measured(program, scenario, running)
                        shared.append(found[scenario.key])
                        spent = seconds_of(server.pid) - before
                        below.append(found[scenario.key] * spent / max(found["srv_cpu_s"], 1e-9))
                finally:
                    server.stop()
        one, two, three = map(statistics.median, (alone, shared, below))
        print(f"{scenario.name:<16}{one:>10.3f}{two:>10.3f}{two / one:>8.2f}{three:>8.3f}", flush=True)


def _measured(program: Path, scenario: Scenario, running: servers.Running) -> loadgen.Figures:
    found = loadgen.run(program, [*scenario.command(), "--dialect", "chatd"], port=running.port, pid=running.pid)
    if found["lost"]:
        raise loadgen.CannotMeasure(f"{found['lost']} deliveries were lost")
    return found


def two_nodes(program: Path, repeat: int, shards: int) -> None:
    """How much more fan-out two nodes carry than one: what a message takes of the busier of two that have half of the
    members each, beside one that has them all."""
    for members in (1000, 4000):
        found = []
        for _ in range(repeat):
            with tempfile.TemporaryDirectory(prefix="chatd-bench-") as folder:
                server = nats(folder)
                try:
                    where = node(server.url, shards)
                    with servers.serving(where) as one:
                        alone, _ = _message(program, members, one, None)
                    with servers.serving(where) as one, servers.serving(where) as two:
                        found.append((alone, *_message(program, members // 2, one, two)))
                finally:
                    server.stop()
        alone, first, second = (statistics.median(one) for one in zip(*found, strict=True))
        print(
            f"{members:,} in one room, as fast as it goes: {alone:.0f} us a message on one node,"
            f" {first:.0f} and {second:.0f} on two:"
            f" {alone / max(first, second):.2f} times as much",
            flush=True,
        )


def _message(program: Path, members: int, one: servers.Running, two: servers.Running | None) -> tuple[float, float]:
    """µs of processor time a message of the node where it is said, and of the other, on which as many only listen."""
    command = ["saturate", "--quickack", "--time", str(NODE_SECONDS), "--n", str(members), "--dialect", "chatd"]
    if two is None:
        found = loadgen.run(program, command, port=one.port, pid=one.pid)
        return found["srv_cpu_us_per_delivery"] * (members - 1), 0.0
    listen = ["paced", "--rate", "0.2", "--time", str(3 * NODE_SECONDS), "--n", str(members), "--nick", "ear"]
    listeners = subprocess.Popen(
        [str(program), *listen, "--dialect", "chatd", "--quiet", "--port", str(two.port), "--pid", str(two.pid)],
        stdout=subprocess.DEVNULL,
    )
    try:
        time.sleep(NODE_SECONDS / 2)  # until all are in
        before = seconds_of(two.pid)
        found = loadgen.run(program, command, port=one.port, pid=one.pid)
        other = seconds_of(two.pid) - before
    finally:
        listeners.terminate()
        listeners.wait()
    said = found["delivered"] / (members - 1)  # who says it is not shown it
    return found["srv_cpu_us_per_delivery"] * (members - 1), other * 1e6 / said


def acknowledged(program: Path, repeat: int, shards: int) -> None:
    """Messages a second that one node gets acknowledged, and that are shown to a second member."""
    for sync in (False, True):
        rates = []
        for _ in range(repeat):
            with tempfile.TemporaryDirectory(prefix="chatd-bench-") as folder:
                server = nats(folder, sync_always=sync)
                try:
                    with servers.serving(node(server.url, shards)) as running:
                        words = ["saturate", "--quickack", "--time", "4", "--n", "8", "--senders", "8"]
                        found = loadgen.run(
                            program,
                            [*words, "--window", "64", "--dialect", "chatd"],
                            port=running.port,
                            pid=running.pid,
                        )
                        rates.append(found["msgs_per_s"])
                finally:
                    server.stop()
        how = "each write synced" if sync else "as it comes"
        print(f"acknowledged a second, R=1, {how}: {statistics.median(rates):,.0f}", flush=True)


def newcomer(messages: int, shards: int) -> None:
    """How long until a node serves a long stream."""
    with tempfile.TemporaryDirectory(prefix="chatd-bench-") as folder:
        server = nats(folder)
        try:
            asyncio.run(_fill(server.url, messages, shards))
            place = Path(folder) / "node"
            place.mkdir()
            for what in ("with an empty folder", "started again", "started again after kill -9"):
                began = time.monotonic()
                with servers.serving(node(server.url, shards), place, seconds=NEWCOMER_SECONDS) as running:
                    took = time.monotonic() - began
                    print(f"{messages:,} messages, a node {what}: {took:.2f} s", flush=True)
                    if what == "started again":
                        os.kill(running.pid, signal.SIGKILL)
        finally:
            server.stop()


async def _fill(url: str, messages: int, shards: int) -> None:
    """Publish what a node would have published that is gone by now."""
    import nats as client_of

    from chatd.core.cluster_events import NodeCame, NodeGone
    from chatd.core.events import Event, MessageSent, Proposal, RoomMade
    from chatd.journal.bundles import piece_of, seal
    from chatd.journal.servers import find_streams
    from chatd.journal.streams import names_of, number_of, subject_of
    from chatd.settings import JournalSettings

    settings = JournalSettings(shards=shards)
    client = await client_of.connect(url, pending_size=1 << 26)
    await find_streams(client, settings, is_new=True, makes=True)
    stream = client.jetstream(publish_async_max_pending=256)
    now = int(time.time() * 1e6)
    rooms = [f"r{n}" for n in range(ROOMS)]
    bundles: list[list[Event]] = [[NodeCame("bench", "bench", b"s" * 32)]]
    bundles.append([RoomMade(room, f"#room{room}") for room in rooms])
    for first in range(0, messages, A_BUNDLE):
        room = rooms[first // A_BUNDLE % ROOMS]
        bundles.append(
            [
                MessageSent(room, f"u{n % 100}", f"nick{n % 100}", "text", f"message number {n} of many", f"m{n}")
                for n in range(first, min(first + A_BUNDLE, messages))
            ]
        )
    bundles.append([NodeGone("bench", "done")])
    counts = [0 for _ in names_of(settings.stream, shards)]
    for bundle in bundles:
        number = number_of(bundle[0], len(counts))
        counts[number] += 1
        pieces = [piece_of(Proposal(event, now + counts[number])) for event in bundle]
        mark = {"Nats-Msg-Id": f"bench.{counts[number]}.0"}
        after = (2,) if number else ()  # the rooms are there
        payload = seal("bench", counts[number], pieces, after)
        await stream.publish_async(subject_of(settings.stream, number), payload, headers=mark)
    await stream.publish_async_completed()
    await client.close()


if __name__ == "__main__":
    main()
