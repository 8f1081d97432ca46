"""Figures of a page: drawn by matplotlib as SVG that takes the page's colours and font, or as files with their own.

The same numbers give the same bytes: no date, a fixed salt for ids, matplotlib's own defaults whatever the user's are.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from xml.sax.saxutils import escape

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from server.reporting.pages import Table

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (6, 1.5)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 1)))
WIDTH = 360  # a phone shows it in about 310 px, where the text can still be read
PIXELS = 3  # of a PNG, for each unit of the drawing
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


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
        return {
            "axes.axisbelow": True,
            "axes.edgecolor": self.line,
            "axes.grid": True,
            "axes.labelcolor": self.ink,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.xmargin": 0.02,
            "font.sans-serif": ["DejaVu Sans"],
            "font.size": 11,
            "grid.color": self.line,
            "grid.linewidth": 0.8,
            "legend.frameon": False,
            "svg.fonttype": "none",
            "svg.hashsalt": "fedser",
            "text.color": self.ink,
            "text.parse_math": False,  # a site may be called $x$
            "xtick.color": self.line,
            "xtick.labelcolor": self.muted,
            "ytick.color": self.line,
            "ytick.labelcolor": self.muted,
        }


# Stand in for CSS variables, so that one drawing serves a light and a dark page.
VARIABLES = {f"#0f0f{index:02x}": name for index, name in enumerate(("ink", "muted", "line", "surface", "heat"))}
SERIES = {f"#0f0f{index + 15:02x}": f"series-{index}" for index in range(1, 8)}
PAGE = Palette(**{name: colour for colour, name in VARIABLES.items()}, series=tuple(SERIES))
FILE = Palette(
    ink="#1b1f24",
    muted="#57606a",
    line="#d8dde3",
    surface="#ffffff",
    heat="#0072b2",
    series=("#0072b2", "#d55e00", "#009e73", "#b8609a", "#e69f00", "#56b4e9", "#7f7f7f"),
)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What is drawn, in whichever colours.

    Attributes:
        draw: puts it into a figure, in a palette's colours.
        height: in points, of which it is ``width`` wide.
        width: of it.
    """

    draw: Callable[[Figure, Palette], None]
    height: float
    width: float = WIDTH

    def saved(self, palette: Palette, *ways: Mapping[str, Any]) -> list[bytes]:
        """It in one palette, saved in each of the ways that ``Figure.savefig`` knows."""
        with mpl.rc_context(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has fonts for every script
            mpl.rcdefaults()
            mpl.rcParams.update(cast("Any", palette.style()))
            figure = Figure(figsize=(self.width / 72, self.height / 72), layout="constrained")
            self.draw(figure, palette)
            buffers = [io.BytesIO() for _ in ways]
            for buffer, way in zip(buffers, ways, strict=True):
                figure.savefig(buffer, **way)
        return [buffer.getvalue() for buffer in buffers]


@dataclass(frozen=True, kw_only=True)
class Illustration:
    """A figure of a page, with the table of its numbers.

    Attributes:
        key: its id in the page, the prefix of the ids in its drawing, and the name of its files.
        heading: what stands above it.
        title: what a screen reader says instead of the drawing.
        caption: how to read it.
        drawing: what it shows.
        table: its numbers.
    """

    key: str
    heading: str
    title: str
    caption: str
    drawing: Drawing
    table: Table

    def inline(self) -> Markup:
        """The drawing as SVG to stand inside a page, next to others, in the page's colours and font."""
        [svg] = self.drawing.saved(PAGE, {"format": "svg", "metadata": NO_METADATA, "transparent": True})
        return _inline(svg.decode(), self.key, self.title)

    def files(self, command: str) -> tuple[str, bytes]:
        """The drawing as an SVG file and as a PNG file, in which caption and command are kept."""
        about = {"Title": self.title, "Description": f"{self.caption} Made by: {command}"}
        ways: list[dict[str, Any]] = [
            {"format": "svg", "metadata": NO_METADATA | about},
            {"format": "png", "metadata": {"Software": None, **about}, "dpi": 72 * PIXELS},
        ]
        svg, png = self.drawing.saved(FILE, *(way | {"facecolor": FILE.surface} for way in ways))
        return svg.decode(), png


def _inline(svg: str, key: str, title: str) -> Markup:
    """What matplotlib wrote, made ready to stand inside a page: its ids begin with the key."""
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg[svg.index("<svg") :], count=1, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{key}-', body)
    body = re.sub(r'(?:xlink:)?href="#', f'href="#{key}-', body)
    body = body.replace("url(#", f"url(#{key}-")
    names = VARIABLES | SERIES
    body = re.sub(f"(fill|stroke): ({'|'.join(names)})", lambda m: f"{m[1]}: var(--{names[m[2]]})", body)
    body = re.sub(r"font-family: [^;\"]*; ", "", body)
    view = re.search(r'viewBox="[^"]+"', body)
    start = f'<svg {view[0] if view else ""} role="img" aria-labelledby="{key}-title">'
    named = f'{start}<title id="{key}-title">{escape(title)}</title>'
    return Markup(named + body[body.index(">") + 1 :])  # noqa: S704 -- matplotlib has escaped every label


def name_rows(axes: Axes, c: Palette, names: Sequence[str]) -> None:
    """Name the rows of bars or dots, without lines between them."""
    axes.set_yticks(range(len(names)), names, color=c.ink)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def shade(axes: Axes, c: Palette, x: int, y: int, share: float, height: float = 0.96) -> None:
    """Put a cell at a place, the darker the larger its share; its text keeps a contrast of 5:1."""
    corner = (x - 0.48, y - height / 2)
    face = to_rgba(c.heat, round(0.7 * share, 3))
    axes.add_patch(Rectangle(corner, 0.96, height, facecolor=face, edgecolor=c.line))


def name_cells(axes: Axes, c: Palette, columns: Sequence[str], rows: Sequence[str], ha: str, **look: Any) -> None:
    """Name the columns and rows of cells; more than four columns' names are slanted, ``ha`` their end at the cell."""
    slant: dict[str, Any] = {"rotation": 40, "ha": ha, "rotation_mode": "anchor"} if len(columns) > 4 else {}
    axes.set_xticks(range(len(columns)), columns, color=c.ink, **look, **slant)
    axes.set_yticks(range(len(rows)), rows, color=c.ink)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
