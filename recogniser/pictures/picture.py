"""A recording's picture, as PNG or SVG: the same recording gives the same bytes."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from common.errors import FedserError, UsageError
from common.escaping import one_line
from recogniser.formats.tracks import by_track
from recogniser.listening.recording_result import RecordingResult
from recogniser.pictures import panels, picture_style
from recogniser.pictures.overview import Overview
from recogniser.pictures.time_axis import labels, ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 1400  # pixels
NARROWEST, WIDEST = 320, 20_000
KINDS = {".png": "png", ".svg": "svg"}
_DPI = 100
_MARGINS = 110  # pixels that are beside the axes
_METADATA: dict[str, Any] = {"png": {"Software": None}, "svg": dict.fromkeys(("Creator", "Date", "Format", "Type"))}
_SYNTHETIC = "this model learnt from synthetic speech: it knows nothing of people"


@dataclass(frozen=True, kw_only=True)
class _Panel:
    draw: Callable[[Axes], None]
    height: float  # in pixels


def kind_of(path: Path) -> str:
    """The format that a file's name asks for.

    Raises:
        UsageError: neither PNG nor SVG.
    """
    if path.suffix.lower() not in KINDS:
        raise UsageError(f"--out {path}: its name ends in {path.suffix or 'nothing'}; expected {' or '.join(KINDS)}")
    return KINDS[path.suffix.lower()]


def draw(
    seen: Overview, name: str, found: RecordingResult | None = None, *, kind: str = "png", width: int = WIDTH
) -> bytes:
    """Draw a recording.

    Args:
        seen: what there is to see of it.
        name: its title.
        found: what was recognised in it; None for where the energy gate hears speech.
        kind: ``png`` or ``svg``.
        width: in pixels; SVG's are of 1/100 inch.

    Raises:
        UsageError: a width that is out of range.
        FedserError: matplotlib is not installed.
    """
    if not NARROWEST <= width <= WIDEST:
        raise UsageError(f"--width {width}: expected {NARROWEST} to {WIDEST} pixels")
    try:
        import matplotlib as mpl
    except ImportError:
        raise FedserError("a picture needs matplotlib, which is not installed: pip install 'fedser[draw]'") from None
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        mpl.rcdefaults()
        mpl.rcParams.update(cast("Any", picture_style.STYLE))
        figure = compose(seen, name, found, width)
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=_DPI, metadata=_METADATA[kind])
    return buffer.getvalue()


def compose(seen: Overview, name: str, found: RecordingResult | None, width: int) -> Figure:
    """The picture as matplotlib has it; the arguments are those of ``draw``."""
    from matplotlib.figure import Figure

    shown = _panels(seen, found, width)
    title = _title(name, width, synthetic=found is not None and found.model.synthetic)
    legend = _legend_rows(found, width) * 18 if found else 0
    heights = [panel.height for panel in shown]
    size = (width / _DPI, (sum(heights) + 60 + 16 * title.count("\n") + 14 * len(shown) + legend) / _DPI)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, x=8 / width, ha="left", fontsize=10)
    axes = figure.subplots(len(shown), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for panel, own in zip(shown, axes, strict=True):
        panel.draw(own)
    places = ticks(seen.seconds, max(2, (width - _MARGINS) // 80))
    axes[-1].set_xlim(0, max(seen.seconds, 0.01))
    axes[-1].set_xticks(places, labels(places))
    if found:
        _add_legend(figure, found, width)
    return figure


def _panels(seen: Overview, found: RecordingResult | None, width: int) -> list[_Panel]:
    points = width - _MARGINS
    shown = [
        _Panel(draw=lambda axes: panels.draw_waveform(axes, seen), height=110),
        _Panel(draw=lambda axes: panels.draw_spectrogram(axes, seen), height=180),
    ]
    speech = [(own.start, own.end) for own in found.segments] if found else seen.speech
    if seen.semitones is not None:
        shown.append(_Panel(draw=lambda axes: panels.draw_pitch(axes, seen, speech, points), height=110))
    if found is None:
        return [*shown, _Panel(draw=lambda axes: panels.draw_speech(axes, speech), height=26)]
    tracks, classes, trajectory = by_track(found.segments), found.model.classes, found.trajectory
    pixels = points / max(seen.seconds, 1e-3)
    shown.append(
        _Panel(
            draw=lambda axes: panels.draw_tracks(axes, tracks, classes, pixels, width // 40), height=28 * len(tracks)
        )
    )
    return [*shown, _Panel(draw=lambda axes: panels.draw_trajectory(axes, trajectory, points), height=140)]


def _title(name: str, width: int, *, synthetic: bool) -> str:
    """The name, in a line that fits, and below it whether the model knows of people."""
    letters = width // 8
    lines = [panels.shortened(one_line(name), letters)]
    return "\n".join(lines + (textwrap.wrap(f"({_SYNTHETIC})", letters) if synthetic else []))


def _legend_columns(found: RecordingResult, width: int) -> int:
    longest = max(len(one_line(name)) for name in (*found.model.classes, "unsure"))
    return max(1, int((width - 40) // (7 * longest + 50)))


def _legend_rows(found: RecordingResult, width: int) -> int:
    return -(-(len(found.model.classes) + 1) // _legend_columns(found, width))


def _add_legend(figure: Figure, found: RecordingResult, width: int) -> None:
    from matplotlib.patches import Patch

    unsure = any(own.emotion is None for own in found.segments)
    entries = panels.legend_entries(found.model.classes, unsure=unsure)
    patches = [
        Patch(label=one_line(name), edgecolor=picture_style.MUTED, linewidth=0.4, **look)  # type: ignore[arg-type]
        for name, look in entries
    ]
    figure.legend(handles=patches, loc="outside lower left", ncols=min(len(patches), _legend_columns(found, width)))
