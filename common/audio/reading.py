"""Recordings: read, mix to mono, resample, and say what is wrong with one."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from common.audio.decoding import SILENCE, Signal, decode
from common.errors import AudioError

if TYPE_CHECKING:  # torch takes seconds to import, and the preflight's workers only read
    import torch

MIN_SECONDS = 0.1
LONG_SECONDS = 60.0  # above which a recording is hardly one utterance
CLIPPED_SHARE = 0.01  # of all samples at the extreme value
LOUDEST = 2.0  # times full scale: what a lossy coding or a resampler adds stays below
WARNINGS = frozenset({"clipped", "gap", "long", "unended", "wrong-length"})  # kinds with which a recording can be used
EXTENSIONS = frozenset("." + name.lower() for name in soundfile.available_formats()) | {".aif", ".oga", ".opus"}

_MOST_SAMPLES = 1000  # of the old rate, until it falls together with the new one; 441 from 44.1 kHz to 16 kHz


def read(
    path: Path,
    start: float | None = None,
    end: float | None = None,
    most: float = math.inf,
    channel: int | None = None,
) -> tuple[Signal, int]:
    """Read a recording, or a stretch of it, as one channel; ``decode`` tells more.

    Args:
        path: a file in any format that soundfile reads.
        start: where the stretch begins, in seconds; None for the file's beginning.
        end: where it ends, in seconds; None for the file's end.
        most: so many seconds of it, the first ones; the rest is not read.
        channel: the one to take, counted from 0; None for the mean of all.

    Returns:
        The signal, float32 of shape ``(samples,)``, and its sampling rate in Hz.

    Raises:
        AudioError: ``unreadable``, ``truncated``, or ``short`` where there is no sample at all.
    """
    sound = decode(path, start, end, channel, most=None if math.isinf(most) else most)
    return sound.signal, sound.rate


def faults(signal: Signal, rate: int) -> list[AudioError]:
    """What makes a signal unusable or suspect.

    Args:
        signal: float32 of shape ``(samples,)``.
        rate: its sampling rate in Hz.

    Returns:
        One ``AudioError`` a fault, of kind ``short``, ``non-finite``, ``silent``, ``constant``, ``beyond-full-scale``,
        ``clipped`` or ``long``; with those of ``WARNINGS`` alone it can be used.
    """
    seconds = len(signal) / rate
    if seconds < MIN_SECONDS:
        return [AudioError("short", f"{seconds:.3f} s long, expected at least {MIN_SECONDS} s")]
    if bad := int(len(signal) - np.count_nonzero(np.isfinite(signal))):
        return [AudioError("non-finite", f"{bad} of {len(signal)} samples are not finite numbers")]
    low, high = float(signal.min()), float(signal.max())
    peak = max(high, -low)
    if peak < SILENCE:
        return [AudioError("silent", f"the loudest sample is {peak:.1e} of full scale")]
    if high - low < 2 * SILENCE:
        return [AudioError("constant", f"every sample is {(high + low) / 2:.2g} of full scale: a level and no sound")]
    if peak > LOUDEST:
        return [AudioError("beyond-full-scale", _beyond(peak))]
    return [*_clipped(signal, peak), *_long(seconds)]


def _beyond(peak: float) -> str:
    """What is wrong with floats that are not from -1 to 1, and what to do."""
    found = f"the loudest sample is {peak:.3g} times full scale"
    bits = next((bits for bits in (16, 24, 32) if peak <= 2 ** (bits - 1)), None) if peak >= 2**8 else None
    if bits is None:
        return f"{found}: floats of sound lie from -1 to 1; scale it"
    return f"{found}, as of whole numbers of {bits} bits kept as floats: divide them by {2 ** (bits - 1)}"


def _clipped(signal: Signal, peak: float) -> list[AudioError]:
    level = 0.999 * max(peak, 0.99)
    if peak < level:
        return []
    share = np.count_nonzero((signal >= level) | (signal <= -level)) / len(signal)
    return [AudioError("clipped", f"{share:.1%} of the samples are at full scale")] if share > CLIPPED_SHARE else []


def _long(seconds: float) -> list[AudioError]:
    if seconds <= LONG_SECONDS:
        return []
    said = f"{seconds / 60:.1f} minutes under one label: a manifest's start and end cut it into utterances"
    return [AudioError("long", said)]


def load(
    path: Path,
    sampling_rate: int,
    start: float | None = None,
    end: float | None = None,
    most: float = math.inf,
    channel: int | None = None,
) -> torch.Tensor:
    """Read a recording at the rate that the features are computed at; the other arguments are those of ``read``.

    Returns:
        The signal, float32 of shape ``(samples,)``.

    Raises:
        AudioError: it cannot be read, or cannot be used; one with ``WARNINGS`` alone can.
    """
    return prepared(*read(path, start, end, most, channel), sampling_rate)


def prepared(signal: Signal, rate: int, sampling_rate: int) -> torch.Tensor:
    """A signal ``(samples,)`` of a rate at the one that the features are computed at.

    Raises:
        AudioError: it cannot be used.
    """
    import torch

    for fault in faults(signal, rate):
        if fault.kind not in WARNINGS:
            raise fault
    return resample(torch.from_numpy(signal), rate, sampling_rate)


def resample(signal: torch.Tensor, rate: int, to: int) -> torch.Tensor:
    """Resample ``(…, samples)`` from one rate to another by band-limited interpolation (torchaudio).

    The kernel has a row for each of the new rate's samples until both fall together again: 96 million numbers from
    TESS's 24,414 Hz to 16 kHz. So odd ratios are taken to the nearest one of small numbers, less than a hundredth of a
    per cent away; all usual rates are exact.
    """
    ratio = Fraction(to, rate).limit_denominator(_MOST_SAMPLES)
    if ratio == 1:
        return signal
    resampled: torch.Tensor = _resampler(ratio.denominator, ratio.numerator)(signal)
    return resampled


@lru_cache(maxsize=16)
def _resampler(rate: int, to: int) -> Any:
    from common.audio.torchaudio import load as torchaudio

    return torchaudio().transforms.Resample(rate, to)
