import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch

from common.config.kinds import KINDS
from common.config.settings import Config, ModelConfig
from common.errors import FedserError, UsageError
from common.features.extractor import dimension
from common.learning.prediction import predict
from common.learning.saved_model import calibrate, load, save, windows
from common.models.architectures import build_model
from common.models.bilstm_attention import AttentiveBiLSTM
from common.models.linear import LinearModel
from common.models.model import EmotionModel
from tests.common.models.kinds import config_of, model_of

CONFIG = Config(seed=3, model=ModelConfig(projection=5, hidden=4, layers=2, attention=3))
CLASSES = ("sadness", "anger", "neutral")
FEATURES = 6
UNSURE = {"0.1": 0.4, "0.2": 0.5, "0.3": 0.625}
KEPT = Path(__file__).parent / "kept/format-1.safetensors"


@pytest.fixture
def model() -> EmotionModel:
    return build_model(FEATURES, len(CLASSES), CONFIG).eval()


@pytest.fixture
def path(tmp_path: Path, model: EmotionModel) -> Path:
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    scaling = {"mean": np.arange(FEATURES, dtype=np.float32), "deviation": np.full(FEATURES, 2, dtype=np.float32)}
    save(tmp_path / "run" / "model.safetensors", arrays, scaling, CONFIG, CLASSES)
    return tmp_path / "run" / "model.safetensors"


def test_a_model_comes_back(path: Path, model: EmotionModel) -> None:
    batch, lengths = torch.randn(3, 7, FEATURES), torch.tensor([7, 2, 1])
    for where in (path, path.parent):
        saved = load(where)
        assert torch.equal(saved.model(batch, lengths), model(batch, lengths))
        assert not saved.model.training
        assert (saved.config, saved.classes) == (CONFIG, CLASSES)
        assert saved.scaling.mean.tolist() == list(range(FEATURES))
        assert saved.scaling.deviation.tolist() == [2.0] * FEATURES


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"model.hidden": 0, "model.statistics": "contours"}, LinearModel),
        ({"model.hidden": 0, "model.statistics": "means"}, LinearModel),
        ({"model.hidden": 4, "model.projection": 5}, AttentiveBiLSTM),
    ],
)
def test_a_model_of_before_there_were_kinds_predicts_as_it_did(
    tmp_path: Path, settings: dict[str, Any], kind: type[EmotionModel]
) -> None:
    config = Config().with_values(settings)
    before = build_model(FEATURES, len(CLASSES), config).eval()
    arrays = {name: tensor.numpy() for name, tensor in before.state_dict().items()}
    scaling = {"mean": np.zeros(FEATURES, np.float32), "deviation": np.ones(FEATURES, np.float32)}
    save(tmp_path / "model.safetensors", arrays, scaling, config, CLASSES)
    rewrite(tmp_path / "model.safetensors", lambda tensors, about: about["config"].pop("model.kind"))
    saved = load(tmp_path)
    assert type(saved.model) is kind
    batch, lengths = torch.randn(3, 7, FEATURES), torch.tensor([7, 4, 2])
    assert torch.equal(saved.model(batch, lengths), before(batch, lengths))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_every_kind_comes_back(tmp_path: Path, kind: str) -> None:
    config = config_of(kind)
    before, width = model_of(config).eval(), dimension(config.features)
    arrays = {name: tensor.numpy() for name, tensor in before.state_dict().items()}
    scaling = {"mean": np.zeros(width, np.float32), "deviation": np.ones(width, np.float32)}
    save(tmp_path / "model.safetensors", arrays, scaling, config, ["a", "b", "c", "d"])
    saved = load(tmp_path)
    assert (saved.config, type(saved.model)) == (config, type(before))
    batch, lengths = torch.randn(3, 7, width), torch.tensor([7, 4, 2])
    assert torch.equal(saved.model(batch, lengths), before(batch, lengths))


def test_it_is_safetensors_alone(path: Path) -> None:
    with safetensors.safe_open(path, framework="np") as file:
        about = json.loads(file.metadata()["fedser"])
    assert about["classes"] == list(CLASSES)
    assert about["config"]["seed"] == 3
    assert about["format"] == 2
    assert (about["temperature"], about["unsure"], about["windows"]) == (1.0, None, None)


def test_a_file_of_the_format_before_predicts_as_it_did(tmp_path: Path) -> None:
    """It was written before there was a temperature."""
    np.save(tmp_path / "x.npy", np.arange(20, dtype=np.float32).reshape(5, 4) / 4 - 2)
    saved = load(KEPT)
    assert (saved.temperature, saved.unsure) == (1.0, None)
    before = {"anger": 0.2933165729045868, "neutral": 0.42628055810928345, "sadness": 0.28040289878845215}
    assert predict(saved, tmp_path / "x.npy") == pytest.approx(before, abs=1e-6)


def test_a_temperature_comes_back_and_makes_a_model_less_sure_of_the_same(path: Path, tmp_path: Path) -> None:
    for calibrated, out in ((path, tmp_path / "own/model.safetensors"), (KEPT, tmp_path / "old/model.safetensors")):
        calibrate(calibrated, out, 2.0, UNSURE)
        before, after = load(calibrated), load(out.parent)
        assert (after.temperature, after.unsure) == (2.0, UNSURE)
        assert (after.config, after.classes) == (before.config, before.classes)
        width = len(before.scaling.mean)
        np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3, width)))
        cold, warm = (predict(saved, tmp_path / "x.npy") for saved in (before, after))
        roots = {name: share**0.5 for name, share in cold.items()}  # of a softmax, at twice the temperature
        assert warm == pytest.approx({name: root / sum(roots.values()) for name, root in roots.items()})
        assert max(warm, key=warm.__getitem__) == max(cold, key=cold.__getitem__)


def test_a_model_that_is_calibrated_in_place_keeps_all_else(path: Path) -> None:
    whole = dict(safetensors.numpy.load_file(path))
    calibrate(path.parent, path, 0.5, UNSURE)
    again = safetensors.numpy.load_file(path)
    assert again.keys() == whole.keys()
    assert all(np.array_equal(again[name], value) for name, value in whole.items())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_model_that_is_calibrated_in_place_is_as_private_as_before(path: Path, tmp_path: Path) -> None:
    path.chmod(0o640)
    link, new, open_to_all = tmp_path / "link.safetensors", tmp_path / "new", tmp_path / "open"
    link.symlink_to(path)
    open_to_all.touch()
    open_to_all.chmod(0o664)
    for out in (new, open_to_all, link):
        calibrate(link, out, 0.5, UNSURE)
    assert link.is_symlink()
    assert load(path).temperature == load(link).temperature == load(new).temperature == 0.5
    assert [own.stat().st_mode & 0o777 for own in (path, new, open_to_all)] == [0o640, 0o640, 0o664]


def test_a_link_that_leads_nowhere_is_one_line(path: Path, tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(FedserError, match="cannot be written"):
        calibrate(path, tmp_path / "circle/model.safetensors", 0.5, UNSURE)


def test_a_calibrated_model_outlives_a_power_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    calibrate(path, path, 0.5, UNSURE)
    assert len(synced) == 2  # the file and its folder


def test_the_windows_are_those_of_the_training(path: Path) -> None:
    assert windows(CONFIG) is None
    cropped = CONFIG.with_values({"augment.crop": 0.25})
    assert windows(cropped) == {"share": 0.25, "seconds": [0.5, None]}


def refused(path: Path) -> str:
    with pytest.raises(UsageError, match=r"^--model ") as error:
        load(path)
    assert "\n" not in str(error.value)
    assert "expected the folder of a finished run, or its model.safetensors" in str(error.value)
    return str(error.value)


def test_where_there_is_no_model(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        assert "there is no such file" in refused(path)


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:20], lambda b: b[:-4], lambda b: b"x" * len(b)])
def test_a_broken_file_is_refused(path: Path, damage: Callable[[bytes], bytes]) -> None:
    path.write_bytes(damage(path.read_bytes()))
    assert "not a model of fedser, or broken" in refused(path)


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    with safetensors.safe_open(path, framework="np") as file:
        about = json.loads(file.metadata()["fedser"])
    tensors = dict(safetensors.numpy.load_file(path))
    change(tensors, about)
    path.write_bytes(safetensors.numpy.save(tensors, {"fedser": json.dumps(about)}))


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, about: tensors.pop("scaling.mean"),
        lambda tensors, about: tensors.pop("model.classifier.weight"),
        lambda tensors, about: tensors.update({"model.extra": np.ones(2)}),
        lambda tensors, about: tensors.update({"model.classifier.weight": np.ones((2, 2))}),
        lambda tensors, about: tensors.update({"scaling.mean": np.array(1.0, dtype=np.float32)}),
        lambda tensors, about: tensors.update({"scaling.mean": np.ones(FEATURES + 1, dtype=np.float32)}),
        lambda tensors, about: about.clear(),
        lambda tensors, about: about.pop("classes"),
        lambda tensors, about: about.update(classes=["anger", "sadness"]),
        lambda tensors, about: about.update(classes=3),
        lambda tensors, about: about.update(config=[]),
        lambda tensors, about: about.update(config="{"),
        lambda tensors, about: about.pop("format"),
    ],
)
def test_a_file_of_something_else_is_refused(
    path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    rewrite(path, change)
    assert "not a model of fedser, or broken" in refused(path)


HOSTILE = [float("nan"), float("inf"), -0.1, -1, 10**400, True, False, "1.5", "", [1.0], {}, {"a": 1}, None]


@pytest.mark.parametrize("value", [*HOSTILE, 0, 0.0, 1e-300, 1e300, 0.249, 4.001])
def test_a_temperature_that_none_can_have_is_refused(path: Path, value: object) -> None:
    rewrite(path, lambda tensors, about: about.update(temperature=value))
    assert "not a model of fedser, or broken" in refused(path)


@pytest.mark.parametrize(
    "value",
    [
        *({**UNSURE, "0.2": own} for own in (*HOSTILE, 1.001)),
        *(3, 0, "", [], {}, {"0.1": 0.5}, {**UNSURE, "0.4": 0.5}, [[share, own] for share, own in UNSURE.items()]),
    ],
)
def test_least_sure_answers_that_none_can_have_are_refused(path: Path, value: object) -> None:
    rewrite(path, lambda tensors, about: about.update(unsure=value))
    assert "not a model of fedser, or broken" in refused(path)


@pytest.mark.parametrize("weight", [[np.nan], [np.inf], [-9.0], [0.0], [2e6], [9.0, 9.0], []])
def test_a_weight_that_no_prior_can_have_is_refused(path: Path, weight: list[float]) -> None:
    rewrite(path, lambda tensors, about: tensors.update({"scaling.weight": np.array(weight, np.float32)}))
    assert "not a model of fedser, or broken" in refused(path)


@pytest.mark.parametrize("value", [0.25, 1, 4])
def test_what_calibration_can_give_is_taken(path: Path, value: float) -> None:
    unsure = {**UNSURE, "0.1": 0, "0.3": 1}
    rewrite(path, lambda tensors, about: about.update(temperature=value, unsure=unsure))
    assert (load(path).temperature, load(path).unsure) == (value, unsure)


def test_a_model_of_another_version_says_so(path: Path) -> None:
    rewrite(path, lambda tensors, about: about.update(config={"model.layer": 4}))
    assert "made by another version (unknown setting 'model.layer'; did you mean model.layers?)" in refused(path)


@pytest.mark.parametrize("version", [3, 0, "2", None])
def test_a_format_that_is_not_known_is_one_line(path: Path, version: object) -> None:
    rewrite(path, lambda tensors, about: about.update(format=version))
    assert f"made by another version (its format is {version!r}, this fedser reads 1 and 2)" in refused(path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FedserError, match="cannot be written"):
        save(tmp_path / "file" / "model.safetensors", {"x": np.ones(1)}, {}, CONFIG, CLASSES)
