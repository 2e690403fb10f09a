"""People on several nodes: they meet, have names of their own, and move from one node to another without a gap."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import nats
import pytest
from support.crowd import LineWire, Wire
from support.nats import NatsServer

from chatd.client import blocking


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One NATS server for the tests here: each has a stream of its own."""
    server = NatsServer(tmp_path_factory.mktemp("nats")).start()
    yield server
    server.stop()


@pytest.fixture
def node(start_server: Any, nats_server: NatsServer, tmp_path: Path) -> Any:
    """Starts a node on this test's stream."""

    def start(*options: str, **settings: str) -> Any:
        environ = {"CHATD__JOURNAL__STREAM": tmp_path.name.replace(".", "_")[:32]} | settings
        return start_server(f"--journal={nats_server.url}", *options, environ=environ)

    start.stream = tmp_path.name.replace(".", "_")[:32]  # type: ignore[attr-defined]
    return start


def place(server: Any) -> tuple[str, int]:
    return server.host, server.port


def test_who_is_on_another_node_is_seen_heard_and_shown_typing(node: Any) -> None:
    one, other = node(), node()
    with Wire(place(one)) as tom, Wire(place(other)) as kim:
        tom.enter("tom", "#lobby", caps=("presence", "typing"))
        kim.enter("kim", "#lobby", caps=("presence", "typing"))
        tom.until("presence", joined=["kim"])
        names = {item["nick"] for item in tom.ask("list", what="members", room="#lobby")["items"]}
        assert names == {"tom", "kim"}
        assert kim.ask("presence", typing={"room": "#lobby", "state": "active"})["ok"]
        assert tom.until("typing")["who"] == "kim"
        assert kim.ask("send", room="@tom", body="only for you")["ok"]
        assert tom.until("message", room="@kim")["body"] == "only for you"
        assert kim.ask("nick", nick="kimberly")["ok"]
        assert tom.ask("list", what="users", prefix="kim")["items"][0]["nick"] == "kimberly"


def test_a_name_is_one_persons_in_the_whole_cluster(node: Any) -> None:
    one, other = node(), node()
    with Wire(place(one)) as tom, Wire(place(other)) as second:
        tom.enter("tom")
        assert second.ask("hello", versions=[1])["ok"]
        refused = second.ask("auth", mechanism="guest", nick="Tom")
        assert refused["error"]["code"] == "NICK_IN_USE"


def test_both_ask_for_a_name_at_once_and_one_of_them_gets_it(node: Any) -> None:
    servers = [node(), node()]
    for n in range(20):
        wires = [Wire(place(server)) for server in servers]
        for wire in wires:
            wire.ask("hello", versions=[1])
        for wire in wires:
            wire.send({"type": "auth", "id": "a", "mechanism": "guest", "nick": f"both{n}"})
        answers = [next(found for found in iter(wire.read, None) if found.get("re") == "a") for wire in wires]
        assert sorted(answer["ok"] for answer in answers) == [False, True]
        for wire in wires:
            wire.socket.close()


def test_who_comes_again_at_once_gets_the_same_name(node: Any) -> None:
    """Here or on the other node, though that one has gone takes a moment to come out of the stream."""
    servers = [node(), node()]
    for n in range(30):
        with Wire(place(servers[n % 3 % 2])) as wire:
            wire.enter("tom", "#lobby")
            assert wire.ask("quit")["ok"]


def test_a_newcomer_knows_who_is_here(node: Any) -> None:
    one = node()
    with Wire(place(one)) as tom:
        tom.enter("tom", "#lobby", "#quiet")  # nothing was said there: no copy has it
        other = node()
        with Wire(place(other)) as kim:
            kim.enter("kim", "#quiet")
            assert {item["nick"] for item in kim.ask("list", what="members", room="#quiet")["items"]} == {"tom", "kim"}
            assert kim.ask("send", room="#quiet", body="hello")["ok"]
            assert tom.until("message", room="#quiet")["body"] == "hello"
            assert tom.ask("part", room="#quiet")["ok"]
            deadline = time.monotonic() + 5
            names = {"tom"}
            while "tom" in names and time.monotonic() < deadline:  # the other node hears of it a moment later
                names = {item["nick"] for item in kim.ask("list", what="members", room="#quiet")["items"]}
            assert names == {"kim"}


def test_who_comes_from_a_node_that_died_goes_on_exactly(node: Any) -> None:
    """By a token in the same breath, on a node that need not know yet what was said last."""
    one, other = node(), node()
    with Wire(place(one)) as tom:
        token = tom.enter("tom", "#lobby")["token"]
        for n in range(200):
            last = tom.ask("send", room="#lobby", body=f"{n}")["seq"]
        one.kill9()
        with Wire(place(other)) as again:
            assert again.ask("hello", versions=[1])["ok"]
            reply = again.ask("resume", token=token, rooms={"#lobby": last - 3})
            assert reply["ok"], reply
            shown = [again.until("message")["seq"] for _ in range(3)]
            assert shown == [last - 2, last - 1, last]


def test_a_person_with_nc_comes_back_on_another_node(node: Any) -> None:
    one, other = node(), node()
    with LineWire((one.host, one.line_port)) as tom, LineWire((other.host, other.line_port)) as kim:
        tom.enter("tom")
        word = tom.until("/resume").split()[-1]
        tom.until("*** You are in #lobby")
        kim.enter("kim")
        kim.say("while tom is here")
        tom.until("<kim> while tom is here")
        one.kill9()
        kim.say("while tom is away")
        with LineWire((other.host, other.line_port)) as again:
            again.say(f"/resume {word}")
            again.until("<kim> while tom is away")
            kim.say("and again here")
            again.until("<kim> and again here")


def test_sessions_of_a_dead_node_are_gone_on_every_other(node: Any) -> None:
    one, other = node(), node(CHATD__JOURNAL__NODE_SECONDS="2")
    with Wire(place(one)) as tom, Wire(place(other)) as kim:
        kim.enter("kim", "#lobby", caps=("presence",))
        tom.enter("tom", "#lobby")
        assert json.loads(chatd("admin", "status", "--json", server=other))["nodes"] == 2
        one.kill9()
        left = kim.until("presence", left=[{"nick": "tom", "reason": "its server is gone"}])
        assert left["count"] == 1
        assert json.loads(chatd("admin", "status", "--json", server=other))["nodes"] == 1
        with Wire(place(other)) as second:
            second.enter("tom")


def test_a_node_that_stood_still_begins_anew(node: Any) -> None:
    """The others took it for dead: nobody goes on there as if nothing had happened, and everybody can come again."""
    one, other = node(), node(CHATD__JOURNAL__NODE_SECONDS="2")
    with Wire(place(one)) as tom, Wire(place(other)) as kim:
        kim.enter("kim", "#lobby", caps=("presence",))
        token = tom.enter("tom", "#lobby")["token"]
        os.kill(one.pid, signal.SIGSTOP)
        kim.until("presence", left=[{"nick": "tom", "reason": "its server is gone"}])
        os.kill(one.pid, signal.SIGCONT)
        assert tom.until("closing")["code"] == "SHUTTING_DOWN"
        with Wire(place(one)) as again:
            assert again.ask("hello", versions=[1])["ok"]
            assert again.ask("auth", mechanism="token", token=token)["ok"]
            assert again.ask("join", room="#lobby")["ok"]
            assert kim.ask("send", room="#lobby", body="there you are")["ok"]
            assert again.until("message")["body"] == "there you are"


def test_a_client_with_several_addresses_goes_where_it_is_sent(node: Any) -> None:
    other = node()
    one = node(CHATD__SERVER__ALTERNATE=f"localhost:{other.port}")
    nowhere = "localhost:9"
    with (
        blocking.connect(f"localhost:{one.port},{nowhere}", nick="tom") as tom,
        blocking.connect(f"{nowhere},localhost:{other.port}", nick="kim") as kim,
    ):
        tom.join("#lobby")
        kim.join("#lobby")
        kim.send("#lobby", "first")
        assert one.stop() == 0
        began = time.monotonic()
        sent = tom.send("#lobby", "here again")
        assert time.monotonic() - began < 5
        assert (sent.seq, tom.address.port) == (2, other.port)


def test_nodes_are_restarted_one_after_the_other_while_people_talk(node: Any) -> None:
    """A rolling upgrade: nobody is cut off from the talk, and nothing is said twice."""
    from support.talk import Talk

    servers = [node(), node()]
    with Talk(servers, listeners=2) as talk:
        for server in servers:
            talk.wait_for_oks(3)
            assert server.stop() == 0
            talk.wait_for_oks(1, seconds=5)
            server.restart()
        talk.finish()
        talk.check(anew=True)


# -- the stream -----------------------------------------------------------------------------------------------------


def remove_stream(server: NatsServer, stream: str) -> None:
    async def remove() -> None:
        client = await nats.connect(server.url)
        await client.jetstream().delete_stream(stream)
        await client.close()

    asyncio.run(remove())


def refused(server: Any) -> str:
    """What a node says that does not start."""
    process = server.spawn()
    assert process.wait(20) != 0
    return str(server.output())


def said_something(server: Any) -> None:
    with Wire(place(server)) as tom:
        tom.enter("tom", "#lobby")
        assert tom.ask("send", room="#lobby", body="hello")["ok"]


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


def chatd(*words: str, server: Any, url: str = "", **settings: str) -> str:
    environ = server.environ | settings | ({"CHATD__JOURNAL__URL": url} if url else {})
    command = [sys.executable, "-m", "chatd", *words, f"--data-dir={server.data_dir}"]
    ran = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, cwd=server.folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def rows(path: Path) -> dict[str, list[Any]]:
    """What matters in a journal's file, but for the numbers that it gives to rooms."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = {
            "rooms": "SELECT room_id, name, parties, first_seq, link_before, topic, made FROM rooms",
            "events": "SELECT id & 68719476735, time, msg_key, link, event, digest FROM events ORDER BY link",
            "accounts": "SELECT user_id, name, made, generation, disabled, ignored FROM accounts",
            "verifiers": "SELECT user_id, verifier FROM verifiers",
            "cursors": "SELECT user_id, seq FROM cursors ORDER BY user_id",
            "rulings": "SELECT * FROM rulings",
        }
        return {name: sorted(connection.execute(query).fetchall()) for name, query in tables.items()}


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
    settings = {"CHATD__JOURNAL__STREAM": node.stream}
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
