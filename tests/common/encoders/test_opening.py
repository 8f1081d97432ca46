from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from common.encoders.opening import describe_encoder, open_encoder
from common.errors import UsageError
from tests.common.encoders.hub_folders import a_sound, whisper


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whisper(tmp_path_factory.mktemp("whisper"), positions=60)[0]


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    return tmp_path


def change(folder: Path, **settings: Any) -> None:
    file = folder / "config.json"
    values = json.loads(file.read_text()) | settings
    file.write_text(json.dumps({name: value for name, value in values.items() if value != "gone"}))


def rewrite(folder: Path, **weights: torch.Tensor | None) -> None:
    kept = load_file(folder / "model.safetensors") | weights
    save_file({name: weight for name, weight in kept.items() if weight is not None}, folder / "model.safetensors")


def refused(folder: Path, line: str) -> None:
    with pytest.raises(UsageError, match=line) as caught:
        describe_encoder(folder)
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(UsageError, match=line):
        open_encoder(folder)


def test_the_hash_is_that_of_the_file(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    assert describe_encoder(folder).sha256 == hashlib.sha256(weights).hexdigest()


def test_what_is_read_beside_the_weights_has_a_hash_too(folder: Path) -> None:
    before = describe_encoder(folder)
    change(folder, transformers_version="9.9", _name_or_path="elsewhere", num_mel_bins="gone")  # 80 by default
    assert describe_encoder(folder) == before
    change(folder, encoder_attention_heads=2)
    after = describe_encoder(folder)
    assert after.sha256 == before.sha256
    assert after.settings_sha256 != before.settings_sha256


def test_a_changed_file_is_another_encoder(folder: Path) -> None:
    before, encoder = describe_encoder(folder), open_encoder(folder)
    assert open_encoder(folder) is encoder
    rewrite(folder, **{"encoder.conv1.bias": torch.ones(32)})
    assert describe_encoder(folder).sha256 != before.sha256
    assert not torch.equal(open_encoder(folder).frames(a_sound(4000), 1), encoder.frames(a_sound(4000), 1))


def test_the_decoder_may_be_absent_and_names_shorter(folder: Path) -> None:
    expected = open_encoder(folder).frames(a_sound(4000), 3)
    weights = load_file(folder / "model.safetensors")
    assert any(name.startswith("decoder.") for name in weights)
    for prefix in ("", "encoder.", "model.encoder."):
        own = {
            prefix + name.removeprefix("encoder."): weight
            for name, weight in weights.items()
            if name.startswith("encoder.")
        }
        save_file(own, folder / "model.safetensors")
        assert torch.equal(open_encoder(folder).frames(a_sound(4000), 3), expected)


def test_a_path_that_is_no_text(folder: Path) -> None:
    other = Path(os.fsdecode(os.fsencode(folder.parent) + b"/caf\xe9"))
    folder.rename(other)
    assert open_encoder(other).frames(a_sound(4000), 1).shape == (1, 13, 32)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refused(folder, f"no {name}")


def test_a_missing_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none", "no such folder; expected an encoder's, fedser encoders tells")
    (tmp_path / "a.txt").write_text("")
    refused(tmp_path / "a.txt", "expected a folder with config.json and model.safetensors, or FILE.onnx")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "encoder.pt"])
def test_pickles_are_never_opened(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    refused(folder, f"{name} may run any code when it is opened and never is: get the encoder's model.safetensors")


def test_weights_in_several_files(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.safetensors.index.json")
    refused(folder, "weights in several files are not read")


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"model_type": "whisper"'])
def test_settings_that_are_no_json(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    refused(folder, "not JSON|expected an object")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"model_type": "bert"}, "model_type is 'bert', which is not read; whisper, wav2vec2, hubert, wavlm is"),
        ({"model_type": ["whisper"]}, "which is not read"),
        ({"model_type": "gone"}, "no model_type"),
        ({"d_model": "gone"}, "no d_model"),
        ({"d_model": 10**30}, "d_model is 10+, expected a whole number from 1 to"),
        ({"d_model": True}, "d_model is True"),
        ({"d_model": 64}, "config.json beside it asks for 64"),
        ({"encoder_layers": -1}, "encoder_layers is -1"),
        ({"encoder_layers": 4}, "lacks layers.3"),
        ({"encoder_attention_heads": 5}, "expected a part of 32"),
        ({"max_source_positions": 70}, "embed_positions.weight is 60 by 32"),
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
    ],
)
def test_settings_that_do_not_fit(folder: Path, settings: dict[str, Any], line: str) -> None:
    change(folder, **settings)
    refused(folder, line)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_weights_that_are_cut_short(folder: Path, kept: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    refused(folder, "not a whole safetensors file; download it again")


@pytest.mark.parametrize(
    ("weights", "line"),
    [
        ({"encoder.conv1.weight": None}, "no conv1.weight, expected the encoder"),
        ({"encoder.layers.1.fc1.bias": None}, "lacks layers.1.fc1.bias"),
        ({"encoder.layers.1.fc1.bias": torch.zeros(4, 12)}, "fc1.bias is 4 by 12, config.json beside it asks for 48"),
        ({"encoder.conv1.bias": torch.zeros(32, dtype=torch.int64)}, "conv1.bias is of type I64"),
        (
            {"encoder.layers.0.self_attn.k_proj.bias": torch.zeros(7)},
            "k_proj.bias is 7, layers.0.self_attn.k_proj.weight",
        ),
    ],
)
def test_weights_that_do_not_fit(folder: Path, weights: dict[str, torch.Tensor | None], line: str) -> None:
    rewrite(folder, **weights)
    refused(folder, line)


def test_numbers_that_are_not_finite(folder: Path) -> None:
    rewrite(folder, **{"encoder.conv1.bias": torch.full((32,), torch.nan)})
    with pytest.raises(UsageError, match=r"conv1.bias holds numbers that are not finite"):
        open_encoder(folder).frames(a_sound(4000), 1)


@pytest.mark.parametrize("layer", [0, 4])
def test_there_is_no_such_layer(folder: Path, layer: int) -> None:
    with pytest.raises(UsageError, match=f"the encoder's layer is {layer}, expected 1 to 3"):
        open_encoder(folder).frames(a_sound(4000), layer)
