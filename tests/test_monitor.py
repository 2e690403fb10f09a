"""The monitor: what programs that watch a server are told, by the real thing over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.crowd import Crowd, Wire
from support.pages import TREE, coded, page, tables

from chatd.hub.counts import Counts
from chatd.journal.commits import Commits
from chatd.lag import EVERY_SECONDS, Lag
from chatd.monitor import METRICS, PLACES, Monitor


@pytest.fixture
def watched(start_server: Any) -> Any:
    return start_server("--metrics-port=0")


def ask(server: Any, path: str, method: str = "GET", **more: Any) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port_of("metrics"), timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, **more)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def values(text: str) -> dict[str, float]:
    """Every sample by its name and labels, read by the parser of those who made the format."""
    return {
        one.name + "".join(f"{{{key}={value}}}" for key, value in sorted(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_what_happens_is_counted(watched: Any) -> None:
    address = (watched.host, watched.port)
    before = values(ask(watched, "/metrics")[1])
    with Wire(address) as ann, Wire(address) as ben:
        ann.enter("ann", "#lobby")
        ben.enter("ben", "#lobby")
        for n in range(10):
            assert ann.ask("send", room="#lobby", body=f"{n}")["ok"]
        assert ben.ask("send", room="#nowhere", body="x")["error"]["code"] == "NO_SUCH_ROOM"
        found = values(ask(watched, "/metrics")[1])
        assert found["chatd_connections{protocol=framed}"] == found["chatd_users"] == 2
        assert found["chatd_rooms"] == 1
        assert found["chatd_messages_total"] == 10
        assert found["chatd_deliveries_total"] == 20
        assert found["chatd_requests_refused_total{code=NO_SUCH_ROOM}"] == 1
        assert found["chatd_commit_batch_events_sum"] >= 10
        assert found["chatd_commit_seconds_count"] == found["chatd_commit_batch_events_count"] >= 10
        assert 0 < found["chatd_commit_seconds_sum"] < 10
        assert found["chatd_events_outstanding"] == found["chatd_slow_readers"] == found["chatd_replays"] == 0
        assert found["process_open_fds"] > 5
    assert before["chatd_messages_total"] == 0
    assert found["chatd_info{durability=fsync}{version=0.1.0}"] == 1
    assert watched.stop() == 0
    assert re.search(r"counts .*messages_total=10 .*refused_total\{NO_SUCH_ROOM\}=1", watched.output())


def test_the_text_is_what_prometheus_reads(watched: Any) -> None:
    """Each family once, with its help and type, and histograms that add up."""
    _, text = ask(watched, "/metrics")
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    ours = {name: family for name, family in zip(names, families, strict=True) if name.startswith("chatd_")}
    counted = {family.name + ("_total" if family.type == "counter" else "") for family in ours.values()}
    assert counted == set(METRICS)
    for name, family in ours.items():
        assert family.documentation
        assert family.type in ("gauge", "counter", "histogram")
        if family.type == "histogram":
            buckets = [one.value for one in family.samples if one.name == f"{name}_bucket"]
            assert buckets == sorted(buckets)
            assert [one.value for one in family.samples if one.name == f"{name}_count"] == buckets[-1:]


def test_health_and_readiness(watched: Any) -> None:
    assert ask(watched, "/healthz") == (200, "ok\n")
    assert ask(watched, "/readyz") == (200, "ready\n")
    assert ask(watched, "/readyz", "HEAD") == (200, "")
    assert ask(watched, "/elsewhere")[0] == 404
    assert ask(watched, "/metrics", "PUT")[0] == 501
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(watched, "/metrics", "POST", body=b"x" * 1000)
    assert ask(watched, "/metrics")[0] == 200
    assert "Traceback" not in watched.output()
    assert len(watched.output().splitlines()) == 6, "watching is not worth a line"


def test_it_is_not_ready_before_it_can_be_entered_nor_when_the_disk_fails_nor_at_the_end() -> None:
    class Journal:
        is_failing = False
        commits = Commits()

    class Hub:
        journal = Journal()
        counts = Counts()
        stopping = False

    hub: Any = Hub()
    monitor = Monitor(hub, None)
    assert monitor.readiness() == (503, b"starting\n")
    monitor.is_ready = True
    assert monitor.readiness() == (200, b"ready\n")
    hub.journal.is_failing = True
    assert monitor.readiness() == (503, b"the journal cannot be written; see the log\n")
    hub.stopping = True
    assert monitor.readiness() == (503, b"stopping\n")


def test_it_is_told_where_it_is_and_stays_on_this_machine(start_server: Any) -> None:
    server = start_server("--metrics-port=0", "--public", "--registration=closed")
    places = [place for place in server.listeners if place["protocol"] == "metrics"]
    assert {place["host"] for place in places} <= {"127.0.0.1", "::1"}
    assert f"Metrics:  http://localhost:{places[0]['port']}/metrics" in server.output()
    assert "Only this machine" not in server.output()


def test_who_watches_takes_nobodys_place_and_cannot_take_all(watched: Any) -> None:
    """More watchers than there are places wait; people come in as before."""
    port = watched.port_of("metrics")
    idle = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(PLACES + 10)]
    try:
        with Wire((watched.host, watched.port)) as ann:
            ann.enter("ann", "#lobby")
        waiting = socket.create_connection(("127.0.0.1", port), 10)
        waiting.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        for one in idle:
            one.close()
        assert waiting.recv(1000).startswith(b"HTTP/1.0 200")
        waiting.close()
    finally:
        for one in idle:
            one.close()


@pytest.fixture
def load(watched: Any) -> Iterator[None]:
    """Five hundred who are here, and one who talks."""
    crowd = Crowd((watched.host, watched.port), "#crowd", 500)
    enough = threading.Event()

    def talk() -> None:
        with Wire((watched.host, watched.port)) as talker:
            talker.enter("talker", "#crowd")
            while not enough.wait(0.02):
                talker.ask("send", room="#crowd", body="hello")

    talking = threading.Thread(target=talk)
    talking.start()
    yield
    enough.set()
    talking.join()
    crowd.close()


@pytest.mark.usefixtures("load")
def test_a_look_costs_little(watched: Any, extent: Any) -> None:
    """A scrape under load takes less than 5 ms of the loop's time: what it costs the process more than the load."""
    process = psutil.Process(watched.pid)
    looks = extent(50, 500)

    def used(looking: bool) -> float:
        before, began = sum(process.cpu_times()[:2]), time.monotonic()
        for _ in range(looks):
            if looking:
                assert ask(watched, "/metrics")[0] == 200
            time.sleep(0.02)
        return float(sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)

    without = used(False)
    began = time.monotonic()
    share = used(True)
    each = (share - without) * (time.monotonic() - began) / looks
    assert each < 0.005


def test_lag_is_how_late_the_loop_is() -> None:
    class Call:
        def __init__(self, due: float) -> None:
            self.due = due

        def getTime(self) -> float:
            return self.due

    class Reactor:
        now = 0.0

        def seconds(self) -> float:
            return self.now

        def callLater(self, after: float, call: Any) -> Call:
            self.call = call
            return Call(self.now + after)

    reactor = Reactor()
    lag = Lag(reactor)
    lag.start()
    for late in (0.0, 0.003, 0.7):
        reactor.now += EVERY_SECONDS + late
        reactor.call()
    assert lag.seconds_total == pytest.approx(0.703)
    assert [n for n, count in enumerate(lag.by_seconds) if count] == [0, 2, 9]


def test_every_metric_is_described() -> None:
    ours = tables(page("docs/reference/metrics.md"))[0]
    assert [(coded(name), meaning) for name, meaning in ours[1:]] == list(METRICS.items())


def test_the_dashboard_and_the_alerts_name_metrics_that_there_are() -> None:
    dashboard = json.loads((TREE / "conf/grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    asked += re.findall(r"expr: (.*)", (TREE / "conf/alerts.yml").read_text())
    assert len(asked) >= 12
    known = {re.sub("_(bucket|count|sum)$", "", name) for name in METRICS}
    for expression in asked:
        named = re.findall(r"\b(?:chatd|process)_\w+", expression)
        assert named, expression
        for name in named:
            plain = re.sub("_(bucket|count|sum)$", "", name)
            assert plain in known or name.startswith("process_"), expression
    shown = " ".join(asked)
    assert not [name for name in METRICS if name not in shown and name != "chatd_info"], "what is measured is shown"
