"""F0 and voicing: of sounds whose pitch is known, and beside librosa's pyin."""

from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch

from common.config.settings import FeatureConfig
from common.features.extractor import extract
from common.features.pitch import VOICED, bridge, smooth

RECORDINGS = sorted((Path(__file__).parents[3] / "../shared/data/emodb").glob("*.wav"))
Array = npt.NDArray[np.float64]


def track(sound: Array, rate: int = 16000) -> tuple[Array, Array]:
    """F0 in Hz, 0 where unvoiced, and voicing."""
    config = FeatureConfig(
        sampling_rate=rate, stack=1, mfcc=0, deltas=0, energy=False, zero_crossing=False, spectral=False
    )
    f0, voicing = extract(torch.from_numpy(sound.astype(np.float32)), config).double().numpy().T
    return np.where(voicing >= VOICED, 60 * np.exp(f0), 0.0), voicing


def voice(pitch: Array, rate: int = 16000) -> Array:
    """Harmonics under formants at 700, 1200 and 2600 Hz, with a little hiss."""
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    sound = 0.001 * np.random.default_rng(0).standard_normal(len(pitch))
    for n in range(1, int(0.45 * rate / pitch.max())):
        level = sum(1 / (1 + ((n * pitch - formant) / 120) ** 2) for formant in (700, 1200, 2600))
        sound += 0.1 * level * np.sin(n * phase)
    return np.asarray(sound)


@pytest.mark.parametrize("hertz", [70, 80, 120, 180, 250, 400, 480])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_steady_voice_within_a_fifth_of_a_percent(hertz: float, rate: int) -> None:
    f0, voicing = track(voice(np.full(rate // 2, float(hertz)), rate), rate)
    np.testing.assert_allclose(f0[5:-5], hertz, rtol=2e-3)
    assert voicing[5:-5].min() > 0.9


@pytest.mark.parametrize("hertz", [100, 200, 350])
def test_a_gliding_voice_within_one_percent(hertz: float) -> None:
    pitch = hertz * 2 ** (0.25 * np.sin(2 * np.pi * np.arange(32000) / 16000))
    f0, _ = track(voice(pitch))
    error = np.abs(f0[5:-5] / pitch[::160][5 : len(f0) - 5] - 1)
    assert np.median(error) < 2e-3
    assert (error < 0.01).mean() > 0.95


def test_noise_and_silence_are_unvoiced() -> None:
    f0, voicing = track(0.1 * np.random.default_rng(1).standard_normal(16000))
    assert (f0 > 0).mean() < 0.05
    assert voicing.mean() < 0.5
    f0, voicing = track(np.zeros(16000))
    assert not f0.any()
    assert not voicing.any()


def test_unvoiced_stretches_are_bridged_and_the_ends_held() -> None:
    track = torch.tensor([0, 0, 1.0, 0, 0, 4.0, 3.0, 0])
    assert bridge(track).tolist() == [1, 1, 1, 2, 3, 4, 3, 3]
    assert bridge(torch.zeros(4)).tolist() == [0] * 4


def test_voicing_falls_with_the_noise() -> None:
    clean = voice(np.full(16000, 150.0))
    hiss = clean.std() * np.random.default_rng(2).standard_normal(16000)
    strengths = [track(clean + share * hiss)[1][5:-5].mean() for share in (0.0, 0.3, 1.0, 3.0)]
    assert strengths == sorted(strengths, reverse=True)
    assert strengths[0] > 0.95


def test_a_lone_octave_error_is_smoothed_away() -> None:
    frequency = torch.tensor([100.0, 100.0, 200.0, 100.0, 100.0, 300.0])
    strength = torch.tensor([0.9, 0.9, 0.9, 0.9, 0.1, 0.9])
    # The fifth frame is unvoiced; the sixth stands alone beside it.
    assert smooth(frequency, strength).tolist() == [100.0, 100.0, 100.0, 100.0, 100.0, 0.0]


def pyin(sound: npt.NDArray[np.float32]) -> Array:
    # The shortest window that holds 60 Hz: with a longer one librosa averages over the glides of lively speech.
    f0, voiced, _ = librosa.pyin(sound, fmin=60, fmax=500, sr=16000, frame_length=640, hop_length=160)
    return np.where(voiced, np.nan_to_num(f0), 0.0)


def disagreement(sound: npt.NDArray[np.float32]) -> Array:
    """The relative difference to pyin, where both call the frame voiced."""
    (f0, _), reference = track(sound.astype(np.float64)), pyin(sound)
    both = (f0 > 0) & (reference > 0)
    assert both.sum() > 0.5 * max((reference > 0).sum(), 1)
    return np.abs(f0[both] / reference[both] - 1)


def test_parity_with_pyin_on_a_made_up_voice() -> None:
    pitch = 160 * 2 ** (0.3 * np.sin(2 * np.pi * np.arange(32000) / 16000))
    error = disagreement(voice(pitch).astype(np.float32))
    assert np.median(error) < 0.01
    assert (error < 0.03).mean() >= 0.9


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not RECORDINGS, reason="no recordings beside the project")
def test_parity_with_pyin_on_real_speech() -> None:
    # Over EMO-DB and RAVDESS 90 % of the frames agree within 3 %, where Praat's own autocorrelation method has 93 %.
    sounds = [soundfile.read(path, dtype="float32")[0] for path in RECORDINGS[::34]]
    error = np.concatenate([disagreement(sound) for sound in sounds])
    assert np.median(error) < 0.01
    assert (error < 0.03).mean() >= 0.85
    assert (error > 0.2).mean() < 0.03
