"""`python -m bench`: what a delivery, a join and a connection cost, beside a reference measured in the same run.

It knows the words of the command line; what is measured is in `scenarios` and `growth`, on what in `servers` and
`peers`. Started from the top folder of the tree, whose chatd it measures.
"""

from __future__ import annotations

import argparse
import resource
import sys

from bench import machine, peers, results, runs, servers
from bench.loadgen import CannotMeasure, find
from bench.scenarios import SCENARIOS, shorter
from bench.words import common, extent, finish, say, whole

ABOUT = """\
Start chatd and the servers it is compared with, let a load generator talk to each, and print what a delivery, a join
and a connection cost them in processor time and memory, with the ratio to a plain Python loop (bench/reference.py).
Redis, InspIRCd, ngIRCd and Ergo are measured too if they are on the PATH. `python -m bench growth` shows how the cost
grows with members, rooms and stored messages. Everything stays on loopback and in temporary folders."""


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(prog="python -m bench", description=ABOUT, allow_abbrev=False)
    common(words)
    words.add_argument(
        "--scenario", action="append", choices=SCENARIOS, help="only this one; may be given more than once"
    )
    words.add_argument("--way", action="append", choices=servers.WAYS, help="only this way in")
    words.add_argument("--journal", action="append", choices=servers.JOURNALS, help="only this kind of journal")
    words.add_argument("--no-peers", action="store_true", help="leave out other people's servers")
    words.add_argument(
        "--repeat", type=int, default=1, metavar="N", help="measure each N times, and show the median (1)"
    )
    return words


def scenarios(chosen: argparse.Namespace) -> None:
    """Measure and print the table."""
    whole(chosen, chosen.scenario, chosen.way, chosen.journal)
    program = find(chosen.loadgen)
    ways = chosen.way or (["framed"] if chosen.quick else servers.WAYS)
    subjects = [servers.chatd(way, journal) for way in ways for journal in chosen.journal or servers.JOURNALS]
    subjects += [servers.reference(way) for way in ways]
    if not (chosen.no_peers or chosen.quick):
        subjects += peers.here()
    wanted = [SCENARIOS[name] for name in chosen.scenario or SCENARIOS]
    facts = machine.facts(chosen.dir)
    cells = runs.measure_all(
        subjects,
        [shorter(one) if chosen.quick else one for one in wanted],
        program,
        repeat=max(1, chosen.repeat),
        parent=chosen.dir,
        tell=say,
    )
    facts["extent"] = extent(chosen, f"the median of {chosen.repeat}" if chosen.repeat > 1 else "each measured once")
    text = "\n\n".join((results.head(facts), runs.ratios(cells), runs.details(cells)))
    print(text)
    finish(
        chosen,
        {"facts": facts, "runs": runs.plain(cells)},
        {"scenarios": text},
        {"ratios": results.with_source(facts, runs.ratios(cells))},
    )


def main(words: list[str]) -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        if words[:1] == ["growth"]:
            from bench import growth

            growth.main(words[1:])
        else:
            scenarios(parser().parse_args(words))
    except CannotMeasure as problem:
        say(f"bench: {problem}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
