"""Descriptors of frames as pure functions: a sound or its spectrum in, a column a descriptor out.

A ``stretch`` is the sound under a run of windows, as ``Grid.stretch`` cuts it; a spectrum is ``(frames, bins)``.
"""

from __future__ import annotations

from functools import lru_cache

import torch

FLOOR = 1e-10  # of power: digital silence is -100 dB
ROLLOFF = 0.85  # the share of the magnitude that lies below the roll-off
REACH = 4  # frames that a derivative looks ahead and back
_SIGN_THRESHOLD = 1e-10  # librosa's: what is smaller counts as zero, and zero as positive
_BLOCK = 64  # frames that one product differentiates


def power_spectrum(stretch: torch.Tensor, window: torch.Tensor, hop: int) -> torch.Tensor:
    """The squared magnitudes of the short-time Fourier transform, ``(frames, len(window) // 2 + 1)``."""
    spectrum: torch.Tensor = torch.fft.rfft(stretch.unfold(0, len(window), hop) * window)
    return spectrum.real.square() + spectrum.imag.square()


def decibels(power: torch.Tensor) -> torch.Tensor:
    """``10 log10(max(power, FLOOR))``: ``librosa.power_to_db`` with ``top_db=None``."""
    return power.clamp_min(FLOOR).log10_().mul_(10.0)


def centroid(magnitude: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """The mean frequency, weighted by magnitude, ``(frames, 1)`` in the unit of ``frequencies``; 0 in silence."""
    weights = torch.stack([frequencies, torch.ones_like(frequencies)], dim=1)
    moments = magnitude @ weights
    return moments[:, :1] / moments[:, 1:].clamp_min(torch.finfo(torch.float32).tiny)


def rolloff(magnitude: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """The lowest frequency below which ``ROLLOFF`` of the magnitude lies, ``(frames, 1)``; 0 in silence."""
    running = magnitude.cumsum(dim=1)
    return frequencies[torch.searchsorted(running, ROLLOFF * running[:, -1:])]


def flux(levels: torch.Tensor) -> torch.Tensor:
    """How much the bands' levels in dB rise from the frame before, on average, ``(frames - 1, 1)``.

    This is ``librosa.onset.onset_strength`` of the log-mel spectrum: independent of the recording's gain.
    """
    return (levels[1:] - levels[:-1]).clamp_min_(0.0).mean(dim=1, keepdim=True)


def sign_changes(sound: torch.Tensor) -> torch.Tensor:
    """Whether the sign differs from that of the sample before, bool ``(samples,)``; the first is False."""
    negative = sound < -_SIGN_THRESHOLD
    changes = torch.zeros_like(negative)
    torch.logical_xor(negative[1:], negative[:-1], out=changes[1:])
    return changes


def zero_crossing_rate(changes: torch.Tensor, size: int, hop: int) -> torch.Tensor:
    """The sign changes within each window of ``size`` samples, a sample, ``(frames, 1)``."""
    crossings = changes[1:].float().unfold(0, size - 1, hop).sum(dim=1, keepdim=True)
    return crossings.div_(size)


def derivatives(table: torch.Tensor, order: int) -> list[torch.Tensor]:
    """The first ``order`` derivatives by time of every column: Savitzky-Golay fits over ``2 * REACH + 1`` frames.

    Equals ``librosa.feature.delta`` of width 9; the caller supplies the frames beyond the ends.

    Args:
        table: ``(REACH + frames + REACH, features)``.
        order: 1 for Δ, 2 for Δ and ΔΔ.

    Returns:
        ``order`` tensors ``(frames, features)``.
    """
    frames, features = len(table) - 2 * REACH, table.shape[1]
    blocks = -(-frames // _BLOCK)
    padded = torch.nn.functional.pad(table, (0, 0, 0, blocks * _BLOCK - frames))
    overlapping = padded.as_strided((blocks, _BLOCK + 2 * REACH, features), (_BLOCK * features, features, 1))
    products = [matrix @ overlapping for matrix in _derivative_matrices()[:order]]
    return [product.reshape(blocks * _BLOCK, features)[:frames] for product in products]


@lru_cache(maxsize=1)
def _derivative_matrices() -> list[torch.Tensor]:
    """Banded matrices ``(_BLOCK, _BLOCK + 2 * REACH)`` of the slope of a line and the curvature of a parabola."""
    offset = torch.arange(-REACH, REACH + 1, dtype=torch.float64)
    slope = offset / offset.square().sum()
    bow = offset.square() - offset.square().mean()
    curvature = 2.0 * bow / bow.square().sum()
    matrices = []
    for taps in (slope, curvature):
        matrix = torch.zeros(_BLOCK, _BLOCK + 2 * REACH)
        for row in range(_BLOCK):
            matrix[row, row : row + len(taps)] = taps.float()
        matrices.append(matrix)
    return matrices
