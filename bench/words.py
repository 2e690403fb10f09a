"""What both commands of the bench take, and what they do with what they found."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench import results
from bench.loadgen import VARIABLE, CannotMeasure


def common(words: argparse.ArgumentParser) -> None:
    """What both commands take."""
    words.add_argument("--loadgen", metavar="PATH", help=f"the load generator (${VARIABLE}, else loadgen on the PATH)")
    words.add_argument("--quick", action="store_true", help="a first look: shorter, and less of it")
    words.add_argument(
        "--dir", metavar="FOLDER", help="where data folders are made; on the disk that is to be measured"
    )
    words.add_argument("--json", metavar="FILE", type=Path, help="write all figures there, too")
    words.add_argument("--write-results", action="store_true", help="write the tables to bench/RESULTS.md and the docs")


def say(line: str) -> None:
    """Progress, which is no part of the result."""
    print(line, file=sys.stderr, flush=True)


def whole(chosen: argparse.Namespace, *narrowed: object) -> None:
    """What is written down is all of a run, so that no table stands under the head of another."""
    if chosen.write_results and any(narrowed):
        raise CannotMeasure("--write-results wants the whole run: leave out what narrows it")


def extent(chosen: argparse.Namespace, words: str) -> str:
    return f"{words}, --quick: a first look only" if chosen.quick else words


def finish(
    chosen: argparse.Namespace, found: dict[str, Any], result: dict[str, str], explained: dict[str, str]
) -> None:
    """Write what was found where it is wanted: blocks of RESULTS.md, blocks of the page that explains them."""
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    if chosen.write_results:
        for path, blocks in ((results.RESULTS, result), (results.EXPLAINED, explained)):
            for name, text in blocks.items():
                results.put(path, name, text)
            say(f"written: {path}")
