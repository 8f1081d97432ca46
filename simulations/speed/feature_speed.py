"""How fast features are extracted on one core, beside librosa and, where it is installed, openSMILE."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from common.config.settings import FeatureConfig
from common.features.extractor import extract_batch
from common.seeds import numpy_generator
from common.validate import in_range, positive

BATCH = 16  # utterances
FULL = FeatureConfig(deltas=2, stack=1)
MFCC = FeatureConfig(deltas=2, stack=1, zero_crossing=False, pitch=False, spectral=False)
_UTTERANCE = 3.0  # seconds, on average

Signals = Sequence[torch.Tensor]
Contender = Callable[[Signals], object]


def run(seconds: float = 120.0, repeats: int = 5) -> dict[str, Any]:
    """Time every contender on the same made-up speech, one after the other, ``repeats`` times over.

    Ours run on one torch thread. ``mfcc`` is MFCC (40), Δ, ΔΔ and log-energy; ``full`` adds F0, voicing, zero crossings
    and the spectral descriptors, the default of training. ``…_one_by_one`` calls the same function with one utterance
    at a time, as the extraction into the cache does. librosa's F0 is its ``yin``, for its ``pyin`` takes ten times
    as long; openSMILE computes the low-level descriptors of eGeMAPS v02.

    Args:
        seconds: how much sound.
        repeats: how often each contender runs, alternating; the fastest counts.

    Returns:
        By contender ``times_real_time`` (of the fastest run), ``median_times_real_time`` and ``cpu_times_real_time``
        (by the process's CPU time, which another program's load disturbs less); then ``audio_seconds``,
        ``utterances``, ``batch``, ``threads``, ``repeats`` and ``versions``.

    Raises:
        UsageError: ``seconds`` is not above 0, or ``repeats`` below 1.
    """
    positive("seconds", seconds)
    in_range("repeats", repeats, 1, 1000)
    signals = made_up_speech(seconds)
    contenders = _contenders()
    with one_thread():
        for contender in contenders.values():
            contender(signals[:2])  # compiles, imports and fills caches
        runs = [{name: _time(contender, signals) for name, contender in contenders.items()} for _ in range(repeats)]
    duration = sum(len(signal) for signal in signals) / FULL.sampling_rate
    report: dict[str, Any] = {name: _figures([run[name] for run in runs], duration) for name in contenders}
    return report | {
        "audio_seconds": round(duration, 1),
        "utterances": len(signals),
        "batch": BATCH,
        "threads": 1,
        "repeats": repeats,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "librosa", "numpy")},
    }


def made_up_speech(seconds: float) -> list[torch.Tensor]:
    """Utterances of 2 to 4 seconds: syllables of a gliding harmonic voice, hiss, pauses. No one's voice."""
    random = numpy_generator("bench features")
    signals: list[torch.Tensor] = []
    left = seconds
    while left > 0:
        length = min(left, random.uniform(_UTTERANCE - 1, _UTTERANCE + 1))
        signals.append(_utterance(max(length, 0.2), random))
        left -= length
    return signals


def _utterance(seconds: float, random: np.random.Generator) -> torch.Tensor:
    rate = FULL.sampling_rate
    time_axis = np.arange(round(seconds * rate)) / rate
    pitch = random.uniform(90, 260) * 2 ** (0.2 * np.sin(2 * np.pi * random.uniform(0.3, 1.5) * time_axis))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(n * phase) / n**1.2 for n in range(1, 16))
    syllables = np.clip(np.sin(2 * np.pi * 2.0 * time_axis) + 0.4, 0.0, None)
    sound = 0.1 * syllables * voice + 0.003 * random.standard_normal(len(time_axis))
    return torch.from_numpy(sound.astype(np.float32))


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block torch computes on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _time(contender: Contender, signals: Signals) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    contender(signals)
    return time.perf_counter() - wall, time.process_time() - cpu


def _figures(times: Sequence[tuple[float, float]], duration: float) -> dict[str, float]:
    walls, cpus = zip(*times, strict=True)
    return {
        "times_real_time": round(duration / min(walls), 1),
        "median_times_real_time": round(duration / statistics.median(walls), 1),
        "cpu_times_real_time": round(duration / min(cpus), 1),
    }


def _contenders() -> dict[str, Contender]:
    contenders: dict[str, Contender] = {
        "mfcc": lambda signals: _ours(signals, MFCC, BATCH),
        "full": lambda signals: _ours(signals, FULL, BATCH),
        "mfcc_one_by_one": lambda signals: _ours(signals, MFCC, 1),
        "full_one_by_one": lambda signals: _ours(signals, FULL, 1),
        "librosa_mfcc": lambda signals: [_librosa_mfcc(signal.numpy()) for signal in signals],
        "librosa_full": lambda signals: [_librosa_full(signal.numpy()) for signal in signals],
    }
    if importlib.util.find_spec("opensmile"):
        contenders["opensmile"] = _opensmile()
    return contenders


def _ours(signals: Signals, config: FeatureConfig, batch: int) -> None:
    for first in range(0, len(signals), batch):
        extract_batch(signals[first : first + batch], config)


def _librosa_statics(magnitude: Any) -> tuple[Any, list[Any]]:
    """Log-mel levels; MFCC, log-energy and their derivatives."""
    import librosa

    mel = librosa.feature.melspectrogram(S=magnitude**2, sr=FULL.sampling_rate, n_mels=64)
    levels = librosa.power_to_db(mel, top_db=None)
    energy = librosa.amplitude_to_db(librosa.feature.rms(S=magnitude, frame_length=512), top_db=None)
    statics = np.concatenate([librosa.feature.mfcc(S=levels, n_mfcc=FULL.mfcc), energy])
    return levels, [statics] + [librosa.feature.delta(statics, order=order, mode="nearest") for order in (1, 2)]


def _librosa_stft(signal: Any) -> Any:
    import librosa

    return np.abs(librosa.stft(signal, n_fft=512, win_length=400, hop_length=160))


def _librosa_mfcc(signal: Any) -> object:
    return _librosa_statics(_librosa_stft(signal))


def _librosa_full(signal: Any) -> object:
    import librosa

    rate, magnitude = FULL.sampling_rate, _librosa_stft(signal)
    levels, columns = _librosa_statics(magnitude)
    columns.append(librosa.feature.spectral_centroid(S=magnitude, sr=rate))
    columns.append(librosa.feature.spectral_rolloff(S=magnitude, sr=rate))
    columns.append(librosa.onset.onset_strength(S=levels, sr=rate, center=False))
    columns.append(librosa.feature.zero_crossing_rate(signal, frame_length=400, hop_length=160))
    columns.append(librosa.yin(signal, fmin=60, fmax=500, sr=rate, frame_length=640, hop_length=160))
    return columns


def _opensmile() -> Contender:
    import opensmile

    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.LowLevelDescriptors
    )
    return lambda signals: [smile.process_signal(signal.numpy(), FULL.sampling_rate) for signal in signals]
