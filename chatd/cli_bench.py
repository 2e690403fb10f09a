"""`chatd bench`: puts one's own server under load, tells how fast it was, and whether it kept what it promises.

It knows the words, whose servers may be put under load, and what is printed; the load itself is `chatd.client.load`.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import msgspec

from chatd.client import address
from chatd.client.address import Address
from chatd.client.errors import CannotConnect, ChatError
from chatd.client.options import Parser
from chatd.client.outcome import told
from chatd.client.reasons import why_not
from chatd.client.verdict import FAULTS
from chatd.errors import Exit, OperatorError

if TYPE_CHECKING:
    from chatd.client.load import Outcome, Plan
    from chatd.client.verdict import Times

MOST_MEMBERS, MOST_RATE, MOST_SECONDS, MOST_SIZE = 10_000, 100_000, 600, 4_096
SPARE_FILES = 50
BUSY = 0.9
DIAL_SECONDS = 10.0
CONSENT = "--this-server-is-mine"

ABOUT = (
    "Put a server of your own under load: many clients enter a room of their own, some of them speak, and every one"
    " of them checks what it is shown. The status is 0 if nothing was lost, nothing came twice, and everything was in"
    " order. The room and what was said in it stay in the server's journal."
)


def run(_name: str, words: list[str]) -> int:
    """Put the server under load; raises `OperatorError` if a promise was broken or nothing came of it."""
    try:
        chosen = parser().parse_args(words)
    except SystemExit:  # after --help
        return Exit.OK
    name = chosen.address or os.environ.get("CHATD_SERVER", "") or "localhost"
    try:
        plan = planned(chosen, name)
        from chatd.client.load import Load

        outcome = Load(plan).run()
    except ChatError as error:
        raise told("bench", error, name) from error
    print(as_json(plan, outcome) if chosen.json else as_text(plan, outcome))
    if outcome.account.faults:
        what = ", ".join(f"{fault.replace('_', ' ')} {count:,}" for fault, count in outcome.account.faults.items())
        raise OperatorError("bench", f"promises were broken: {what}", "please report it", Exit.PROTOCOL)
    return Exit.OK


def parser() -> Parser:
    words = Parser(prog="chatd bench", description=ABOUT, allow_abbrev=False)
    words.add_argument(
        "address", nargs="?", metavar="ADDRESS", help="host:port or unix:/path ($CHATD_SERVER, else localhost:1234)"
    )
    words.add_argument("--members", type=_from_to(1, MOST_MEMBERS), default=50, help="how many enter the room (50)")
    words.add_argument("--senders", type=_from_to(1, MOST_MEMBERS), default=4, help="how many of them speak (4)")
    words.add_argument(
        "--rate",
        type=_from_to(0, MOST_RATE),
        default=100,
        help="messages a second, of all senders together (100); 0: as fast as it goes",
    )
    words.add_argument("--seconds", type=_from_to(1, MOST_SECONDS), default=5, help="how long they speak (5)")
    words.add_argument("--size", type=_from_to(8, MOST_SIZE), default=100, help="bytes of a message (100)")
    words.add_argument("--pid", type=_from_to(1, 1 << 22), help="the server's process on this machine: tell its load")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    words.add_argument(CONSENT, action="store_true", help="allow a server that is on another machine")
    return words


def _from_to(least: int, most: int) -> Any:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number from {least:,} to {most:,}")
        return int(text)

    return number


def planned(chosen: argparse.Namespace, name: str) -> Plan:
    """What is to be done; raises if it may not be done, or cannot."""
    from chatd.client.load import MOST_SAID, Plan
    from chatd.client.processor import seconds_of

    if chosen.rate * chosen.seconds > MOST_SAID:
        raise OperatorError(
            "bench", f"that is more than {MOST_SAID:,} messages", "take a smaller --rate or fewer --seconds", Exit.USAGE
        )
    if chosen.pid is not None and seconds_of(chosen.pid) is None:
        raise OperatorError("bench", f"there is no process {chosen.pid} to look at", "see --pid", Exit.USAGE)
    allow_files(chosen.members + SPARE_FILES)
    where = address.parse(name)
    family, place = found(where, is_mine=chosen.this_server_is_mine)
    return Plan(
        family=family,
        place=place,
        address=where,
        members=chosen.members,
        speakers=min(chosen.senders, chosen.members),
        rate=chosen.rate,
        seconds=chosen.seconds,
        size=chosen.size,
        pid=chosen.pid,
    )


def allow_files(count: int) -> None:
    """Allow this process so many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise OperatorError(
            "bench", f"this machine allows {hard} open files, {count} are needed", "raise ulimit -n", Exit.NOT_ALLOWED
        )
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def found(where: Address, *, is_mine: bool) -> tuple[int, Any]:
    """The family and place of the server's socket; only loopback, unless it is said to be one's own."""
    if where.path is not None:
        return socket.AF_UNIX, where.path
    try:
        places = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CannotConnect(why_not(error, where)) from error
    if not is_mine and not all(ip_address(place[0]).is_loopback for *_, place in places):
        raise OperatorError(
            "bench",
            f"{where} is not on this machine, and a load may hold up everyone who is there",
            f"if the server is yours, and so is the network between, say {CONSENT}",
            Exit.NOT_ALLOWED,
        )
    problem: OSError | None = None
    for family, *_, place in places:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.settimeout(DIAL_SECONDS)
            try:
                one.connect(place)
            except OSError as error:
                problem = problem or error
            else:
                return family, place
    raise CannotConnect(why_not(problem, where)) from problem


# -- what is printed ------------------------------------------------------------------------------------------


def as_text(plan: Plan, outcome: Outcome) -> str:
    """The outcome for people."""
    account, seconds = outcome.account, outcome.speaking
    rows = [
        ("room", f"{outcome.room}: {plan.members:,} members, {plan.speakers:,} of them speak"),
        ("all in after", f"{outcome.coming:.2f} s"),
        ("messages", f"{account.said:,} in {seconds:.2f} s, {account.said / seconds:,.0f} a second"),
        ("deliveries", f"{account.shown:,}, {account.shown / seconds:,.0f} a second"),
        ("until shown", quantiles(outcome.to_show)),
        ("until answered", quantiles(outcome.to_answer)),
    ]
    if outcome.server is not None:
        each = f", {outcome.server / account.shown * 1e6:.2f} µs a delivery" if account.shown else ""
        rows.append(("the server's processor", f"{outcome.server:.2f} s, {share(outcome.server / seconds)}{each}"))
    rows.append(("this program's", f"{outcome.busy:.2f} s, {share(outcome.busy / seconds)}"))
    rows += [(f"refused, {code}", f"{count:,}") for code, count in outcome.account.refused.items()]
    rows.append(("promises", ", ".join(f"{name.replace('_', ' ')} {account.faults.get(name, 0):,}" for name in FAULTS)))
    rows += [(f"broken, {name.replace('_', ' ')}", FAULTS[name]) for name in account.faults]
    lines = [f"{name:24}{words}" for name, words in rows]
    return "\n".join([*lines, *remarks(plan, outcome)])


def quantiles(times: Times) -> str:
    """How long something took, in milliseconds."""
    if not times.count:
        return "nothing was"
    shown = (f"{times.quantile(part) * 1e3:,.2f}" for part in (0.5, 0.99))
    return "p50 {} ms, p99 {} ms, longest {:,.2f} ms".format(*shown, times.longest * 1e3)


def share(part: float) -> str:
    return f"{part:.0%} of a core"


def remarks(plan: Plan, outcome: Outcome) -> list[str]:
    """What one must know to read the figures."""
    lines = []
    if outcome.busy >= BUSY * outcome.speaking:
        lines.append(
            "This program was the bottleneck: the server may be able to do more, and was faster than it seems."
        )
    wanted = int(plan.rate * plan.seconds)
    if outcome.account.said < wanted * 0.99 - 1:
        lines.append(f"It could not keep pace: {wanted:,} messages were wanted in that time.")
    if outcome.account.refused:
        lines.append("What is refused breaks no promise; see [limits] in the server's settings.")
    return lines


def as_json(plan: Plan, outcome: Outcome) -> str:
    """The outcome for programs; times in seconds."""
    account = outcome.account
    facts = {
        "room": outcome.room,
        "members": plan.members,
        "senders": plan.speakers,
        "rate": plan.rate,
        "all_in_s": outcome.coming,
        "seconds": outcome.speaking,
        "messages": account.said,
        "stored": account.kept,
        "deliveries": account.shown,
        "shown_s": seconds_of_times(outcome.to_show),
        "answered_s": seconds_of_times(outcome.to_answer),
        "server_cpu_s": outcome.server,
        "own_cpu_s": outcome.busy,
        "is_own_bottleneck": outcome.busy >= BUSY * outcome.speaking,
        "refused": account.refused,
        "faults": {name: account.faults.get(name, 0) for name in FAULTS},
    }
    return msgspec.json.encode(facts).decode()


def seconds_of_times(times: Times) -> dict[str, float]:
    return {"p50": times.quantile(0.5), "p99": times.quantile(0.99), "max": times.longest}
