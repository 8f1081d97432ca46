"""Which rows of features are speech: a light gate for the sums by which a speaker is told from others.

Silence before and after an utterance says how a recording was cut, not who speaks: in sums over all rows it would pull
every speaker towards the room. A row is speech where its level is at most ``BELOW`` dB under the utterance's loudest
row. The level is a column that the features have anyway, so that the gate is the same in training, in scoring and in
``fedser predict``, and needs no sound.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from common.config.settings import FeatureConfig
from common.features.extractor import names
from common.features.spectral import MEL_BANDS

BELOW = 35.0  # dB under the loudest row: quiet vowels are some 30 under the loudest


def speech_rows(features: torch.Tensor, config: FeatureConfig) -> torch.Tensor:
    """Whether each row of an utterance's features is speech.

    Args:
        features: ``(rows, dimension(config))``, of a sound, not scaled.
        config: what they are.

    Returns:
        bool ``(rows,)``; all are True where no column tells a level, and the loudest row is True in any case.
    """
    level = _level(config)
    if level is None or not len(features):
        return torch.ones(len(features), dtype=torch.bool)
    columns, decibels = level
    loudest = features[:, columns].amax(dim=1) * decibels  # of the joined frames, and of the windows
    return loudest >= loudest.max() - BELOW


@lru_cache(maxsize=8)
def _level(config: FeatureConfig) -> tuple[list[int], float] | None:
    """The columns that tell a frame's level, and the dB that 1 of them is worth; None where none does."""
    columns = [name.partition("@")[0] for name in names(config)]
    if config.energy:
        return [i for i, name in enumerate(columns) if name == "energy"], 1.0
    if config.mfcc:  # the first coefficient is the root of the number of bands times their mean level
        return [i for i, name in enumerate(columns) if name == "mfcc_0"], max(MEL_BANDS, config.mfcc) ** -0.5
    if config.log_mel:
        return [i for i, name in enumerate(columns) if name.startswith("log_mel_")], 1.0
    return None
