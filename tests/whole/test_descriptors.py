"""Descriptors: with more connections than files may be open the server rests, keeps its own, and goes on by itself."""

from __future__ import annotations

import resource
import socket
import time
from typing import Any

import pytest
from support.crowd import Wire
from support.measure import allow_files, files_of, processor_seconds, wait_until
from support.pair import Pair

from chatd.cli import main

FILES = 256
CALLERS = 400
WATCHED_SECONDS = 4.0
LEAST_FREE = 32  # of the files that the journal, its readers, a backup and the log may need


def confined(start_server: Any, *options: str, files: int = FILES) -> Any:
    """A server that may have so many files open (ulimit -n); it reads that when it is about to listen."""
    server = start_server(*options, until="spawned")
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (files, files))
    wait_until(server.is_ready, 30, server.output)
    return server


def call(server: Any, count: int) -> list[socket.socket]:
    """So many connections that say nothing; the kernel takes those for which the server has no room."""
    return [socket.create_connection((server.host, server.port), timeout=10) for _ in range(count)]


@pytest.mark.slow
def test_four_hundred_call_where_there_is_room_for_few(start_server: Any, tmp_path: Any) -> None:
    """ulimit -n 256 and 400 connections: no busy loop, the pair talks on, the journal works, a backup too."""
    allow_files(1000)
    server = confined(start_server)
    assert f"room for {FILES - 64} connections: {FILES} files may be open (ulimit -n)" in server.output()
    with Pair(server) as pair:
        callers = call(server, CALLERS)
        wait_until(lambda: files_of(server) > FILES - 70, 10, lambda: files_of(server))
        before = processor_seconds(server)
        time.sleep(WATCHED_SECONDS)
        share = (processor_seconds(server) - before) / WATCHED_SECONDS
        assert share < 0.2
        assert files_of(server) <= FILES - LEAST_FREE
        assert main(["backup", "--data-dir", str(server.data_dir), str(tmp_path / "backup.db")]) == 0
        assert server.output().count("newcomers have to wait") == 1

        for caller in callers[: CALLERS // 2]:
            caller.close()
        start = time.monotonic()
        with Wire((server.host, server.port)) as newcomer:
            for caller in callers[CALLERS // 2 :]:
                caller.close()
            newcomer.enter("newcomer", "#pair")
            assert newcomer.ask("history", room="#pair", after=0)["events"]
            assert time.monotonic() - start < 5
        told = pair.told()
    assert told.count > WATCHED_SECONDS * 9
    assert told.p99 < 1
    print(f"{share:.1%} of a processor, the pair: {told}")


def test_who_waits_outside_comes_in_when_somebody_leaves(start_server: Any) -> None:
    """Nobody is turned away: newcomers wait in the kernel, and are greeted in their order."""
    server = confined(start_server, "--line-port=none", files=100)
    callers = call(server, 100)
    with Wire((server.host, server.port)) as newcomer:
        newcomer.send({"type": "hello", "id": "h", "versions": [1]})
        newcomer.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            newcomer.read()
        newcomer.socket.settimeout(10)
        for caller in callers:
            caller.close()
        assert newcomer.read()["re"] == "h"


def test_when_the_kernel_itself_has_no_more_it_goes_on_as_well(start_server: Any) -> None:
    """EMFILE, where the limit sinks while the server runs: told in one line, no load, and over by itself."""
    server = start_server()
    callers = call(server, 50)
    wait_until(lambda: server.output().count(" connected session") == 50, 10)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (files_of(server), 20_000))
    late = call(server, 20)
    wait_until(lambda: "newcomers have to wait" in server.output(), 5)
    before = processor_seconds(server)
    time.sleep(2)
    assert processor_seconds(server) - before < 0.2
    assert server.output().count("newcomers have to wait") == 1
    assert "Too many open files" in server.output()
    for caller in callers:
        caller.close()
    wait_until(lambda: server.output().count(" connected session") == 70, 10)
    for caller in late:
        caller.close()
