"""Altered copies of the training recordings, and SpecAugment; every random number comes from a given generator."""

from __future__ import annotations

import math

import torch

from common.audio.noise import add_kind
from common.audio.reading import resample
from common.config.settings import AugmentConfig

_SPEEDS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # of the largest change: a few fixed rates, whose resampling filters are kept


def alter(signal: torch.Tensor, sampling_rate: int, config: AugmentConfig, seed: int) -> torch.Tensor:
    """A copy of a recording with its speed, its level and the noise around it drawn at random.

    Args:
        signal: ``(samples,)``.
        sampling_rate: Hz.
        config: how far speed, gain and noise may go.
        seed: the same seed gives the same copy.
    """
    generator = torch.Generator().manual_seed(seed)
    choice = int(torch.randint(len(_SPEEDS), (), generator=generator))
    altered = speed(signal, sampling_rate, 1.0 + config.speed * _SPEEDS[choice])
    altered = gain(altered, _uniform(-config.gain, config.gain, generator))
    if not config.noise or (config.noise_share < 1 and _uniform(0.0, 1.0, generator) >= config.noise_share):
        return altered
    lowest, highest = config.noise
    return add_kind(altered, sampling_rate, config, _uniform(lowest, highest, generator), generator)


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def speed(signal: torch.Tensor, sampling_rate: int, rate: float) -> torch.Tensor:
    """Play a signal ``rate`` times as fast, by resampling: it becomes shorter and higher as on a tape (torchaudio).

    Args:
        signal: ``(samples,)``.
        sampling_rate: Hz.
        rate: above 1 is faster; the result has ``ceil(samples / rate)`` samples.
    """
    return resample(signal, round(sampling_rate * rate), sampling_rate)


def gain(signal: torch.Tensor, db: float) -> torch.Tensor:
    """A signal at another level, in dB."""
    return signal * math.pow(10.0, db / 20.0)


def spec_augment(
    batch: torch.Tensor,
    lengths: torch.Tensor,
    *,
    time_masks: int,
    time_width: float,
    feature_masks: int,
    feature_width: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """Set random stretches of time and bands of features to zero (SpecAugment, Park et al. 2019, without warping).

    torchaudio's masks draw from the global generator and from the padded length, so a mask may fall into the padding:
    these draw from ``generator``, and each utterance's lie within it and scale with it.

    Args:
        batch: ``(batch, frames, features)``, padded.
        lengths: ``(batch,)``, each utterance's frames.
        time_masks: how many stretches an utterance.
        time_width: the longest stretch, as a share of the utterance's frames.
        feature_masks: how many bands an utterance.
        feature_width: the widest band, as a share of the features.
        generator: where the random numbers come from.

    Returns:
        A masked copy; masks may overlap, and may be empty.
    """
    features = torch.full_like(lengths, batch.shape[2])
    time = _masks(lengths, batch.shape[1], time_masks, time_width, generator)
    feature = _masks(features, batch.shape[2], feature_masks, feature_width, generator)
    return batch.masked_fill((time[:, :, None] | feature[:, None, :]).to(batch.device), 0.0)


def _masks(lengths: torch.Tensor, size: int, count: int, width: float, generator: torch.Generator) -> torch.Tensor:
    """Bool ``(batch, size)``: the union of ``count`` intervals, each within its row's length."""
    shape = (len(lengths), count, 1)
    extent = lengths.cpu().reshape(-1, 1, 1)
    longest = (extent * width).floor()
    widths = (torch.rand(shape, generator=generator) * (longest + 1)).floor().minimum(longest)
    starts = (torch.rand(shape, generator=generator) * (extent - widths + 1)).floor().minimum(extent - widths)
    position = torch.arange(size)
    return ((position >= starts) & (position < starts + widths)).any(dim=1)
