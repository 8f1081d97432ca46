"""Figures against ε: the frontier, and the attacks' success in panels one above the other.

Colour never tells anything alone: units and front ends differ in their markers, strategies in their dashes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from common.config.units import rank
from server.reporting.drawing import DASHES, MARKERS, Drawing, Palette
from simulations.sweep.page.condition_figures import WIDTH

NOWHERE = "none"  # where the axis of ε has its place for no privacy
PLAIN = "D"  # the marker of no privacy
SECOND = ("v", "P", "X", "p")  # the markers of another front end: of each unit, and of no privacy


@dataclass(frozen=True, kw_only=True)
class Point:
    """A figure at an ε, inf for no privacy, with its 95 % interval where there is one; its marker may be open."""

    epsilon: float
    value: float
    ci95: tuple[float, float] | None = None
    open: bool = False


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of one unit and strategy.

    Attributes:
        name: in the legend.
        unit: None for no privacy.
        dash: which of the line styles.
        points: by ε.
        open: an open marker and no band, for what is shown beside the main curves.
        second: markers of their own, for what hears through another front end.
    """

    name: str
    unit: str | None
    points: Sequence[Point]
    dash: int = 0
    open: bool = False
    second: bool = False

    @property
    def marker(self) -> str:
        """Of its points."""
        place = rank(self.unit) if self.unit else -1
        if self.second:
            return SECOND[place]
        return MARKERS[place] if self.unit else PLAIN


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


def frontier(curves: Sequence[Curve], lines: Mapping[str, float]) -> Drawing:
    """UAR against ε: a band for each unit and strategy, horizontal lines for what they are measured against.

    Args:
        curves: in the legend's order.
        lines: name to height, e.g. the pooled model's, chance.
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
        _legend(figure, handles)

    rows = (len(curves) + len(lines) + 1) // 2
    return Drawing(width=WIDTH, height=250 + 17 * rows, draw=draw)


def _legend(figure: Figure, handles: Mapping[str, Any]) -> None:
    look: dict[str, Any] = {"loc": "outside lower center", "ncols": 2, "fontsize": 10, "handlelength": 2.6}
    figure.legend(list(handles.values()), list(handles), **look)


def _curves(axes: Axes, c: Palette, scale: Scale, curves: Sequence[Curve]) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    kinds: list[tuple[str | None, int]] = list(
        dict.fromkeys((curve.unit, curve.dash) for curve in curves if curve.unit and not curve.open)
    )
    for curve in curves:
        shift = 0.1 if curve.second else 0.0
        if (curve.unit, curve.dash) in kinds:  # side by side at the same ε, and a hollow one close to its own
            place = kinds.index((curve.unit, curve.dash))
            shift = 0.1 * (place - (len(kinds) - 1) / 2) + (0.05 if curve.open else 0.0)
        handles[curve.name] = _curve(axes, c, scale, curve, shift)
    return handles


def _curve(axes: Axes, c: Palette, scale: Scale, curve: Curve, shift: float) -> Any:
    colour = c.series[rank(curve.unit)] if curve.unit else c.ink
    marker = curve.marker
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
    hollow = [(x, point.value) for x, point in zip(xs, points, strict=True) if point.open]
    if hollow:
        look: dict[str, Any] = {"marker": marker, "color": colour, "markerfacecolor": c.surface, "markersize": 6}
        axes.plot(*zip(*hollow, strict=True), linestyle="none", zorder=4, **look)
    return handle


def panels(shown: Mapping[str, tuple[Sequence[Curve], float | None]]) -> Drawing:
    """Several figures against ε, one above the other, with one abscissa.

    Args:
        shown: label of the ordinate to its curves and, of shares, the height of the line for what nothing leaks.
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
        _legend(figure, handles)

    return Drawing(width=WIDTH, height=40 + 150 * len(shown) + 17 * ((len(names) + 2) // 2), draw=draw)
