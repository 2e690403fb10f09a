"""Measures scenarios on servers, and puts what came of it into tables: the ratio to the reference, and each figure.

Servers take turns within a scenario, so that a machine that gets slower or busier does so for all of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.loadgen import CannotMeasure, Figures, remarks, run
from bench.results import figure, table
from bench.scenarios import Scenario
from bench.servers import Subject, serving

# A few who come and talk first: what a server does only once is not to be paid by the first of the many.
WARM_UP = ("saturate", "--n", "20", "--time", "0.3", "--nick", "warm", "--room", "#warm")
NONE = "–"


@dataclass
class Cell:
    """What was measured of one scenario on one server, each repetition; `fault` says why there is nothing."""

    scenario: Scenario
    subject: Subject
    found: list[Figures] = field(default_factory=list)
    fault: str = ""

    def median(self, key: str) -> float:
        return statistics.median(float(one[key]) for one in self.found)

    def total(self, key: str) -> int:
        return sum(int(one[key]) for one in self.found)

    def remarks(self) -> str:
        told = [self.fault] if self.fault else [words for one in self.found for words in remarks(one)]
        return "; ".join(dict.fromkeys(told))


def measure(subject: Subject, scenario: Scenario, program: Path, parent: str | None = None) -> Figures:
    """One scenario on a server of its own."""
    with serving(subject, parent=parent) as server:
        run(program, [*WARM_UP, *subject.words], port=server.port, pid=server.pid)
        words = [*scenario.command(), *subject.words, "--nick", "m", "--room", "#r"]
        return run(program, words, port=server.port, pid=server.pid)


def measure_all(
    subjects: Sequence[Subject],
    scenarios: Iterable[Scenario],
    program: Path,
    *,
    repeat: int,
    parent: str | None,
    tell: Callable[[str], None],
) -> list[Cell]:
    """Every scenario on every server, `repeat` times; what cannot be measured is told and passed over."""
    cells = []
    for scenario in scenarios:
        row = [Cell(scenario, subject) for subject in subjects]
        cells += row
        for _ in range(repeat):
            for cell in row:
                if cell.fault:
                    continue
                try:
                    found = measure(cell.subject, scenario, program, parent)
                    cell.found.append(found)
                    tell(f"{scenario.name:14} {cell.subject.name:24} {figure(found[scenario.key])} {scenario.unit}")
                except CannotMeasure as problem:
                    cell.fault = f"not measured: {problem}"
                    tell(f"{scenario.name:14} {cell.subject.name:24} {cell.fault}")
    return cells


# -- tables ---------------------------------------------------------------------------------------------------


def ratios(cells: Sequence[Cell]) -> str:
    """A row a scenario, a column a server: the median, and how many times that of the reference of the same way."""
    names = list(dict.fromkeys(cell.subject.name for cell in cells))
    rows = [["scenario", "unit", *names]]
    for scenario in dict.fromkeys(cell.scenario for cell in cells):
        row = {cell.subject.name: cell for cell in cells if cell.scenario is scenario}
        rows.append([scenario.about, scenario.unit, *(_ratio(row[name], row) for name in names)])
    return table(rows, texts=(0, 1))


def _ratio(cell: Cell, row: dict[str, Cell]) -> str:
    if not cell.found:
        return NONE
    value, base = cell.median(cell.scenario.key), row.get(cell.subject.baseline)
    if base is None or base is cell or not base.found or (least := base.median(cell.scenario.key)) <= 0:
        return figure(value)
    return f"{figure(value)} ({value / least:.1f} ×)"


def details(cells: Sequence[Cell]) -> str:
    """Everything else about each of them."""
    first = [
        "scenario",
        "server",
        "median",
        "least",
        "deliveries/s",
        "cores",
        "p50 ms",
        "p99 ms",
        "lost",
        "dup",
        "remarks",
    ]
    rows = [first]
    for cell in cells:
        start = [cell.scenario.name, cell.subject.name]
        if not cell.found:
            rows.append([*start, *[NONE] * 8, cell.remarks()])
            continue
        key, is_load = cell.scenario.key, cell.total("sent") > 0
        latency = [f"{cell.median(one) / 1e3:.2f}" for one in ("lat_us_p50", "lat_us_p99")]
        rows.append(
            [
                *start,
                figure(cell.median(key)),
                figure(min(one[key] for one in cell.found)),
                f"{cell.median('deliveries_per_s'):,.0f}" if is_load else NONE,
                f"{cell.median('srv_cores'):.2f}" if is_load else NONE,
                *(latency if cell.scenario.is_paced else (NONE, NONE)),
                *(str(cell.total(one)) if is_load else NONE for one in ("lost", "dup")),
                cell.remarks(),
            ]
        )
    return table(rows, texts=(0, 1, -1))


def plain(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """All of it, for programs: one object a repetition, with the load generator's own names."""
    return [
        {"scenario": cell.scenario.name, "server": cell.subject.name, **cell.subject.facts, "figures": one}
        for cell in cells
        for one in cell.found
    ]
