"""The figures of a run's report, in a palette's colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from server.reporting.drawing import (
    DASHES,
    MARKERS,
    WIDTH,
    Drawing,
    Palette,
    name_cells,
    name_rows,
    shade,
)
from server.reporting.findings import Curve, Curves, mean_curve
from server.reporting.formatting import score
from server.reporting.run_record import Figure as SummaryFigure

MANY = len(MARKERS)  # curves, of which each has a style of its own
BARS = {"Pooled": 2, "Federated": 0, "Each site alone": 4}  # which colour of the series


def _short(name: str, length: int = 16) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _bar(axes: Axes, c: Palette, row: int, value: float | None, text: str, colour: str, folds: Curve) -> None:
    """A bar with its value's text at the right end; below it, on the page's own colour, a ring for each fold."""
    rings = [point for point in folds if point is not None] if len(folds) > 1 else []
    axes.barh(row - 0.15, value or 0.0, height=0.38, color=colour)
    axes.scatter(
        rings, [row + 0.3] * len(rings), s=18, facecolor=c.surface, edgecolor=c.ink, linewidth=1.0, clip_on=False
    )
    axes.text(1.05 if value is not None else 0.02, row, text, va="center")


def _unit_axis(axes: Axes, c: Palette, names: Sequence[str], label: str) -> None:
    name_rows(axes, c, [_short(name) for name in names])
    axes.set(xlim=(0, 1.2), ylim=(len(names) - 0.45, -0.55), xticks=[0, 0.2, 0.4, 0.6, 0.8, 1], xlabel=label)


def comparison(bars: Mapping[str, tuple[SummaryFigure, Curve]], chance: float) -> Drawing:
    """Pooled, federated and local UAR as bars with their 95 % intervals, one ring a fold, and the chance line."""

    def draw(figure: Figure, c: Palette) -> None:
        axes = figure.subplots()
        for row, (name, (figures, folds)) in enumerate(bars.items()):
            low, high = figures.ci95 or (figures.mean, figures.mean)
            _bar(axes, c, row, figures.mean, score(figures.mean), c.series[BARS[name]], folds)
            if figures.ci95:
                error = [[max(figures.mean - low, 0.0)], [max(high - figures.mean, 0.0)]]
                axes.errorbar(figures.mean, row + 0.14, xerr=error, color=c.ink, capsize=3, linewidth=1.5)
        axes.axvline(chance, color=c.ink, linestyle=(0, (4, 3)), linewidth=1.2)
        _unit_axis(axes, c, list(bars), "UAR on held-out speakers")
        axes.set_title(f"chance {score(chance)}", x=chance / 1.2, fontsize=10.5, color=c.muted, pad=4)

    return Drawing(height=70 + 50 * len(bars), draw=draw)


def recalls(values: Mapping[str, tuple[float | None, Curve]]) -> Drawing:
    """Each class's recall as a bar with its value; a class maps to its recall and the folds' recalls."""

    def draw(figure: Figure, c: Palette) -> None:
        axes = figure.subplots()
        for row, (value, folds) in enumerate(values.values()):
            _bar(axes, c, row, value, "no recordings" if value is None else f"{value:.2f}", c.series[0], folds)
        _unit_axis(axes, c, list(values), "Recall")

    return Drawing(height=50 + 30 * len(values), draw=draw)


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Drawing:
    """The confusion matrix; a cell's shade and percentage are its share of the row, with the count below."""

    def draw(figure: Figure, c: Palette) -> None:
        axes = figure.subplots()
        large = 12 if len(classes) < 7 else 10
        for row, values in enumerate(counts):
            for column, value in enumerate(values):
                share = value / sum(values) if sum(values) else 0.0
                shade(axes, c, column, row, share)
                axes.text(column, row + 0.02, f"{share:.0%}", ha="center", va="bottom", fontsize=large)
                axes.text(column, row + 0.06, f"{value}", ha="center", va="top", fontsize=large - 2)
        names = [_short(name, 12) for name in classes]
        name_cells(axes, c, names, names, ha="right")
        axes.set(xlabel="Recognised as", ylabel="Spoken as")

    return Drawing(height=WIDTH - 20, draw=draw)


def _lines(axes: Axes, c: Palette, curves: Curves) -> list[Any]:
    """One line a curve; up to seven each in a style of its own, more than that all thin and grey."""
    handles = []
    for index, curve in enumerate(curves.values()):
        rounds = range(1, len(curve) + 1)
        values = [float("nan") if value is None else value for value in curve]
        if len(curves) > MANY:
            handles += axes.plot(rounds, values, color=c.muted, linewidth=0.8, alpha=0.6)
        else:
            look: dict[str, Any] = {"color": c.series[index], "linestyle": DASHES[index], "marker": MARKERS[index]}
            every = (index * 2 % 5, max(1, len(curve) // 6))
            handles += axes.plot(rounds, values, linewidth=1.5, markersize=5, markevery=every, **look)
    return handles


def curves_by_round(panels: Mapping[str, Curves], line: tuple[str, float] | None = None) -> Drawing:
    """Curves over the rounds, one panel below the other, with one legend for all.

    Args:
        panels: the axis label of each panel and its curves; all panels have the same ones.
        line: the name and height of a dashed line across each panel.
    """

    def draw(figure: Figure, c: Palette) -> None:
        rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (label, curves) in zip(rows, panels.items(), strict=True):
            handles, names = _lines(axes, c, curves), [_short(name) for name in curves]
            if len(names) > MANY:
                handles, names = handles[:1], [f"each of the {len(names)}"]
            if len(curves) > 1:
                means = [float("nan") if value is None else value for value in mean_curve(curves.values())]
                handles += axes.plot(range(1, len(means) + 1), means, color=c.ink, linewidth=2.6, zorder=3)
                names.append("mean")
            if line:
                handles.append(axes.axhline(line[1], color=c.muted, linestyle=(0, (4, 3)), linewidth=1.2))
                names.append(line[0])
            axes.set_ylabel(label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        rows[-1].set_xlabel("Round")
        figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=10.5, handlelength=3.2)

    legend = 15 * (min(max(map(len, panels.values())), MANY) // 3 + 1)
    return Drawing(height=(190 * len(panels) if len(panels) > 1 else 260) + legend, draw=draw)


def uar_by_level(curves: Mapping[str, Sequence[float]], levels: Sequence[str], chance: float) -> Drawing:
    """UAR against how loud the noise is, a line a kind, and the chance line.

    Args:
        curves: by the kind of noise, the UAR at each level.
        levels: from the quietest to the loudest.
        chance: the UAR of guessing.
    """

    def draw(figure: Figure, c: Palette) -> None:
        axes = figure.subplots()
        places = list(range(len(levels)))
        for index, (kind, curve) in enumerate(curves.items()):
            look: dict[str, Any] = {"color": c.series[index], "linestyle": DASHES[index], "marker": MARKERS[index]}
            axes.plot(places, curve, label=kind, linewidth=1.5, markersize=5, **look)
        axes.axhline(chance, color=c.muted, linestyle=(0, (4, 3)), linewidth=1.2, label="chance")
        axes.set(ylim=(0, 1), ylabel="UAR, first heard", xlabel="Signal-to-noise ratio")
        axes.set_xticks(places, levels)
        figure.legend(loc="outside lower center", ncols=4, fontsize=10.5, handlelength=3.2)

    return Drawing(height=275, draw=draw)
