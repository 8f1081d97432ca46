"""What graphs are tried on before they are handed out: made-up speech and rows, the same in each export."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Sizes = tuple[tuple[int, float], ...]  # batch, seconds

SOUNDS: Sizes = ((1, 0.1), (2, 0.37), (3, 1.0), (5, 1.5), (4, 2.5), (2, 6.3), (1, 30.0))
ROWS = ((1, 1), (1, 40), (2, 3), (3, 67), (4, 200), (5, 17))  # batch, rows of the longest
_SEED = 20
_SPEAKERS = (("female", "neutral"), ("male", "anger"))


def trial_sounds(sampling_rate: int, sizes: Sizes = SOUNDS) -> Iterator[Floats]:
    """Batches ``(batch, samples)`` of each size.

    The voices speak at 16 kHz; at another rate they are higher or lower, and speech all the same.
    """
    generator = np.random.default_rng(_SEED)
    most = max(batch * round(seconds * sampling_rate) for batch, seconds in sizes)
    said = _speech(generator, most)
    for batch, seconds in sizes:
        samples = round(seconds * sampling_rate)
        starts = generator.integers(0, len(said) - samples + 1, size=batch)
        yield np.stack([said[start : start + samples] for start in starts])


def _speech(generator: np.random.Generator, samples: int) -> Floats:
    """Some people one after the other, with noise far below them, so that nothing is digital silence."""
    from common.voices.speech import speak
    from common.voices.voice import draw_voice

    parts: list[npt.NDArray[np.float64]] = []
    while sum(len(own) for own in parts) < samples:
        parts += [speak(generator, draw_voice(generator, gender), emotion) for gender, emotion in _SPEAKERS]
    said = np.concatenate(parts)[:samples]
    return np.clip(said + 1e-3 * generator.normal(size=samples), -1, 1).astype(np.float32)


def trial_rows(mean: Floats, deviation: Floats) -> Iterator[tuple[Floats, npt.NDArray[np.int64]]]:
    """Batches of rows as features are distributed, and their lengths, the longest first."""
    generator = np.random.default_rng(_SEED)
    for batch, most in ROWS:
        lengths = np.sort(np.r_[most, generator.integers(1, most + 1, size=batch - 1)])[::-1]
        drawn = generator.normal(size=(batch, most, len(mean))).astype(np.float32)
        yield mean + deviation * drawn, lengths.astype(np.int64)
