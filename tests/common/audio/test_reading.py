from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from common.audio.reading import _resampler, faults, prepared, read, resample
from common.errors import AudioError


@pytest.mark.parametrize(
    ("rate", "ratio"), [(44_100, (441, 160)), (48_000, (3, 1)), (11_025, (441, 640)), (8_000, (1, 2))]
)
def test_usual_rates_are_resampled_exactly(rate: int, ratio: tuple[int, int]) -> None:
    from common.audio.torchaudio import load as torchaudio

    signal = torch.randn(rate // 4, generator=torch.Generator().manual_seed(0))
    expected = torchaudio().transforms.Resample(rate, 16_000)(signal)
    assert torch.allclose(resample(signal, rate, 16_000), expected, atol=1e-6)
    assert ratio[0] * 16_000 == ratio[1] * rate


@pytest.mark.parametrize("rate", [24_414, 15_999, 12_345, 192_001])
def test_odd_rates_take_a_small_kernel_and_keep_a_tone(rate: int) -> None:
    """24,414 Hz is TESS's own: to 16 kHz exactly it takes a kernel of 8,000 by 12,000, and gigabytes."""
    seconds, tone = 1.0, 440.0
    signal = torch.sin(2 * math.pi * tone * torch.arange(int(seconds * rate)) / rate)
    found = resample(signal, rate, 16_000)
    assert abs(len(found) - 16_000) <= 2
    middle = torch.arange(4_000, 12_000)
    expected = torch.sin(2 * math.pi * tone * middle / 16_000)
    assert (found[middle] - expected).abs().max() < 0.15  # at most 6.3e-5 of the time: 0.13 of a radian at its end
    kernels = [_resampler(*key).kernel.numel() for key in [(914, 599)] if rate == 24_414]
    assert all(count < 2_000_000 for count in kernels)


def test_the_same_rate_is_left_alone() -> None:
    signal = torch.randn(100)
    assert resample(signal, 16_000, 16_000) is signal


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_that_was_cut_short_is_no_shorter_recording(tmp_path: Path, subtype: str) -> None:
    path, rng = tmp_path / "a.ogg", np.random.default_rng(0)
    soundfile.write(path, 0.1 * rng.standard_normal(10 * 16_000), 16_000, format="OGG", subtype=subtype)
    assert len(read(path)[0]) >= 10 * 16_000 - 1000
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError) as caught:
        read(path)
    assert caught.value.kind in ("truncated", "unreadable")


VOICE = 0.2 * np.sin(2 * np.pi * 150 * np.arange(16_000) / 16_000)


@pytest.mark.parametrize(
    ("signal", "kind", "said"),
    [
        (np.zeros(16_000), "silent", "0.0e+00 of full scale"),
        (VOICE * 1e-4, "silent", "the loudest sample"),
        (np.full(16_000, 0.2), "constant", "every sample is 0.2 of full scale: a level and no sound"),
        (np.full(16_000, -1.0), "constant", "every sample is -1 of full scale"),
        (0.5 + VOICE * 1e-4, "constant", "every sample is 0.5 of full scale"),
        (np.full(16_000, np.nan), "non-finite", "16000 of 16000 samples"),
        (np.where(np.arange(16_000) == 7, np.inf, VOICE), "non-finite", "1 of 16000 samples"),
        (VOICE * 32_767, "beyond-full-scale", "whole numbers of 16 bits kept as floats: divide them by 32768"),
        (VOICE * 2**23, "beyond-full-scale", "24 bits kept as floats: divide them by 8388608"),
        (VOICE * 2**31, "beyond-full-scale", "32 bits kept as floats: divide them by 2147483648"),
        (VOICE * 20, "beyond-full-scale", "4 times full scale: floats of sound lie from -1 to 1"),
        (VOICE[:100], "short", "0.006 s"),
        (np.clip(VOICE * 9, -1, 1), "clipped", "of the samples are at full scale"),
        (np.tile(VOICE, 61), "long", "1.0 minutes under one label"),
        (VOICE, None, ""),
        (VOICE * np.linspace(0, 6, 16_000), None, ""),  # as a lossy coding may overshoot
        (VOICE * 0.5 + 0.4, None, ""),  # a level beside speech
    ],
)
def test_what_is_no_speech_is_named_as_what_it_is(signal: np.ndarray, kind: str | None, said: str) -> None:
    sound = signal.astype(np.float32)
    found = faults(sound, 16_000)
    assert [fault.kind for fault in found] == ([kind] if kind else [])
    assert all(said in fault.detail for fault in found)
    if kind in (None, "clipped", "long"):
        assert len(prepared(sound, 16_000, 16_000)) == len(sound)
    else:
        with pytest.raises(AudioError):
            prepared(sound, 16_000, 16_000)
