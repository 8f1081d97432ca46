from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from common.encoders.log_mel import log_mel
from common.encoders.opening import describe_encoder, open_encoder
from tests.common.encoders.hub_folders import a_sound, transformers, whisper

SHARED = Path(__file__).parents[3] / "../shared/models"


def by_transformers(encoder: torch.nn.Module, signal: torch.Tensor) -> list[torch.Tensor]:
    """The outputs of layers 1 and up for a sound whose length the encoder's positions fit."""
    levels = log_mel(signal, 80)
    levels = torch.nn.functional.pad(levels, (0, levels.shape[1] % 2))
    with torch.no_grad():
        return [state[0] for state in encoder(levels[None], output_hidden_states=True).hidden_states[1:]]


@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("samples", [400, 16000, 23456])
def test_the_levels_are_those_of_transformers(bands: int, samples: int) -> None:
    signal = a_sound(samples)
    extractor = transformers().WhisperFeatureExtractor(feature_size=bands)
    expected = extractor(signal.numpy(), sampling_rate=16000, padding="do_not_pad").input_features[0]
    torch.testing.assert_close(log_mel(signal, bands), torch.as_tensor(expected), atol=1e-5, rtol=0)


def test_every_layer_is_that_of_transformers(tmp_path: Path) -> None:
    folder, encoder = whisper(tmp_path, positions=50)
    signal = a_sound(16000)
    expected = torch.stack(by_transformers(encoder, signal))
    torch.testing.assert_close(open_encoder(folder).frames(signal, 3), expected, atol=1e-4, rtol=0)


def test_only_the_layers_asked_for_are_read(tmp_path: Path) -> None:
    folder, _ = whisper(tmp_path)
    encoder = open_encoder(folder)
    frames = encoder.frames(a_sound(8000), 2)
    assert frames.shape == (2, 25, 32)
    read = encoder._weights._read  # type: ignore[attr-defined]
    assert "layers.1.fc2.weight" in read
    assert not [name for name in read if name.startswith(("layers.2", "layer_norm"))]


@pytest.mark.parametrize(("samples", "frames"), [(0, 1), (1, 1), (399, 1), (640, 2), (641, 2), (16000, 50)])
def test_a_short_sound_has_a_frame(tmp_path: Path, samples: int, frames: int) -> None:
    made = open_encoder(whisper(tmp_path)[0]).frames(a_sound(samples), 3)
    assert made.shape == (3, frames, 32)
    assert made.isfinite().all()
    assert not made.is_inference()


def test_silence_is_finite(tmp_path: Path) -> None:
    assert open_encoder(whisper(tmp_path)[0]).frames(torch.zeros(16000), 3).isfinite().all()


def test_a_long_sound_goes_in_blocks_that_join(tmp_path: Path) -> None:
    """Each block is what its samples alone give; of an overlap (here 20 frames), each has its nearer half."""
    encoder = open_encoder(whisper(tmp_path, positions=100)[0])
    signal = a_sound(320 * 250 + 7)
    made = encoder.frames(signal, 1)
    assert made.shape[1] == 250
    blocks = [encoder.frames(signal[320 * first : 320 * (first + 100)], 1) for first in (0, 80, 160)]
    assert torch.equal(made[:, :90], blocks[0][:, :90])
    assert torch.equal(made[:, 90:170], blocks[1][:, 10:90])
    assert torch.equal(made[:, 170:], blocks[2][:, 10:])


def test_it_is_told_without_its_weights(tmp_path: Path) -> None:
    folder, _ = whisper(tmp_path)
    told = describe_encoder(folder)
    assert (told.kind, told.layers, told.width, told.frame_seconds) == ("whisper", 3, 32, 0.02)
    assert told.bytes == (folder / "model.safetensors").stat().st_size
    assert not open_encoder(folder)._weights._read  # type: ignore[attr-defined]


@pytest.mark.data
@pytest.mark.skipif(not SHARED.exists(), reason="no public encoders beside the project")
@pytest.mark.parametrize(("name", "width", "layers"), [("tiny", 384, 4), ("base", 512, 6)])
def test_the_real_ones(name: str, width: int, layers: int) -> None:
    folder = SHARED / f"whisper-{name}-encoder"
    signal = a_sound(32000)
    modules = transformers().models.whisper.modeling_whisper
    reference = modules.WhisperEncoder(transformers().WhisperConfig.from_pretrained(folder)).eval()
    weights = load_file(folder / "model.safetensors")
    reference.load_state_dict({key.removeprefix("encoder."): weight.float() for key, weight in weights.items()})
    reference.embed_positions.weight = torch.nn.Parameter(reference.embed_positions.weight[:100])
    reference.embed_positions.num_embeddings = reference.config.max_source_positions = 100
    made = open_encoder(folder).frames(signal, layers)
    assert made.shape == (layers, 100, width)
    torch.testing.assert_close(made, torch.stack(by_transformers(reference, signal)), atol=1e-4, rtol=0)
