"""WebVTT: a subtitle a segment, for players and browsers. https://www.w3.org/TR/webvtt1/.

``<v Ann, channel 0>anger 0.92``: who speaks as its voice, where that is known; ``unsure 0.41`` where the emotion is
null.
"""

from __future__ import annotations

import html
from collections.abc import Iterator

from recogniser.formats.tracks import in_words, said_by
from recogniser.listening.recording_result import RecordingResult, Segment


def write(result: RecordingResult) -> str:
    """A recording's file."""
    ordered = sorted(result.segments, key=lambda own: (own.start, own.end))
    return "\n".join(["WEBVTT", "", *(line for own in ordered for line in _cue(own))])


def _cue(own: Segment) -> Iterator[str]:
    yield f"{_time(own.start)} --> {_time(own.end)}"
    whose = said_by(own)
    yield (f"<v {_escaped(whose)}>" if whose else "") + _escaped(in_words(own))
    yield ""


def _time(seconds: float) -> str:
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)
