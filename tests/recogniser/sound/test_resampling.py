"""Blocks of any size give the numbers that torchaudio gives of the whole signal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from common.audio.reading import resample
from recogniser.sound.resampling import Resampler

TO = 16_000


def in_chunks(signal: npt.NDArray[np.float32], rate: int, size: int) -> npt.NDArray[np.float32]:
    resampler = Resampler(rate, TO)
    parts = [resampler.feed(signal[at : at + size]) for at in range(0, len(signal), size)]
    return np.concatenate([*parts, resampler.end()])


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_414, 44_100, 48_000])
def test_chunks_of_any_size_are_torchaudios_whole(rate: int) -> None:
    signal = np.random.default_rng(rate).normal(size=3 * rate + 17).astype(np.float32)
    expected = resample(torch.from_numpy(signal), rate, TO).numpy()
    whole = in_chunks(signal, rate, 10 * rate)
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    for size in (137, 1600, rate):
        np.testing.assert_array_equal(in_chunks(signal, rate, size), whole)


@pytest.mark.parametrize("rate", [8_000, 44_100])
@pytest.mark.parametrize("samples", [0, 1, 441, 2000])
def test_single_samples_and_next_to_nothing(rate: int, samples: int) -> None:
    signal = np.random.default_rng(1).normal(size=samples).astype(np.float32)
    expected = resample(torch.from_numpy(signal), rate, TO).numpy() if samples else signal
    np.testing.assert_allclose(in_chunks(signal, rate, 1), expected, atol=1e-5)
