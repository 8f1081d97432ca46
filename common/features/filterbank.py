"""The constants of a spectral analysis: window, mel bands, cosine transform; each made once and kept."""

from __future__ import annotations

import math
from functools import lru_cache

import torch


def fft_size(sampling_rate: int, window: int, bands: int) -> int:
    """The points of the Fourier transform: a power of two that holds the window and gives every mel band a bin.

    Args:
        sampling_rate: Hz.
        window: the window's samples.
        bands: mel bands between 0 Hz and half the sampling rate; 0 for none.
    """
    import librosa

    needed = float(window)
    if bands:
        edges = librosa.mel_frequencies(n_mels=bands + 2, fmin=0.0, fmax=sampling_rate / 2)
        needed = max(needed, sampling_rate / float((edges[2:] - edges[:-2]).min()))
    return 1 << (int(needed) - 1).bit_length()


def taper(window: int, size: int) -> torch.Tensor:
    """A periodic Hann window of ``window`` samples amid ``size``, zero around it, as in librosa's STFT."""
    left = (size - window) // 2
    return torch.nn.functional.pad(torch.hann_window(window), (left, size - window - left))


@lru_cache(maxsize=16)
def mel(sampling_rate: int, size: int, bands: int) -> torch.Tensor:
    """Slaney's mel filters with unit area (``librosa.filters.mel``'s defaults), ``(size // 2 + 1, bands)``."""
    import librosa

    return torch.from_numpy(librosa.filters.mel(sr=sampling_rate, n_fft=size, n_mels=bands)).T.contiguous()


@lru_cache(maxsize=16)
def cosines(bands: int, coefficients: int) -> torch.Tensor:
    """The orthonormal cosine transform of type II, ``(bands, coefficients)``."""
    band = torch.arange(bands, dtype=torch.float64) + 0.5
    order = torch.arange(coefficients, dtype=torch.float64)
    scale = torch.where(order == 0, math.sqrt(1 / bands), math.sqrt(2 / bands))
    return (scale * torch.cos(torch.pi / bands * band[:, None] * order)).float()


def mean_square(window: torch.Tensor) -> torch.Tensor:
    """Weights ``(size // 2 + 1, 1)`` that turn a windowed frame's power spectrum into its mean square (Parseval).

    The mean is weighted by the squared window, so that a steady sound has the same value under every window.
    """
    size = len(window)
    weights = torch.full((size // 2 + 1, 1), 2.0)
    weights[0] = weights[-1] = 1.0
    return weights / (size * window.square().sum())
