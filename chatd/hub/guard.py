"""The guard: who may come in, and how fast they may talk. The limit falls on the one who floods, not on others.

It counts connections by address and gives out tokens by user and by address: a bucket of `messages_burst` that fills at
`messages_per_second`, another of `requests_burst` for all that is no message, and by address one for logins and one for
keys of rooms. A user's many connections share one bucket, so another connection gains nothing. An address has a larger
one, for all the users that its connections may carry, so another name gains little; a public IPv6 network of 64 bits
counts as one address. In `trusted_networks` none of this holds. What is full again is forgotten, so memory does not
grow with who was here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache

from chatd.core.addresses import Place, is_private, parsed
from chatd.core.codes import Code, Refusal
from chatd.core.commands import Auth, Command, Join, Moderate, Nick, Quit, Relate, Resume, Send, Set
from chatd.core.limits import Limits

SAID = Send | Relate | Set | Nick | Moderate  # what is shown to others, and so counts as a message
MOST_BUCKETS = 10_000  # with more, those that are full again are forgotten
FETCHES = 6  # so many connections a browser has to one place at most


class Bucket:
    """How much somebody may still do now."""

    __slots__ = ("at", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at


class Rate:
    """Buckets by key: so many at once, then so many a second. A rate of 0 is none."""

    def __init__(self, per_second: float, burst: float) -> None:
        self.per_second = per_second
        self.burst = max(1.0, burst)
        self.buckets: dict[str, Bucket] = {}
        self._many = MOST_BUCKETS

    def wait(self, key: str, now: float) -> float:
        """The seconds until this may be done once more; 0, and a token is gone, if it may be done now."""
        if self.per_second <= 0:
            return 0.0
        bucket = self.buckets.get(key)
        if bucket is None:
            if len(self.buckets) >= self._many:
                self.forget(now)
            bucket = self.buckets[key] = Bucket(self.burst, now)
        else:
            self.fill(bucket, now)
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0.0
        return (1 - bucket.tokens) / self.per_second

    def fill(self, bucket: Bucket, now: float) -> None:
        """Put in what has come since the last time."""
        bucket.tokens = min(self.burst, bucket.tokens + max(0.0, now - bucket.at) * self.per_second)
        bucket.at = now

    def change(self, per_second: float, burst: float, now: float) -> None:
        """Another rate from now on. What was used stays used, as far as the new burst goes."""
        gained = max(1.0, burst) - self.burst
        for bucket in self.buckets.values():
            self.fill(bucket, now)
            bucket.tokens = max(0.0, bucket.tokens + gained)
        self.per_second = per_second
        self.burst = max(1.0, burst)
        if per_second <= 0:
            self.buckets.clear()

    def forget(self, now: float) -> None:
        """Drop the buckets that are full again. Looked at again when there are twice as many as are left."""
        full = self.burst / self.per_second
        self.buckets = {key: bucket for key, bucket in self.buckets.items() if now - bucket.at < full}
        self._many = max(MOST_BUCKETS, 2 * len(self.buckets))


class Guard:
    """Holds one server's limits by user and by address. `seconds` tells the time."""

    def __init__(self, limits: Limits, seconds: Callable[[], float]) -> None:
        self.seconds = seconds
        self.connections: dict[str, int] = {}
        self.fetching: dict[str, int] = {}
        self.by_user, self.by_address, self.logins, self.keys = Rate(0, 0), Rate(0, 0), Rate(0, 0), Rate(0, 0)
        self.requests_by_user, self.requests_by_address = Rate(0, 0), Rate(0, 0)
        self.change(limits)

    def change(self, limits: Limits) -> None:
        """Other limits from now on. Whoever is here stays, and nobody gets back what was used."""
        self.limits = limits
        self.networks = [ipaddress.ip_network(network, strict=False) for network in limits.trusted_networks]
        self._trusted: dict[str, bool] = {}  # addresses that were asked about
        rate, burst = limits.messages_per_second, limits.messages_burst
        many, now = limits.connections_per_address, self.seconds()
        self.by_user.change(rate, burst, now)
        self.by_address.change(rate * many, burst * many, now)
        self.logins.change(limits.logins_per_minute / 60, limits.logins_per_minute, now)
        self.keys.change(limits.keys_per_minute / 60, limits.keys_per_minute, now)
        rate, burst = limits.requests_per_second, limits.requests_burst
        self.requests_by_user.change(rate, burst, now)
        self.requests_by_address.change(rate * many, burst * many, now)

    def trusts(self, address: str) -> bool:
        """Whether an address is in a trusted network. A Unix socket is as near as loopback."""
        known = self._trusted.get(address)
        if known is None:
            if len(self._trusted) >= MOST_BUCKETS:
                self._trusted.clear()
            known = self._trusted[address] = self._is_in_networks(parsed(address))
        return known

    def _is_in_networks(self, place: Place | None) -> bool:
        if place is None:
            return bool(self.networks)
        return any(place in network for network in self.networks if network.version == place.version)

    def enter(self, address: str, *, trusted: bool, fetches: bool = False) -> Refusal | None:
        """Count one more connection; a refusal if there are too many from there. Either way `leave` is due.

        Connections that only fetch something by HTTP have a count of their own, and there may be more of them: a
        browser takes several at once for a page, and people behind one address open it at the same time.
        """
        counted, connections = counted_as(address), self.fetching if fetches else self.connections
        count = connections[counted] = connections.get(counted, 0) + 1
        limit, most = "connections_per_address", self.limits.connections_per_address
        if is_private(parsed(address)):
            limit, most = "connections_per_private_address", self.limits.connections_per_private_address
        most *= FETCHES if fetches else 1
        if trusted or most == 0 or count <= most:
            return None
        reason = f"{most} connections from one address are allowed ({limit})"
        return Refusal(Code.LIMIT_EXCEEDED, reason, details={"limit": limit, "value": most})

    def leave(self, address: str, *, fetches: bool = False) -> None:
        """One connection less."""
        counted, connections = counted_as(address), self.fetching if fetches else self.connections
        count = connections.get(counted, 0) - 1
        if count > 0:
            connections[counted] = count
        else:
            connections.pop(counted, None)

    def check(self, command: Command, user_id: str | None, address: str) -> None:
        """Refuse a command that comes too fast after others like it; `user_id` is None before a login."""
        now, address = self.seconds(), counted_as(address)
        if isinstance(command, Auth | Resume) and user_id is None:
            wait = self.logins.wait(address, now)
            if wait:
                raise too_fast("logins_per_minute", self.limits.logins_per_minute, "logins a minute", wait)
        elif isinstance(command, SAID) and user_id is not None:
            wait = self.by_user.wait(user_id, now) or self.by_address.wait(address, now)
            if wait:
                raise too_fast("messages_per_second", self.limits.messages_per_second, "messages a second", wait)
        elif not isinstance(command, Quit):
            wait = self.requests_by_user.wait(user_id, now) if user_id is not None else 0.0
            wait = wait or self.requests_by_address.wait(address, now)
            if wait:
                raise too_fast("requests_per_second", self.limits.requests_per_second, "requests a second", wait)
            if isinstance(command, Join) and command.key and (wait := self.keys.wait(address, now)):
                raise too_fast("keys_per_minute", self.limits.keys_per_minute, "keys a minute", wait)


@lru_cache(maxsize=4096)
def counted_as(address: str) -> str:
    """What is counted for an address. Who has one of a public IPv6 network has them all."""
    place = parsed(address)
    if place is None or place.version == 4 or is_private(place):
        return address
    return str(ipaddress.ip_network((place, 64), strict=False))


def too_fast(limit: str, most: float, what: str, wait: float) -> Refusal:
    """The refusal of something that may be done again in a while."""
    wait = round(wait + 0.005, 2)
    allowed = f"1 {what.replace('s a ', ' a ')} is" if most == 1 else f"{most:g} {what} are"
    return Refusal(
        Code.RATE_LIMITED,
        f"{allowed} allowed ({limit}); try again in {wait:g} s",
        retry_after=wait,
        details={"limit": limit, "value": most},
    )
