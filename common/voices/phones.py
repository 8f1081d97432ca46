"""What is said: nonsense words, as targets of the vocal tract by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

HOP = 0.005  # seconds between two frames
# Formants F1 to F3 of a man's vowels in Hz (Peterson & Barney 1952, Table II).
VOWELS = np.array(
    [
        (270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440),
        (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390), (490, 1350, 1690),
    ],
    dtype=float,
)  # fmt: skip
# By consonant: F1 to F3 in Hz, the levels of voice and of friction, the friction's centre in Hz, seconds.
CONSONANTS = np.array(
    [
        (320, 1390, 2530, 0.00, 0.32, 6300, 0.10),  # s
        (300, 1840, 2750, 0.00, 0.30, 3400, 0.10),  # sh
        (340, 1100, 2080, 0.00, 0.10, 5500, 0.09),  # f
        (240, 1390, 2530, 0.25, 0.16, 6000, 0.07),  # z
        (260, 1250, 2500, 0.45, 0.00, 3000, 0.07),  # n
        (250, 1000, 2200, 0.45, 0.00, 3000, 0.07),  # m
        (310, 1050, 2880, 0.60, 0.00, 3000, 0.06),  # l
        (310, 1060, 1380, 0.60, 0.00, 3000, 0.06),  # r
        (290, 610, 2150, 0.55, 0.00, 3000, 0.06),  # w
        (260, 2070, 3020, 0.55, 0.00, 3000, 0.06),  # j
    ]
)
# A plosive: its closure, silent or with a voice bar, and its burst.
PLOSIVES = np.array(
    [
        [(400, 1100, 2150, 0.00, 0.00, 1000, 0.06), (400, 1100, 2150, 0.0, 0.22, 1000, 0.015)],  # p
        [(400, 1600, 2600, 0.00, 0.00, 4500, 0.06), (400, 1600, 2600, 0.0, 0.40, 4500, 0.020)],  # t
        [(300, 1990, 2850, 0.00, 0.00, 2200, 0.06), (300, 1990, 2850, 0.0, 0.35, 2200, 0.025)],  # k
        [(200, 1100, 2150, 0.12, 0.00, 1000, 0.05), (200, 1100, 2150, 0.3, 0.12, 1000, 0.010)],  # b
        [(200, 1600, 2600, 0.12, 0.00, 4500, 0.05), (200, 1600, 2600, 0.3, 0.20, 4500, 0.010)],  # d
    ]
)
PAUSE = (500, 1500, 2500, 0.0, 0.0, 3000, 0.0)
VOWEL_SECONDS = 0.11


@dataclass(frozen=True, kw_only=True)
class Script:
    """An utterance as frames, ``HOP`` seconds apart.

    Attributes:
        formants: F1 to F3 of a man's tract in Hz, ``(frames, 3)``.
        voice: level of the voiced source, ``(frames,)``.
        friction: level of the friction's noise, ``(frames,)``.
        centre: the friction's centre in Hz, ``(frames,)``.
        nuclei: the frame in the middle of each vowel, ``(syllables,)``.
    """

    formants: Array
    voice: Array
    friction: Array
    centre: Array
    nuclei: npt.NDArray[np.int64]


def write_script(generator: np.random.Generator, *, rate: float, pause: float) -> Script:
    """Nonsense words of two or three syllables, some with a pause behind them.

    Args:
        generator: the utterance's randomness.
        rate: syllables per second, pauses aside.
        pause: the probability of a pause after a word.
    """
    rows: list[tuple[float, ...]] = [(*PAUSE[:-1], generator.uniform(0.05, 0.15))]
    vowels: list[int] = []
    words = int(generator.integers(3, 5))
    for word in range(words):
        for _ in range(int(generator.integers(2, 4))):
            syllable = _syllable(generator, rate)
            vowels.append(len(rows) + len(syllable) - 1)
            rows += syllable
        if word < words - 1 and generator.random() < pause:
            rows.append((*PAUSE[:-1], generator.uniform(0.12, 0.35)))
    rows.append((*PAUSE[:-1], generator.uniform(0.05, 0.15)))
    return _frames(np.array(rows), vowels)


def _syllable(generator: np.random.Generator, rate: float) -> list[tuple[float, ...]]:
    kind = generator.random()
    if kind < 0.35:
        onset = PLOSIVES[generator.integers(len(PLOSIVES))]
    elif kind < 0.9:
        onset = CONSONANTS[generator.integers(len(CONSONANTS)), None]
    else:
        onset = np.empty((0, 7))
    vowel = VOWELS[generator.integers(len(VOWELS))] * generator.normal(1, 0.04, 3)
    nucleus = (*vowel, generator.uniform(0.8, 1.0), 0.0, 3000.0, VOWEL_SECONDS * np.exp(generator.normal(0, 0.25)))
    phones = np.vstack([onset, nucleus])
    phones[:, -1] *= np.exp(generator.normal(0, 0.1)) / rate / (VOWEL_SECONDS + 0.075)
    return [tuple(phone) for phone in phones]


def _frames(rows: Array, vowels: list[int]) -> Script:
    frames = np.maximum(1, np.rint(rows[:, -1] / HOP)).astype(int)
    ends = np.cumsum(frames)
    tracks = np.repeat(rows, frames, axis=0)
    return Script(
        formants=np.stack([_smooth(tracks[:, i], 13) for i in range(3)], axis=1),  # 65 ms: one phone colours the next
        voice=_smooth(tracks[:, 3], 7),
        friction=_smooth(tracks[:, 4], 3),
        centre=tracks[:, 5],
        nuclei=(ends - frames // 2)[vowels],
    )


def _smooth(track: Array, width: int) -> Array:
    kernel = np.hanning(width + 2)[1:-1]
    return np.convolve(np.pad(track, width // 2, mode="edge"), kernel / kernel.sum(), mode="valid")
