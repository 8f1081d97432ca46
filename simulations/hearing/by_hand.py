"""The same task as one would write it with librosa and torch: the window's features anew each hop, a BiLSTM over them.

There is no speech gate in it, no adaptation and no service.
"""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path
from typing import Any

from simulations.hearing.hop_times import chunks, percentiles
from simulations.hearing.made_up_sound import CLASSES, RATE

_FRAME, _HOP = 512, 160  # samples


def hop_times_by_hand(sound: str, window: float, hop: float, most: int) -> dict[str, float]:
    """Of at most so many hops of a file, once a window is full, as ``percentiles``."""
    import librosa
    import numpy as np
    import torch

    torch.set_num_threads(1)
    listens = _Network()
    heard, times = np.zeros(0, np.float32), list[float]()
    for chunk in chunks(librosa.load(sound, sr=RATE)[0], hop):
        began = time.perf_counter()
        heard = np.concatenate([heard, chunk])[-round(window * RATE) :]
        listens(_features(heard))
        if len(heard) == round(window * RATE):
            times.append(time.perf_counter() - began)
        if len(times) > most:
            break
    return percentiles(times[1:])  # the first one compiles


def first_answer(sound: str) -> dict[str, float]:
    """Label a file; returns the most memory that this process held, in MB."""
    import librosa

    from simulations.hearing.pinned_process import most_memory

    _Network()(_features(librosa.load(sound, sr=RATE)[0]))
    return {"rss_mb": round(most_memory(Path("/proc/self/status").read_text(encoding="ascii")), 1)}


def versions() -> dict[str, str]:
    """What it was measured with."""
    return {name: importlib.metadata.version(name) for name in ("librosa", "torch", "numpy")}


def _features(sound: Any) -> Any:
    import librosa
    import numpy as np

    power = np.abs(librosa.stft(sound, n_fft=_FRAME, hop_length=_HOP)) ** 2
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(librosa.feature.melspectrogram(S=power, sr=RATE)), n_mfcc=40)
    pitch = librosa.yin(sound, fmin=60, fmax=400, sr=RATE, frame_length=1024, hop_length=_HOP)
    rows = [
        mfcc,
        librosa.feature.delta(mfcc),
        librosa.feature.rms(y=sound, frame_length=_FRAME, hop_length=_HOP),
        librosa.feature.zero_crossing_rate(sound, frame_length=_FRAME, hop_length=_HOP),
        librosa.feature.spectral_centroid(S=np.sqrt(power), sr=RATE),
        librosa.feature.spectral_rolloff(S=np.sqrt(power), sr=RATE),
        pitch[None],
    ]
    count = min(each.shape[1] for each in rows)
    return np.concatenate([each[:, :count] for each in rows]).T.astype(np.float32)


class _Network:
    """As many units as fedser's default has."""

    def __init__(self) -> None:
        import torch

        self._lstm = torch.nn.LSTM(85, 128, bidirectional=True, batch_first=True).eval()
        self._last = torch.nn.Linear(256, len(CLASSES)).eval()

    def __call__(self, features: Any) -> Any:
        import torch

        with torch.inference_mode():
            heard, _ = self._lstm(torch.from_numpy(features)[None])
            return self._last(heard.mean(1)).softmax(1).numpy()
