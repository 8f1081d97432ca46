"""Made-up speech whose syllables, pauses and F0 are known, and the frames that the recogniser has of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from common.config.sections import FeatureConfig
from common.features import extractor, pitch
from common.voices.emotion import express
from common.voices.phones import HOP, write_script
from common.voices.prosody import melody
from common.voices.speech import PAUSE_PROBABILITY, speak
from common.voices.tract import RATE
from common.voices.voice import draw_voice
from recogniser.prosody.level_and_pitch import LevelAndPitch

CONFIG = replace(FeatureConfig(), stack=1)
COLUMNS = extractor.names(CONFIG)

Signal = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stretch:
    start: float
    end: float
    channel: int | None = None
    speaker: str | None = None


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A sound at 16 kHz; of its syllables' nuclei the seconds; its parts' ends; F0 in Hz where it is voiced."""

    signal: Signal
    nuclei: list[float]
    parts: list[tuple[float, float]]
    f0: Signal

    @property
    def pauses(self) -> list[float]:
        pairs = zip(self.parts[:-1], self.parts[1:], strict=True)
        return [start - end for (_, end), (start, _) in pairs if start - end >= 0.25]


def say(seed: int, gaps: list[float], gender: str = "female", tempo: float = 1.0) -> Spoken:
    """An utterance before and after each gap."""
    voice = draw_voice(np.random.default_rng(seed), gender)
    voice = replace(voice, rate=tempo * voice.rate)
    pieces, nuclei, active, f0 = [np.zeros(RATE // 2)], list[float](), list[npt.NDArray[np.bool_]](), list[Signal]()
    active.append(np.zeros(round(0.5 / HOP), bool))
    for number, gap in enumerate([*gaps, 0.5]):
        at = sum(map(len, active))
        signal = speak(np.random.default_rng([seed, number]), voice, "neutral")
        again = np.random.default_rng([seed, number])  # the same draws once more, for what is true of them
        said = express(again, "neutral", strength=voice.expressiveness, habits=voice.habits)
        pause = min(0.9, PAUSE_PROBABILITY * 2**said.pauses)
        script = write_script(again, rate=voice.rate * 2**said.rate, pause=pause)
        height, _ = melody(again, script, voice, said)
        nuclei += ((at + script.nuclei) * HOP).tolist()
        f0.append(height[script.voice > 0.2])
        active += [(script.voice > 0.05) | (script.friction > 0.05), np.zeros(round(gap / HOP), bool)]
        pieces += [signal[: len(script.voice) * 80], np.zeros(round(gap / HOP) * 80)]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], *active, [False]]).astype(int)))
    parts = [(float(a * HOP), float(b * HOP)) for a, b in edges.reshape(-1, 2)]
    return Spoken(signal=np.concatenate(pieces), nuclei=nuclei, parts=parts, f0=np.concatenate(f0))


def frames_of(signal: Signal) -> npt.NDArray[np.float32]:
    """As the recogniser has them: not stacked, F0 0 where unvoiced."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pitch, "bridge", lambda track: track)
        return extractor.extract(torch.from_numpy(signal.astype(np.float32)), CONFIG).numpy()


def heard(signal: Signal) -> LevelAndPitch:
    kept = LevelAndPitch(COLUMNS, 0.01)
    frames = frames_of(signal)
    for start in range(0, len(frames), 137):
        kept.add(frames[start : start + 137])
    return kept
