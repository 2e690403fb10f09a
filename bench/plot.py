"""Draws how cost grows: one picture a series, the thing that grows along the bottom, both axes logarithmic.

It needs matplotlib, which the extra `bench` brings. The same figures give the same file, byte for byte.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.loadgen import CannotMeasure

if TYPE_CHECKING:
    from bench.growth import Row, Series

# What is measured has one colour in all pictures, and a mark, to be told apart without the colour too.
STYLES = {
    "delivery": ("#0b5fa5", "o", "-"),
    "plain": ("#57534e", "s", "--"),
    "join": ("#15803d", "^", "-"),
    "storm": ("#65a30d", "D", "-"),
    "login": ("#c2410c", "v", "-"),
    "first": ("#7e22ce", "P", "-"),
    "old": ("#db2777", "X", "-"),
}
INK, GRID = "#333333", "#dddddd"
UNIT = "µs "


def check() -> None:
    """`CannotMeasure` says what to do if nothing can be drawn here; before anything is measured."""
    try:
        import matplotlib
    except ImportError:
        raise CannotMeasure("there is no matplotlib to draw with: pip install 'chatd[bench]'") from None
    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "chatd", "font.size": 10, "axes.edgecolor": INK})


def draw(series: Series, rows: dict[int, Row], folder: Path) -> Path:
    """The picture of a series; it is put into the folder as `growth-NAME.svg`."""
    from matplotlib.figure import Figure

    lines = [(key, words) for key, words in series.columns.items() if words.startswith(UNIT)]
    picture = Figure(figsize=(7.2, 4.2), layout="constrained", facecolor="white")
    axes: Any = picture.subplots()
    for key, words in lines:
        colour, mark, stroke = STYLES[key]
        sizes = [size for size in rows if rows[size].get(key, 0) > 0]
        values = [rows[size][key] for size in sizes]
        label = words.removeprefix(UNIT)
        axes.plot(sizes, values, stroke, color=colour, marker=mark, markersize=6, linewidth=1.8, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(list(rows), [f"{size:,}" for size in rows])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_xlabel(series.grows, color=INK)
    axes.set_ylabel("processor time of the server, µs", color=INK)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    picture.legend(loc="outside upper center", ncols=min(3, len(lines)), frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"growth-{series.name}.svg"
    picture.savefig(path, metadata={"Date": None})
    return path
