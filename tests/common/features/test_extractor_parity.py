"""Every descriptor beside librosa's, called with the same parameters."""

from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch

from common.config.settings import FeatureConfig as Settings
from common.features.extractor import extract, names


def unstacked(**more: Any) -> Settings:
    """The default settings, frame by frame and with ΔΔ."""
    return Settings(**{"deltas": 2, "stack": 1, **more})


RECORDINGS = sorted((Path(__file__).parents[3] / "../shared/data/emodb").glob("*.wav"))
RATE, HOP = 16000, 160
Array = npt.NDArray[np.float32]


def made_up() -> Array:
    """A gliding voice of 20 harmonics, hiss, an onset and a stretch of silence."""
    random = np.random.default_rng(7)
    time = np.arange(2 * RATE) / RATE
    phase = 2 * np.pi * np.cumsum(150 * 2 ** (0.4 * np.sin(3 * time))) / RATE
    sound = 0.05 * sum(np.sin(n * phase) / n for n in range(1, 21)) + 0.003 * random.standard_normal(len(time))
    sound *= np.sin(2 * np.pi * 1.5 * time) ** 2
    sound[9000:12000] = 0.0
    return sound.astype(np.float32)


def real() -> Array:
    signal, rate = soundfile.read(RECORDINGS[0], dtype="float32")
    assert rate == RATE
    return np.asarray(signal)


@pytest.fixture(
    params=[
        "made up",
        pytest.param(
            "real",
            marks=[pytest.mark.data, pytest.mark.skipif(not RECORDINGS, reason="no recordings beside the project")],
        ),
    ]
)
def sound(request: pytest.FixtureRequest) -> Array:
    return made_up() if request.param == "made up" else real()


def ours(sound: Array, prefix: str, window: int = 25) -> Array:
    """Our columns whose name is `prefix`, or `prefix` and a number, as librosa lays them: (columns, frames)."""
    config = unstacked(windows=(25, 50), log_mel=80)
    wanted = [i for i, name in enumerate(names(config)) if name.rstrip("0123456789@").rstrip("_") == prefix]
    wanted = [i for i in wanted if names(config)[i].endswith(f"@{window}")]
    assert wanted
    return np.asarray(extract(torch.from_numpy(sound), config)[:, wanted].T.numpy())


def magnitude(sound: Array, window: int = 25) -> Array:
    size, length = (512, 400) if window == 25 else (1024, 800)
    return np.asarray(np.abs(librosa.stft(sound, n_fft=size, win_length=length, hop_length=HOP)))


def log_mel(sound: Array, bands: int, window: int = 25) -> Array:
    mel = librosa.feature.melspectrogram(S=magnitude(sound, window) ** 2, sr=RATE, n_mels=bands)
    return np.asarray(librosa.power_to_db(mel, amin=1e-10, top_db=None))


@pytest.mark.parametrize("window", [25, 50])
def test_log_mel_within_a_hundredth_of_a_decibel(sound: Array, window: int) -> None:
    np.testing.assert_allclose(ours(sound, "log_mel", window), log_mel(sound, 80, window), atol=0.01)


@pytest.mark.parametrize("window", [25, 50])
def test_mfcc_within_a_hundredth(sound: Array, window: int) -> None:
    reference = librosa.feature.mfcc(S=log_mel(sound, 64, window), n_mfcc=40)
    np.testing.assert_allclose(ours(sound, "mfcc", window), reference, atol=0.01)  # of values of several hundred


def test_energy_within_a_hundredth_of_a_decibel(sound: Array) -> None:
    # librosa divides the sum over the bins by the frame's length, as if the window were rectangular.
    window = librosa.filters.get_window("hann", 400)
    power = librosa.feature.rms(S=magnitude(sound), frame_length=512) ** 2 * 512 / np.sum(window**2)
    np.testing.assert_allclose(ours(sound, "energy"), librosa.power_to_db(power, top_db=None), atol=0.01)


@pytest.mark.parametrize(("prefix", "order"), [("delta", 1), ("delta2", 2)])
@pytest.mark.parametrize("base", ["mfcc", "log_mel", "energy"])
def test_derivatives_within_a_thousandth(sound: Array, base: str, prefix: str, order: int) -> None:
    reference = librosa.feature.delta(ours(sound, base), width=9, order=order, mode="nearest")
    np.testing.assert_allclose(ours(sound, f"{prefix}_{base}"), reference, atol=1e-3)


def test_zero_crossing_rate_exactly(sound: Array) -> None:
    reference = librosa.feature.zero_crossing_rate(sound, frame_length=400, hop_length=HOP)
    np.testing.assert_allclose(ours(sound, "zero_crossing"), reference, atol=1e-7)


def test_centroid_within_a_hertz(sound: Array) -> None:
    reference = librosa.feature.spectral_centroid(S=magnitude(sound), sr=RATE) / 1000
    np.testing.assert_allclose(ours(sound, "centroid"), reference, atol=1e-3)


def test_rolloff_is_the_same_bin_in_all_frames_but_one_in_a_hundred(sound: Array) -> None:
    reference = librosa.feature.spectral_rolloff(S=magnitude(sound), sr=RATE, roll_percent=0.85) / 1000
    differs = np.abs(ours(sound, "rolloff") - reference)
    assert (differs > 1e-4).mean() < 0.01
    assert differs.max() < 0.032  # one bin


def test_flux_within_a_hundredth_of_a_decibel(sound: Array) -> None:
    reference = librosa.onset.onset_strength(S=log_mel(sound, 64), sr=RATE, center=False)
    np.testing.assert_allclose(ours(sound, "flux")[0], reference, atol=0.01)
