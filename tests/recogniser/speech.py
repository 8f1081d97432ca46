"""Made-up voices between silences."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from common.voices.speech import speak
from common.voices.voice import draw_voice

RATE = 16_000
Signal = npt.NDArray[np.float32]


@lru_cache(maxsize=4)
def talk(seed: int = 0, words: int = 2, gap: float = 0.8) -> Signal:
    """So many utterances of one voice, each after a gap, with a little noise under all: ``(samples,)``."""
    generator = np.random.default_rng(seed)
    voice = draw_voice(generator, "female" if seed % 2 else "male")
    emotions = ("anger", "neutral", "sadness")
    parts = [np.zeros(round(gap * RATE))]
    for number in range(words):
        parts += [speak(generator, voice, emotions[number % 3]), np.zeros(round(gap * RATE))]
    sound = np.concatenate(parts)
    return np.clip(sound + generator.normal(0, 1e-4, len(sound)), -1, 1).astype(np.float32)
