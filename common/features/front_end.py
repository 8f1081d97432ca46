"""From a signal to the rows that a model sees: the classic features, or a public encoder's; the one path for all."""

from __future__ import annotations

import math

import torch

from common.config.sections import FeatureConfig
from common.features import encoded, extractor


def dimension(config: FeatureConfig) -> int:
    """How many features a row has.

    Raises:
        UsageError: there is an encoder that nobody has looked at yet.
    """
    return encoded.encoded_width(config) if config.encoder.on else extractor.dimension(config)


def most_rows(config: FeatureConfig, seconds: float) -> int | None:
    """How many rows a recording of so many seconds has at most; None where it may be endless."""
    if config.encoder.pooled:
        return 1
    if config.encoder.on and not math.isinf(seconds):
        return 1 + math.ceil(1000 * seconds / config.encoder.frame_ms)
    return extractor.most_frames(config, seconds)


def most_samples(config: FeatureConfig, seconds: float) -> int | None:
    """The most samples that make no more rows than those; None for all of an endless one."""
    if math.isinf(seconds):
        return None
    if config.encoder.on:
        return max(1, math.floor(seconds * config.sampling_rate))
    rows = extractor.most_frames(config, seconds) or 1
    return rows * config.stack * round(config.sampling_rate * config.hop / 1000) - 1


def row_ms(config: FeatureConfig) -> float:
    """From row to row; infinite where a row is a whole utterance."""
    if config.encoder.pooled:
        return math.inf
    return config.encoder.frame_ms if config.encoder.on else config.hop * config.stack


def extract(signal: torch.Tensor, config: FeatureConfig) -> torch.Tensor:
    """The rows of one signal.

    Args:
        signal: float32 ``(samples,)``, at ``config.sampling_rate``.
        config: what to compute.

    Returns:
        float32 ``(rows, dimension(config))``.

    Raises:
        UsageError: the signal is empty or has more than one dimension, or the encoder can't be read.
    """
    return encoded.encode(signal, config) if config.encoder.on else extractor.extract(signal, config)
