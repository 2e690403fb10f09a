"""Everybody sees the same order under the same numbers: live, in history, and after kill -9 and a restart."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.crowd import LineWire, Wire
from support.web import enter, web

SENDERS, MESSAGES = 10, 100


def say_all(n: int, server: Any, acked: dict[str, int], failed: list[BaseException]) -> None:
    """One sender: the even ones are programs, by frames and by WebSocket, the odd ones people on the two ports."""
    try:
        if n % 2:
            port = server.port if n % 4 == 1 else server.line_port
            with LineWire((server.host, port)) as person:
                person.enter(f"person{n}")
                person.say(*(f"{n}:{m}" for m in range(MESSAGES)), "/quit")
                while True:
                    person.read()
        names = [f"{n}:{m}" for m in range(MESSAGES)]
        requests = [{"type": "send", "id": one, "room": "#lobby", "body": one, "msg_id": one} for one in names]
        if n % 4 == 0:
            with Wire((server.host, server.port)) as program:
                program.enter(f"program{n}", "#lobby")
                program.send(*requests)
                acked |= acknowledged(program.read)
        else:
            with web(server) as page:
                enter(page, f"page{n}", "#lobby")
                for request in requests:
                    page.send(json.dumps(request))
                acked |= acknowledged(lambda: json.loads(page.recv(timeout=20)))
    except EOFError:
        return
    except BaseException as error:
        failed.append(error)


def acknowledged(read: Callable[[], Any]) -> dict[str, int]:
    """The numbers of all messages of a sender."""
    mine: dict[str, int] = {}
    while len(mine) < MESSAGES:
        found = read()
        if ":" in found.get("re", ""):
            assert found["ok"], found
            mine[found["re"]] = found["seq"]
    return mine


def followed(server: Any, seen: list[tuple[int, str]], total: int) -> None:
    """What a stream of events shows."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.request("GET", "/r/lobby/events?since=0")
    name = ""
    for line in connection.getresponse():
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data" and name == "message":
            event = json.loads(value)
            seen.append((event["seq"], event["body"]))
            if len(seen) == total:
                return


def history(wire: Wire) -> list[tuple[int, str]]:
    """All pages, going back from the newest."""
    seen: list[tuple[int, str]] = []
    page = wire.ask("history", room="#lobby")
    while True:
        seen = [(one["seq"], one["body"]) for one in page["events"]] + seen
        if page["prev"] is None:
            return seen
        page = wire.ask("history", room="#lobby", before=page["prev"])


@pytest.mark.timeout(120)
def test_ten_senders_of_all_kinds_one_order_for_ever(server: Any) -> None:
    """A53, A59: every client, every page of history and, after kill -9, every restart show the identical order."""
    total = SENDERS * MESSAGES
    watchers = [Wire((server.host, server.port)) for _ in range(2)]
    person = LineWire((server.host, server.line_port))
    for n, watcher in enumerate(watchers):
        watcher.enter(f"watcher{n}", "#lobby")
    person.enter("reader")
    acked: dict[str, int] = {}
    failed: list[BaseException] = []
    stream: list[tuple[int, str]] = []
    threads = [threading.Thread(target=say_all, args=(n, server, acked, failed)) for n in range(SENDERS)]
    threads.append(threading.Thread(target=followed, args=(server, stream, total)))
    for thread in threads:
        thread.start()
    live = []
    for watcher in watchers:
        seen: list[tuple[int, str]] = []
        while len(seen) < total:
            one = watcher.until("message")
            seen.append((one["seq"], one["body"]))
        live.append(seen)
    spoken = re.compile(r"^\[\d\d:\d\d:\d\d\] <\w+> (\d+:\d+)$")
    read = []
    while len(read) < total:
        found = spoken.match(person.read())
        if found:
            read.append(found[1])
    for thread in threads:
        thread.join(30)
    assert not failed
    assert [seq for seq, _ in live[0]] == list(range(1, total + 1))
    assert live[0] == live[1]
    assert stream == live[0]
    assert read == [body for _, body in live[0]]
    assert sorted(body for _, body in live[0]) == sorted(f"{n}:{m}" for n in range(SENDERS) for m in range(MESSAGES))
    assert len(acked) == total // 2
    assert all(live[0][seq - 1] == (seq, body) for body, seq in acked.items())
    assert history(watchers[0]) == live[0]
    for one in (*watchers, person):
        one.socket.close()
    server.kill9()
    server.restart()
    with Wire((server.host, server.port)) as later:
        later.enter("later")
        assert later.ask("join", room="#lobby", since=0)["last_seq"] == total
        replayed = [later.until("message") for _ in range(total)]
        assert [(one["seq"], one["body"]) for one in replayed] == live[0]
        assert history(later) == live[0]


def test_full_duplex_and_no_turns(server: Any) -> None:
    """A55: five in a row from one, five in between from the other; all arrive."""
    with Wire((server.host, server.port)) as tom, Wire((server.host, server.port)) as jerry:
        tom.enter("tom", "#lobby")
        jerry.enter("jerry", "#lobby")
        for n in range(5):
            tom.send({"type": "send", "room": "#lobby", "body": f"tom {n}"})
            jerry.send({"type": "send", "room": "#lobby", "body": f"jerry {n}"})
        for who, other in ((tom, "jerry"), (jerry, "tom")):
            assert [who.until("message")["body"] for _ in range(5)] == [f"{other} {n}" for n in range(5)]


@pytest.mark.timeout(120)
def test_what_was_acknowledged_survives_kill_9(server: Any) -> None:
    """Killed in the middle of a stream, three times: all that was acknowledged is there once, under its number."""
    acked: dict[str, int] = {}
    token = None
    for round_ in range(3):
        with Wire((server.host, server.port)) as tom:
            auth = {} if token is None else {"mechanism": "token", "token": token}
            token = tom.enter("tom", "#lobby", **auth)["token"]
            requests = [
                {
                    "type": "send",
                    "id": f"{round_}-{n}",
                    "room": "#lobby",
                    "body": f"{round_}-{n}",
                    "msg_id": f"{n}.{round_}",
                }
                for n in range(2000)
            ]
            tom.send(*requests)
            while len(acked) < round_ * 2000 + 150:
                found = tom.read()
                if "re" in found:
                    acked[found["re"]] = found["seq"]
            server.kill9()
            try:
                while True:
                    found = tom.read()
                    acked[found["re"]] = found["seq"]
            except (EOFError, OSError):
                pass
        server.restart()
        with Wire((server.host, server.port)) as tom:
            tom.enter("tom", "#lobby", mechanism="token", token=token)
            stored = dict(history(tom))
            assert sorted(stored) == list(range(1, len(stored) + 1))
            assert len(set(stored.values())) == len(stored)
            assert all(stored[seq] == body for body, seq in acked.items())
            for request in requests:  # no reply heard: send it again
                reply = tom.ask("send", **{key: value for key, value in request.items() if key not in ("type", "id")})
                assert reply["duplicate"] == (request["body"] in stored.values())
                acked[request["body"]] = reply["seq"]
    assert sorted(acked.values()) == list(range(1, 6001))
