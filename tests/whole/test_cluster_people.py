"""People on several nodes: they meet, have names of their own, and move from one node to another without a gap."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest
from support.cluster import chatd, place
from support.crowd import LineWire, Wire
from support.measure import wait_until

from chatd.client import blocking

both = pytest.mark.parametrize("shards", [1, 3], indirect=True, ids=["one stream", "shards"])
in_shards = pytest.mark.parametrize("shards", [3], indirect=True, ids=["shards"])


@both
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
        wait_until(lambda: tom.ask("list", what="users", prefix="kimberly")["items"], 10)


@both
def test_a_name_is_one_persons_in_the_whole_cluster(node: Any) -> None:
    one, other = node(), node()
    with Wire(place(one)) as tom, Wire(place(other)) as second:
        tom.enter("tom")
        assert second.ask("hello", versions=[1])["ok"]
        refused = second.ask("auth", mechanism="guest", nick="Tom")
        assert refused["error"]["code"] == "NICK_IN_USE"


@both
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


@both
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


@both
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


@both
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


@both
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


@both
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


@in_shards
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
