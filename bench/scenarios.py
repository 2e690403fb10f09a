"""What is measured: each scenario, how the load generator is asked for it, and which of its figures counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

DELIVERY = ("srv_cpu_us_per_delivery", "µs a delivery")
JOIN = ("join_cpu_us", "µs a join")
MEMORY = ("rss_per_conn_b", "bytes a connection")


@dataclass(frozen=True)
class Scenario:
    """One row: `words` for the load generator, `key` of the figure that counts, in `unit`; `seconds` of load."""

    name: str
    about: str
    words: tuple[str, ...]
    figure: tuple[str, str]
    members: int
    seconds: float = 3.0

    @property
    def key(self) -> str:
        return self.figure[0]

    @property
    def unit(self) -> str:
        return self.figure[1]

    @property
    def is_paced(self) -> bool:
        return self.words[0] == "paced"

    def command(self) -> list[str]:
        """The words for the load generator."""
        return [*self.words, "--n", str(self.members), "--time", str(self.seconds)]


def saturate(name: str, about: str, members: int, *more: str) -> Scenario:
    """A row in which four senders keep sixteen messages on their way each."""
    # Acknowledged at once: so a server that leaves Nagle's algorithm on is measured by its work, not by its waits.
    return Scenario(name, about, ("saturate", "--quickack", *more), DELIVERY, members)


def _paced(name: str, members: int, rate: int) -> Scenario:
    about = f"{members:,} in one room, {rate} messages a second"
    return Scenario(name, about, ("paced", "--rate", str(rate)), DELIVERY, members, seconds=4.0)


def _storm(name: str, members: int) -> Scenario:
    return Scenario(name, f"{members:,} come at once", ("storm",), JOIN, members)


SCENARIOS = {
    one.name: one
    for one in (
        saturate("saturate-1000", "1,000 in one room, as fast as it goes", 1000),
        saturate("saturate-100", "100 in one room, as fast as it goes", 100),
        saturate("saturate-10", "10 in one room, as fast as it goes", 10),
        saturate("one-by-one", "100 in one room, each sender waits until all have its message", 100, "--window", "1"),
        Scenario(
            "rooms", "1,000 in 100 rooms, as fast as it goes", ("rooms", "--rooms", "100", "--quickack"), DELIVERY, 1000
        ),
        _paced("paced-1000", 1000, 10),
        _paced("paced-100", 100, 50),
        _storm("storm-1000", 1000),
        _storm("storm-5000", 5000),
        Scenario("idle", "5,000 in one room, silent", ("idle",), MEMORY, 5000, seconds=1.0),
    )
}


def shorter(scenario: Scenario) -> Scenario:
    """The same for a first look: a second of load."""
    return replace(scenario, seconds=min(1.0, scenario.seconds))
