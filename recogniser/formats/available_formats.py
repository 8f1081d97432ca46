"""The formats by the names that ``--format`` takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from common.errors import UsageError
from recogniser.formats import audacity, comma_separated, elan, praat, rttm, webvtt
from recogniser.listening.recording_result import RecordingResult


@dataclass(frozen=True, kw_only=True)
class Format:
    """A kind of file.

    Attributes:
        ending: of its files, with the dot.
        write: a recording as such a file's text.
    """

    ending: str
    write: Callable[[RecordingResult], str]


FORMATS = {
    "json": Format(ending=".json", write=RecordingResult.as_json),
    "csv": Format(ending=".csv", write=comma_separated.write),
    "textgrid": Format(ending=".TextGrid", write=praat.write),
    "eaf": Format(ending=".eaf", write=elan.write),
    "rttm": Format(ending=".rttm", write=rttm.write),
    "vtt": Format(ending=".vtt", write=webvtt.write),
    "audacity": Format(ending=".audacity.txt", write=audacity.write),
}


def parse_formats(text: str) -> list[Format]:
    """The formats of a list such as ``json,csv``, each once.

    Raises:
        UsageError: one is unknown, or there is none.
    """
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",")))
    for name in names:
        if name not in FORMATS:
            raise UsageError(f"--format {name!r} is unknown; one or more of {','.join(FORMATS)}")
    return [FORMATS[name] for name in names]
