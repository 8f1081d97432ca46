"""Praat's TextGrid, long form, UTF-8: interval tiers ``speech``, ``emotion`` and ``confidence``.

https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html. With channels or speakers each has three tiers of
its own, ``emotion: Ann, channel 0``. An emotion that is unsure is the label ``unsure``; an interval without a label is
no speech. Written by hand: praatio saves few lines, and would be one more thing that a clinic has to install.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from recogniser.formats.tracks import Track, by_track, emotion_of
from recogniser.listening.recording_result import RecordingResult, Segment

Interval = tuple[str, str, str]  # from, to in seconds, label
TIERS: dict[str, Callable[[Segment], str]] = {
    "speech": lambda _: "speech",
    "emotion": emotion_of,
    "confidence": lambda own: f"{own.confidence:.3f}",
}


def write(result: RecordingResult) -> str:
    """A recording's file."""
    end = max([result.seconds, *(own.end for own in result.segments)])
    tracks = by_track(result.segments)
    tiers = [(track.tier(kind), _intervals(track, label, end)) for track in tracks for kind, label in TIERS.items()]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", *_bounds("", _seconds(end))]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers, 1):
        lines += _tier(number, name, intervals, _seconds(end))
    return "\n".join(lines) + "\n"


def _intervals(track: Track, label: Callable[[Segment], str], end: float) -> list[Interval]:
    """What covers a tier from 0 to its end without a gap, as Praat has it."""
    intervals, at = [], _seconds(0)
    for own in track.segments:
        start, stop = _seconds(own.start), _seconds(own.end)
        intervals += [(at, start, "")] if at != start else []
        intervals += [(start, stop, label(own))]
        at = stop
    return [*intervals, (at, _seconds(end), "")] if at != _seconds(end) or not intervals else intervals


def _tier(number: int, name: str, intervals: Sequence[Interval], end: str) -> Iterator[str]:
    yield f"    item [{number}]:"
    yield '        class = "IntervalTier"'
    yield f"        name = {_quoted(name)}"
    yield from _bounds("        ", end)
    yield f"        intervals: size = {len(intervals)}"
    for index, (start, stop, label) in enumerate(intervals, 1):
        yield f"        intervals [{index}]:"
        yield from _bounds("            ", stop, start)
        yield f"            text = {_quoted(label)}"


def _bounds(indent: str, stop: str, start: str = "0.000") -> list[str]:
    return [f"{indent}xmin = {start}", f"{indent}xmax = {stop}"]


def _seconds(value: float) -> str:
    return f"{value:.3f}"


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
