"""`python -m bench growth`: how cost grows with members, with rooms, and with what is stored.

Four series, each with one thing that grows and all else held. A table and a picture each; the pictures are drawn by
`plot`. Processor time is that of the server's process. 10^7 stored messages take some minutes to put there: `--full`.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import machine, results, stored
from bench.loadgen import CannotMeasure, find, run
from bench.results import figure, table
from bench.runs import WARM_UP
from bench.servers import Subject, chatd, reference, serving
from bench.words import common, extent, finish, say, whole

Row = dict[str, float]

MEMBERS = (10, 100, 1_000, 10_000)
ROOMS = (1, 10, 100, 1_000)
ROOM_SIZE = 10
IDLE_ROOMS = (1, 10, 100, 1_000, 10_000)
STORED = (1_000, 10_000, 100_000, 1_000_000)
MOST_STORED = 10_000_000
ENOUGH = 1_000
SPARE_FILES = 200  # besides the connections


@dataclass(frozen=True)
class Series:
    """What grows, over which sizes, how one size is measured, and the columns of its table with their units."""

    name: str
    grows: str
    sizes: Sequence[int]
    measure: Callable[[Bench, int], Row]
    columns: dict[str, str]


@dataclass(frozen=True)
class Bench:
    """What every measurement needs; `folder` keeps what one size leaves to the next."""

    program: Path
    seconds: float
    parent: str | None
    folder: Path

    def load(self, subject: Subject, *words: str, data: Path | None = None) -> dict[str, Any]:
        """What the load generator found on a server of its own, after a warm-up."""
        with serving(subject, data, self.parent) as server:
            run(self.program, [*WARM_UP, *subject.words], port=server.port, pid=server.pid)
            command = [*words, "--time", str(self.seconds), *subject.words, "--nick", "m", "--room", "#r"]
            return run(self.program, command, port=server.port, pid=server.pid)


# -- members ----------------------------------------------------------------------------------------------------


def members(bench: Bench, count: int) -> Row:
    """All in one room; four of them speak as fast as it goes."""
    ours, plain = chatd("framed", "sqlite"), reference("framed")
    found = bench.load(ours, "saturate", "--quickack", "--n", str(count))
    row = {
        "delivery": found["srv_cpu_us_per_delivery"],
        "plain": bench.load(plain, "saturate", "--quickack", "--n", str(count))["srv_cpu_us_per_delivery"],
        "join": found["join_cpu_us"],
        "storm": bench.load(ours, "storm", "--n", str(count))["join_cpu_us"],
        "lost": found["lost"],
    }
    # A few connections fit into memory that was there before.
    return row | {"memory": found["rss_per_conn_b"]} if count >= ENOUGH else row


# -- rooms ------------------------------------------------------------------------------------------------------


def rooms(bench: Bench, count: int) -> Row:
    """Ten members in each; one of them speaks as fast as it goes."""
    sizes = ("--n", str(count * ROOM_SIZE), "--rooms", str(count))
    found = bench.load(chatd("framed", "sqlite"), "rooms", "--quickack", *sizes)
    plain = bench.load(reference("framed"), "rooms", "--quickack", *sizes)
    return {
        "delivery": found["srv_cpu_us_per_delivery"],
        "plain": plain["srv_cpu_us_per_delivery"],
        "join": found["join_cpu_us"],
        "lost": found["lost"],
    }


def idle_rooms(bench: Bench, count: int) -> Row:
    """Rooms that there are, beside ten in which people talk."""
    folder = bench.folder / f"rooms{count}"
    stored.fill(folder, messages=count, rooms=count)
    subject = chatd("framed", "sqlite")
    found = bench.load(subject, "rooms", "--quickack", "--n", "100", "--rooms", "10", data=folder)
    return {
        "delivery": found["srv_cpu_us_per_delivery"],
        "join": found["join_cpu_us"],
        "rss": found["rss_start_kb"] / 1024,
        "lost": found["lost"],
    }


# -- stored messages --------------------------------------------------------------------------------------------


def messages(bench: Bench, count: int) -> Row:
    """All in the room in which a hundred then talk; each size goes on from the one before."""
    folder = bench.folder / "stored"
    stored.fill(folder, messages=count)
    subject = chatd("framed", "sqlite")
    row = stored.look(subject, folder)
    found = bench.load(subject, "saturate", "--quickack", "--n", "100", data=folder)
    return row | {"delivery": found["srv_cpu_us_per_delivery"], "lost": found["lost"]}


SERIES = (
    Series(
        "members",
        "members of one room",
        MEMBERS,
        members,
        {
            "delivery": "µs a delivery",
            "plain": "µs a delivery, plain loop",
            "join": "µs a join, 32 at a time",
            "storm": "µs a join, all at once",
            "memory": "bytes a connection",
            "lost": "lost",
        },
    ),
    Series(
        "rooms",
        f"rooms of {ROOM_SIZE} members",
        ROOMS,
        rooms,
        {"delivery": "µs a delivery", "plain": "µs a delivery, plain loop", "join": "µs a join", "lost": "lost"},
    ),
    Series(
        "idle-rooms",
        "rooms that there are; 10 of them are in use",
        IDLE_ROOMS,
        idle_rooms,
        {"delivery": "µs a delivery", "join": "µs a join", "rss": "MiB after the start", "lost": "lost"},
    ),
    Series(
        "stored",
        "messages stored in the room",
        STORED,
        messages,
        {
            "start": "processor s to start",
            "rss": "MiB after the start",
            "login": "µs a login",
            "join": "µs a join",
            "first": "µs a first page",
            "old": "µs an old page",
            "delivery": "µs a delivery",
            "lost": "lost",
        },
    ),
)


def drawn(series: Series, rows: dict[int, Row]) -> str:
    """The table of a series."""
    head = [series.grows, *series.columns.values()]
    lines = [[f"{size:,}", *(_cell(row.get(key), key) for key in series.columns)] for size, row in rows.items()]
    return table([head, *lines], texts=())


def _cell(value: float | None, key: str) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if key == "lost" else figure(value)


def measure(series: Series, bench: Bench, sizes: Sequence[int]) -> dict[int, Row]:
    rows: dict[int, Row] = {}
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_FILES
    for size in sizes:
        connections = size * {"members": 1, "rooms": ROOM_SIZE}.get(series.name, 0)
        if connections > most:
            say(f"{series.name} {size:,}: left out, it needs {connections:,} open files (ulimit -n)")
            continue
        try:
            rows[size] = series.measure(bench, size)
        except CannotMeasure as problem:
            say(f"{series.name} {size:,}: not measured: {problem}")
            continue
        told = ", ".join(f"{_cell(rows[size].get(key), key)} {words}" for key, words in series.columns.items())
        say(f"{series.name} {size:,}: {told}")
    return rows


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench growth", description=__doc__, allow_abbrev=False)
    common(parser)
    names = [one.name for one in SERIES]
    parser.add_argument("--only", action="append", choices=names, help="only this series; may be given more than once")
    parser.add_argument("--full", action="store_true", help=f"up to {MOST_STORED:,} stored messages")
    parser.add_argument(
        "--plot", metavar="FOLDER", type=Path, help="draw the pictures there (docs/img with --write-results)"
    )
    chosen = parser.parse_args(words)
    whole(chosen, chosen.only)
    pictures = chosen.plot or (results.PICTURES if chosen.write_results else None)
    if pictures is not None:
        from bench import plot

        plot.check()
    program = find(chosen.loadgen)
    facts = machine.facts(chosen.dir)
    facts["extent"] = extent(chosen, "each measured once")
    found: dict[str, dict[int, Row]] = {}
    with tempfile.TemporaryDirectory(prefix="chatd-growth-", dir=chosen.dir) as folder:
        bench = Bench(program, 1.0 if chosen.quick else 2.0, chosen.dir, Path(folder))
        for series in SERIES:
            if chosen.only and series.name not in chosen.only:
                continue
            sizes = list(series.sizes[:-1] if chosen.quick else series.sizes)
            sizes += [MOST_STORED] * (chosen.full and series.name == "stored")
            found[series.name] = measure(series, bench, sizes)
    tables = {one.name: drawn(one, found[one.name]) for one in SERIES if one.name in found}
    print("\n\n".join([results.head(facts), *tables.values()]))
    if pictures is not None:
        for series in SERIES:
            if found.get(series.name):
                say(f"written: {plot.draw(series, found[series.name], pictures)}")
    blocks = {"growth-head": results.head(facts)} | tables
    explained = {name: results.with_source(facts, text) for name, text in tables.items()}
    finish(chosen, {"facts": facts, "growth": found}, blocks, explained)
