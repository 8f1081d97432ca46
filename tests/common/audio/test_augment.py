import math
from itertools import pairwise

import pytest
import torch

from common.audio.augment import alter, gain, spec_augment, speed
from common.audio.noise import add_noise
from common.config.settings import AugmentConfig

RATE = 16000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sine(hertz: float = 440.0, samples: int = RATE) -> torch.Tensor:
    return 0.1 * torch.sin(2 * torch.pi * hertz / RATE * torch.arange(samples))


def peak_hertz(signal: torch.Tensor) -> float:
    spectrum: torch.Tensor = torch.fft.rfft(signal * torch.hann_window(len(signal)))
    return int(spectrum.abs().argmax()) * RATE / len(signal)


@pytest.mark.parametrize("rate", [0.9, 0.95, 1.0, 1.05, 1.1])
def test_speed_changes_length_and_pitch_by_the_factor(rate: float) -> None:
    faster = speed(sine(), RATE, rate)
    assert len(faster) == math.ceil(RATE / rate)
    assert peak_hertz(faster) == pytest.approx(440 * rate, abs=2)


def test_gain_is_in_decibels() -> None:
    torch.testing.assert_close(gain(sine(), 20.0), 10 * sine())


@pytest.mark.parametrize("snr", [-5.0, 5.0, 20.0])
def test_noise_reaches_the_ratio_to_a_tenth_of_a_decibel(snr: float) -> None:
    signal = sine()
    noise = add_noise(signal, snr, generator()) - signal
    assert 10 * torch.log10(signal.square().sum() / noise.square().sum()) == pytest.approx(snr, abs=0.1)


def test_noise_falls_by_three_decibels_an_octave() -> None:
    signal = sine(samples=1 << 17)
    noise = add_noise(signal, 0.0, generator()) - signal
    power: torch.Tensor = torch.fft.rfft(noise).abs().square()
    bands = [power[low : 2 * low].mean().log10() * 10 for low in (2048, 4096, 8192, 16384, 32768)]
    for lower, upper in pairwise(bands):
        assert lower - upper == pytest.approx(3.01, abs=0.4)


def test_noise_leaves_silence_alone() -> None:
    assert not add_noise(torch.zeros(1600), 10.0, generator()).any()


def test_a_seed_gives_one_copy_and_another_seed_another() -> None:
    config = AugmentConfig()
    first, again, other = (alter(sine(), RATE, config, seed) for seed in (1, 1, 2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert len(first) != len(other) or not torch.equal(first, other)


def test_copies_stay_within_the_config() -> None:
    config = AugmentConfig(speed=0.1, gain=6.0, noise=())
    copies = [alter(sine(), RATE, config, seed) for seed in range(40)]
    lengths = {len(copy) for copy in copies}
    assert lengths == {math.ceil(RATE / rate) for rate in (0.9, 0.95, 1.0, 1.05, 1.1)}
    levels = [20 * math.log10(float(copy.std() / sine().std())) for copy in copies]
    assert -6.1 < min(levels) < -3
    assert 3 < max(levels) < 6.1


def test_nothing_switched_on_changes_nothing() -> None:
    torch.testing.assert_close(alter(sine(), RATE, AugmentConfig(speed=0.0, gain=0.0, noise=()), 3), sine())


def masked(lengths: torch.Tensor, features: int = 40, seed: int = 0, **widths: float) -> torch.Tensor:
    settings = {"time_masks": 2, "time_width": 0.2, "feature_masks": 2, "feature_width": 0.25} | widths
    batch = torch.ones(len(lengths), int(lengths.max()), features)
    return spec_augment(batch, lengths, generator=generator(seed), **settings) == 0  # type: ignore[arg-type]


def test_time_masks_lie_within_the_lengths_and_scale_with_them() -> None:
    lengths = torch.tensor([200, 50] * 400)
    masks = masked(lengths, feature_masks=0, time_masks=1)[:, :, 0]
    assert not masks[lengths == 50, 50:].any()
    widths = masks.sum(dim=1)
    assert widths[lengths == 200].max() == 40  # a fifth; of 400 draws some reach it
    assert widths[lengths == 50].max() == 10
    assert widths.min() == 0
    assert masks[lengths == 50, 49].any()  # the last frame can be masked too


def test_two_masks_cover_at_most_twice_the_width() -> None:
    masks = masked(torch.full((200,), 100), feature_masks=0)[:, :, 0]
    assert 20 < masks.sum(dim=1).max() <= 40


def test_feature_masks_are_bands_over_all_frames() -> None:
    masks = masked(torch.full((100,), 30), time_masks=0, feature_masks=1)
    assert (masks == masks[:, :1]).all()
    assert masks[:, 0].sum(dim=1).max() == 10
    changes = masks[:, 0].int().diff(dim=1).abs().sum(dim=1)
    assert changes.max() <= 2  # one band


def test_the_generator_decides_alone() -> None:
    lengths = torch.tensor([80, 60, 3])
    first = masked(lengths, seed=5)
    torch.rand(1)  # the global generator moves on
    assert torch.equal(first, masked(lengths, seed=5))
    assert not torch.equal(first, masked(lengths, seed=6))


def test_the_batch_itself_is_left_alone() -> None:
    batch, lengths = torch.ones(2, 10, 4), torch.tensor([10, 10])
    everything = spec_augment(
        batch, lengths, time_masks=5, time_width=1.0, feature_masks=5, feature_width=1.0, generator=generator()
    )
    assert batch.all()
    assert not everything.all()


def test_no_masks_change_nothing() -> None:
    assert not masked(torch.tensor([5, 9]), time_masks=0, feature_masks=0).any()
    assert not masked(torch.tensor([5, 9]), time_width=0.0, feature_width=0.0).any()
