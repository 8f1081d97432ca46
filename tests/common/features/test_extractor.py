from typing import Any

import pytest
import torch

from common.config.settings import FeatureConfig as Settings
from common.errors import UsageError
from common.features.extractor import dimension, extract, extract_batch, names


def unstacked(**more: Any) -> Settings:
    """The default settings, frame by frame and with ΔΔ."""
    return Settings(**{"deltas": 2, "stack": 1, **more})


EVERYTHING = unstacked(windows=(25, 50), mfcc=13, log_mel=20)
NOTHING = unstacked(mfcc=0, deltas=0, energy=False, zero_crossing=False, pitch=True, spectral=False)


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def column(signal: torch.Tensor, name: str, config: Settings | None = None) -> torch.Tensor:
    config = config or unstacked()
    return extract(signal, config)[:, names(config).index(name)]


def test_a_second_at_the_defaults() -> None:
    features = extract(noise(16000), unstacked())
    assert features.shape == (101, 3 * 41 + 3 + 1 + 2)
    assert features.dtype == torch.float32
    assert features.isfinite().all()


def test_names_are_in_the_order_of_the_columns() -> None:
    config = unstacked(windows=(25, 50), mfcc=1, log_mel=1, deltas=1)
    window = "mfcc_0 log_mel_0 energy delta_mfcc_0 delta_log_mel_0 delta_energy centroid rolloff flux zero_crossing"
    expected = [f"{name}@{ms}" for ms in (25, 50) for name in window.split()]
    assert names(config) == [*expected, "f0", "voicing"]


@pytest.mark.parametrize(
    "config",
    [
        unstacked(),
        EVERYTHING,
        NOTHING,
        unstacked(mfcc=0, energy=False, spectral=False, pitch=False),
        unstacked(mfcc=0, energy=False, zero_crossing=False, pitch=False),
        unstacked(mfcc=0, log_mel=256, deltas=0),
        unstacked(mfcc=128, stack=3),
        unstacked(sampling_rate=4000, windows=(5,)),
        unstacked(sampling_rate=8000, windows=(200,), hop=100),
        unstacked(sampling_rate=22050, hop=1),
        unstacked(sampling_rate=44100),
        unstacked(sampling_rate=96000, hop=7),
    ],
)
def test_every_configuration_gives_as_many_named_finite_columns(config: Settings) -> None:
    samples = config.sampling_rate // 4
    features = extract(noise(samples), config)
    frames = 1 + samples // round(config.sampling_rate * config.hop / 1000)
    assert features.shape == (-(-frames // config.stack), dimension(config))
    assert len(set(names(config))) == dimension(config)
    assert features.isfinite().all()


def test_a_signal_does_not_depend_on_its_batch() -> None:
    signals = [noise(16000, 1), 100 * noise(1600, 2), noise(40123, 3), noise(1, 4)]
    alone = [extract(signal, EVERYTHING) for signal in signals]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        together = extract_batch([signals[i] for i in order], EVERYTHING)
        for i, features in zip(order, together, strict=True):
            torch.testing.assert_close(features, alone[i], rtol=1e-5, atol=1e-4)  # of levels about -50 dB


def test_features_own_their_memory() -> None:
    first, second = extract_batch([noise(1600), noise(1600)], unstacked())
    assert first.is_contiguous()
    assert first.untyped_storage().nbytes() == first.nbytes
    assert first.data_ptr() != second.data_ptr()


@pytest.mark.parametrize("samples", [1, 159, 160, 1600])
def test_short_signals(samples: int) -> None:
    features = extract(noise(samples), EVERYTHING)
    assert features.shape == (1 + samples // 160, dimension(EVERYTHING))
    assert features.isfinite().all()


def test_no_signals_no_features() -> None:
    assert extract_batch([], unstacked()) == []


@pytest.mark.parametrize("shape", [(0,), (2, 1600)])
def test_a_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"expected \(samples,\)"):
        extract(torch.zeros(shape), unstacked())


def test_silence_within_speech_lies_on_the_floor() -> None:
    signal = noise(16000)
    signal[4000:12000] = 0.0
    features = extract(signal, unstacked())
    assert features.isfinite().all()
    silent = dict(zip(names(unstacked()), features[50], strict=True))
    assert silent["energy@25"] == pytest.approx(-100.0)
    assert silent["mfcc_0@25"] == pytest.approx(-100.0 * 64**0.5)
    for name in ("mfcc_1@25", "delta_energy@25", "centroid@25", "rolloff@25", "flux@25", "f0", "voicing"):
        assert silent[name] == pytest.approx(0.0, abs=1e-3), name


def test_energy_is_the_mean_square_in_decibels() -> None:
    sine = 0.5 * torch.sin(2 * torch.pi * 1000 / 16000 * torch.arange(16000))
    energy = column(sine, "energy@25")
    assert energy[50] == pytest.approx(-9.03, abs=0.01)  # 10 log10(0.5² / 2)


def test_a_ramp_has_its_slope_as_delta_and_a_parabola_its_curvature() -> None:
    # Levels in dB rise by `a` and `2 b t` a frame where the amplitude is 10 ** ((a t + b t²) / 20).
    time = torch.arange(32000) / 160
    carrier = torch.sin(2 * torch.pi * 1000 / 16000 * torch.arange(32000))
    ramp = carrier * 10 ** ((0.2 * time - 60) / 20)
    assert column(ramp, "delta_energy@25")[100] == pytest.approx(0.2, abs=1e-3)
    assert column(ramp, "delta2_energy@25")[100] == pytest.approx(0.0, abs=1e-3)
    bow = carrier * 10 ** ((0.002 * (time - 100) ** 2 - 60) / 20)
    assert column(bow, "delta2_energy@25")[100] == pytest.approx(0.004, abs=1e-4)


def test_stacking_joins_frames_and_repeats_the_last() -> None:
    signal = noise(1600)  # 11 frames
    plain, stacked = extract(signal, unstacked()), extract(signal, unstacked(stack=4))
    assert stacked.shape == (3, 4 * plain.shape[1])
    expected = torch.cat([plain, plain[-1:]]).reshape(3, -1)
    torch.testing.assert_close(stacked, expected)
    assert names(unstacked(stack=4))[-1] == "voicing[3]"


def test_the_first_frame_has_no_flux_and_a_steady_sound_little() -> None:
    signal = noise(16000)
    assert column(signal, "flux@25")[0] == 0.0
    signal[8000:] *= 10.0  # +20 dB
    rise = column(signal, "flux@25")
    assert rise[50] > 2 * rise[20:40].mean()
