"""A figure's forms: with the page's colours, to stand inside it, and as files of their own.

The same numbers give the same bytes.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from server.reporting import svg
from server.reporting.figures import NO_METADATA, STYLE

WIDTH = 380  # a phone shows it in about 310 px, where the text can still be read
PIXELS = 3  # of a PNG, for each unit of the drawing


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
