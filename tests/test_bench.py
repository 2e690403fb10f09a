"""The bench: what it starts, what it asks, and what it makes of the answers. The measuring itself is a compiled
program's, for which most of these have a stand-in.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.crowd import frame
from support.pages import TREE, page, section, tables

sys.path.append(str(TREE))  # the bench is a part of the tree, and not of what is installed

from bench import loadgen, peers, results, runs, scenarios, servers, stored, way, words
from bench.growth import SERIES

HERE = os.environ | {"PYTHONPATH": str(TREE), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
HERE.pop(loadgen.VARIABLE, None)


def bench(*given: object, status: int = 0, **environ: str) -> tuple[str, str]:
    """What `python -m bench` printed, and what it told meanwhile."""
    command = [sys.executable, "-m", "bench", *map(str, given)]
    ran = subprocess.run(command, cwd=TREE, env=HERE | environ, capture_output=True, text=True, timeout=55)
    assert ran.returncode == status, ran.stdout + ran.stderr
    return ran.stdout, ran.stderr


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that looks like the load generator."""
    path = tmp_path_factory.mktemp("program") / "loadgen"
    path.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{TREE}/tests/support/loadgen.py' \"$@\"\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# -- the command ----------------------------------------------------------------------------------------------


def test_without_a_load_generator_it_says_what_to_give(tmp_path: Path) -> None:
    _, told = bench(status=1, PATH="/nowhere")
    assert told.count("\n") == 1
    assert "name a build of loadgen with --loadgen PATH or $CHATD_LOADGEN" in told
    _, told = bench("growth", "--loadgen", tmp_path / "none", status=1)
    assert f"there is no load generator '{tmp_path}/none'" in told


@pytest.mark.slow
def test_the_table_has_the_ratio_to_the_reference(stand_in: Path, tmp_path: Path) -> None:
    asked = ("--scenario", "paced-100", "--scenario", "storm-1000", "--way", "framed", "--journal", "sqlite")
    printed, _ = bench("--loadgen", stand_in, *asked, "--no-peers", "--repeat", 2, "--json", tmp_path / "all")
    ratios, details = tables(printed)
    assert ratios[0] == ["scenario", "unit", "chatd, framed, on disk", "plain loop, framed"]
    assert ratios[1][1:] == ["µs a delivery", "0.40 (4.0 ×)", "0.10"]
    assert ratios[2][1:] == ["µs a join", "40.0 (4.0 ×)", "10.0"]
    found = {(row[0], row[1]): dict(zip(details[0][2:], row[2:], strict=True)) for row in details[1:]}
    paced = found["paced-100", "chatd, framed, on disk"]
    assert (paced["p50 ms"], paced["p99 ms"], paced["lost"], paced["remarks"]) == ("1.00", "9.00", "0", "")
    assert found["storm-1000", "plain loop, framed"]["lost"] == runs.NONE
    for fact in ("date", "Python", "Twisted", "SQLite", "kernel", "processor", "disk"):
        assert f"- {fact}: " in printed
    told = json.loads((tmp_path / "all").read_text())
    assert len(told["runs"]) == 2 * 2 * 2
    assert told["facts"]["Python"] in printed


def test_a_table_tells_what_was_wrong(stand_in: Path) -> None:
    asked = ("--scenario", "saturate-10", "--way", "line", "--journal", "memory", "--no-peers", "--quick")
    printed, _ = bench("--loadgen", stand_in, *asked, LOADGEN_BUSY="0.97", LOADGEN_LOST="3")
    row = dict(zip(tables(printed)[1][0], tables(printed)[1][1], strict=True))
    assert row["lost"] == "3"
    assert "the load generator was the bottleneck (97% busy)" in row["remarks"]
    assert "--quick: a first look only" in printed


@pytest.mark.slow
def test_growth_prints_a_table_for_each_series(stand_in: Path, tmp_path: Path) -> None:
    printed, told = bench(
        "growth", "--loadgen", stand_in, "--quick", "--only", "idle-rooms", "--json", tmp_path / "all"
    )
    [rows] = tables(printed)
    assert rows[0] == ["rooms that there are; 10 of them are in use", *SERIES[2].columns.values()]
    assert [row[0] for row in rows[1:]] == ["1", "10", "100", "1,000"]
    assert "idle-rooms 1,000: " in told
    assert json.loads((tmp_path / "all").read_text())["growth"]["idle-rooms"]["10"]["delivery"] == 0.4


def test_what_is_written_down_is_a_whole_run(stand_in: Path) -> None:
    for narrowed in (("--scenario", "rooms"), ("growth", "--only", "stored")):
        _, told = bench(*narrowed, "--loadgen", stand_in, "--write-results", status=1)
        assert "--write-results wants the whole run" in told


@pytest.mark.slow
def test_the_real_load_generator_loses_nothing(tmp_path: Path) -> None:
    """Where there is one: $CHATD_LOADGEN, or on the PATH."""
    try:
        program = loadgen.find(None)
    except loadgen.CannotMeasure as problem:
        pytest.skip(str(problem))
    scenario = scenarios.shorter(scenarios.SCENARIOS["saturate-10"])
    for subject in (*(servers.chatd(one, "sqlite") for one in servers.WAYS), *map(servers.reference, servers.WAYS)):
        found = runs.measure(subject, scenario, program, str(tmp_path))
        assert (found["ready"], found["lost"], found["dup"], found["misrouted"]) == (10, 0, 0, 0)
        assert found["delivered"] > 100


# -- what it starts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", servers.WAYS)
def test_the_reference_tells_everyone_in_the_room_and_nobody_else(way: str) -> None:
    def message(text: str) -> bytes:
        return frame({"type": "msg", "room": "a", "text": text}) if way == "framed" else f"{text}\n".encode()

    def hello(nick: str, room: str) -> bytes:
        if way == "line":
            return f"{nick}\n/join {room}\n".encode()
        return frame({"type": "login", "nick": nick}) + frame({"type": "join", "room": room})

    with servers.serving(servers.reference(way)) as server:
        people = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(3)]
        try:
            for one, nick, room in zip(people, "xyz", "aab", strict=True):
                one.sendall(hello(nick, room) + message(f"it is {nick}"))
                assert one.recv(4096) == message(f"it is {nick}")
            assert people[0].recv(4096) == message("it is y")
            # In pieces, and many in one.
            long = message("a long one " * 500)
            people[0].sendall(long[:7])
            people[0].sendall(long[7:] + message("and"))
            for one in people[:2]:
                heard = b""
                while len(heard) < len(long + message("and")):
                    heard += one.recv(65536)
                assert heard == long + message("and")
            people[1].close()
            people[0].sendall(message("still here"))
            assert people[0].recv(4096) == message("still here")
            people[2].sendall(message("alone"))
            assert people[2].recv(4096) == message("alone")
        finally:
            for one in people:
                one.close()


@pytest.mark.parametrize("program", [name for name in peers.PEERS if shutil.which(name)])
def test_a_peer_that_is_here_listens(program: str) -> None:
    name, asked, command = peers.PEERS[program]
    with servers.serving(servers.Subject(name, asked, command, "")) as server:
        assert server.pid > 0


def test_what_does_not_start_is_told() -> None:
    broken = servers.Subject(
        "broken", (), lambda folder, port: [sys.executable, "-c", "raise SystemExit('no room')"], ""
    )
    with pytest.raises(loadgen.CannotMeasure, match="it did not start: no room"), servers.serving(broken):
        pass


@pytest.mark.slow
def test_a_journal_is_filled_and_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size goes on from the one before; a server on it answers what newcomers ask."""
    monkeypatch.setattr(stored, "ASKED", 5)
    stored.fill(tmp_path, messages=100)
    stored.fill(tmp_path, messages=300)
    found = stored.look(servers.chatd("framed", "sqlite"), tmp_path)
    assert set(found) == {"start", "rss", "login", "join", "first", "old"}
    assert all(value > 0 for value in found.values())
    with servers.serving(servers.chatd("framed", "sqlite"), tmp_path) as server:
        wire = stored.Wire(server.port, "tom")
        assert wire.ask("join", room=stored.ROOM)["last_seq"] == 300
        wire.socket.close()


# -- what it writes -------------------------------------------------------------------------------------------


def test_the_way_of_a_message_goes_through_all_of_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    wrote: dict[way.Nowhere, int] = {}

    def write(self: way.Nowhere, blob: bytes) -> None:
        wrote[self] = wrote.get(self, 0) + blob.count(b'"type":"message"')

    monkeypatch.setattr(way.Nowhere, "write", write)
    house = way.run(way.options(["--members", "5", "--burst", "3", "--turns", "10"]))
    assert house.count == 10 * 3 * way.SENDERS
    assert all(len(spent) == 10 and min(spent) > 0 for spent in house.spent.values())
    assert sorted(wrote.values()) == [house.count * 3 // 4] * way.SENDERS + [house.count]


def test_a_block_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured: x -->\nold\n<!-- end of x -->\nafter\n")
    results.put(page, "x", "new \\1")
    assert page.read_text() == "before\n<!-- measured: x -->\n\nnew \\1\n\n<!-- end of x -->\nafter\n"
    with pytest.raises(ValueError, match="0 blocks measured: y"):
        results.put(page, "y", "new")


def test_a_table_can_hold_any_words() -> None:
    drawn = results.table([["server", "µs"], ["a|b", "1.00"]])
    assert drawn.splitlines()[1] == "| ------ | ---: |"
    assert tables(drawn) == [[["server", "µs"], ["a|b", "1.00"]]]
    assert [results.figure(value) for value in (1234.5, 99.96, 4, 0.25, 0.068)] == [
        "1,234",
        "100",
        "4.00",
        "0.25",
        "0.068",
    ]


def test_every_table_has_its_place_in_the_pages() -> None:
    for path, names in (
        (results.RESULTS, ["scenarios", "growth-head", *(one.name for one in SERIES)]),
        (results.EXPLAINED, ["ratios", *(one.name for one in SERIES)]),
    ):
        text = path.read_text()
        assert re.findall(r"<!-- measured: (\S+) -->\n(?:.*\n)*?<!-- end of \1 -->", text) == names


def test_no_table_in_the_documents_is_another_than_in_the_results() -> None:
    text = results.RESULTS.read_text()
    assert all(one in tables(text) for one in tables(results.EXPLAINED.read_text()))


def test_pictures_are_drawn_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from bench import plot

    plot.check()
    for series in SERIES:
        rows = {size: dict.fromkeys(series.columns, float(size)) for size in series.sizes}
        first = plot.draw(series, rows, tmp_path).read_bytes()
        assert plot.draw(series, rows, tmp_path).read_bytes() == first
        assert b"<svg" in first


def test_extent_says_that_it_was_quick() -> None:
    parser = words.argparse.ArgumentParser()
    words.common(parser)
    assert "first look" in words.extent(parser.parse_args(["--quick"]), "once")
    assert words.extent(parser.parse_args([]), "once") == "once"


def test_the_readme_quotes_what_was_measured() -> None:
    text = section(page("README.md"), "What it costs")
    [table, *_] = [rows for rows in tables(page("docs/explanation/performance.md")) if rows[0][0] == "scenario"]
    measured = {cell.split(" ")[0] for row in table[1:] for cell in row[2:]}
    quoted = re.findall(r"([0-9.,]*[0-9]) µs", text)
    assert len(quoted) >= 5
    assert [one for one in quoted if one not in measured] == []


def test_a_newcomer_to_a_stream_is_timed() -> None:
    """The one figure of `bench.cluster` that needs no load generator."""
    from support.nats import program

    program()
    command = [sys.executable, "-m", "bench.cluster", "--only=newcomer", "--messages=2000"]
    ran = subprocess.run(command, capture_output=True, text=True, env=HERE, cwd=TREE, timeout=60, check=True)
    told = ran.stdout.splitlines()
    assert [line.rpartition(": ")[0].partition(" messages, ")[2] for line in told] == [
        "a node with an empty folder",
        "a node started again",
        "a node started again after kill -9",
    ]
    assert all(float(line.split()[-2]) < 30 for line in told)
