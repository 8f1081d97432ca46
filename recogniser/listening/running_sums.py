"""What was heard of a speaker, as sums over rows of speech, and the scaling that a model has of it.

The same sums and the same mean of prior and speaker as in training (``common.data.heard``), in numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.float32]  # (frames, columns)
Rows = npt.NDArray[np.float32]  # (rows, stack * columns)
Floats = npt.NDArray[np.float64]

FLOOR = 1e-5  # a deviation below it is a constant feature, which is only centred
BELOW = 35.0  # dB under the loudest row to which a row is speech
MEL_BANDS = 64  # at least; the first cepstral coefficient is the root of their number times their mean level


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """A mean and a deviation for each feature of a row, float32.

    Attributes:
        mean: ``(features,)``.
        deviation: likewise.
        rows: how many rows it is worth as a prior; 0 for one that nobody adapts.
    """

    mean: Rows
    deviation: Rows
    rows: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Over rows, float64.

    Attributes:
        rows: how many.
        total: ``(features,)``.
        square: likewise.
    """

    rows: int
    total: Floats
    square: Floats

    @classmethod
    def of(cls, rows: Rows) -> Self:
        """Over ``(rows, features)``."""
        exact = rows.astype(np.float64)
        return cls(rows=len(rows), total=exact.sum(axis=0), square=np.square(exact).sum(axis=0))

    @classmethod
    def none(cls, features: int) -> Self:
        """Over nothing."""
        return cls(rows=0, total=np.zeros(features), square=np.zeros(features))

    def __add__(self, other: Sums) -> Sums:
        return Sums(rows=self.rows + other.rows, total=self.total + other.total, square=self.square + other.square)

    def scaling(self) -> Scaling:
        """Of these rows alone, of which there is at least one."""
        return _scaling(self.total / self.rows, self.square / self.rows)


def adapted(prior: Scaling, heard: Sums) -> Scaling:
    """The scaling of a speaker of whom something has been heard: the prior's where it is nothing."""
    if not heard.rows:
        return prior
    middle, spread = prior.mean.astype(np.float64), prior.deviation.astype(np.float64)
    count = prior.rows + heard.rows
    mean = (prior.rows * middle + heard.total) / count
    return _scaling(mean, (prior.rows * (np.square(spread) + np.square(middle)) + heard.square) / count)


def _scaling(mean: Floats, second: Floats) -> Scaling:
    deviation = np.sqrt(np.maximum(second - np.square(mean), 0))
    deviation = np.where(deviation > FLOOR, deviation, 1.0)
    return Scaling(mean=mean.astype(np.float32), deviation=deviation.astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a row is made of.

    Attributes:
        columns: the names of a frame's.
        stack: frames that are joined to a row.
    """

    columns: tuple[str, ...]
    stack: int

    @property
    def features(self) -> int:
        """Of a row."""
        return len(self.columns) * self.stack

    def rows(self, frames: Frames) -> Rows:
        """The rows of a stretch, counted from its first frame: F0 bridged, the last frame repeated to fill the last."""
        bridged = self._bridged(frames)
        missing = -len(bridged) % self.stack
        filled = np.concatenate([bridged, np.repeat(bridged[-1:], missing, axis=0)])
        return filled.reshape(-1, self.features)

    def speech(self, rows: Rows) -> Rows:
        """Those of ``(rows, features)`` whose level is near the loudest one's; all where none tells a level."""
        if not self._level or not len(rows):
            return rows
        columns, decibels = self._level
        loudest = rows.reshape(len(rows), self.stack, -1)[:, :, columns].max(axis=(1, 2)) * np.float32(decibels)
        speech: Rows = rows[loudest >= loudest.max() - np.float32(BELOW)]
        return speech

    def _bridged(self, frames: Frames) -> Frames:
        if "f0" not in self.columns:
            return frames
        place = self.columns.index("f0")
        voiced = np.flatnonzero(frames[:, place] > 0)
        if not len(voiced):
            return frames
        bridged = frames.copy()
        bridged[:, place] = np.interp(np.arange(len(frames)), voiced, frames[voiced, place])
        return bridged

    @cached_property
    def _level(self) -> tuple[list[int], float] | None:
        """The columns that tell a frame's level, and the dB that 1 of them is worth; None where none does."""
        names = [name.partition("@")[0] for name in self.columns]
        if energy := _places(names, ["energy"]):
            return energy, 1.0
        if first := _places(names, ["mfcc_0"]):
            coefficients = len({name for name in names if name.startswith("mfcc_")})
            return first, max(MEL_BANDS, coefficients) ** -0.5
        levels = [name for name in names if name.startswith("log_mel_")]
        return (_places(names, levels), 1.0) if levels else None


def _places(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    return [place for place, name in enumerate(names) if name in wanted]
