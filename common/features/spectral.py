"""The spectral descriptors of one window, all from one short-time Fourier transform."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from common.config.settings import FeatureConfig
from common.features import filterbank
from common.features.descriptors import centroid, decibels, flux, power_spectrum, rolloff

MEL_BANDS = 64  # under the cepstrum and the flux; as many as coefficients where these are more


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis:
    """The constants for one window; ``analysis`` makes it.

    Attributes:
        window: Hann, ``(fft,)``.
        bank: ``(bins, bands + log-mel bands + 1)``: from power to the bands' powers, last the mean square.
        cosines: ``(bands, mfcc)``.
        frequencies: of the bins, in kHz.
        levels: which of the bank's levels are features themselves: log-mel, energy.
        shape: whether centroid, roll-off and flux are wanted.
    """

    window: torch.Tensor
    bank: torch.Tensor
    cosines: torch.Tensor
    frequencies: torch.Tensor
    levels: slice
    shape: bool


@lru_cache(maxsize=32)
def analysis(config: FeatureConfig, window: int) -> Analysis | None:
    """The constants for a window of so many samples; None where no spectral descriptor is wanted."""
    if not (config.mfcc or config.log_mel or config.energy or config.spectral):
        return None
    rate, bands = config.sampling_rate, max(MEL_BANDS, config.mfcc)
    size = filterbank.fft_size(rate, window, max(bands, config.log_mel))
    taper = filterbank.taper(window, size)
    banks = [filterbank.mel(rate, size, count) for count in (bands, config.log_mel) if count]
    return Analysis(
        window=taper,
        bank=torch.cat([*banks, filterbank.mean_square(taper)], dim=1),
        cosines=filterbank.cosines(bands, config.mfcc),
        frequencies=torch.fft.rfftfreq(size, d=1000 / rate),
        levels=slice(bands, bands + config.log_mel + config.energy),
        shape=config.spectral,
    )


def analyse(stretch: torch.Tensor, constants: Analysis, hop: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The descriptors of each frame but the first, which the flux only looks back to.

    Args:
        stretch: the sound under ``1 + frames`` windows of ``len(constants.window)`` samples.
        constants: what ``analysis`` made.
        hop: samples from one frame to the next.

    Returns:
        MFCC, log-mel and energy, ``(frames, …)``; centroid, roll-off and flux, ``(frames, 3)`` or ``(frames, 0)``.
    """
    power = power_spectrum(stretch, constants.window, hop)
    levels = decibels(power @ constants.bank)
    bands = levels[:, : len(constants.cosines)]
    statics = torch.cat([bands[1:] @ constants.cosines, levels[1:, constants.levels]], dim=1)
    if not constants.shape:
        return statics, statics[:, :0]
    magnitude, frequencies = power[1:].sqrt_(), constants.frequencies
    return statics, torch.cat([centroid(magnitude, frequencies), rolloff(magnitude, frequencies), flux(bands)], dim=1)
