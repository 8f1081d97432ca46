from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from common.config.settings import FeatureConfig
from common.features import pitch
from common.features.extractor import extract, names
from recogniser.export.front_constants import columns, context, front_constants
from recogniser.export.parity import session
from recogniser.export.trial_sounds import trial_sounds
from recogniser.graph.node_builder import NodeBuilder, floats_of
from recogniser.graph.sound_frames import sound_frames

SETTINGS = {
    "default": FeatureConfig(),
    "all": FeatureConfig(windows=(25, 50), deltas=2, log_mel=24, mfcc=13),
    "8 kHz": FeatureConfig(sampling_rate=8000, windows=(20,), hop=8),
    "levels": FeatureConfig(mfcc=0, log_mel=40, deltas=2, pitch=False, spectral=False, zero_crossing=False),
    "crossings": FeatureConfig(mfcc=0, energy=False, pitch=False, spectral=False, windows=(5, 90), hop=7),
    "shape": FeatureConfig(mfcc=0, energy=False, pitch=False, zero_crossing=False),
    "odd": FeatureConfig(sampling_rate=22050, deltas=0, hop=20, windows=(31,)),
    "pitch": FeatureConfig(mfcc=0, energy=False, spectral=False, zero_crossing=False, sampling_rate=44100),
}
Frames = npt.NDArray[np.float32]


class Front:
    """The graph of some settings."""

    def __init__(self, config: FeatureConfig) -> None:
        builder, constants = NodeBuilder(), front_constants(config)
        frames = {sound_frames(builder, "sound", constants): floats_of("frames", "batch", "time", constants.columns)}
        self._session = session(builder.model([floats_of("sound", "batch", "samples")], frames))

    def __call__(self, sound: Frames) -> Frames:
        found: Frames = self._session.run(None, {"sound": sound})[0]
        return found


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_the_frames_are_those_of_training(config: FeatureConfig) -> None:
    single, front = replace(config, stack=1), Front(config)
    assert columns(config) == names(single)
    for sounds in trial_sounds(config.sampling_rate, ((1, 0.1), (3, 0.73))):
        found = front(sounds)
        for sound, frames in zip(sounds, found, strict=True):
            wanted = extract(torch.from_numpy(sound), single).numpy()
            assert frames.shape == wanted.shape == (1 + len(sound) // front_constants(config).hop, len(names(single)))
            if config.pitch:
                frames[:, -2] = pitch.bridge(torch.from_numpy(frames[:, -2].copy())).numpy()
            assert np.abs(frames - wanted).max() < 1e-3  # of levels in dB


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
def test_a_block_with_its_context_has_the_frames_of_the_whole(config: FeatureConfig) -> None:
    front, look, hop = Front(config), context(config), front_constants(config).hop
    sound = next(trial_sounds(config.sampling_rate, ((1, 2.5),)))[:, : 100 * hop + 3]
    whole = front(sound)
    for first, end in ((0, 1), (0, 40), (1, 2), (30, 31), (33, 64), (20, 21), (90, 101)):
        low, high = max(0, first - look["left"]), end - 1 + look["right"]
        samples = sound[:, low * hop : high * hop if high < 101 else None]
        block = front(samples)[:, first - low :][:, : end - first]
        assert np.abs(block - whole[:, first:end]).max() <= 1e-5


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("config", [SETTINGS[name] for name in ("default", "levels", "crossings")])
def test_less_context_would_not_do(config: FeatureConfig, side: str) -> None:
    """So that nobody waits for more sound than is heard."""
    front, look, hop = Front(config), context(config), front_constants(config).hop
    sound = next(trial_sounds(config.sampling_rate, ((1, 2.5),)))[:, : 100 * hop]
    whole, first = front(sound), 40
    low, high = first - look["left"], 60 + look["right"]
    low, high = (low + 1, high) if side == "left" else (low, high - 1)
    block = front(sound[:, low * hop : high * hop])
    assert np.abs(block[:, first - low :][:, : 61 - first] - whole[:, first:61]).max() > 1e-5
