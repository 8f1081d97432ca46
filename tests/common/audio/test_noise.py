"""Noise of each kind: as loud as was asked, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from common.audio.augment import alter
from common.audio.noise import add_kind, in_room, mix, noise_files
from common.config.settings import AugmentConfig
from common.errors import UsageError
from tests.common.examples import tone

RATE = 16000
PLAIN = {"speed": 0.0, "gain": 0.0}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sine(samples: int = RATE) -> torch.Tensor:
    return 0.1 * torch.sin(2 * torch.pi * 440 / RATE * torch.arange(samples))


def ratio(signal: torch.Tensor, noisy: torch.Tensor) -> float:
    return float(10 * torch.log10(signal.square().sum() / (noisy - signal).square().sum()))


@pytest.mark.parametrize("kind", ["pink", "babble"])
@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
def test_the_ratio_is_what_was_asked_to_a_tenth_of_a_decibel(kind: str, snr: float) -> None:
    config = AugmentConfig(noise=(snr, snr), noise_kinds=(kind,))
    assert ratio(sine(), add_kind(sine(), RATE, config, snr, generator())) == pytest.approx(snr, abs=0.1)


def test_recordings_of_noise_are_one_more_kind_and_begin_again(tmp_path: Path) -> None:
    tone(tmp_path / "deep" / "hum.wav", hz=50.0, seconds=0.3)
    config = AugmentConfig(noise=(5.0, 5.0), noise_kinds=(), noise_recordings=str(tmp_path))
    noisy = add_kind(sine(), RATE, config, 5.0, generator())
    assert ratio(sine(), noisy) == pytest.approx(5.0, abs=0.1)
    noise = noisy - sine()
    torch.testing.assert_close(noise[:4800], noise[4800:9600], atol=1e-6, rtol=0)


def test_a_folder_without_recordings_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="where no recording is; expected a folder of recordings of noise") as error:
        noise_files(str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_broken_recording_of_noise_is_no_fault_of_what_it_is_mixed_into(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    config = AugmentConfig(noise=(5.0, 5.0), noise_kinds=(), noise_recordings=str(tmp_path))
    with pytest.raises(UsageError, match=r"augment.noise_recordings: .*broken.wav: .*take it out of the folder"):
        add_kind(sine(), RATE, config, 5.0, generator())


def test_a_folder_of_noise_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="say at which dB"):
        AugmentConfig(noise_recordings=str(tmp_path))


def test_a_room_keeps_level_and_length_and_is_its_convolution() -> None:
    click = torch.zeros(8000)
    click[100] = 1.0
    wet = in_room(click, RATE, 0, 0)
    assert len(wet) == 8000
    assert float(wet.square().sum()) == pytest.approx(1.0, rel=1e-4)
    assert wet[:100].abs().max() < 1e-5  # nothing before the sound, nothing around the end
    assert int(wet.abs().argmax()) >= 100
    assert not in_room(torch.zeros(800), RATE, 0, 0).any()


@pytest.mark.parametrize("kind", ["pink", "babble", "room"])
def test_a_seed_gives_one_copy_and_another_set_other_voices_and_rooms(kind: str) -> None:
    own, other = (AugmentConfig(noise=(5.0, 5.0), noise_kinds=(kind,), noise_set=n, speed=0.0) for n in (0, 1))
    first = alter(sine(), RATE, own, 3)
    assert torch.equal(first, alter(sine(), RATE, own, 3))
    assert not torch.equal(first, alter(sine(), RATE, own, 4))
    assert torch.equal(first, alter(sine(), RATE, other, 3)) == (kind == "pink")


def test_the_share_is_that_of_the_noisy_copies() -> None:
    config = AugmentConfig(noise=(5.0, 5.0), noise_share=0.25, speed=0.0)
    noisy = [not torch.equal(alter(sine(400), RATE, config, seed), sine(400)) for seed in range(400)]
    assert sum(noisy) == pytest.approx(100, abs=30)
    none = AugmentConfig(noise=(5.0, 5.0), noise_share=0.0, speed=0.0)
    assert torch.equal(alter(sine(400), RATE, none, 1), sine(400))


def test_silence_stays_as_it_is() -> None:
    torch.testing.assert_close(mix(sine(), torch.zeros(RATE), 0.0), sine())
    assert not mix(torch.zeros(RATE), sine(), 0.0).any()


def test_noise_of_no_or_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match=r"augment\.noise_kinds"):
        AugmentConfig(noise=(5.0, 20.0), noise_kinds=())
    with pytest.raises(UsageError, match=r"augment\.noise_kinds"):
        AugmentConfig(noise_kinds=("brown",))
