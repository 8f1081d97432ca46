"""How much of who-felt-what-when is wrong: missed, taken for speech, or taken for another emotion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_STEP = 1000  # steps a second, in which times are counted
_SILENCE = 0


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stretch of one emotion.

    Attributes:
        start: seconds from the recording's start.
        end: likewise; the span is ``[start, end)``.
        emotion: what it is, or what it is said to be; None where that is unsure.
    """

    start: float
    end: float
    emotion: str | None


@dataclass(frozen=True, kw_only=True)
class DiarizationError:
    """Seconds that are wrong, and of how many; the emotion diarization error of Wang et al. 2023 is their ratio.

    Attributes:
        missed: speech that is not said to be any.
        false: what is said to be speech and is none.
        confused: speech that is said to be of another emotion, or of none that is sure.
        speech: all there is.
    """

    missed: float
    false: float
    confused: float
    speech: float

    def __add__(self, other: DiarizationError) -> DiarizationError:
        return DiarizationError(
            missed=self.missed + other.missed,
            false=self.false + other.false,
            confused=self.confused + other.confused,
            speech=self.speech + other.speech,
        )

    def as_json(self) -> dict[str, float]:
        """``eder``, which the other three add up to, each by the speech that there is."""
        parts = {name: getattr(self, name) / self.speech for name in ("missed", "false", "confused")}
        return {"eder": sum(parts.values()), **parts}


def diarization_error(truth: Sequence[Span], said: Sequence[Span]) -> DiarizationError:
    """That of what is said of a recording.

    Args:
        truth: its speech; no two overlap.
        said: what was heard; likewise.
    """
    names = sorted({own.emotion for own in (*truth, *said) if own.emotion is not None})
    numbers: dict[str | None, int] = {None: len(names) + 1}
    numbers.update((name, number) for number, name in enumerate(names, 1))
    steps = round(max((own.end for own in (*truth, *said)), default=0.0) * _STEP)
    true, found = (_painted(spans, numbers, steps) for spans in (truth, said))
    spoken, heard = true != _SILENCE, found != _SILENCE
    return DiarizationError(
        missed=_seconds(spoken & ~heard),
        false=_seconds(heard & ~spoken),
        confused=_seconds(spoken & heard & (true != found)),
        speech=_seconds(spoken),
    )


def _painted(spans: Sequence[Span], numbers: dict[str | None, int], steps: int) -> npt.NDArray[np.int64]:
    line = np.full(steps, _SILENCE)
    for own in spans:
        line[round(own.start * _STEP) : round(own.end * _STEP)] = numbers[own.emotion]
    return line


def _seconds(steps: npt.NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(steps) / _STEP)
