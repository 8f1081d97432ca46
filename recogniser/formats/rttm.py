"""RTTM, as NIST's evaluations of diarization have it: a line a segment, with the emotion where a speaker's name stands.

``SPEAKER file channel start seconds <NA> <NA> emotion confidence <NA>``; the file is its name without folder and
ending, the channel counts from 1 (a mixture is 1), an emotion that is unsure is ``<NA>``. Who speaks is not in it.
White space parts the fields: in a name it is ``%20`` as in a URL, and ``%`` is ``%25``.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

from common.escaping import one_line
from recogniser.listening.recording_result import RecordingResult, Segment

_PARTING = re.compile(r"[\s%]|^;|^<NA>$")  # a line that begins with ; is a comment; <NA> is none
NOT_AVAILABLE = "<NA>"


def write(result: RecordingResult) -> str:
    """A recording's lines."""
    name = _field(Path(result.path).stem)
    return "".join(_line(name, own) for own in result.segments)


def _line(name: str, own: Segment) -> str:
    channel = 1 if own.channel is None else own.channel + 1
    place = f"SPEAKER {name} {channel} {own.start:.3f} {own.seconds:.3f}"
    return f"{place} {NOT_AVAILABLE} {NOT_AVAILABLE} {_field(own.emotion)} {own.confidence} {NOT_AVAILABLE}\n"


def _field(text: str | None) -> str:
    if not text:
        return NOT_AVAILABLE
    return _PARTING.sub(lambda found: "".join(map(_percent, found[0])), one_line(text))


def _percent(character: str) -> str:
    return quote(character, safe="")
