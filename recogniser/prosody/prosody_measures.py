"""Rate, pauses, pitch and level of some speech, in the units of the clinic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from recogniser.prosody.analysed_channel import Part

STRETCH = 10.0  # seconds whose rates are compared with each other
LEAST = 3.0  # seconds of speech that such a stretch has to hold
LONG = 1.0  # seconds over which a pause is a long one
LOWEST = 60.0  # Hz: 0 semitones
_DECIMALS = 3


def measure(parts: Sequence[Part]) -> dict[str, Any]:
    """The measures of one or several channels' parts together.

    Args:
        parts: each of another channel or speaker, all from the same frame to the same.

    Returns:
        ``speech`` (seconds, pauses aside), ``syllables``, ``speech_rate`` and ``articulation_rate`` (syllables a
        second, with and without the pauses), how much each varies from one stretch of ``STRETCH`` seconds to another
        (deviation over mean), ``pauses`` (``count``, ``per_minute`` of speech and pauses, ``median`` in seconds,
        ``share`` of that time, ``over_1_s``), ``f0`` (``median`` in Hz, ``range`` from the 5th to the 95th per cent in
        semitones), ``level_range`` (likewise, in dB) and ``voiced``, the share of the sound. None where nothing is
        voiced, or nothing is said.
    """
    voiced = any(part.of.steady[part.start : part.end][part.mask].any() for part in parts)
    speech = math.fsum(part.speech for part in parts)
    counted = voiced and all(part.of.nuclei is not None for part in parts)
    rates = _rates(parts) if counted else (None, None)
    variation = _variation(parts) if counted else (None, None)
    return {
        "speech": round(speech, _DECIMALS),
        "syllables": sum(part.syllables for part in parts) if counted else None,
        "speech_rate": _rounded(rates[0]),
        "articulation_rate": _rounded(rates[1]),
        "speech_rate_variation": _rounded(variation[0]),
        "articulation_rate_variation": _rounded(variation[1]),
        "pauses": _pauses(parts),
        "f0": _f0(parts) if voiced else None,
        "level_range": _level_range(parts),
        "voiced": _voiced_share(parts),
    }


def _rates(parts: Sequence[Part]) -> tuple[float | None, float | None]:
    """Syllables a second, of speech with its pauses and of speech alone."""
    syllables = sum(part.syllables for part in parts)
    speech = math.fsum(part.speech for part in parts)
    whole = speech + math.fsum(part.silence for part in parts)
    return (syllables / whole, syllables / speech) if speech > 0 else (None, None)


def _variation(parts: Sequence[Part]) -> tuple[float | None, float | None]:
    """Of both rates the deviation over the mean from stretch to stretch; None of fewer than two."""
    pairs = [_rates(stretch) for stretch in _stretches(parts) if sum(part.speech for part in stretch) >= LEAST]
    both = np.array(pairs, np.float64)
    if len(both) < 2 or not both.mean(axis=0).all():
        return None, None
    speech, articulation = (both.std(axis=0, ddof=1) / both.mean(axis=0)).tolist()
    return speech, articulation


def _stretches(parts: Sequence[Part]) -> Iterator[list[Part]]:
    first, last = min(part.start for part in parts), max(part.end for part in parts)
    frames = round(STRETCH / parts[0].of.hop)
    for start in range(first, last, frames):
        yield [part.between(start, start + frames) for part in parts]


def _pauses(parts: Sequence[Part]) -> dict[str, Any] | None:
    silence = math.fsum(part.silence for part in parts)
    whole = silence + math.fsum(part.speech for part in parts)
    if not whole:
        return None
    lasting = [seconds for part in parts for seconds in part.pauses]
    return {
        "count": len(lasting),
        "per_minute": round(60 * len(lasting) / whole, _DECIMALS),
        "median": _rounded(float(np.median(lasting)) if lasting else None),
        "share": round(silence / whole, _DECIMALS),
        "over_1_s": sum(seconds > LONG for seconds in lasting),
    }


def _f0(parts: Sequence[Part]) -> dict[str, Any]:
    tracks = [
        part.of.semitones[part.start : part.end][part.mask & part.of.steady[part.start : part.end]]
        for part in parts
        if part.of.semitones is not None
    ]
    low, median, high = np.percentile(np.concatenate(tracks).astype(np.float32), [5, 50, 95]).tolist()
    return {"median": round(LOWEST * 2 ** (median / 12), 1), "range": round(high - low, 2)}


def _level_range(parts: Sequence[Part]) -> float | None:
    tracks = [part.of.level[part.start : part.end][part.mask] for part in parts if part.of.level is not None]
    levels = np.concatenate([np.zeros(0, np.float16), *tracks]).astype(np.float32)
    if not len(levels):
        return None
    low, high = np.percentile(levels, [5, 95])
    return round(float(high - low), 1)


def _voiced_share(parts: Sequence[Part]) -> float | None:
    told = [part for part in parts if part.of.semitones is not None]
    sounding = sum(int(np.count_nonzero(part.mask)) for part in told)
    voiced = sum(int(np.count_nonzero(part.mask & part.of.steady[part.start : part.end])) for part in told)
    return round(voiced / sounding, _DECIMALS) if sounding else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DECIMALS)
