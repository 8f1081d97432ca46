import pytest
import torch

from common.config.settings import FeatureConfig
from common.features.extractor import extract
from common.features.speech_gate import BELOW, speech_rows

RATE = 16000


def sound(*levels: float | None) -> torch.Tensor:
    """White noise of so many dB of full scale in each third of a second; None for silence."""
    noise = torch.randn(RATE // 3, generator=torch.Generator().manual_seed(0)) / 4
    return torch.cat([noise * (0.0 if level is None else 10 ** (level / 20)) for level in levels])


COLUMNS = {
    "energy": FeatureConfig(),
    "cepstrum": FeatureConfig(energy=False),
    "bands": FeatureConfig(energy=False, mfcc=0, log_mel=40),
    "two windows": FeatureConfig(windows=(25, 50)),
    "one by one": FeatureConfig(stack=1),
}


@pytest.mark.parametrize("config", COLUMNS.values(), ids=COLUMNS.keys())
@pytest.mark.parametrize("gain", [0.0, -30.0])
def test_the_loud_third_is_speech_and_silence_is_not_at_any_gain(config: FeatureConfig, gain: float) -> None:
    rows = speech_rows(extract(sound(None, -6.0 + gain, None), config), config)
    third = len(rows) / 3
    inside = torch.arange(len(rows))
    assert rows[(inside > third + 3) & (inside < 2 * third - 4)].all()
    assert not rows[(inside < third - 4) | (inside > 2 * third + 3)].any()


@pytest.mark.parametrize("under", [BELOW - 5, BELOW + 5])
def test_what_is_quieter_by_more_than_the_limit_is_none(under: float) -> None:
    config = FeatureConfig()
    rows = speech_rows(extract(sound(-6.0, -6.0 - under), config), config)
    assert bool(rows[-3]) == (under < BELOW)


def test_without_a_level_and_in_even_silence_every_row_counts() -> None:
    pitch = FeatureConfig(mfcc=0, energy=False, spectral=False, zero_crossing=False)
    for config in (pitch, FeatureConfig()):
        assert speech_rows(extract(sound(None), config), config).all()
    assert speech_rows(torch.zeros(0, 297), FeatureConfig()).shape == (0,)
