import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import find_peaks

from recogniser.prosody.nuclei import nuclei, peaks, smooth


@given(st.integers(0, 2**32 - 1), st.integers(0, 120), st.floats(0.1, 3))
def test_peaks_are_those_of_scipy(seed: int, frames: int, prominence: float) -> None:
    track = np.random.default_rng(seed).normal(size=frames).astype(np.float32)
    expected, _ = find_peaks(track, prominence=prominence)
    assert peaks(track, prominence).tolist() == expected.tolist()


def test_a_plateau_is_one_peak_and_an_end_is_none() -> None:
    assert len(peaks(np.array([0, 3, 3, 3, 0, 2, 0], np.float32), 1)) == 2
    assert peaks(np.array([5, 0, 5], np.float32), 1).tolist() == []
    assert peaks(np.zeros(50, np.float32), 1).tolist() == []


def test_a_smoothed_track_keeps_its_length_and_its_level() -> None:
    assert smooth(np.full(30, -20.0, np.float32), 2) == pytest.approx(np.full(30, -20.0))
    assert len(smooth(np.zeros(0, np.float32), 2)) == 0
    assert smooth(np.eye(1, 31, 15, dtype=np.float32)[0], 2).argmax() == 15


def test_a_syllable_is_a_voiced_peak() -> None:
    level = -30 + 10 * np.sin(2 * np.pi * np.arange(200) / 50).astype(np.float32)
    voicing = np.where(np.arange(200) < 100, 0.9, 0.3).astype(np.float32)
    assert nuclei(level, voicing, 0.01).tolist() == pytest.approx([12, 62], abs=1)
