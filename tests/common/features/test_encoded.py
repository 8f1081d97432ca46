from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from common.config.sections import EncoderConfig, FeatureConfig
from common.config.settings import AugmentConfig, Config, flatten
from common.encoders.opening import describe_encoder, open_encoder
from common.errors import AudioError, UsageError
from common.features import extractor
from common.features.cache import entry_key
from common.features.encoded import refuse_other_encoder, settle
from common.features.front_end import dimension, extract, most_rows, most_samples, row_ms
from tests.common.encoders.hub_folders import a_sound, whisper

LAYERS, WIDTH = 3, 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whisper(tmp_path_factory.mktemp("encoder") / "whisper")[0]


def features(folder: Path, **more: Any) -> FeatureConfig:
    given = {f"encoder.{name}": value for name, value in more.items()}
    return Config().with_values(settle({"encoder.path": str(folder), **given})).features


def test_what_the_files_say_is_settled(folder: Path) -> None:
    told = describe_encoder(folder)
    settled = settle({"encoder.path": str(folder), "seed": 3})
    assert settled["encoder.sha256"] == told.sha256
    assert (settled["encoder.layers"], settled["encoder.width"]) == (told.layers, told.width)
    assert settled["encoder.layer"] == str(math.ceil(told.layers / 2))
    assert settled["seed"] == 3
    again = Config().with_values(settle(flatten(Config().with_values(settled))))
    assert again == Config().with_values(settled)


def test_without_an_encoder_nothing_changes() -> None:
    assert settle({"seed": 3}) == {"seed": 3}
    assert settle(flatten(Config())) == flatten(Config())
    assert not Config().features.encoder.on


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"encoder.layer": "2"}, "encoder.layer says something of an encoder, and none is named; give --encoder DIR"),
        ({"encoder.path": "/nowhere/whisper"}, "/nowhere/whisper"),
    ],
)
def test_an_encoder_that_is_not_there(given: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line) as refused:
        settle(given)
    assert "\n" not in str(refused.value)


def test_another_encoder_than_the_runs_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="name the run's own"):
        settle({"encoder.path": str(folder), "encoder.sha256": "ab" * 32})
    own = dataclasses.replace(features(folder).encoder, sha256="ab" * 32)
    with pytest.raises(UsageError, match=f"the model was trained with {own.sha256}"):
        refuse_other_encoder(own, str(folder))
    with pytest.raises(UsageError, match="name it: --encoder"):
        refuse_other_encoder(own, "")


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"layer": "0"}, "expected a number from 1, middle or weighted"),
        ({"layer": "last"}, "expected a number from 1, middle or weighted"),
        ({"layer": "99"}, "encoder.layer is 99, the encoder has"),
        ({"pool": "mean"}, "expected one of statistics, frames"),
        ({"components": 2, "layer": "weighted"}, "components are of one layer's statistics"),
    ],
)
def test_odd_settings_are_one_line(folder: Path, more: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        features(folder, **more)


@pytest.mark.parametrize("more", [{"augment.crop": 0.5}, {"model.statistics": "contours"}])
def test_one_row_is_not_cut_and_has_no_contour(folder: Path, more: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="one row an utterance"):
        Config().with_values(settle({"encoder.path": str(folder), **more}))


def test_a_row_is_the_mean_and_deviation_of_the_layer(folder: Path) -> None:
    sound = a_sound(9000)
    frames = open_encoder(folder).frames(sound, 2)[-1]
    row = extract(sound, features(folder, layer="2"))
    assert row.shape == (1, dimension(features(folder, layer="2")))
    expected = torch.cat([frames.mean(0), frames.std(0, unbiased=False)])
    torch.testing.assert_close(row[0], expected, rtol=1e-4, atol=1e-5)


def test_all_layers_stand_one_after_the_other(folder: Path) -> None:
    sound, layers = a_sound(9000), describe_encoder(folder).layers
    whole = extract(sound, features(folder, layer="weighted"))[0]
    each = [extract(sound, features(folder, layer=str(layer + 1)))[0] for layer in range(layers)]
    torch.testing.assert_close(whole, torch.cat(each), rtol=1e-5, atol=1e-6)


def test_frames_stay_frames(folder: Path) -> None:
    sound, own = a_sound(16000), features(folder, layer="1", pool="frames")
    torch.testing.assert_close(extract(sound, own), open_encoder(folder).frames(sound, 1)[0])
    assert (row_ms(own), dimension(own)) == (20.0, describe_encoder(folder).width)
    assert len(extract(sound, own)) <= (most_rows(own, 1.0) or 0)


@pytest.mark.parametrize("pool", ["statistics", "frames"])
def test_classic_features_stand_beside(folder: Path, pool: str) -> None:
    sound, own = a_sound(16000), features(folder, layer="1", pool=pool, beside=True)
    alone = features(folder, layer="1", pool=pool)
    rows, width = extract(sound, own), dimension(alone)
    classic = extractor.extract(sound, FeatureConfig())
    assert rows.shape[1] == dimension(own)
    torch.testing.assert_close(rows[:, :width], extract(sound, alone))
    if pool == "statistics":
        expected = torch.cat([classic.mean(0), classic.std(0, unbiased=False)])
        torch.testing.assert_close(rows[0, width:], expected, rtol=1e-4, atol=1e-4)
    else:
        # Frames every 20 ms, rows every 30: each frame's middle falls to the row whose middle is nearest.
        nearest = [min(range(len(classic)), key=lambda r: abs(20 * f + 10 - 30 * r - 10)) for f in range(len(rows))]
        assert torch.equal(rows[:, width:], classic[nearest])


def test_a_bound_in_seconds_is_one_in_samples(folder: Path) -> None:
    own = features(folder)
    assert (most_rows(own, 2.0), most_samples(own, 2.0), most_samples(own, math.inf)) == (1, 32000, None)
    classic = FeatureConfig()
    assert most_samples(classic, 2.0) == (most_rows(classic, 2.0) or 0) * 3 * 160 - 1


def test_another_sampling_rate_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="encoders hear 16000 Hz"):
        extract(a_sound(9000), dataclasses.replace(features(folder), sampling_rate=8000))


def test_the_cache_knows_the_encoder_by_its_bytes_and_not_by_its_place(folder: Path) -> None:
    def key(own: FeatureConfig) -> str:
        return entry_key("0123", 0, own, AugmentConfig())

    def other(**more: Any) -> FeatureConfig:
        own = features(folder)
        return dataclasses.replace(own, encoder=dataclasses.replace(own.encoder, **more))

    own = features(folder)
    assert key(other(path="/elsewhere", components=64)) == key(own)
    assert key(dataclasses.replace(own, mfcc=13)) == key(own)  # no classic feature is computed
    different = [other(sha256="ab" * 32), other(layer="1"), other(pool="frames"), other(beside=True), FeatureConfig()]
    different.append(other(settings_sha256="ab" * 32))
    assert len({key(own), *map(key, different)}) == 1 + len(different)


def test_the_same_weights_with_other_heads_are_another_encoder(folder: Path, tmp_path: Path) -> None:
    own, told = features(folder), json.loads((folder / "config.json").read_text())
    shutil.copytree(folder, tmp_path / "other")
    (tmp_path / "other/config.json").write_text(json.dumps(told | {"encoder_attention_heads": 2}))
    other = features(tmp_path / "other")
    assert other.encoder.sha256 == own.encoder.sha256
    assert not torch.allclose(extract(a_sound(9000), other), extract(a_sound(9000), own))
    assert entry_key("0123", 0, other, AugmentConfig()) != entry_key("0123", 0, own, AugmentConfig())
    with pytest.raises(UsageError, match=r"its weights are the right ones, but its config\.json or"):
        refuse_other_encoder(own.encoder, str(tmp_path / "other"))
    named = {"encoder.path": str(tmp_path / "other"), "encoder.settings_sha256": own.encoder.settings_sha256}
    with pytest.raises(UsageError, match=f"the run's {own.encoder.settings_sha256}\\); get these files"):
        settle(named)


def test_an_encoder_that_nobody_looked_at_is_told() -> None:
    with pytest.raises(UsageError, match="settle the settings first"):
        dimension(FeatureConfig(encoder=EncoderConfig(path="/somewhere")))


def test_rows_are_made_by_the_encoder_of_the_settings_alone(tmp_path: Path) -> None:
    folder = whisper(tmp_path / "one")[0]
    own, sound = features(folder), a_sound(16_000)
    extract(sound, own)
    shutil.copytree(whisper(tmp_path / "two", positions=760)[0], folder, dirs_exist_ok=True)
    with pytest.raises(UsageError, match=r"its SHA-256 is [0-9a-f]{64}, the run's is"):
        extract(sound, own)


def test_frames_that_are_not_finite_are_the_recordings_loss(tmp_path: Path) -> None:
    folder = whisper(tmp_path / "huge")[0]
    weights = load_file(folder / "model.safetensors")
    save_file({name: value * 1e30 for name, value in weights.items()}, folder / "model.safetensors")
    with pytest.raises(AudioError, match="numbers that are not finite"):
        extract(a_sound(16_000), features(folder))
