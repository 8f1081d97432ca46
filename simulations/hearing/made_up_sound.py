"""What the recogniser is measured with: made-up voices, which its gate takes for speech, with gaps between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from common.voices.speech import speak
from common.voices.voice import draw_voice

RATE = 16_000
CLASSES = ("anger", "happiness", "neutral", "sadness")
GAPS = (0.1, 0.5)  # seconds between utterances: some end a segment, some do not
_FULL = 1 << 15
_NOISE = 1e-4  # so that nothing is digital silence
_TOGETHER = 300.0  # seconds that are made up; an hour says them again

Signal = npt.NDArray[np.float32]


def talk(name: str, seconds: float) -> Signal:
    """One utterance after another of voices that change, ``(samples,)``; the same for the same name."""
    generator = np.random.default_rng(list(name.encode()))
    parts: list[npt.NDArray[np.float64]] = []
    while sum(map(len, parts)) < seconds * RATE:
        voice = draw_voice(generator, str(generator.choice(["female", "male"])))
        gap = np.zeros(round(generator.uniform(*GAPS) * RATE))
        parts += [gap, speak(generator, voice, str(generator.choice(CLASSES)))]
    sound = np.concatenate(parts)[: round(seconds * RATE)]
    return _coarse(sound + generator.normal(0, _NOISE, len(sound)))


def in_16_bits(sound: Signal) -> npt.NDArray[np.int16]:
    """A sound as it is sent."""
    return np.round(sound * _FULL).astype("<i2")


def _coarse(sound: npt.NDArray[np.float64]) -> Signal:
    """What is left of a sound once it was sent in 16 bits: who computes what is to come has to hear the same."""
    return (np.clip(np.round(sound * _FULL), -_FULL, _FULL - 1) / _FULL).astype(np.float32)


def write_talk(path: Path, seconds: float) -> None:
    """Write so much of it, FLAC or WAV by the path's name."""
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as file:
        for part in _repeated(talk("file", min(seconds, _TOGETHER)), round(seconds * RATE)):
            file.write(part)


def _repeated(sound: Signal, samples: int) -> Iterator[Signal]:
    while samples > 0:
        yield sound[:samples]
        samples -= len(sound)
