"""The monitor: how the server is, told over HTTP to programs that watch it.

`/metrics` is for Prometheus, `/healthz` says that the loop turns, `/readyz` that people can come in and what they say
is kept. It reads the numbers that the parts keep anyway, when it is asked, so nothing on the way of a message waits for
it. It has a few places of its own, so that a full server can be watched and a watcher takes nobody's place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from twisted.internet.interfaces import IProtocolFactory
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

import chatd
from chatd.hub import Hub
from chatd.journal.commits import EVENTS, SECONDS
from chatd.lag import SECONDS as LAG_SECONDS
from chatd.lag import Lag

PLACES = 16  # for those who watch
PATIENCE_SECONDS = 10


class HubCollector:
    """The numbers of a hub and of its journal, as Prometheus wants them. What each means is in METRICS."""

    def __init__(self, hub: Hub, lag: Lag) -> None:
        self._hub = hub
        self._lag = lag

    def collect(self) -> Iterable[Metric]:
        hub = self._hub
        counts, commits = hub.counts, hub.journal.commits
        links = hub.links.values()
        yield gauge("chatd_info", 1, version=chatd.__version__, durability=hub.rules.durability)
        connections = GaugeMetricFamily("chatd_connections", METRICS["chatd_connections"], labels=("protocol",))
        for protocol, number in sorted(Counter([link.connection.protocol for link in links]).items()):
            connections.add_metric((protocol,), number)
        yield connections
        yield gauge("chatd_nodes", max(1, len(hub.state.nodes)))
        yield gauge("chatd_users", len(hub.state.users))
        yield gauge("chatd_rooms", len(hub.state.rooms))
        yield counter("chatd_messages_total", counts.messages_total)
        yield counter("chatd_deliveries_total", counts.deliveries_total)
        yield counters("chatd_requests_refused_total", "code", counts.refused_total)
        yield gauge("chatd_accounts", len(hub.state.accounts.by_id))
        yield counters("chatd_logins_total", "sort", counts.logins_total)
        yield counter("chatd_wrong_passwords_total", counts.wrong_passwords_total)
        yield counters("chatd_moderation_total", "change", counts.moderation_total)
        yield gauge("chatd_requests_waiting", sum([len(link.waiting) for link in links if link.waiting]))
        yield gauge("chatd_events_outstanding", hub.outstanding)
        yield gauge("chatd_slow_readers", counts.slow_readers)
        yield counter("chatd_fell_behind_total", counts.slow_readers_total)
        yield gauge("chatd_replays", counts.replays_started_total - counts.replays_ended_total)
        yield counter("chatd_replays_started_total", counts.replays_started_total)
        yield counter("chatd_ephemeral_dropped_total", counts.ephemeral_dropped_total)
        yield histogram("chatd_commit_batch_events", EVENTS, commits.by_events, commits.events_total)
        yield histogram("chatd_commit_seconds", SECONDS, commits.by_seconds, commits.seconds_total)
        yield histogram("chatd_reactor_lag_seconds", LAG_SECONDS, self._lag.by_seconds, self._lag.seconds_total)


METRICS = {
    "chatd_info": "The version of chatd, and when a message counts as kept.",
    "chatd_connections": "Connections that are open, by protocol.",
    "chatd_nodes": "Nodes that take part in the cluster, this one included.",
    "chatd_users": "Users who are here, on whatever node.",
    "chatd_rooms": "Rooms that there are, direct ones included.",
    "chatd_messages_total": "Messages and other numbered events that were shown.",
    "chatd_deliveries_total": "What was shown to somebody live, out of rooms: one message to ten members counts ten.",
    "chatd_requests_refused_total": "Requests that were refused, by code.",
    "chatd_accounts": "Accounts that there are.",
    "chatd_logins_total": "Who came in, by sort: guest or account.",
    "chatd_wrong_passwords_total": "Passwords that were looked at and were wrong.",
    "chatd_moderation_total": "What those in charge of rooms and of the server did, by change: kick, ban, mute …",
    "chatd_requests_waiting": "Requests that wait for an earlier one of the same connection.",
    "chatd_events_outstanding": "Events that the journal was given and has not given back.",
    "chatd_slow_readers": "Connections whose peer does not read what waits for it.",
    "chatd_fell_behind_total": "How often a connection fell behind.",
    "chatd_replays": "Rooms that are being shown to somebody out of the journal.",
    "chatd_replays_started_total": "How often that began.",
    "chatd_ephemeral_dropped_total": "Presence, typing and the like that slow readers were not shown.",
    "chatd_commit_batch_events": "Events in a batch that the journal committed.",
    "chatd_commit_seconds": "Seconds from taking a batch up until it was on the disk.",
    "chatd_reactor_lag_seconds": "How much later than it should be a timer is called.",
}
"""Every metric of ours and its meaning; those of the process itself are `prometheus-client`'s own."""


def gauge(name: str, value: float, **labels: str) -> GaugeMetricFamily:
    """A number that goes up and down."""
    family = GaugeMetricFamily(name, METRICS[name], labels=tuple(labels))
    family.add_metric(tuple(labels.values()), value)
    return family


def counter(name: str, value: float) -> CounterMetricFamily:
    """A number that only grows."""
    return CounterMetricFamily(name.removesuffix("_total"), METRICS[name], value=value)


def counters(name: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    """Numbers that only grow, one for each value of a label."""
    family = CounterMetricFamily(name.removesuffix("_total"), METRICS[name], labels=(label,))
    for value, number in sorted(values.items()):
        family.add_metric((value,), number)
    return family


def histogram(name: str, bounds: Sequence[float], counts: Sequence[int], total: float) -> HistogramMetricFamily:
    """How many values were up to each bound; `counts` has those above the one before, and the largest last."""
    ends = [*map(str, bounds), "+Inf"]
    return HistogramMetricFamily(
        name, METRICS[name], buckets=list(zip(ends, accumulate(counts), strict=True)), sum_value=total
    )


class Page(Resource):
    """One page: made anew each time, and never cached."""

    isLeaf = True

    def __init__(self, make: Callable[[], tuple[int, bytes]], kind: str = "text/plain; charset=utf-8") -> None:
        super().__init__()
        self._make = make
        self._kind = kind

    def render_HEAD(self, request: Any) -> bytes:
        self.render_GET(request)
        return b""

    def render_GET(self, request: Any) -> bytes:
        status, body = self._make()
        request.setResponseCode(status)
        request.setHeader(b"Content-Type", self._kind.encode())
        request.setHeader(b"Cache-Control", b"no-store")
        return body


class BriefRequest(Request):
    """A request that brings nothing with it: whoever sends a body is not listened to."""

    def gotLength(self, length: int | None) -> None:
        if length == 0:
            super().gotLength(length)
        else:
            self.channel.loseConnection()


class Monitor:
    """The pages (`root`), and what is behind them. `is_ready` is set once people can come in."""

    places = PLACES

    def __init__(self, hub: Hub, reactor: Any) -> None:
        self.is_ready = False
        self._hub = hub
        self._lag = Lag(reactor)
        self._registry = CollectorRegistry()
        self._registry.register(HubCollector(hub, self._lag))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self.root: Any = Resource()
        self.root.putChild(b"metrics", Page(lambda: (200, generate_latest(self._registry)), CONTENT_TYPE_LATEST))
        self.root.putChild(b"healthz", Page(lambda: (200, b"ok\n")))
        self.root.putChild(b"readyz", Page(self.readiness))

    def start(self) -> None:
        """Measure the lag from now on."""
        self._lag.start()

    def stop(self) -> None:
        """Measure no more."""
        self._lag.stop()

    def factory(self) -> IProtocolFactory:
        """What answers behind a port."""
        brief: Any = BriefRequest
        site: Any = Site(self.root, requestFactory=brief, timeout=PATIENCE_SECONDS)
        site.displayTracebacks = False
        site.noisy = False
        site.log = lambda request: None  # each look would be a line
        return site  # type: ignore[no-any-return]

    def readiness(self) -> tuple[int, bytes]:
        """Whether people can come in and what they say is kept; else why not."""
        if self._hub.stopping:
            return 503, b"stopping\n"
        if not self.is_ready:
            return 503, b"starting\n"
        if self._hub.journal.is_failing:
            return 503, b"the journal cannot be written; see the log\n"
        return 200, b"ready\n"
