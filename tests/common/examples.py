"""Small made-up utterances, sounds and feature matrices for the tests of ``common``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from common.data.extraction import Recording
from common.utterance import Utterance

RATE = 16000


def utterance(speaker: str = "a", name: str = "", emotion: str = "anger", **known: Any) -> Utterance:
    """An utterance of a file that need not exist."""
    path = Path(name or f"{speaker}-{emotion}.wav")
    return Utterance(path=path, emotion=emotion, speaker=speaker, corpus="test", **known)


def recording(frames: torch.Tensor, speaker: str = "a", emotion: str = "anger", *copies: torch.Tensor) -> Recording:
    """A recording with its features and those of its altered copies."""
    return Recording(utterance=utterance(speaker, emotion=emotion), versions=(frames, *copies))


def random_recordings(
    *, speakers: int, each: int, features: int, classes: tuple[str, ...], seed: int = 0
) -> list[Recording]:
    """Recordings of random length, whose first feature tells their class."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for speaker in range(speakers):
        for number in range(each):
            label = number % len(classes)
            length = int(torch.randint(3, 12, (), generator=generator))
            frames = torch.randn(length, features, generator=generator)
            frames[:, 0] += 3.0 * label
            found.append(recording(frames, f"s{speaker}", classes[label]))
    return found


def tone(path: Path, *, hz: float = 200.0, seconds: float = 0.3, seed: int = 0) -> Path:
    """Write a tone with a little noise, other bytes for every seed."""
    time = np.arange(round(RATE * seconds)) / RATE
    noise = np.random.default_rng(seed).normal(0.0, 0.01, len(time))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hz * time) + noise, RATE, subtype="PCM_16")
    return path
