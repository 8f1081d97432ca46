"""Recordings: read, mix to mono, resample, and say what is wrong with one."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import soundfile

from common.errors import AudioError

if TYPE_CHECKING:  # torch takes seconds to import, and the preflight's workers only read
    import torch

MIN_SECONDS = 0.1
BEYOND = 0.1  # seconds by which a stretch may end after its file does, as labels of whole video frames do
SILENCE = 1e-4  # peak amplitude (-80 dB of full scale) below which nothing can be heard
CLIPPED_SHARE = 0.01  # of all samples at the extreme value
EXTENSIONS = frozenset("." + name.lower() for name in soundfile.available_formats()) | {".aif", ".oga", ".opus"}

Signal = npt.NDArray[np.float32]

# In libsndfile's log of a header: the bytes of sound that it declares, and those that are in the file. libsndfile goes
# by the latter, so that a recording cut short would read as a shorter one.
_CUT_SHORT = re.compile(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)")
_NO_END = re.compile(r"^Ogg ?: (?:Last page lacks an end-of-stream bit|File ended unexpectedly)", re.MULTILINE)
_SLACK = 64  # bytes by which careless writers get their header wrong
_MOST_SAMPLES = 1000  # of the old rate, until it falls together with the new one; 441 from 44.1 kHz to 16 kHz
_STREAMED = 2**31 - 2**16  # and above: a header written before the length was known


def read(path: Path, start: float | None = None, end: float | None = None) -> tuple[Signal, int]:
    """Read a recording, or a stretch of it, as one channel.

    Args:
        path: a file in any format that soundfile reads.
        start: where the stretch begins, in seconds; None for the file's beginning.
        end: where it ends, in seconds; None for the file's end.

    Returns:
        The signal, float32 of shape ``(samples,)``, and its sampling rate in Hz.

    Raises:
        AudioError: ``unreadable``, ``truncated``, or ``short`` where there is no sample at all.
    """
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            rate = int(file.samplerate)
            _refuse_cut_short(file.extra_info)
            first = 0 if start is None else round(start * rate)
            last = len(file) if end is None else round(end * rate)
            if start is None and end is None and not last:
                raise AudioError("short", "holds no samples")
            if not 0 <= first < min(last, len(file)) or last > len(file) + BEYOND * rate:
                raise AudioError("truncated", f"{len(file) / rate:.2f} s long, not {start} to {end} s")
            file.seek(first)
            frames = file.read(last - first, dtype="float32", always_2d=True)
            declared = min(last, len(file)) - first
    except (soundfile.LibsndfileError, OSError, RuntimeError, TypeError) as error:  # TypeError: a file without header
        raise AudioError("unreadable", f"not readable as audio ({_reason(error)})") from None
    if len(frames) < declared:
        raise AudioError("truncated", f"{len(frames)} of {declared} samples are there")
    return np.ascontiguousarray(frames.mean(axis=1)), rate


def _refuse_cut_short(header: str) -> None:
    found = _CUT_SHORT.search(header)
    if found and int(found[2]) + _SLACK < int(found[1]) < _STREAMED:
        raise AudioError("truncated", f"{found[2]} of {found[1]} bytes of sound are there")
    if _NO_END.search(header):
        raise AudioError("truncated", "ends before the last page of its stream")


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or type(error).__name__
    return str(text).strip().rstrip(".")


def faults(signal: Signal, rate: int) -> list[AudioError]:
    """What makes a signal unusable or suspect.

    Args:
        signal: float32 of shape ``(samples,)``.
        rate: its sampling rate in Hz.

    Returns:
        One ``AudioError`` a fault, of kind ``short``, ``non-finite``, ``silent`` or ``clipped``; the last is a
        warning only, a clipped recording can be used (see ``usable``).
    """
    seconds = len(signal) / rate
    if seconds < MIN_SECONDS:
        return [AudioError("short", f"{seconds:.3f} s long, expected at least {MIN_SECONDS} s")]
    if not np.isfinite(signal).all():
        return [AudioError("non-finite", f"{int((~np.isfinite(signal)).sum())} samples are not finite numbers")]
    peak = float(np.abs(signal).max())
    if peak < SILENCE:
        return [AudioError("silent", f"the loudest sample is {peak:.1e} of full scale")]
    share = float((np.abs(signal) >= 0.999 * max(peak, 0.99)).mean())
    return [AudioError("clipped", f"{share:.1%} of the samples are at full scale")] if share > CLIPPED_SHARE else []


def load(path: Path, sampling_rate: int, start: float | None = None, end: float | None = None) -> torch.Tensor:
    """Read a recording at the rate that the features are computed at.

    Returns:
        The signal, float32 of shape ``(samples,)``.

    Raises:
        AudioError: it cannot be read, or cannot be used; a clipped recording can.
    """
    return prepared(*read(path, start, end), sampling_rate)


def prepared(signal: Signal, rate: int, sampling_rate: int) -> torch.Tensor:
    """A signal ``(samples,)`` of a rate at the one that the features are computed at.

    Raises:
        AudioError: it cannot be used.
    """
    import torch

    for fault in faults(signal, rate):
        if fault.kind != "clipped":
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
