from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.config.settings import Config
from common.errors import UsageError
from common.learning import saved_model
from common.models.architectures import build_model
from server.records.starting_model import FILE, ORIGIN, keep_initial, kept, load_initial

CLASSES = ("anger", "neutral")
SMALL = {"model.projection": 3, "model.hidden": 4, "model.attention": 2, "features.mfcc": 13}


def write(folder: Path, width: int = 5, components: Any = None, **settings: Any) -> Path:
    """A model of small settings, in a folder."""
    config = Config().with_values({**SMALL, **{name.replace("__", "."): own for name, own in settings.items()}})
    arrays = {name: own.numpy() for name, own in build_model(width, 2, config).state_dict().items()}
    scaling = {"mean": np.full(width, 0.5, np.float32), "deviation": np.full(width, 2.0, np.float32)}
    if components is not None:
        scaling["components"] = np.array(components, np.float32)
    folder.mkdir()
    saved_model.save(folder / "model.safetensors", arrays, scaling, config, CLASSES)
    return folder


def config(folder: Path, **settings: Any) -> Config:
    own = {name.replace("__", "."): value for name, value in settings.items()}
    return Config().with_values({**SMALL, "federation.initial": str(folder), **own})


def test_without_a_name_there_is_none() -> None:
    assert load_initial(Config(), CLASSES) is None


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"model__dropout": 0.0},
        {"training__learning_rate": 0.1, "federation__strategy": "scaffold", "augment__copies": 0, "seed": 3},
        {"data__held_out": "kfold:3", "privacy__epsilon": 8.0},
        {"text__words": 1},
    ],
)
def test_what_leaves_the_meaning_of_weights_may_differ(other: dict[str, Any], tmp_path: Path) -> None:
    found = load_initial(config(write(tmp_path / "model"), **other), CLASSES)
    assert found is not None
    assert found.scaling.mean.tolist() == [0.5] * 5


@pytest.mark.parametrize(
    ("other", "line"),
    [
        ({"data__normalise": "global"}, "data.normalise running, the run has global"),
        ({"model__kind": "linear", "model__statistics": "means"}, "model.kind bilstm, the run has linear"),
        ({"model__hidden": 0, "model__statistics": "means"}, "model.kind bilstm, the run has linear"),
        ({"model__hidden": 5}, "model.hidden 4, the run has 5"),
        ({"model__layers": 2}, "model.layers 1, the run has 2"),
        ({"model__statistics": "contours"}, "model.statistics none, the run has contours"),
        ({"features__mfcc": 40}, "features.mfcc 13, the run has 40"),
        ({"features__windows": "25,50"}, "features.windows 25, the run has 25,50"),
        ({"features__stack": 1}, "features.stack 3, the run has 1"),
        ({"text__buckets": 64}, "text.buckets 0, the run has 64"),
    ],
)
def test_what_weights_mean_must_be_the_same(other: dict[str, Any], line: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    with pytest.raises(UsageError) as caught:
        load_initial(config(folder, **other), CLASSES)
    assert f"--initial {folder}: the model has {line}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("classes", [("neutral", "anger"), ("anger",), ("anger", "neutral", "sadness")])
def test_classes_must_be_the_same_in_the_same_order(classes: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"classes anger neutral, the run has {' '.join(classes)}"):
        load_initial(config(write(tmp_path / "model")), classes)


def test_sizes_of_a_kind_that_has_none_may_differ(tmp_path: Path) -> None:
    linear: dict[str, Any] = {"model__kind": "linear", "model__statistics": "means"}
    found = load_initial(config(write(tmp_path / "model", **linear), model__hidden=0, **linear), CLASSES)
    assert found is not None


@pytest.mark.parametrize("same", [True, False])
def test_a_public_scaling_must_be_that_of_the_model(same: bool, tmp_path: Path) -> None:
    model = write(tmp_path / "model", data__normalise="public")
    public = model
    if not same:
        public = write(tmp_path / "public", width=6)
    own = config(model, data__normalise="public", data__public=str(public))
    if same:
        assert load_initial(own, CLASSES) is not None
        return
    with pytest.raises(UsageError, match=f"was trained with another scaling than that of --public {public}"):
        load_initial(own, CLASSES)


@pytest.mark.parametrize("other", [[[0, 1, 0, 0, 0]], [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0]], None])
def test_another_projection_of_public_speech_is_refused_in_a_line(other: Any, tmp_path: Path) -> None:
    """Its mean and deviation are the same; weights mean nothing behind other directions, fewer or more."""
    own: dict[str, Any] = {"model__kind": "linear", "model__statistics": "rows", "encoder__components": 1}
    own |= {"encoder__sha256": "1" * 64, "encoder__layer": "1", "encoder__layers": 1, "encoder__width": 5}
    model = write(tmp_path / "model", components=[[1, 0, 0, 0, 0]], **own)
    public = write(tmp_path / "public", components=other, **own)
    assert load_initial(config(model, data__public=str(model), **own), CLASSES) is not None
    with pytest.raises(UsageError) as caught:
        load_initial(config(model, data__public=str(public), **own), CLASSES)
    line = f"--initial {model} was trained with another scaling than that of --public {public}"
    assert str(caught.value) == f"{line}; name the public model that it was trained with"


@pytest.mark.parametrize("content", [None, b"no model"])
def test_what_is_no_model_is_refused_in_a_line(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=f"--initial {path}: (there is no such file|not a model of fedser)"):
        load_initial(config(path), CLASSES)


def test_the_first_copy_stays(tmp_path: Path) -> None:
    own, out = config(write(tmp_path / "model")), tmp_path / "out"
    out.mkdir()
    assert kept(own, out) == own
    found = keep_initial(own, out)
    assert found.federation.initial == str(out / FILE)
    first = (out / FILE).read_bytes(), (out / ORIGIN).read_text()
    (tmp_path / "model/model.safetensors").write_bytes(b"another")
    assert keep_initial(own, out) == kept(own, out) == found
    assert ((out / FILE).read_bytes(), (out / ORIGIN).read_text()) == first


def test_a_run_from_a_new_model_has_no_copy(tmp_path: Path) -> None:
    assert keep_initial(Config(), tmp_path) == Config()
    assert list(tmp_path.iterdir()) == []
