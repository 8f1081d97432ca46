"""Made-up voices between silences, and sounds that are none."""

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


def no_speech(kind: str, seconds: float, decibels: float) -> Signal:
    """``silence``, ``white`` or ``pink`` noise, a mains ``hum``, or a ``melody``, at a level in dB of full scale."""
    generator, count = np.random.default_rng(1), round(seconds * RATE)
    time = np.arange(count) / RATE
    if kind == "silence":
        return np.zeros(count, np.float32)
    if kind == "white":
        sound = generator.normal(size=count)
    elif kind == "pink":
        spectrum = np.fft.rfft(generator.normal(size=count))
        sound = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), count)
    elif kind == "hum":
        sound = sum((np.sin(2 * np.pi * 50 * k * time) / k for k in (1, 2, 3, 5)), np.zeros(count))
    else:
        notes = generator.choice([262, 294, 330, 349, 392, 440, 494, 523], -(-count // 8000))
        decay = np.exp(-(np.arange(count) % 8000) / 4000)
        sound = np.sin(2 * np.pi * np.cumsum(np.repeat(notes, 8000)[:count]) / RATE) * decay
    return np.asarray(sound / sound.std() * 10 ** (decibels / 20), np.float32)
