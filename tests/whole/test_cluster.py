"""Several nodes on one stream: one order, whoever speaks where, and nothing lost when a node or a NATS server dies."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from nats import connect
from support.crowd import Wire
from support.measure import wait_until
from support.nats import NatsCluster, NatsServer
from support.talk import Talk

Nodes = Callable[..., list[Any]]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """One NATS server of this test's own."""
    server = NatsServer(tmp_path / "nats").start()
    yield server
    server.stop()


@pytest.fixture
def three(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NatsCluster]:
    """Three NATS servers that keep a stream together, and sync each write if the test asks for it."""
    cluster = NatsCluster(tmp_path / "nats", sync_always=getattr(request, "param", False)).start()
    yield cluster
    cluster.stop()


@pytest.fixture
def nodes(start_server: Any) -> Nodes:
    """Starts nodes on the stream that a URL names."""

    def start(url: str, count: int, *options: str, **more: Any) -> list[Any]:
        return [start_server(f"--journal={url}", *options, **more) for _ in range(count)]

    return start


def stored(node: Any) -> list[tuple[Any, ...]]:
    """All events in a node's copy, byte for byte."""
    with closing(sqlite3.connect(f"file:{node.data_dir / 'copy.db'}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT id, time, target, link, event, digest FROM events ORDER BY id").fetchall()


@pytest.mark.timeout(90)
def test_ten_talkers_on_two_nodes_make_one_order(nats: NatsServer, nodes: Nodes, extent: Any) -> None:
    """Numbers without holes, the same on both; live is what history says, and what each copy has after a restart."""
    two = nodes(nats.url, 2)
    with Talk(two, talkers=10, listeners=4) as talk:
        talk.wait_for_oks(extent(20, 500), seconds=60)
        talk.check()
        talk.finish()
        talk.check(anew=True)
    assert stored(two[0]) == stored(two[1]) != []
    for node in two:
        assert node.stop() == 0
        node.restart()
    talk.check(anew=True)


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("shards", ["1", "3"], ids=["one stream", "shards"])
def test_a_node_killed_at_random_loses_nothing(nats: NatsServer, nodes: Nodes, extent: Any, shards: str) -> None:
    """kill -9: whoever was there is back on another node within five seconds, without a gap."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    servers = nodes(nats.url, 2, environ={"CHATD__JOURNAL__SHARDS": shards})
    slowest = 0.0
    with Talk(servers, listeners=2) as talk:
        for _ in range(extent(2, 50)):
            talk.wait_for_oks(1)
            time.sleep(chance.uniform(0.2, 1.0))
            killed = chance.choice(servers)
            killed.kill9()
            slowest = max(slowest, talk.wait_for_oks(1, seconds=5))
            killed.restart()
            talk.check()
            talk.check_repetitions(chance)
        talk.finish()
        talk.check(anew=True)
    print(f"{len(talk.acknowledged())} acknowledged; the slowest was back after {slowest:.2f} s")


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("three", [False], indirect=True)
@pytest.mark.parametrize("shards", ["1", "3"], ids=["one stream", "shards"])
def test_the_leader_of_three_servers_killed_loses_nothing(
    three: NatsCluster, nodes: Nodes, extent: Any, shards: str
) -> None:
    """kill -9 of the NATS server that leads the stream: writing goes on within ten seconds."""
    if shards != "1" and not extent(0, 1):
        pytest.skip("with shards only at its full extent: --soak")
    servers = nodes(three.url, 2, environ={"CHATD__JOURNAL__SHARDS": shards})
    assert "replicated:3" in servers[0].output()
    chance = random.Random(1)
    slowest = 0.0
    with Talk(servers, listeners=2) as talk:
        for _ in range(extent(1, 30)):
            talk.wait_for_oks(5)
            leader = three.leader("chatd")
            leader.kill()
            slowest = max(slowest, talk.wait_for_oks(1, seconds=10))
            leader.start()
            talk.check()
            talk.check_repetitions(chance)
        talk.finish()
        talk.check(anew=True)
    assert stored(servers[0]) == stored(servers[1])
    print(f"{len(talk.acknowledged())} acknowledged; the longest pause was {slowest:.2f} s")


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("three", [True], indirect=True)
def test_all_three_servers_killed_lose_nothing(three: NatsCluster, nodes: Nodes, extent: Any) -> None:
    """With `sync_interval: always`, which the nodes tell clients of."""
    monitors = str(three.monitors).replace("'", '"')
    environ = {"CHATD__JOURNAL__MONITOR": monitors, "CHATD__JOURNAL__REQUIRE": "replicated:3+fsync"}
    servers = nodes(three.url, 2, environ=environ)
    with Wire((servers[0].host, servers[0].port)) as wire:
        assert wire.ask("hello", versions=[1])["durability"] == "replicated:3+fsync"
    with Talk(servers, listeners=2) as talk:
        for _ in range(extent(1, 10)):
            talk.wait_for_oks(5)
            for server in three.servers:
                server.kill()
            three.start()
            talk.wait_for_oks(1, seconds=20)
            talk.check()
        talk.finish()
        talk.check(anew=True)
    assert stored(servers[0]) == stored(servers[1])


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_nats_standing_still_holds_nobody_up(nats: NatsServer, nodes: Nodes, extent: Any) -> None:
    """Nothing is acknowledged meanwhile, reading goes on, no connection is lost, and it goes on within five seconds."""
    [node] = nodes(nats.url, 1, environ={"CHATD__JOURNAL__HOLD_SECONDS": "2"})
    with Talk(node, listeners=0) as talk, Wire((node.host, node.port), 60) as reader:
        reader.enter("reader", "#lobby")
        talk.wait_for_oks(5)
        nats.signal(signal.SIGSTOP)
        time.sleep(1)
        before = len(talk.acknowledged())
        time.sleep(extent(5, 30))
        assert len(talk.acknowledged()) == before
        assert reader.ask("history", room="#lobby", limit=5)["ok"]
        refused = reader.ask("send", room="#lobby", body="now?")
        assert refused["error"]["code"] in ("STORE_UNAVAILABLE", "OUTCOME_UNKNOWN")
        nats.signal(signal.SIGCONT)
        talk.wait_for_oks(1, seconds=5)
        talk.finish()
        reader.until("message", body="the end")
        shown = [event["seq"] for event in reader.heard if event.get("type") == "message"]
        assert shown == list(range(shown[0], shown[-1] + 1)), "it was shown everything, on the same connection"
        assert [talker.cuts for talker in talk.talkers] == [0] * 4
        talk.check(anew=True)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("three", [True], indirect=True)
def test_what_is_kept_less_surely_than_before_is_said_so(three: NatsCluster, nodes: Nodes) -> None:
    """An operator takes replicas away while a node runs: nobody is told of more than there is."""
    environ = {"CHATD__JOURNAL__MONITOR": ",".join(three.monitors), "CHATD__JOURNAL__REQUIRE": "replicated:3+fsync"}
    [node] = nodes(three.url, 1, environ=environ)
    with Wire((node.host, node.port)) as tom:
        tom.enter("tom", "#lobby")
        assert tom.ask("send", room="#lobby", body="1")["durability"] == "replicated:3+fsync"
        asyncio.run(set_replicas(three.url, "chatd", 1))
        deadline = time.monotonic() + 40
        while (found := tom.ask("send", room="#lobby", body="2")["durability"]) == "replicated:3+fsync":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert found.startswith("replicated:1")
        with Wire((node.host, node.port)) as kim:
            assert kim.ask("hello", versions=[1])["durability"] == found
    assert f"what is said is {found} from now on; it was replicated:3+fsync" in node.output()
    assert f"it is {found}, and journal.require is replicated:3+fsync" in node.output()


async def set_replicas(url: str, stream: str, count: int) -> None:
    client = await connect(url.split(",")[0])
    config = (await client.jetstream().stream_info(stream)).config
    config.num_replicas = count
    await client.jsm().update_stream(config)
    await client.close()


def test_a_node_waits_for_servers_that_are_just_starting(tmp_path: Path, start_server: Any) -> None:
    """A stream that three keep is made once the third of them is there."""
    cluster = NatsCluster(tmp_path / "nats")
    first, second, third = cluster.servers
    try:
        for one in (first, second):
            one.start(wait=False)
        for one in (first, second):
            one.wait()
        node = start_server(f"--journal={cluster.url}", until="made")
        process = node.spawn()
        time.sleep(2)
        assert process.poll() is None, node.output()
        assert not node.is_ready()
        third.start()
        wait_until(node.is_ready, 20, node.output)
        assert "replicated:3" in node.output()
    finally:
        cluster.stop()
