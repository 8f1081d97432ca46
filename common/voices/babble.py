"""Babble: several made-up voices at once, so that every site can make it and nobody real is in it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from common.seeds import numpy_generator
from common.voices.emotion import EFFECTS
from common.voices.phones import Array
from common.voices.speech import speak
from common.voices.tract import RATE
from common.voices.voice import PITCH, draw_voice

VOICES = 16  # of a set, of which each babble takes some
SECONDS = 8.0  # that each of them speaks before it begins again
TALKERS = (3, 6)  # the fewest and the most at once


@lru_cache(maxsize=2 * VOICES)
def voice_track(number: int, which: int) -> Array:
    """A made-up voice that goes on speaking, ``(SECONDS * tract.RATE,)``, of RMS 1.

    Args:
        number: of the set of voices; two sets have no voice in common.
        which: of its voices, from 0.
    """
    generator = numpy_generator("babble", number, which)
    voice = draw_voice(generator, tuple(PITCH)[which % len(PITCH)])
    samples, parts = round(SECONDS * RATE), list[Array]()
    while sum(map(len, parts)) < samples:
        parts.append(speak(generator, voice, tuple(EFFECTS)[int(generator.integers(len(EFFECTS)))]))
    whole = np.concatenate(parts)[:samples]
    level: Array = whole / np.sqrt(np.mean(whole**2))
    return level


def babble(number: int, seed: int, samples: int) -> Array:
    """Some voices of a set, equally loud, each from a place of its own.

    Args:
        number: of the set of voices.
        seed: draws who speaks and where each begins.
        samples: how many, at ``tract.RATE``.
    """
    generator = np.random.default_rng(seed)
    talkers = generator.choice(VOICES, int(generator.integers(TALKERS[0], TALKERS[1] + 1)), replace=False)
    mixed: Array = np.zeros(samples)
    for which in talkers.tolist():
        track = voice_track(number, which)
        mixed += np.take(track, np.arange(samples) + int(generator.integers(len(track))), mode="wrap")
    return mixed
