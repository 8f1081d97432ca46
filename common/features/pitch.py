"""Fundamental frequency and voicing from the normalised autocorrelation, for many frames at once.

The method is Boersma's ("Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of
a sampled sound", IFA Proceedings 17, 1993): the autocorrelation of a windowed frame, divided by the window's own, has
its peaks at the period's multiples, and the peak's height is the share of the energy that is periodic. Made fast by
three means: the sound is decimated to about 4 kHz, where every harmonic that matters still lies; the autocorrelation
is one matrix product of the power spectrum with cosines (Wiener-Khinchin), at the lags of interest only and between the
samples too; and the path through the candidates is a running median of three instead of a search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from common.features.descriptors import FLOOR, power_spectrum
from common.features.filterbank import taper

LOWEST, HIGHEST = 60.0, 500.0  # Hz
VOICED = 0.6  # periodic share of the energy from which a frame counts as voiced
_WINDOW = 0.05  # seconds: three periods of the lowest voice
_RATE = 4000  # Hz, at least, after decimation
_LAG_RATE = 8000  # lags are spaced 1 / _LAG_RATE seconds
_HIGH_PASS = 40.0  # Hz: hum and rumble below carry no pitch
_OCTAVE_BONUS = 0.02  # of the energy, an octave: the higher of two equal candidates is the true one
_TAPS = 6  # samples after decimation that the low-pass filter reaches to each side
_BLOCK = 32  # samples after decimation that one row of the product yields


@dataclass(frozen=True, kw_only=True, eq=False)
class Tracker:
    """The constants of one analysis; ``tracker`` makes it.

    Attributes:
        size: samples under one frame's window, the filter's reach included.
        step: samples to one after decimation.
        hop: the step between frames after decimation.
        decimator: ``(samples, _BLOCK)``, the low-pass filter's taps, shifted by ``step`` a column.
        window: Hann, ``(fft,)``, padded with zeros.
        correlator: ``(bins, lags + 1)``; the last column is the energy, the others its autocorrelation.
        floor: the energy of a frame at ``FLOOR``.
        lags: ``(lags - 2,)`` in seconds, without the two at the ends.
        bonus: ``(lags - 2,)``, added to a candidate's strength to choose by.
    """

    size: int
    step: int
    hop: int
    decimator: torch.Tensor
    window: torch.Tensor
    correlator: torch.Tensor
    floor: float
    lags: torch.Tensor
    bonus: torch.Tensor


@lru_cache(maxsize=8)
def tracker(sampling_rate: int, hop: int) -> Tracker:
    """The constants for a sampling rate in Hz and a hop in samples."""
    step = max(n for n in range(1, hop + 1) if hop % n == 0 and (n == 1 or sampling_rate >= n * _RATE))
    rate = sampling_rate / step
    length = 2 * round(_WINDOW * rate / 2)
    size = 32 * math.ceil((length + rate / LOWEST) / 32)  # holds the longest lag too, so that nothing wraps round
    window = taper(length, size)
    lags = torch.arange(int(_LAG_RATE / HIGHEST) - 1, int(_LAG_RATE / LOWEST) + 3, dtype=torch.float64) / _LAG_RATE
    return Tracker(
        size=(size + 2 * _TAPS) * step,
        step=step,
        hop=hop // step,
        decimator=_decimator(step),
        window=window,
        correlator=_correlator(window, rate, lags),
        floor=FLOOR * size * float(window.square().sum()),
        lags=lags[1:-1].float(),
        bonus=(-_OCTAVE_BONUS * torch.log2(lags[1:-1] * LOWEST)).float(),
    )


def _decimator(step: int) -> torch.Tensor:
    reach = _TAPS * step
    offset = torch.arange(-reach, reach + 1, dtype=torch.float64)
    taps = (
        torch.sinc(0.85 * offset / step) * torch.hann_window(2 * reach + 3, periodic=False, dtype=torch.float64)[1:-1]
    )
    matrix = torch.zeros((_BLOCK - 1) * step + len(taps), _BLOCK)
    for column in range(_BLOCK):
        matrix[column * step : column * step + len(taps), column] = (taps / taps.sum()).float()
    return matrix


def _correlator(window: torch.Tensor, rate: float, lags: torch.Tensor) -> torch.Tensor:
    frequencies: torch.Tensor = torch.fft.rfftfreq(len(window), d=1 / rate).double()
    weights = torch.full_like(frequencies, 2.0)
    weights[0] = weights[-1] = 1.0
    waves = weights[:, None] * torch.cos(2 * torch.pi * frequencies[:, None] * lags)
    power: torch.Tensor = torch.fft.rfft(window.double()).abs().square()
    of_the_window = (power @ waves) / (power @ weights)
    columns = torch.cat([waves / of_the_window, weights[:, None]], dim=1)
    return (columns * (frequencies >= _HIGH_PASS)[:, None]).float()


def candidates(stretch: torch.Tensor, constants: Tracker) -> tuple[torch.Tensor, torch.Tensor]:
    """Each frame's best candidate.

    Args:
        stretch: the sound under the frames' windows of ``constants.size`` samples.
        constants: what ``tracker`` made.

    Returns:
        The fundamental frequency in Hz and its strength from 0 to 1, ``(frames,)`` each; 0 and 0 without a peak.
    """
    power = power_spectrum(_decimate(stretch, constants), constants.window, constants.hop)
    products = power @ constants.correlator
    correlation = products[:, :-1] / (products[:, -1:] + constants.floor)
    left, middle, right = correlation[:, :-2], correlation[:, 1:-1], correlation[:, 2:]
    # The parabola through three points: its peak lies `shift` lags from the middle one, at `height`.
    slope, bend = right - left, left + right - 2.0 * middle
    height = middle - slope.square() / (8.0 * bend)
    height = torch.where((middle >= left) & (middle > right), height, -1.0)
    best = (height + constants.bonus).argmax(dim=1, keepdim=True)
    strength, slope, bend = height.gather(1, best), slope.gather(1, best), bend.gather(1, best)
    shift = slope / (-2.0 * bend)
    found = strength > 0
    frequency = torch.where(found, 1.0 / (constants.lags[best] + shift / _LAG_RATE), 0.0)
    return frequency.squeeze(1), strength.clamp(0.0, 1.0).squeeze(1)


def _decimate(stretch: torch.Tensor, constants: Tracker) -> torch.Tensor:
    """Low-pass and keep every ``step``-th sample: one product, a row of which yields ``_BLOCK`` samples."""
    width, step = len(constants.decimator), _BLOCK * constants.step
    kept = (len(stretch) - 2 * _TAPS * constants.step) // constants.step
    blocks = -(-kept // _BLOCK)
    padded = torch.nn.functional.pad(stretch, (0, (blocks - 1) * step + width - len(stretch)))
    return (padded.unfold(0, width, step) @ constants.decimator).reshape(-1)[:kept]


def smooth(frequency: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """Zero where unvoiced, then the median of each frame and its two neighbours; beyond the ends nothing is voiced.

    Args:
        frequency: Hz, ``(frames,)``.
        strength: from 0 to 1, ``(frames,)``.
    """
    voiced = torch.where(strength >= VOICED, frequency, 0.0)
    before, here, after = torch.nn.functional.pad(voiced, (1, 1)).unfold(0, len(voiced), 1)
    return torch.maximum(torch.minimum(before, here), torch.minimum(torch.maximum(before, here), after))


def bridge(track: torch.Tensor) -> torch.Tensor:
    """Draw straight lines over the unvoiced stretches of a pitch track, and hold its ends (Ghahremani et al. 2014).

    A track that falls to 0 between syllables has a mean and a deviation that tell how much was voiced, not how high.

    Args:
        track: ``(frames,)``, 0 where unvoiced.
    """
    values = track.numpy()
    voiced = np.flatnonzero(values > 0)
    if not len(voiced):
        return track
    return torch.from_numpy(np.interp(np.arange(len(values)), voiced, values[voiced]).astype(np.float32))
