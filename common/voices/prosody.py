"""The course of an utterance's pitch and stress."""

from __future__ import annotations

import numpy as np

from common.voices.emotion import Expression
from common.voices.phones import HOP, Array, Script
from common.voices.voice import Voice

DECLINATION = -2.0  # semitones that F0 sinks by over a calm utterance


def melody(generator: np.random.Generator, script: Script, voice: Voice, expression: Expression) -> tuple[Array, Array]:
    """F0 and stress by frame: a falling line, an accent on about every second syllable, a slow drift.

    Returns:
        F0 in Hz and stress as a factor on the level, both of shape ``(frames,)``.
    """
    frames = len(script.voice)
    accents = (generator.random(len(script.nuclei)) < 0.55) * generator.uniform(0.5, 1.3, len(script.nuclei))
    bumps = _bumps(frames, script, accents)
    line = np.linspace(0.5, -0.5, frames) * -(DECLINATION + expression.slope)
    drift = np.interp(np.arange(frames), np.linspace(0, frames, 6), generator.normal(0, 0.5, 6))
    semitones = expression.pitch + line + drift + voice.span * 2**expression.span * (bumps - bumps.mean())
    return voice.pitch * 2 ** (np.clip(semitones, -14, 22) / 12), 0.75 + 0.35 * bumps


def _bumps(frames: int, script: Script, heights: Array) -> Array:
    """A bell of 90 ms around each syllable's nucleus, ``(frames,)``."""
    distance = (np.arange(frames)[:, None] - script.nuclei[None, :]) * HOP / 0.09
    bumps: Array = (np.exp(-0.5 * distance**2) * heights).sum(axis=1)
    return bumps
