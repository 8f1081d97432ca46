"""The report's figures: drawn by matplotlib as SVG that takes its colours and its font from the page around it.

The same numbers give the same bytes: no date, a fixed salt for ids, matplotlib's own defaults whatever the user's are.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from server.reporting.findings import Curve, Curves, mean_curve
from server.reporting.formatting import score
from server.reporting.run_record import Figure as SummaryFigure
from server.reporting.svg import HEAT, INK, LINE, MUTED, SERIES, SURFACE, inline

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (6, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 1)))
BARS = {"Pooled": SERIES[2], "Federated": SERIES[0], "Each site alone": SERIES[4]}

WIDTH = 360  # a phone shows it in about 310 px, where the text can still be read
STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.xmargin": 0.02,
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "fedser",
    "text.color": INK,
    "text.parse_math": False,  # a site may be called $x$
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def _drawn(key: str, title: str, height: float, draw: Callable[[Figure], None]) -> Markup:
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has fonts for every script
        mpl.rcdefaults()
        mpl.rcParams.update(cast("Any", STYLE))
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=NO_METADATA, transparent=True)
    return inline(buffer.getvalue(), key, title)


def _short(name: str, length: int = 16) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _bar(axes: Axes, row: int, value: float | None, text: str, colour: str, folds: Curve) -> None:
    """A bar with its value's text at the right end; below it, on the page's own colour, a ring for each fold."""
    rings = [point for point in folds if point is not None] if len(folds) > 1 else []
    axes.barh(row - 0.15, value or 0.0, height=0.38, color=colour)
    axes.scatter(rings, [row + 0.3] * len(rings), s=18, facecolor=SURFACE, edgecolor=INK, linewidth=1.0, clip_on=False)
    axes.text(1.05 if value is not None else 0.02, row, text, va="center")


def _unit_axis(axes: Axes, names: Sequence[str], label: str) -> None:
    axes.set_yticks(range(len(names)), [_short(name) for name in names], color=INK)
    axes.set(xlim=(0, 1.2), ylim=(len(names) - 0.45, -0.55), xticks=[0, 0.2, 0.4, 0.6, 0.8, 1], xlabel=label)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def comparison(bars: Mapping[str, tuple[SummaryFigure, Curve]], chance: float, title: str) -> Markup:
    """Pooled, federated and local UAR as bars with their 95 % intervals, one ring a fold, and the chance line."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for row, (name, (figures, folds)) in enumerate(bars.items()):
            low, high = figures.ci95 or (figures.mean, figures.mean)
            _bar(axes, row, figures.mean, score(figures.mean), BARS[name], folds)
            if figures.ci95:
                error = [[max(figures.mean - low, 0.0)], [max(high - figures.mean, 0.0)]]
                axes.errorbar(figures.mean, row + 0.14, xerr=error, color=INK, capsize=3, linewidth=1.5)
        axes.axvline(chance, color=INK, linestyle=(0, (4, 3)), linewidth=1.2)
        _unit_axis(axes, list(bars), "UAR on held-out speakers")
        axes.set_title(f"chance {score(chance)}", x=chance / 1.2, fontsize=10.5, color=MUTED, pad=4)

    return _drawn("comparison", title, 70 + 50 * len(bars), draw)


def recalls(values: Mapping[str, tuple[float | None, Curve]], title: str) -> Markup:
    """Each class's recall as a bar with its value; a class maps to its recall and the folds' recalls."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for row, (value, folds) in enumerate(values.values()):
            _bar(axes, row, value, "no recordings" if value is None else f"{value:.2f}", SERIES[0], folds)
        _unit_axis(axes, list(values), "Recall")

    return _drawn("recall", title, 50 + 30 * len(values), draw)


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]], title: str) -> Markup:
    """The confusion matrix; a cell's shade and percentage are its share of the row, with the count below."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        size = len(classes)
        large = 12 if size < 7 else 10
        for row, values in enumerate(counts):
            for column, value in enumerate(values):
                share = value / sum(values) if sum(values) else 0.0
                face = to_rgba(HEAT, round(0.7 * share, 3))  # at most 70 %, so that the text keeps a contrast of 5:1
                axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, facecolor=face, edgecolor=LINE))
                axes.text(column, row + 0.02, f"{share:.0%}", ha="center", va="bottom", fontsize=large)
                axes.text(column, row + 0.06, f"{value}", ha="center", va="top", fontsize=large - 2)
        slant: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if size > 4 else {}
        axes.set_xticks(range(size), [_short(name, 12) for name in classes], color=INK, **slant)
        axes.set_yticks(range(size), [_short(name, 12) for name in classes], color=INK)
        axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), xlabel="Recognised as", ylabel="Spoken as")
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)

    return _drawn("confusion", title, WIDTH - 20, draw)


def _lines(axes: Axes, curves: Curves) -> list[Any]:
    """One line a curve; up to seven each in a style of its own, more than that all thin and grey."""
    handles = []
    for index, curve in enumerate(curves.values()):
        rounds = range(1, len(curve) + 1)
        values = [float("nan") if value is None else value for value in curve]
        if len(curves) > len(SERIES):
            handles += axes.plot(rounds, values, color=MUTED, linewidth=0.8, alpha=0.6)
        else:
            look: dict[str, Any] = {"color": SERIES[index], "linestyle": DASHES[index], "marker": MARKERS[index]}
            every = (index * 2 % 5, max(1, len(curve) // 6))
            handles += axes.plot(rounds, values, linewidth=1.5, markersize=5, markevery=every, **look)
    return handles


def curves_by_round(
    key: str, panels: Mapping[str, Curves], title: str, line: tuple[str, float] | None = None
) -> Markup:
    """Curves over the rounds, one panel below the other, with one legend for all.

    Args:
        key: what the figure's ids begin with.
        panels: the axis label of each panel and its curves; all panels have the same ones.
        title: what a screen reader says.
        line: the name and height of a dashed line across each panel.
    """

    def draw(figure: Figure) -> None:
        rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (label, curves) in zip(rows, panels.items(), strict=True):
            handles, names = _lines(axes, curves), [_short(name) for name in curves]
            if len(names) > len(SERIES):
                handles, names = handles[:1], [f"each of the {len(names)}"]
            if len(curves) > 1:
                means = [float("nan") if value is None else value for value in mean_curve(curves.values())]
                handles += axes.plot(range(1, len(means) + 1), means, color=INK, linewidth=2.6, zorder=3)
                names.append("mean")
            if line:
                handles.append(axes.axhline(line[1], color=MUTED, linestyle=(0, (4, 3)), linewidth=1.2))
                names.append(line[0])
            axes.set_ylabel(label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        rows[-1].set_xlabel("Round")
        figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=10.5, handlelength=3.2)

    legend = 15 * (min(max(map(len, panels.values())), len(SERIES)) // 3 + 1)
    return _drawn(key, title, (190 * len(panels) if len(panels) > 1 else 260) + legend, draw)
