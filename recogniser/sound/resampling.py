"""Resampling in blocks, with the numbers that training had of the whole signal.

Training resamples with torchaudio: a sinc of six zero crossings under a Hann window, its cut-off at 0.99 of the lower
rate's half, the kernel float32. The same kernel is applied here to whole periods of both rates, some at a time, always
as many: so the samples do not depend on how the sound was cut.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float32]

MOST_SAMPLES = 1000  # of the old rate in a period, as in training: odd ratios are taken to the nearest one
ZERO_CROSSINGS = 6
ROLLOFF = 0.99
AT_ONCE = 0.01  # seconds that are resampled at once, at least


@lru_cache(maxsize=16)
def kernel(rate: int, to: int) -> tuple[Signal, int]:
    """The taps ``(2 * width + rate, to)`` of the samples of one period, and the samples before it that they reach."""
    base = min(rate, to) * ROLLOFF
    width = math.ceil(ZERO_CROSSINGS * rate / base)
    offset = np.arange(-width, width + rate, dtype=np.float64)[:, None] / rate
    # float32, as the quotient is there
    phase = (np.arange(0, -to, -1, dtype=np.float32) / np.float32(to)).astype(np.float64)
    time = np.clip((phase + offset) * base, -ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = np.cos(time * math.pi / ZERO_CROSSINGS / 2) ** 2
    return (np.sinc(time) * window * (base / rate)).astype(np.float32), width


class Resampler:
    """One channel's sound in chunks of any size, from one rate to another.

    Args:
        rate: of what comes in, in Hz.
        to: of what goes out.
    """

    def __init__(self, rate: int, to: int) -> None:
        ratio = Fraction(to, rate).limit_denominator(MOST_SAMPLES)
        self._old, self._new = ratio.denominator, ratio.numerator
        self._same = ratio == 1
        self._taps, self._width = (np.zeros((0, 0), np.float32), 0) if self._same else kernel(self._old, self._new)
        self._periods = max(1, round(AT_ONCE * rate / self._old))
        self._buffer = np.zeros(self._width, np.float32)
        self._read = self._given = 0

    def feed(self, signal: Signal) -> Signal:
        """The samples that are known now ``(samples,)``, once these ``(samples,)`` have come in."""
        self._read += len(signal)
        if self._same:
            return signal
        self._buffer = np.concatenate([self._buffer, signal])
        return self._give(self._whole())

    def end(self) -> Signal:
        """The last samples; nothing follows."""
        if self._same:
            return np.zeros(0, np.float32)
        left = math.ceil(Fraction(self._new * self._read, self._old)) - self._given
        groups = math.ceil(left / (self._new * self._periods))
        missing = groups * self._stride + len(self._taps) - len(self._buffer)
        self._buffer = np.concatenate([self._buffer, np.zeros(max(0, missing), np.float32)])
        return self._give(groups)[:left]

    @property
    def _stride(self) -> int:
        return self._periods * self._old

    def _whole(self) -> int:
        """How many groups of periods can be computed."""
        return max(0, (len(self._buffer) - len(self._taps) + self._old) // self._stride)

    def _give(self, groups: int) -> Signal:
        if not groups:
            return np.zeros(0, np.float32)
        views = np.lib.stride_tricks.sliding_window_view(self._buffer, len(self._taps))[:: self._old]
        stacked = views[: groups * self._periods].reshape(groups, self._periods, len(self._taps))
        given: Signal = (stacked @ self._taps).reshape(-1)
        self._buffer = self._buffer[groups * self._stride :]
        self._given += len(given)
        return given
