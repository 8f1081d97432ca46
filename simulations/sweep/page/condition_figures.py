"""The page's figures by condition: dots for groups, shaded cells for classes, bars for cost.

Colour never tells anything alone: groups differ in their markers, cells have their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from server.reporting.drawing import MARKERS, Drawing, Palette, name_cells, name_rows, shade
from server.reporting.formatting import score

WIDTH = 380  # for the names of the conditions; a phone shows it in about 310 px, where the text can still be read
Dots = Mapping[str, Mapping[str, tuple[float, tuple[float, float] | None]]]


def dots(rows: Dots, label: str, line: float | None = None) -> Drawing:
    """A row for each condition with a dot for each group: who is better off, and how far they lie apart.

    Args:
        rows: condition to group to its figure and interval.
        label: of the abscissa.
        line: of what to compare with, e.g. chance.
    """
    groups = list(dict.fromkeys(group for own in rows.values() for group in own))

    def draw(figure: Figure, c: Palette) -> None:
        axes = figure.subplots()
        handles: dict[str, Any] = {}
        for row, own in enumerate(rows.values()):
            handles |= _row(axes, c, row, own, groups)
        if line is not None:
            axes.axvline(line, color=c.muted, linestyle=(0, (1, 2)), linewidth=1.3)
        name_rows(axes, c, list(rows))
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel=label)
        axes.locator_params(axis="x", nbins=6)  # labels of long figures would overlap
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3, fontsize=10)

    return Drawing(width=WIDTH, height=80 + 34 * len(rows), draw=draw)


def _row(axes: Axes, c: Palette, row: int, own: Mapping[str, Any], groups: Sequence[str]) -> dict[str, Any]:
    """One condition's dots, joined by a grey line; a group has the same colour and marker in every row."""
    handles: dict[str, Any] = {}
    values = [value for value, _ in own.values()]
    axes.plot([min(values), max(values)], [row, row], color=c.line, linewidth=3, zorder=1, solid_capstyle="round")
    for number, (group, (value, ci95)) in enumerate(own.items()):
        y = row + 0.22 * (number - (len(own) - 1) / 2)
        place = groups.index(group)
        look: dict[str, Any] = {"color": c.series[place % len(c.series)], "marker": MARKERS[place % len(MARKERS)]}
        if ci95:
            axes.plot(ci95, [y, y], color=look["color"], linewidth=1.3, zorder=2)
        [handles[group]] = axes.plot(value, y, linestyle="none", markersize=6.5, zorder=3, **look)
    return handles


def heat(columns: Sequence[str], rows: Mapping[str, Sequence[float | None]]) -> Drawing:
    """Shares between 0 and 1 as shaded cells with their percentage, a row for each condition."""

    def draw(figure: Figure, c: Palette) -> None:
        axes = figure.subplots()
        for y, values in enumerate(rows.values()):
            for x, value in enumerate(values):
                shade(axes, c, x, y, value or 0.0, height=0.92)
                text = score(None) if value is None else f"{100 * value:.0f}"
                axes.text(x, y, text, ha="center", va="center", fontsize=10)
        name_cells(axes, c, columns, list(rows), ha="left", fontsize=10)
        axes.xaxis.tick_top()

    return Drawing(width=WIDTH, height=90 + 30 * len(rows), draw=draw)


def bars(values: Mapping[str, float], label: str) -> Drawing:
    """A bar with its value for each condition."""
    largest = max(values.values())

    def draw(figure: Figure, c: Palette) -> None:
        axes = figure.subplots()
        axes.barh(range(len(values)), list(values.values()), height=0.55, color=c.series[0])
        for row, value in enumerate(values.values()):
            axes.text(value + 0.02 * largest, row, f"{value:.3g}", va="center", fontsize=10)
        name_rows(axes, c, list(values))
        axes.set(xlim=(0, 1.18 * largest), ylim=(len(values) - 0.5, -0.5), xlabel=label)

    return Drawing(width=WIDTH, height=60 + 28 * len(values), draw=draw)
