"""CSV (RFC 4180): a row a segment; for spreadsheets, pandas and audformat's tools.

``file,start,end,channel,speaker,emotion,confidence`` and a column a class. Seconds have three decimals; an empty cell
is a null: no channel, no speaker, an emotion that is unsure.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from common.escaping import escaped
from recogniser.listening.recording_result import RecordingResult

COLUMNS = ("file", "start", "end", "channel", "speaker", "emotion", "confidence")


def write(result: RecordingResult) -> str:
    """A recording's file: its head and its rows."""
    return write_all([result])


def write_all(results: Sequence[RecordingResult]) -> str:
    """Several recordings of one model in one file, under one head; of none the head lacks the classes."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    classes = results[0].model.classes if results else []
    writer.writerow([*COLUMNS, *map(escaped, classes)])
    writer.writerows(row for result in results for row in _rows(result, classes))
    return file.getvalue()


def _rows(result: RecordingResult, classes: Sequence[str]) -> list[list[str]]:
    return [
        [
            escaped(result.path),
            f"{own.start:.3f}",
            f"{own.end:.3f}",
            "" if own.channel is None else str(own.channel),
            escaped(own.speaker or ""),
            escaped(own.emotion or ""),
            str(own.confidence),
            *(str(own.probabilities[name]) for name in classes),
        ]
        for own in result.segments
    ]
