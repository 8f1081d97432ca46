"""The page's figures by condition: dots for groups, shaded cells for classes, bars for cost.

Colour never tells anything alone: groups differ in their markers, cells have their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from server.reporting.figures import MARKERS
from server.reporting.formatting import score
from simulations.sweep.page.drawing import Drawing, Palette, drawn


def dots(
    rows: Mapping[str, Mapping[str, tuple[float, tuple[float, float] | None]]],
    label: str,
    title: str,
    about: str,
    key: str,
    line: float | None = None,
) -> Drawing:
    """A row for each condition with a dot for each group: who is better off, and how far they lie apart.

    Args:
        rows: condition to group to its figure and interval.
        label: of the abscissa.
        title: what a screen reader says.
        about: caption and command.
        key: of its ids.
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
        axes.set_yticks(range(len(rows)), list(rows), color=c.ink)
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel=label)
        axes.locator_params(axis="x", nbins=6)  # labels of long figures would overlap
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3, fontsize=10)

    return drawn(key, title, 80 + 34 * len(rows), draw, about)


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


def heat(
    columns: Sequence[str], rows: Mapping[str, Sequence[float | None]], title: str, about: str, key: str
) -> Drawing:
    """Shares between 0 and 1 as shaded cells with their percentage, a row for each condition."""

    def draw(figure: Figure, c: Palette) -> None:
        axes = figure.subplots()
        for y, values in enumerate(rows.values()):
            for x, value in enumerate(values):
                face = to_rgba(c.heat, round(0.7 * (value or 0.0), 3))
                axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=face, edgecolor=c.line))
                text = score(None) if value is None else f"{100 * value:.0f}"
                axes.text(x, y, text, ha="center", va="center", fontsize=10)
        slant: dict[str, Any] = {"rotation": 40, "ha": "left", "rotation_mode": "anchor"} if len(columns) > 4 else {}
        axes.set_xticks(range(len(columns)), list(columns), color=c.ink, fontsize=10, **slant)
        axes.set_yticks(range(len(rows)), list(rows), color=c.ink)
        axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
        axes.xaxis.tick_top()
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)

    return drawn(key, title, 90 + 30 * len(rows), draw, about)


def bars(values: Mapping[str, float], label: str, title: str, about: str, key: str) -> Drawing:
    """A bar with its value for each condition."""
    largest = max(values.values())

    def draw(figure: Figure, c: Palette) -> None:
        axes = figure.subplots()
        axes.barh(range(len(values)), list(values.values()), height=0.55, color=c.series[0])
        for row, value in enumerate(values.values()):
            axes.text(value + 0.02 * largest, row, f"{value:.3g}", va="center", fontsize=10)
        axes.set_yticks(range(len(values)), list(values), color=c.ink)
        axes.set(xlim=(0, 1.18 * largest), ylim=(len(values) - 0.5, -0.5), xlabel=label)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)

    return drawn(key, title, 60 + 28 * len(values), draw, about)
