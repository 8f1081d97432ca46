"""The voice's source: glottal pulses, and the breath between them."""

from __future__ import annotations

import numpy as np

from common.voices.phones import Array


def pulses(
    generator: np.random.Generator,
    pitch: Array,
    rate: int,
    *,
    open_quotient: float,
    jitter: float,
    shimmer: float,
) -> tuple[Array, Array]:
    """Glottal pulses after Rosenberg (1971, JASA 49, pulse type B), with jitter and shimmer.

    Args:
        generator: the utterance's randomness.
        pitch: F0 in Hz by sample, ``(samples,)``.
        rate: sampling rate in Hz.
        open_quotient: share of the cycle that the folds are open.
        jitter: relative standard deviation of a cycle's length.
        shimmer: relative standard deviation of a cycle's amplitude.

    Returns:
        The flow's derivative and the flow, both of shape ``(samples,)``. The derivative is the difference of the
        continuous flow from sample to sample, which is its mean over the sample: that keeps aliases down.
    """
    cycles = np.cumsum(pitch) / rate
    count = int(cycles[-1]) + 3
    cycles = cycles + np.interp(cycles, np.arange(count), generator.normal(0, jitter, count)) + 1
    index = np.clip(cycles.astype(int), 0, count - 1)
    amplitude = 1 + generator.normal(0, shimmer, count)[index]
    flow = amplitude * _rosenberg(cycles - np.floor(cycles), open_quotient)
    return np.diff(flow, prepend=flow[0]) * rate / pitch * open_quotient, flow


def _rosenberg(phase: Array, open_quotient: float) -> Array:
    """The flow at a phase in [0, 1): two thirds of the open phase opening, one third closing."""
    opening = open_quotient * 2 / 3
    closing = open_quotient - opening
    rise = 0.5 * (1 - np.cos(np.pi * phase / opening))
    fall = np.cos(0.5 * np.pi * np.clip((phase - opening) / closing, 0, 1))
    return np.where(phase < opening, rise, fall)
