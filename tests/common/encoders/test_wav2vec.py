from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from common.encoders.opening import describe_encoder, open_encoder
from common.errors import UsageError
from tests.common.encoders.hub_folders import SMALL, a_model, a_sound, save, transformers

LAYER: dict[str, Any] = {"feat_extract_norm": "layer", "conv_bias": True}
FAMILY: dict[str, tuple[str, dict[str, Any]]] = {
    "group norm": ("Wav2Vec2", {}),
    "layer norm": ("Wav2Vec2", LAYER),
    "norm first": ("Wav2Vec2", {**LAYER, "do_stable_layer_norm": True}),
    "odd positions": ("Wav2Vec2", {"num_conv_pos_embeddings": 7}),
    "hubert": ("Hubert", {}),
    "hubert, norm first": ("Hubert", {**LAYER, "do_stable_layer_norm": True}),
    "hubert, not normed": ("Hubert", {"feat_proj_layer_norm": False}),
    "wavlm": ("WavLM", {"num_buckets": 32, "max_bucket_distance": 20}),
    "wavlm, norm first": ("WavLM", {**LAYER, "do_stable_layer_norm": True}),
}


def a_folder(folder: Path, name: str = "Wav2Vec2", **settings: Any) -> tuple[Path, Any]:
    model = a_model(name, **SMALL | settings)
    return save(model, folder), model


def by_transformers(model: Any, signal: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        made = model(signal[None], output_hidden_states=True)
    return torch.cat([*made.hidden_states[1:-1], made.last_hidden_state])


def same(made: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("which", FAMILY)
def test_every_layer_is_that_of_transformers(tmp_path: Path, which: str) -> None:
    name, settings = FAMILY[which]
    folder, model = a_folder(tmp_path, name, **settings)
    signal = a_sound(16000)
    expected = by_transformers(model, signal)
    assert expected.shape == (3, 49, 32)
    encoder = open_encoder(folder)
    same(encoder.frames(signal, 3), expected)
    assert torch.equal(encoder.frames(signal, 1), encoder.frames(signal, 3)[:1])
    told = describe_encoder(folder)
    assert (told.kind, told.layers, told.width, told.frame_seconds) == (name.lower(), 3, 32, 0.02)


def test_sounds_are_scaled_where_the_publisher_says_so(tmp_path: Path) -> None:
    folder, model = a_folder(tmp_path)
    before, extractor = describe_encoder(folder), transformers().Wav2Vec2FeatureExtractor(do_normalize=True)
    extractor.save_pretrained(folder)
    assert describe_encoder(folder).settings_sha256 != before.settings_sha256
    signal = a_sound(8000) * 0.01 + 0.3
    scaled = torch.as_tensor(extractor(signal.numpy(), sampling_rate=16000).input_values[0])
    same(open_encoder(folder).frames(signal, 3), by_transformers(model, scaled))
    assert open_encoder(folder).frames(torch.zeros(8000), 3).isfinite().all()


def test_another_sampling_rate_is_refused(tmp_path: Path) -> None:
    folder, _ = a_folder(tmp_path)
    (folder / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    with pytest.raises(UsageError, match="sampling_rate is 8000, expected 16000 Hz"):
        describe_encoder(folder)


@pytest.mark.parametrize("names", [("weight_g", "weight_v"), ("weight",)])
@pytest.mark.parametrize("prefix", ["", "wav2vec2."])
def test_older_names_of_weights(tmp_path: Path, prefix: str, names: tuple[str, ...]) -> None:
    folder, _ = a_folder(tmp_path)
    expected = open_encoder(folder).frames(a_sound(4000), 3)
    weights = load_file(folder / "model.safetensors")
    start = "encoder.pos_conv_embed.conv."
    length, direction = (weights.pop(f"{start}parametrizations.weight.original{number}") for number in (0, 1))
    parts = (length, direction) if len(names) > 1 else (torch._weight_norm(direction, length, 2),)
    weights |= {start + name: part for name, part in zip(names, parts, strict=True)}
    save_file({prefix + name: weight for name, weight in weights.items()}, folder / "model.safetensors")
    same(open_encoder(folder).frames(a_sound(4000), 3), expected)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(tmp_path: Path, kind: torch.dtype) -> None:
    folder, model = a_folder(tmp_path, "WavLM")
    save(model.to(kind), folder)
    same(open_encoder(folder).frames(a_sound(4000), 3), by_transformers(model.float(), a_sound(4000)))


@pytest.mark.parametrize(("samples", "frames"), [(0, 1), (1, 1), (400, 1), (719, 1), (720, 2)])
def test_a_short_sound_has_a_frame(tmp_path: Path, samples: int, frames: int) -> None:
    made = open_encoder(a_folder(tmp_path, "WavLM")[0]).frames(a_sound(samples), 2)
    assert made.shape == (2, frames, 32)
    assert made.isfinite().all()
    assert not made.is_inference()


def test_a_long_sound_has_as_many_frames_as_in_one_piece(tmp_path: Path) -> None:
    encoder = open_encoder(a_folder(tmp_path, **LAYER)[0])
    signal = a_sound(16000 * 41 + 100)
    made = encoder.frames(signal, 1)
    assert made.shape[1] == (len(signal) - 400) // 320 + 1
    assert torch.equal(made[:, :900], encoder.frames(signal[: 16000 * 20], 1)[:, :900])
    assert torch.equal(made[:, 900:1700], encoder.frames(signal[16000 * 16 : 16000 * 36], 1)[:, 100:900])


def test_only_the_layers_asked_for_are_read(tmp_path: Path) -> None:
    encoder = open_encoder(a_folder(tmp_path, "WavLM")[0])
    encoder.frames(a_sound(4000), 1)
    assert not [name for name in encoder._weights._read if name.startswith("encoder.layers.1")]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"conv_stride": [5, 2]}, "conv_dim, conv_kernel and conv_stride are not equally long"),
        ({"conv_stride": [50, 20, 20, 20, 2, 2, 2]}, "a frame of 3200000 samples"),
        ({"conv_stride": [1] * 7}, "a frame of 1 samples"),
        ({"conv_stride": [1, 1, 1, 1, 1, 1, 80], "conv_dim": [1024] * 7}, "take too much memory"),
        ({"adapter_attn_dim": 16}, "encoders with such a part are not read"),
        ({"num_attention_heads": 5}, "num_attention_heads is 5, expected a part of 32"),
        ({"hidden_act": "swish"}, "hidden_act is 'swish', which is not read; gelu is"),
        ({"layer_norm_eps": 2}, "layer_norm_eps is 2, expected a number between 0 and 1"),
        ({"do_stable_layer_norm": "yes"}, "do_stable_layer_norm is 'yes', expected true or false"),
        ({"hidden_size": 48}, "asks for"),
    ],
)
def test_settings_that_are_none(tmp_path: Path, settings: dict[str, Any], line: str) -> None:
    folder, _ = a_folder(tmp_path)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    with pytest.raises(ValueError, match=line):
        describe_encoder(folder)
