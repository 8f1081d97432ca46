"""Stretches of recordings: random ones to train on, and all of one length, to see what a model makes of each alone.

A model that has heard whole sentences only is not at its best on the half second that somebody has said so far. Windows
of every length beside them teach it that, as in image recognition (Szegedy et al. 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from common.config.settings import Config, FeatureConfig
from common.data.extraction import Recording
from common.errors import UsageError
from common.features.front_end import row_ms
from common.utterance import Utterance

LEAST_SECONDS = 0.5  # that a crop of a sound has
LEAST_SHARE = 0.2  # of its rows that a crop of a matrix has, which has no clock: 0.5 of the 2.5 s of an acted sentence


@dataclass(frozen=True, kw_only=True)
class Crops:
    """How an epoch cuts its utterances.

    Attributes:
        share: of the utterances that are cut to a random window, each epoch others.
        least: rows that a window of a sound has; of a matrix it has ``LEAST_SHARE`` of its rows.
    """

    share: float = 0.0
    least: int = 1

    @classmethod
    def of(cls, config: Config) -> Self:
        """Those of a run."""
        return cls(share=config.augment.crop, least=rows_of(LEAST_SECONDS, config.features))

    def draw(self, utterances: Sequence[Utterance], lengths: Tensor, generator: torch.Generator) -> Tensor:
        """Which rows of each utterance are taken; nothing is drawn where none is cut.

        Args:
            utterances: that are taken.
            lengths: ``(utterances,)`` int64, the rows of each.
            generator: draws which are cut, how long each window is (uniform from the least to the whole), and where.

        Returns:
            ``(utterances, 2)`` int64: the first row, and the one behind the last.
        """
        if not self.share:
            return torch.stack([torch.zeros_like(lengths), lengths], dim=1)
        least = torch.minimum(self._least(utterances, lengths), lengths)
        chance, longer, later = torch.rand(3, len(lengths), dtype=torch.float64, generator=generator)
        window = least + (longer * (lengths - least + 1)).long()
        rows = torch.where(chance < self.share, window, lengths)
        first = (later * (lengths - rows + 1)).long()
        return torch.stack([first, first + rows], dim=1)

    def _least(self, utterances: Sequence[Utterance], lengths: Tensor) -> Tensor:
        matrices = torch.tensor([utterance.is_matrix for utterance in utterances])
        return torch.where(matrices, torch.ceil(LEAST_SHARE * lengths).long(), torch.tensor(self.least))


NO_CROPS = Crops()


def rows_of(seconds: float, config: FeatureConfig) -> int:
    """How many rows of features make up so many seconds; at least one."""
    return max(1, math.ceil(1000 * seconds / row_ms(config)))


def windows_of(recordings: Sequence[Recording], seconds: float, config: FeatureConfig) -> list[Recording]:
    """The windows of recordings, back to back, each as a recording by itself, scaled as the whole is.

    What is left behind the last whole window is not taken; a recording that is shorter is its own only window.

    Args:
        recordings: normalised; altered copies are left out.
        seconds: of a window; infinite for whole recordings.
        config: what the features are.

    Raises:
        UsageError: one is a matrix of features, which has no clock.
    """
    if config.encoder.pooled and not math.isinf(seconds):
        raise UsageError("encoder.pool is statistics, one row an utterance; windows need frames")
    if math.isinf(seconds):
        return [replace(recording, versions=recording.versions[:1]) for recording in recordings]
    for recording in recordings:
        if recording.utterance.is_matrix:
            raise UsageError(
                f"{recording.utterance.path.name} is a matrix of features, and windows of {seconds:g} s need sounds: "
                "a matrix has no clock"
            )
    rows = rows_of(seconds, config)
    return [
        replace(recording, versions=(own,)) for recording in recordings for own in _cut(recording.versions[0], rows)
    ]


def _cut(features: Tensor, rows: int) -> Sequence[Tensor]:
    """The whole windows ``(rows, features)`` of a recording's features, or these where there is none."""
    count = len(features) // rows
    return torch.split(features[: count * rows], rows) if count else [features]
