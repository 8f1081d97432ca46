"""How the pictures look: colours that a colour-blind eye tells apart, and matplotlib's settings."""

from __future__ import annotations

from typing import Any

INK, MUTED, LINE, SURFACE = "#1b1f24", "#57606a", "#d8dde3", "#ffffff"
# Okabe & Ito (2008), black left out for the text's sake and grey last.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#8c8c8c")
HATCHES = (None, "//", "..", "xx")  # of the classes beyond the colours
UNSURE_HATCH = "////"

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "hatch.color": INK,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "fedser",
    "text.color": INK,
    "text.parse_math": False,  # a file may be called $x$
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
}


def fill(number: int) -> dict[str, Any]:
    """How the class of a number is filled."""
    return {"facecolor": COLOURS[number % len(COLOURS)], "hatch": HATCHES[number // len(COLOURS) % len(HATCHES)]}


def ink_on(colour: str) -> str:
    """The text's colour on another: white where that is dark."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return SURFACE if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else INK
