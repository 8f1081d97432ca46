"""Who speaks: a voice that differs from the next as people's do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.voices.emotion import DIMENSIONS

# Mean F0 and formant scale of adults (Peterson & Barney 1952, Table II: women's formants lie about 17 % higher).
PITCH = {"female": 205.0, "male": 115.0}
TRACT = {"female": 1.17, "male": 1.0}


@dataclass(frozen=True, kw_only=True)
class Voice:
    """A speaker when calm; emotion moves it from there.

    Attributes:
        gender: ``female`` or ``male``.
        pitch: median F0 in Hz.
        span: height of an accent in semitones.
        tract: factor on all formants, 1 for a man's average vocal tract; a longer one has less.
        rate: syllables per second.
        open_quotient: share of a glottal cycle that the folds are open.
        tilt: the spectrum's slope above 500 Hz beyond the source's own, in dB per octave.
        breath: level of aspiration in dB against the voiced source.
        jitter: relative standard deviation of a glottal cycle's length.
        shimmer: relative standard deviation of a cycle's amplitude.
        level: loudness at the microphone, in dB against other speakers.
        expressiveness: factor on every effect of emotion.
        habits: by dimension of ``emotion.Expression``, how much this speaker uses it.
    """

    gender: str
    pitch: float
    span: float
    tract: float
    rate: float
    open_quotient: float
    tilt: float
    breath: float
    jitter: float
    shimmer: float
    level: float
    expressiveness: float
    habits: tuple[float, ...]


def draw_voice(generator: np.random.Generator, gender: str) -> Voice:
    """A speaker drawn at random; the spreads are about those between adults of one gender."""
    draw = generator.normal
    return Voice(
        gender=gender,
        pitch=PITCH[gender] * 2 ** (draw(0, 2.2) / 12),
        span=3.0 * 2 ** draw(0, 0.25),
        tract=TRACT[gender] * float(np.exp(draw(0, 0.04))),
        rate=4.8 * float(np.exp(draw(0, 0.09))),
        open_quotient=float(np.clip((0.66 if gender == "female" else 0.58) + draw(0, 0.04), 0.45, 0.8)),
        tilt=draw(0, 1.5),
        breath=(-22.0 if gender == "female" else -26.0) + draw(0, 3.0),
        jitter=0.006 * 2 ** draw(0, 0.4),
        shimmer=0.05 * 2 ** draw(0, 0.4),
        level=draw(0, 3.0),
        expressiveness=float(np.exp(draw(0, 0.2))),
        habits=tuple(np.exp(generator.normal(0, 0.3, len(DIMENSIONS))).tolist()),
    )
