"""Rooms in several streams: each has one order on all nodes, and who may be where is the same everywhere."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import Any

import nats
import pytest
from support.cluster import chatd, place, refused, remove_stream, rows
from support.crowd import Wire
from support.nats import NatsServer

from chatd.core.cluster_events import NodeCame, NodeGone
from chatd.core.events import Event, MessageSent, Proposal, RoomMade
from chatd.journal.bundles import piece_of, seal
from chatd.journal.streams import number_of, subject_of


@pytest.fixture
def shards(request: pytest.FixtureRequest) -> str:
    """In how many streams the rooms are."""
    return str(getattr(request, "param", 3))


ROOMS = [f"#room{n}" for n in range(9)]


def counts(server: NatsServer, node: Any) -> list[int]:
    """How many messages are in each stream, that of names first."""

    async def look() -> list[int]:
        client = await nats.connect(server.url)
        names = [node.stream, *(f"{node.stream}-{n}" for n in range(1, int(node.shards) + 1))]
        found = [(await client.jetstream().stream_info(name)).state.messages for name in names]
        await client.close()
        return found

    return asyncio.run(look())


def settled(*servers: Any) -> dict[str, list[Any]]:
    """What all copies have, once they have the same."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        copies = [rows(server.data_dir / "copy.db") for server in servers]
        if all(copy == copies[0] for copy in copies):
            return copies[0]
        time.sleep(0.1)
    raise AssertionError("the copies differ")


def talk(server: Any, nick: str, seed: int, count: int, told: list[Any]) -> None:
    chance = random.Random(seed)
    with Wire(place(server)) as wire:
        wire.enter(nick, *ROOMS)
        for n in range(count):
            room = chance.choice(ROOMS)
            reply = wire.ask("send", room=room, body=f"{nick} {n}", msg_id=f"{nick}-{n}")
            told.append((room, reply["seq"], f"{nick} {n}"))


def test_each_room_has_one_order_on_all_nodes(node: Any, nats_server: NatsServer, extent: Any) -> None:
    """Numbers without holes, the same on both; what is heard live is what history says, also after a restart."""
    servers = [node(), node()]
    with Wire(place(servers[1])) as kim:
        kim.enter("kim", *ROOMS)
        told: list[Any] = []
        threads = [
            threading.Thread(target=talk, args=(servers[n % 2], f"tom{n}", n, extent(60, 2000), told)) for n in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        heard: dict[str, list[Any]] = {room: [] for room in ROOMS}
        while sum(map(len, heard.values())) < len(told):
            event = kim.until("message")
            heard[event["room"]].append((event["seq"], event["body"]))
        for room in ROOMS:
            wanted = sorted((seq, body) for where, seq, body in told if where == room)
            assert heard[room] == wanted
            assert [seq for seq, _ in wanted] == list(range(1, len(wanted) + 1))
    before = settled(*servers)
    assert len(before["events"]) == len(told) == 6 * extent(60, 2000)
    assert all(count > 2 for count in counts(nats_server, node))
    for server in servers:
        assert server.stop() == 0
        server.restart()
    assert settled(*servers) == before
    with Wire(place(servers[0])) as ann:
        ann.enter("ann", ROOMS[0])
        page = ann.ask("history", room=ROOMS[0], limit=200, after=0)["events"]
        assert [(one["seq"], one["body"]) for one in page] == heard[ROOMS[0]][:200]


def answer(wire: Wire, name: str) -> dict[str, Any]:
    """The reply to a request that was sent."""
    while True:
        found = wire.read()
        if found.get("re") == name:
            return found


def members(wire: Wire, room: str) -> set[str]:
    return {item["nick"] for item in wire.ask("list", what="members", room=room)["items"]}


def test_who_is_banned_while_they_come_in_is_out_on_all_nodes(node: Any, extent: Any) -> None:
    """Ban and join are in two streams, and either may be read first."""
    one, other = node(), node()
    with Wire(place(one)) as op, Wire(place(other)) as far:
        op.enter("op")
        far.enter("far")
        for n in range(extent(8, 90)):
            room = f"#club{n}"
            assert op.ask("join", room=room)["ok"]
            with Wire(place(other)) as tom:
                tom.enter(f"tom{n}")
                op.send({"type": "moderate", "id": "b", "room": room, "action": "ban", "target": f"tom{n}"})
                tom.send({"type": "join", "id": "j", "room": room})
                assert answer(op, "b")["ok"]
                answer(tom, "j")  # refused, or not yet
                while "error" not in (said := tom.ask("send", room=room, body="I am still here")):
                    time.sleep(0.02)
                assert said["error"]["code"] == "NOT_IN_ROOM"
                assert tom.ask("join", room=room)["error"]["code"] == "BANNED"
                assert tom.ask("nick", nick=f"out{n}")["ok"]
                deadline = time.monotonic() + 10
                while not op.ask("list", what="users", prefix=f"out{n}")["items"] and time.monotonic() < deadline:
                    time.sleep(0.02)
                assert members(op, room) == {"op"}
        assert far.ask("join", room="#club0")["ok"]
        assert members(far, "#club0") == {"op", "far"}


async def publish(server: NatsServer, stream: str, count: int) -> None:
    """What a node that is gone said in one room, many messages at a time."""
    client = await nats.connect(server.url)
    out = client.jetstream(publish_async_max_pending=64)
    before = (await out.stream_info(stream)).state.last_seq
    said: list[Event] = [MessageSent("r-long", "u1", "old", "text", f"message {n}", f"m{n}") for n in range(count)]
    names: list[list[Event]] = [[NodeCame("n-old", "old", b"")], [RoomMade("r-long", "#long")], [NodeGone("n-old", "")]]
    rooms = [said[start : start + 100] for start in range(0, count, 100)]
    for which, bundles, after in ((0, names, ()), (number_of(said[0], 4), rooms, (before + 2,))):
        for number, events in enumerate(bundles, 1):
            payload = seal("n-old", number, [piece_of(Proposal(event, number)) for event in events], after)
            headers = {"Nats-Msg-Id": f"n-old.{number}.0"}
            await out.publish_async(subject_of(stream, which), payload, headers=headers)
    await out.publish_async_completed()
    await client.close()


def test_a_new_node_listens_when_it_has_what_was_said_in_all_rooms(node: Any, nats_server: NatsServer) -> None:
    first = node()
    assert first.stop() == 0
    asyncio.run(publish(nats_server, node.stream, 120_000))
    fresh = node()
    with Wire(place(fresh)) as kim:
        kim.enter("kim")
        assert kim.ask("join", room="#long")["last_seq"] == 120_000


def test_who_is_sent_away_is_told_and_can_come_back_when_allowed(node: Any) -> None:
    one, other = node(), node()
    with Wire(place(one)) as op, Wire(place(other)) as tom:
        op.enter("op", "#club", caps=("presence",))
        tom.enter("tom", "#club")
        op.until("presence", joined=["tom"])  # before it, nobody is there to be sent away
        assert op.ask("moderate", room="#club", action="kick", target="tom", reason="go")["ok"]
        assert tom.until("member", change="kick")["reason"] == "go"
        left = tom.until("presence")["left"][0]
        assert (left["nick"], left["reason"]) == ("tom", "kicked by op: go")
        assert tom.ask("join", room="#club")["ok"]
        assert op.ask("moderate", room="#club", action="mute", target="tom")["ok"]
        assert tom.until("member", change="mute")
        assert tom.ask("send", room="#club", body="hello")["error"]["code"] == "MUTED"


@pytest.mark.parametrize("wrong", ["1", "2", "4"])
def test_the_number_of_shards_stays_as_it_is(node: Any, wrong: str) -> None:
    one = node()
    assert one.stop() == 0
    one.environ["CHATD__JOURNAL__SHARDS"] = wrong
    told = refused(one)
    assert f"stream {node.stream}: its rooms are in 3 others, and journal.shards is {wrong}" in told
    assert "set journal.shards to 3" in told
    assert "no connection" not in told


@pytest.mark.parametrize("shards", [1, 3], indirect=True)
def test_another_number_of_shards_is_had_by_moving(node: Any, nats_server: NatsServer) -> None:
    """As docs/how-to/cluster.md says: with a backup, into streams with another name."""
    one = node()
    with Wire(place(one)) as tom:
        token = tom.enter("tom", *ROOMS, mechanism="register", account="tom", password="a long secret 77")["token"]
        for n, room in enumerate(ROOMS * 4):
            assert tom.ask("send", room=room, body=f"{n}", msg_id=f"{n}")["ok"]
        assert tom.ask("moderate", room="#room1", action="ban", target="kim")["ok"]
    backup = one.folder / "all.db"
    chatd("backup", str(backup), server=one, url=nats_server.url)
    assert one.stop() == 0
    before = rows(one.data_dir / "copy.db")
    for path in one.data_dir.glob("copy.db*"):
        path.rename(path.with_name(path.name.replace("copy", "old")))
    one.environ |= {"CHATD__JOURNAL__STREAM": f"{node.stream[-20:]}-new", "CHATD__JOURNAL__SHARDS": "5"}
    assert "took 9 rooms and 37 events" in chatd("migrate", f"--source={backup}", server=one, url=nats_server.url)
    assert rows(one.data_dir / "copy.db") == before
    one.restart()
    with Wire(place(one)) as again:
        again.enter("tom", "#room1", mechanism="token", token=token)
        repeated = again.ask("send", room="#room1", body="1", msg_id="1")
        assert (repeated["seq"], repeated["duplicate"]) == (1, True)
        assert again.ask("send", room="#room1", body="more")["seq"] == 6


def test_what_was_in_several_streams_goes_into_one_and_into_none(node: Any, nats_server: NatsServer) -> None:
    """By export and import, or by moving: also what one author said under one `msg_id`, known in its room only."""
    one = node()
    with Wire(place(one)) as tom:
        tom.enter("tom", *ROOMS)
        for room in ROOMS:
            assert not tom.ask("send", room=room, body=room, msg_id="1")["duplicate"]
    exported, backup = one.folder / "all.jsonl", one.folder / "all.db"
    chatd("export", f"--output={exported}", server=one, url=nats_server.url)
    chatd("backup", str(backup), server=one, url=nats_server.url)
    assert one.stop() == 0
    before = rows(one.data_dir / "copy.db")["events"]
    assert len(before) == len(ROOMS)
    one.data_dir = one.folder / "alone"
    chatd("import", str(exported), server=one, CHATD__JOURNAL__URL="sqlite:")
    chatd("verify", server=one, CHATD__JOURNAL__URL="sqlite:")
    assert rows(one.data_dir / "chatd.db")["events"] == before
    one.data_dir = one.folder / "moved"
    one.environ |= {"CHATD__JOURNAL__STREAM": f"{node.stream[-20:]}-one", "CHATD__JOURNAL__SHARDS": "1"}
    chatd("migrate", f"--source={backup}", server=one, url=nats_server.url)
    chatd("verify", server=one, url=nats_server.url)
    chatd("export", f"--output={one.folder / 'again.jsonl'}", server=one, url=nats_server.url)
    assert rows(one.data_dir / "copy.db")["events"] == before
    assert (one.folder / "again.jsonl").read_text() == exported.read_text()


def test_a_stream_of_rooms_that_is_gone_is_no_empty_history(node: Any, nats_server: NatsServer) -> None:
    one = node()
    with Wire(place(one)) as tom:
        tom.enter("tom", *ROOMS)
        for room in ROOMS:
            assert tom.ask("send", room=room, body="hello")["ok"]
    assert one.stop() == 0
    remove_stream(nats_server, f"{node.stream}-2")
    assert f"stream {node.stream}-2: it is gone, and the others are there" in refused(one)
    remove_stream(nats_server, node.stream)
    for path in one.data_dir.glob("copy.db*"):
        path.unlink()
    assert f"stream {node.stream}: it is gone, and {node.stream}-" in refused(one), "it knows of nothing"
