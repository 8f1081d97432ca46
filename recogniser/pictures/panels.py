"""The panels of a picture, each under the same time axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from recogniser.formats.tracks import UNSURE, Track, emotion_of
from recogniser.listening.recording_result import Segment, Trajectory
from recogniser.pictures import picture_style as style
from recogniser.pictures.overview import Overview
from recogniser.prosody.steady_pitch import steady_within

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DYNAMIC = 70.0  # dB under the loudest that a spectrogram shows
_FAINTEST = -40.0  # dB: silence is not shown as if it were loud
LOWEST, HIGHEST = 60.0, 500.0  # Hz: of the F0 that the features have
_LETTER = 6.5  # pixels
_EDGED = 8.0  # pixels below which a bar would be all edge

Floats = npt.NDArray[np.float64]


def draw_waveform(axes: Axes, seen: Overview) -> None:
    """From the lowest to the highest sample of each column; ±1 is full scale."""
    low, high = seen.waveform.T
    times = (np.arange(len(low)) + 0.5) * seen.waveform_step
    axes.fill_between(times, low, high, color=style.COLOURS[0], linewidth=0.4)
    peak = max(0.01, float(np.abs(seen.waveform).max(initial=0)))
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    axes.set_ylabel("waveform")
    axes.set_yticks([-peak, 0, peak], [f"{-peak:.2g}", "0", f"{peak:.2g}"])


def draw_spectrogram(axes: Axes, seen: Overview) -> None:
    """Levels from the loudest to ``DYNAMIC`` dB below; the lighter the louder."""
    top = float(seen.spectrogram.max(initial=_FAINTEST))
    half = seen.spectrogram_step / 2
    axes.imshow(
        seen.spectrogram.T,
        aspect="auto",
        cmap="magma",
        extent=(-half, len(seen.spectrogram) * seen.spectrogram_step - half, 0, 8),
        origin="lower",
        rasterized=True,
        vmax=top,
        vmin=top - DYNAMIC,
    )
    axes.set_ylim(0, 8)
    axes.set_ylabel("kHz")
    axes.set_yticks([0, 2, 4, 6, 8])


def draw_pitch(axes: Axes, seen: Overview, speech: Sequence[tuple[float, float]], points: int) -> None:
    """F0 where somebody speaks; of more frames than so many points the median of neighbours."""
    times, heights = _pitch_points(seen, speech, points)
    axes.plot(times, heights, ".", color=style.COLOURS[1], markersize=2.5)
    axes.set_yscale("log")
    axes.set_ylim(LOWEST, HIGHEST)
    axes.set_yticks([75, 150, 300], ["75", "150", "300"])
    axes.set_yticks([], minor=True)
    axes.grid(axis="y", color=style.LINE, linewidth=0.6)
    axes.set_ylabel("F0, Hz")


def _pitch_points(seen: Overview, speech: Sequence[tuple[float, float]], points: int) -> tuple[Floats, Floats]:
    semitones = np.zeros(0, np.float16) if seen.semitones is None else seen.semitones
    inside = np.zeros(len(semitones), np.bool_)
    for start, end in speech:
        inside[round(start / seen.frame_step) : round(end / seen.frame_step)] = True
    voiced = np.flatnonzero(steady_within(semitones, inside, seen.frame_step))
    joined = voiced // max(1, -(-len(semitones) // points))
    groups = np.split(voiced, np.flatnonzero(np.diff(joined)) + 1) if len(voiced) else []
    times = np.array([group.mean() * seen.frame_step for group in groups])
    return times, np.array([LOWEST * 2 ** (float(np.median(semitones[group])) / 12) for group in groups])


def draw_speech(axes: Axes, speech: Sequence[tuple[float, float]]) -> None:
    """Where a gate hears it."""
    axes.broken_barh([(start, end - start) for start, end in speech], (-0.4, 0.8), color=style.MUTED)
    _name_rows(axes, ["speech"])


def draw_tracks(axes: Axes, tracks: Sequence[Track], classes: Sequence[str], pixels: float, letters: int) -> None:
    """A row a channel and speaker, with each segment's emotion, in words where there is room.

    Args:
        axes: where.
        tracks: from the top on.
        classes: whose numbers are the colours'.
        pixels: to a second.
        letters: that there is room for in a row's name.
    """
    for row, track in enumerate(tracks):
        for own in track.segments:
            _draw_segment(axes, own, row, classes, pixels * own.seconds)
    _name_rows(axes, [shortened(track.name or "speech", letters) for track in tracks])


def _draw_segment(axes: Axes, own: Segment, row: int, classes: Sequence[str], room: float) -> None:
    unsure = {"facecolor": style.SURFACE, "hatch": style.UNSURE_HATCH}
    look = unsure if own.emotion is None else style.fill(classes.index(own.emotion))
    edge: dict[str, Any] = {"edgecolor": style.MUTED, "linewidth": 0.4 if room > _EDGED else 0}
    axes.broken_barh([(own.start, own.seconds)], (row - 0.4, 0.8), **edge, **look)
    said = emotion_of(own)
    if len(said) * _LETTER < room:
        ink = style.INK if own.emotion is None else style.ink_on(look["facecolor"])
        backed = {"boxstyle": "square,pad=0.1", "facecolor": look["facecolor"], "edgecolor": "none"}
        axes.text((own.start + own.end) / 2, row, said, ha="center", va="center", color=ink, fontsize=8, bbox=backed)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), names, color=style.INK)
    axes.tick_params(axis="y", length=0)


def shortened(text: str, most: int) -> str:
    """At most so many letters: from the beginning and the end, with … between."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[len(text) - half :]}"


def draw_trajectory(axes: Axes, found: Trajectory, points: int) -> None:
    """The classes' probabilities, one above the other; of more hops than so many points the mean of neighbours."""
    step = max(1, -(-len(found.times) // points))
    values = np.array([[np.nan if p is None else p for p in track] for track in found.probabilities.values()])
    means = [_means(values[:, first : first + step]) for first in range(0, values.shape[1], step)]
    tops = np.cumsum(np.array(means).reshape(len(means), len(values)), axis=1)
    edges = np.arange(len(means) + 1) * step * found.hop
    times = np.repeat(edges, 2)[1:-1]  # a hop is as wide as it lasts
    below = np.zeros(len(times))
    for number in range(len(values)):
        above = np.repeat(tops[:, number], 2)
        edge: dict[str, Any] = {"edgecolor": style.SURFACE, "linewidth": 0.3 if len(means) * _EDGED < points else 0}
        axes.fill_between(times, below, above, where=np.isfinite(above).tolist(), **edge, **style.fill(number))
        below = above
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.set_ylabel("probability")


def _means(values: Floats) -> Floats:
    """Of each row, without what isn't known; NaN where nothing is."""
    known = np.isfinite(values)
    sums, counts = np.where(known, values, 0).sum(axis=1), known.sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(1, counts), np.nan)


def legend_entries(classes: Sequence[str], *, unsure: bool) -> list[tuple[str, dict[str, object]]]:
    """The classes, and where something is unsure that too, with how they are filled."""
    entries: list[tuple[str, dict[str, object]]] = [(name, style.fill(number)) for number, name in enumerate(classes)]
    return entries + ([(UNSURE, {"facecolor": style.SURFACE, "hatch": style.UNSURE_HATCH})] if unsure else [])
