"""The stream under a cluster: what keeps a node from starting, and the commands that move, rebuild and look at it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import Any

import msgspec
import nats
import pytest
from support.cluster import chatd, place, refused, remove_stream, rows, said_something
from support.crowd import Wire
from support.nats import NatsServer

from chatd.core.cluster_events import NodeCame
from chatd.core.events import Proposal
from chatd.journal.bundles import piece_of, seal

# -- the stream -----------------------------------------------------------------------------------------------------


def test_a_stream_that_is_gone_is_no_empty_history(node: Any, nats_server: NatsServer) -> None:
    one = node()
    said_something(one)
    assert one.stop() == 0
    remove_stream(nats_server, node.stream)
    assert "it is gone, though this node has a copy" in refused(one)
    other = node()  # which knows of nothing, and makes a new one
    said_something(other)
    for _ in range(3):
        with Wire(place(other)) as kim:
            kim.enter("kim")
    assert "another stream" in refused(one) or "it ends with message" in refused(one)


def test_a_stream_that_is_changed_for_another_is_not_read_on(node: Any, nats_server: NatsServer) -> None:
    """While a node runs: it refuses what is said, shows what it has, and never makes a stream by itself."""
    one = node(CHATD__JOURNAL__HOLD_SECONDS="1")
    said_something(one)
    remove_stream(nats_server, node.stream)
    with Wire(place(one)) as tom:
        assert tom.ask("hello", versions=[1])["ok"]
        refused = tom.ask("auth", mechanism="guest", nick="anna")
        assert refused["error"]["code"] in ("STORE_UNAVAILABLE", "OUTCOME_UNKNOWN")
        other = node()
        for _ in range(8):
            said_something(other)
        refused = tom.ask("auth", mechanism="guest", nick="anna")
        assert refused["error"]["code"] in ("STORE_UNAVAILABLE", "OUTCOME_UNKNOWN")
    deadline = time.monotonic() + 10
    while "another stream" not in one.output() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "it is another stream, made since" in one.output()
    assert len(rows(one.data_dir / "copy.db")["events"]) == 1


def test_a_node_that_an_older_chatd_runs_stops_rather_than_leave_something_out(
    node: Any, nats_server: NatsServer
) -> None:
    one = node()
    newer = msgspec.msgpack.encode((1, ("message/9", "r", "u")))
    came = piece_of(Proposal(NodeCame("n-1", "n", b""), 1))

    async def publish() -> None:
        client = await nats.connect(nats_server.url)
        for number, piece in ((1, came), (2, newer)):
            headers = {"Nats-Msg-Id": f"n-1.{number}.0"}
            await client.jetstream().publish(f"{node.stream}.log", seal("n-1", number, [piece]), headers=headers)
        await client.close()

    with Wire(place(one)) as tom:
        tom.enter("tom", "#lobby")
        asyncio.run(publish())
        assert tom.until("closing")["code"] == "SHUTTING_DOWN"
    assert one.process.wait(20) == 70
    assert "install the newer chatd that the other nodes have" in one.output()


def test_a_stream_that_was_lost_is_made_again_from_a_copy(node: Any, nats_server: NatsServer) -> None:
    one = node()
    said_something(one)
    assert one.stop() == 0
    remove_stream(nats_server, node.stream)
    before = rows(one.data_dir / "copy.db")
    left = one.folder / "left.db"
    chatd("backup", str(left), server=one, url=nats_server.url)
    for ending in ("", "-wal", "-shm"):
        (one.data_dir / f"copy.db{ending}").unlink(missing_ok=True)
    chatd("migrate", f"--source={left}", server=one, url=nats_server.url)
    one.restart()
    assert rows(one.data_dir / "copy.db") == before
    said_something(one)


def test_a_stream_that_is_kept_less_surely_than_asked_for_is_refused(node: Any) -> None:
    one = node()
    assert one.stop() == 0
    one.environ["CHATD__JOURNAL__REQUIRE"] = "replicated:3"
    assert "it is replicated:1, and journal.require is replicated:3" in refused(one)


def test_without_nats_a_node_says_what_to_start(start_server: Any) -> None:
    one = start_server("--journal=nats://127.0.0.1:9", until="made")
    assert "start nats-server with JetStream" in refused(one)


# -- the commands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 3], indirect=True, ids=["one stream", "shards"])
def test_a_journal_moves_into_a_stream_with_every_number(start_server: Any, nats_server: NatsServer, node: Any) -> None:
    """Ids, times, links, what was taken back, accounts, orders; and tokens are good as before."""
    one = start_server()
    with Wire(place(one)) as tom:
        token = tom.enter("tom", "#lobby", mechanism="register", account="tom", password="a long secret 77")["token"]
        for n in range(300):
            sent = tom.ask("send", room="#lobby", body=f"m{n}", msg_id=f"m{n}", data={"n": [n, 1.5, None]})
        assert tom.ask("relate", room="#lobby", target=5, rel="redact")["ok"]
        assert tom.ask("relate", room="#lobby", target=6, rel="edit", body="better")["ok"]
        assert tom.ask("mark_read", room="#lobby", seq=7)["ok"]
        assert tom.ask("join", room="#den")["ok"]
        assert tom.ask("set", room="#den", changes={"topic": "quiet"})["ok"]
    assert one.stop() == 0
    settings = {"CHATD__JOURNAL__STREAM": node.stream, "CHATD__JOURNAL__SHARDS": node.shards}
    told = chatd("migrate", server=one, url=nats_server.url, **settings)
    assert "took 2 rooms and 303 events" in told
    assert rows(one.data_dir / "copy.db") == rows(one.data_dir / "chatd.db")
    assert "took 2 rooms" in chatd("migrate", server=one, url=nats_server.url, **settings), "it can be done again"
    other = node()
    assert rows(other.data_dir / "copy.db") == rows(one.data_dir / "chatd.db")
    with Wire(place(other)) as again:
        assert again.ask("hello", versions=[1])["ok"]
        assert again.ask("auth", mechanism="token", token=token)["nick"] == "tom"
        assert again.ask("join", room="#lobby")["last_seq"] == 302
        repeated = again.ask("send", room="#lobby", body="m299", msg_id="m299", data={"n": [299, 1.5, None]})
        assert (repeated["seq"], repeated["duplicate"]) == (sent["seq"], True)


@pytest.mark.parametrize("shards", [1, 3], indirect=True, ids=["one stream", "shards"])
def test_a_copy_is_rebuilt_from_the_stream_or_begun_from_a_backup(node: Any, nats_server: NatsServer) -> None:
    one = node()
    said_something(one)
    backup = one.folder / "copy.backup"
    url = nats_server.url
    chatd("backup", str(backup), server=one, url=url)
    said_something(one)
    assert one.stop() == 0
    before = rows(one.data_dir / "copy.db")
    assert "rebuilt" in chatd("rebuild", server=one, url=url)
    assert rows(one.data_dir / "copy.db") == before
    chatd("restore", str(backup), "--force", server=one, url=url)
    assert len(rows(one.data_dir / "copy.db")["events"]) == 1
    one.restart()
    with Wire(place(one)) as kim:
        kim.enter("kim")
        assert kim.ask("join", room="#lobby")["last_seq"] == 2
    assert rows(one.data_dir / "copy.db") == before


def test_the_doctor_says_how_surely_a_stream_keeps_what_is_said(node: Any, nats_server: NatsServer) -> None:
    one = node()
    told = chatd("doctor", server=one, url=nats_server.url)
    assert f"care  stream {node.stream}: replicated:1, messages 1 to " in told
    assert "sync_interval: always" in told


def test_a_copy_is_not_changed_behind_the_back_of_the_others(node: Any, nats_server: NatsServer) -> None:
    one = node()
    assert one.stop() == 0
    environ = one.environ | {"CHATD__JOURNAL__URL": nats_server.url}
    command = [sys.executable, "-m", "chatd", "purge", "--older-than=1d", f"--data-dir={one.data_dir}"]
    ran = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60)
    assert ran.returncode == 77
    assert "it is a copy of a stream" in ran.stderr
    environ = one.environ | {"CHATD__JOURNAL__URL": f"sqlite:{one.data_dir / 'copy.db'}"}
    command = [sys.executable, "-m", "chatd", "serve", "--port=0", "--line-port=none", f"--data-dir={one.data_dir}"]
    server = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60)
    assert server.returncode != 0
    assert "it is a copy of a stream" in server.stdout + server.stderr
