"""Audacity's label track: ``start<TAB>end<TAB>label`` a segment.

https://manual.audacityteam.org/man/importing_and_exporting_labels.html. A label is ``anger 0.92``, after who speaks
where that is known: ``Ann, channel 0: anger 0.92``; ``unsure 0.41`` where the emotion is null.
"""

from __future__ import annotations

from recogniser.formats.tracks import in_words, said_by
from recogniser.listening.recording_result import RecordingResult, Segment


def write(result: RecordingResult) -> str:
    """A recording's file."""
    ordered = sorted(result.segments, key=lambda own: (own.start, own.end))
    return "".join(f"{own.start:.6f}\t{own.end:.6f}\t{_label(own)}\n" for own in ordered)


def _label(own: Segment) -> str:
    whose = said_by(own)
    return f"{whose}: {in_words(own)}" if whose else in_words(own)
