"""The page's figures, each twice: with the page's colours, to stand inside it, and as files of their own.

The same numbers give the same bytes. Colour never tells anything alone: units differ in their markers, strategies in
their dashes.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from server import svg
from server.figures import DASHES, MARKERS, NO_METADATA, STYLE
from server.wording import score

WIDTH = 380  # a phone shows it in about 310 px, where the text can still be read
PIXELS = 3  # of a PNG, for each unit of the drawing
NOWHERE = "none"  # where the axis of ε has its place for no privacy
UNITS = {"utterance": 0, "speaker": 1, "site": 2}  # the place of a unit's colour and marker
PLAIN = "D"  # the marker of no privacy


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure in its forms.

    Attributes:
        inline: for the page, in its colours.
        svg: a file of its own.
        png: likewise.
    """

    inline: Markup
    svg: str
    png: bytes


@dataclass(frozen=True, kw_only=True)
class Point:
    """A figure at an ε, inf for no privacy, with its 95 % interval where there is one."""

    epsilon: float
    value: float
    ci95: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of one unit and strategy.

    Attributes:
        name: in the legend.
        unit: None for no privacy.
        dash: which of the line styles.
        points: by ε.
        open: an open marker and no band, for what is shown beside the main curves.
    """

    name: str
    unit: str | None
    points: Sequence[Point]
    dash: int = 0
    open: bool = False


@dataclass(frozen=True, kw_only=True)
class Palette:
    """The colours of a drawing: stand-ins that follow the page, or real ones."""

    ink: str
    muted: str
    line: str
    surface: str
    heat: str
    series: tuple[str, ...]

    def style(self) -> dict[str, Any]:
        """Matplotlib's settings, in these colours."""
        real = {svg.INK: self.ink, svg.MUTED: self.muted, svg.LINE: self.line}
        return {name: real.get(value, value) if isinstance(value, str) else value for name, value in STYLE.items()}


PAGE = Palette(ink=svg.INK, muted=svg.MUTED, line=svg.LINE, surface=svg.SURFACE, heat=svg.HEAT, series=svg.SERIES)
FILE = Palette(
    ink="#1b1f24",
    muted="#57606a",
    line="#d8dde3",
    surface="#ffffff",
    heat="#0072b2",
    series=("#0072b2", "#d55e00", "#009e73", "#b8609a", "#e69f00", "#56b4e9", "#7f7f7f"),
)
Draw = Callable[[Figure, Palette], None]


def drawn(key: str, title: str, height: float, draw: Draw, about: str) -> Drawing:
    """Draw a figure in all its forms.

    Args:
        key: what the ids in the page begin with.
        title: what a screen reader says instead of the drawing.
        height: in units, of which it is ``WIDTH`` wide.
        draw: puts it into a figure, in a palette's colours.
        about: caption and command, kept in the files.
    """
    [inline] = _saved(draw, PAGE, height, {"format": "svg", "metadata": NO_METADATA, "transparent": True})
    about_it = {"Title": title, "Description": about}
    file, png = _saved(
        draw,
        FILE,
        height,
        {"format": "svg", "metadata": NO_METADATA | about_it, "facecolor": FILE.surface},
        {"format": "png", "metadata": {"Software": None, **about_it}, "facecolor": FILE.surface, "dpi": 72 * PIXELS},
    )
    return Drawing(inline=svg.inline(inline.decode(), key, title), svg=file.decode(), png=png)


def _saved(draw: Draw, palette: Palette, height: float, *ways: Mapping[str, Any]) -> list[bytes]:
    """A drawing in one palette, saved in several ways."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has fonts for every script
        mpl.rcdefaults()
        mpl.rcParams.update(cast("Any", palette.style()))
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        draw(figure, palette)
        saved = []
        for way in ways:
            buffer = io.BytesIO()
            figure.savefig(buffer, **way)
            saved.append(buffer.getvalue())
    return saved


class Scale:
    """The axis of ε: logarithmic, with a place apart for no privacy.

    Args:
        epsilons: all that are shown.
    """

    def __init__(self, epsilons: Sequence[float]) -> None:
        finite = sorted({epsilon for epsilon in epsilons if epsilon < math.inf})
        self.ticks = [math.log2(epsilon) for epsilon in finite]
        self.labels = [f"{epsilon:g}" for epsilon in finite]
        span = (self.ticks[-1] - self.ticks[0]) if self.ticks else 0.0
        self.apart = (self.ticks[-1] if self.ticks else 0.0) + max(1.0, 0.3 * span)

    def place(self, epsilon: float, shift: float = 0.0) -> float:
        """Where an ε stands; ``shift`` keeps those of several curves apart."""
        return (self.apart if epsilon == math.inf else math.log2(epsilon)) + shift

    def put_on(self, axes: Axes, c: Palette) -> None:
        """Label an axes' abscissa."""
        axes.set_xticks([*self.ticks, self.apart], [*self.labels, NOWHERE])
        low = self.ticks[0] if self.ticks else self.apart - 1
        pad = 0.08 * (self.apart - low) + 0.2
        axes.set_xlim(low - pad, self.apart + pad)
        if self.ticks:
            middle = (self.ticks[-1] + self.apart) / 2
            axes.axvline(middle, color=c.line, linewidth=1.0, linestyle=(0, (1, 2)))


def frontier(
    curves: Sequence[Curve], lines: Mapping[str, float], title: str, about: str, key: str = "frontier"
) -> Drawing:
    """UAR against ε: a band for each unit and strategy, horizontal lines for what they are measured against.

    Args:
        curves: in the legend's order.
        lines: name to height, e.g. the pooled model's, chance.
        title: what a screen reader says.
        about: caption and command.
        key: of its ids.
    """
    scale = Scale([point.epsilon for curve in curves for point in curve.points])

    def draw(figure: Figure, c: Palette) -> None:
        axes = figure.subplots()
        handles = _curves(axes, c, scale, curves)
        for (name, height), dash in zip(
            lines.items(), ((0, (5, 3)), (0, (1, 2)), (0, (6, 2, 1, 2)), "-"), strict=False
        ):
            handles[name] = axes.axhline(height, color=c.muted, linestyle=cast("Any", dash), linewidth=1.3, zorder=1)
        scale.put_on(axes, c)
        axes.set(xlabel="ε (smaller is more private)", ylabel="UAR on held-out speakers")
        low, high = axes.get_ylim()
        axes.set_ylim(max(0.0, low), min(1.0, high))
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=2, fontsize=10, handlelength=2.6
        )

    rows = (len(curves) + len(lines) + 1) // 2
    return drawn(key, title, 250 + 17 * rows, draw, about)


def _curves(axes: Axes, c: Palette, scale: Scale, curves: Sequence[Curve]) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    kinds: list[tuple[str | None, int]] = list(
        dict.fromkeys((curve.unit, curve.dash) for curve in curves if curve.unit and not curve.open)
    )
    for curve in curves:
        shift = 0.0
        if (curve.unit, curve.dash) in kinds:  # side by side at the same ε, and a hollow one close to its own
            place = kinds.index((curve.unit, curve.dash))
            shift = 0.1 * (place - (len(kinds) - 1) / 2) + (0.05 if curve.open else 0.0)
        handles[curve.name] = _curve(axes, c, scale, curve, shift)
    return handles


def _curve(axes: Axes, c: Palette, scale: Scale, curve: Curve, shift: float) -> Any:
    colour = c.series[UNITS[curve.unit]] if curve.unit else c.ink
    marker = MARKERS[UNITS[curve.unit]] if curve.unit else PLAIN
    points = sorted(curve.points, key=lambda point: point.epsilon)
    xs, ys = [scale.place(point.epsilon, shift) for point in points], [point.value for point in points]
    known = [(x, point) for x, point in zip(xs, points, strict=True) if point.ci95 is not None]
    for x, point in known:
        bottom, top = point.ci95 or (0.0, 0.0)
        error = [[max(point.value - bottom, 0.0)], [max(top - point.value, 0.0)]]
        axes.errorbar(x, point.value, yerr=error, color=colour, capsize=2.5, linewidth=1.1, zorder=2)
    if curve.unit and len(known) > 1 and not curve.open:
        low, high = zip(*(point.ci95 or (0.0, 0.0) for _, point in known), strict=True)
        axes.fill_between([x for x, _ in known], low, high, color=to_rgba(colour, 0.16), linewidth=0)
    face = c.surface if curve.open else colour
    dash = DASHES[(curve.dash + curve.open) % len(DASHES)]
    style: dict[str, Any] = {"linestyle": dash, "linewidth": 1.0 if curve.open else 2.0}
    [handle] = axes.plot(xs, ys, marker=marker, color=colour, markerfacecolor=face, markersize=6, zorder=3, **style)
    return handle


def panels(shown: Mapping[str, tuple[Sequence[Curve], float | None]], title: str, about: str, key: str) -> Drawing:
    """Several figures against ε, one above the other, with one abscissa.

    Args:
        shown: label of the ordinate to its curves and, of shares, the height of the line for what nothing leaks.
        title: what a screen reader says.
        about: caption and command.
        key: of its ids.
    """
    scale = Scale([point.epsilon for curves, _ in shown.values() for curve in curves for point in curve.points])
    names = list(dict.fromkeys(curve.name for curves, _ in shown.values() for curve in curves))

    def draw(figure: Figure, c: Palette) -> None:
        rows = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        handles: dict[str, Any] = {}
        for axes, (label, (curves, level)) in zip(rows, shown.items(), strict=True):
            handles |= _curves(axes, c, scale, curves)
            if level is not None:
                axes.set_ylim(-0.03, 1.03)
                handles["nothing leaks"] = axes.axhline(level, color=c.muted, linestyle=(0, (5, 3)), linewidth=1.2)
            axes.set_ylabel(label)
            scale.put_on(axes, c)
        rows[-1].set_xlabel("ε (smaller is more private)")
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=2, fontsize=10, handlelength=2.6
        )

    return drawn(key, title, 40 + 150 * len(shown) + 17 * ((len(names) + 2) // 2), draw, about)


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
