"""Who speaks when, as somebody else found out: an RTTM file."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from common.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A stretch of a recording that is one speaker's, in seconds.

    Attributes:
        start: from the recording's start.
        end: likewise; ``[start, end)``.
        speaker: a name.
    """

    start: float
    end: float
    speaker: str


class Turns:
    """The turns of one recording.

    Args:
        turns: in any order.
    """

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.digest = hashlib.sha256(repr(sorted(map(repr, turns))).encode()).hexdigest()  # tells others apart
        self._bounds = sorted({bound for turn in turns for bound in (turn.start, turn.end)})
        self._speakers: list[str | None] = [None] * (len(self._bounds) + 1)
        for turn in sorted(turns, key=lambda turn: turn.start):  # so that the last begun has the word
            first, last = (bisect_right(self._bounds, bound) for bound in (turn.start, turn.end))
            self._speakers[first:last] = [turn.speaker] * (last - first)

    def speaker_at(self, seconds: float) -> str | None:
        """Whose turn it is; of several the last begun; None for nobody's."""
        return self._speakers[bisect_right(self._bounds, seconds)]


def read_turns(path: Path) -> dict[str, Turns]:
    """The turns of an RTTM file (NIST RT-09), by the recording's name in it, whose white space stands as ``%20``.

    Raises:
        UsageError: it cannot be read, or a line is none of RTTM.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "no UTF-8"
        raise UsageError(f"--speakers {path} cannot be read: {said}") from None
    turns: dict[str, list[Turn]] = {}
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if fields and fields[0] == "SPEAKER":
            name, turn = _turn(fields, f"--speakers {path}, line {number}")
            turns.setdefault(name, []).append(turn)
    return {name: Turns(own) for name, own in turns.items()}


def _turn(fields: list[str], where: str) -> tuple[str, Turn]:
    try:
        start, duration, speaker = float(fields[3]), float(fields[4]), fields[7]
    except (IndexError, ValueError):
        expected = "expected SPEAKER file channel start duration <NA> <NA> name <NA> <NA>"
        raise UsageError(f"{where} is no line of RTTM; {expected}") from None
    if not (math.isfinite(start) and math.isfinite(duration) and start >= 0 and duration >= 0):
        raise UsageError(f"{where}: a turn of {duration} s from {start} s; expected numbers from 0 on")
    return unquote(fields[1]), Turn(start=start, end=start + duration, speaker=speaker)
