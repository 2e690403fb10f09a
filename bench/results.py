"""Tables as Markdown, and the blocks of a page that only the program writes.

Such a block begins with `<!-- measured: NAME -->` and ends with `<!-- end of NAME -->`; whatever stands between is
replaced by what was measured now.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from bench.servers import TREE

RESULTS = TREE / "bench/RESULTS.md"
EXPLAINED = TREE / "docs/explanation/performance.md"
PICTURES = TREE / "docs/img"


def table(rows: Sequence[Sequence[str]], texts: Collection[int] = (0,)) -> str:
    """A table whose columns stand under each other; the first row is its head, the columns `texts` are words."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    is_text = [n in texts or n - len(widths) in texts for n in range(len(widths))]

    def drawn(row: Sequence[str]) -> str:
        fitted = zip(row, widths, is_text, strict=True)
        return (
            f"| {' | '.join(cell.ljust(width) if is_left else cell.rjust(width) for cell, width, is_left in fitted)} |"
        )

    dashes = [
        "-" * width if is_left else "-" * (width - 1) + ":" for width, is_left in zip(widths, is_text, strict=True)
    ]
    return "\n".join([drawn(rows[0]), drawn(dashes), *map(drawn, rows[1:])])


def head(facts: Mapping[str, str]) -> str:
    """The facts of the machine as a list."""
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def with_source(facts: Mapping[str, str], text: str) -> str:
    """A table, and when and with what it was made in a line under it."""
    return f"{text}\n\n({facts['date']}, chatd {facts['chatd']}, Python {facts['Python']}; {facts['extent']})"


def figure(value: float) -> str:
    """A number with as many digits as mean something."""
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if value >= 1 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def put(path: Path, name: str, text: str) -> None:
    """Replace what stands in a page's block."""
    page = path.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- measured: {re.escape(name)} -->\n).*?(<!-- end of {re.escape(name)} -->)", re.DOTALL)
    changed, count = pattern.subn(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)
    if count != 1:
        raise ValueError(f"{path} has {count} blocks measured: {name}; it must have one")
    path.write_text(changed, encoding="utf-8")
