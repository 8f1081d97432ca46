from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from common.cli import main
from common.config.settings import Config
from common.learning import saved_model
from common.learning.prediction import predict
from common.models.architectures import build_model
from common.protocol import BINS
from tests.simulations import tiny

CLASSES = (*tiny.CLASSES, "surprise")  # the last is no recording's


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that knows the corpus's classes by their means, and is very sure of them."""
    config = Config().with_values(
        {"model.kind": "linear", "model.hidden": 0, "model.statistics": "means", "data.normalise": "global"}
    )
    scaling = {"mean": np.zeros(tiny.FEATURES, np.float32), "deviation": np.ones(tiny.FEATURES, np.float32)}
    made = build_model(tiny.FEATURES, len(CLASSES), config)
    state = {name: torch.zeros_like(own) for name, own in made.state_dict().items()}
    weight = next(name for name in state if name.endswith("weight"))
    state[weight][:, : tiny.FEATURES] = 4 * torch.eye(len(CLASSES), tiny.FEATURES)
    arrays = {name: own.numpy() for name, own in state.items()}
    saved_model.save(tmp_path / "run/model.safetensors", arrays, scaling, config, CLASSES)
    return tmp_path / "run"


def labelled(folder: Path) -> Path:
    """A corpus a sixth of whose labels is the next emotion's."""
    manifest = tiny.write(folder)
    head, *rows = manifest.read_text().splitlines()
    following = dict(zip(tiny.CLASSES, (*tiny.CLASSES[1:], tiny.CLASSES[0]), strict=True))
    told = [row.split(",") for row in rows]
    moved = [[path, following[label] if i % 6 == 0 else label, *more] for i, (path, label, *more) in enumerate(told)]
    manifest.write_text("\n".join([head, *map(",".join, moved)]))
    return manifest


def run(*arguments: object) -> int:
    return main.run(["calibrate", *map(str, arguments)])


def shares_of(saved: saved_model.SavedModel, manifest: Path) -> list[tuple[str, dict[str, float]]]:
    with manifest.open(newline="") as file:
        return [(row["emotion"], predict(saved, manifest.parent / row["path"])) for row in csv.DictReader(file)]


def test_it_fits_the_temperature_to_what_predict_says(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = labelled(tmp_path / "corpus")
    cold = shares_of(saved_model.load(model), manifest)
    assert run("--model", model, "--corpus", "manifest", "--root", manifest, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["recordings"], told["speakers"], told["synthetic"]) == (64, 8, False)
    saved = saved_model.load(model)
    assert saved.temperature == told["temperature"]
    warm = shares_of(saved, manifest)

    def loss(temperature: float) -> float:
        powers = [(label, {k: v ** (1 / temperature) for k, v in shares.items()}) for label, shares in cold]
        return -sum(float(np.log(own[label] / sum(own.values()))) for label, own in powers)

    assert -sum(np.log(shares[label]) for label, shares in warm) == pytest.approx(loss(saved.temperature), rel=1e-4)
    assert loss(saved.temperature) <= min(loss(saved.temperature * by) for by in (0.95, 1.05, 1 / saved.temperature))
    assert [max(own, key=own.__getitem__) for _, own in cold] == [max(own, key=own.__getitem__) for _, own in warm]
    sure = sorted(max(shares.values()) for _, shares in cold)
    assert saved.unsure == pytest.approx({f"{q:g}": np.quantile(sure, q) for q in (0.1, 0.2, 0.3)}, abs=1 / BINS)
    assert "unsure" not in told  # at temperature 1, which predict does not print


def test_again_it_starts_from_the_model_that_was_trained(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, before = labelled(tmp_path / "corpus"), (model / "model.safetensors").read_bytes()
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    assert run("--model", model, "--corpus", "manifest", "--root", manifest, "--out", first) == 0
    assert (model / "model.safetensors").read_bytes() == before
    said = capsys.readouterr().out
    assert said.startswith("temperature ")
    assert "fitted to 64 recordings of 8 speakers\nexpected calibration error of these recordings, to which" in said
    assert "least sure" not in said
    assert said.endswith(f"\n{first}: written\n")
    assert run("--model", first, "--corpus", "manifest", "--root", manifest, "--out", second, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["ece_before"] == again["ece_after"]
    assert second.read_bytes() == first.read_bytes()


def test_what_cannot_be_fitted_is_one_line_and_leaves_the_model(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (model / "model.safetensors").read_bytes()
    few = tiny.write(tmp_path / "few", speakers=2)
    odd = tiny.write(tmp_path / "odd")
    for path in odd.parent.glob("*.npy"):
        np.save(path, np.ones((3, 2), np.float32) * len(path.name) + np.load(path)[:3, :2])
    for root, why in ((few, "16 recordings have a label of the model's"), (odd, "2 features a frame, the model was")):
        assert run("--model", model, "--corpus", "manifest", "--root", root) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert why in lines[0]
    assert run("--model", model, "--corpus", "manifest") == 2
    assert "--root is missing" in capsys.readouterr().err
    assert run("--model", model, "--corpus", "synthetic") == 2
    assert "fedser corpus synthesize DIR --seed 1" in capsys.readouterr().err
    assert (model / "model.safetensors").read_bytes() == before


def test_labels_that_do_not_fit_end_at_the_end_of_the_range_which_is_said(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tiny.write(tmp_path / "corpus")
    text = manifest.read_text().replace(",anger,", ",x,").replace(",sadness,", ",anger,").replace(",x,", ",sadness,")
    manifest.write_text(
        text.replace(",neutral,", ",x,").replace(",happiness,", ",neutral,").replace(",x,", ",happiness,")
    )
    assert run("--model", model, "--corpus", "manifest", "--root", manifest) == 0
    told, said = capsys.readouterr()
    assert told.startswith("temperature 4.000, ")
    assert "the temperature is at the end of its range, 0.25 to 4" in said


def test_recordings_of_other_labels_and_broken_ones_are_named_and_left_out(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = labelled(tmp_path / "corpus")
    manifest.write_text(manifest.read_text().replace(",anger,", ",boredom,"))
    (manifest.parent / "00-neutral-0.npy").write_bytes(b"")
    asked = ("--model", model, "--corpus", "manifest", "--root", manifest)
    assert run(*asked, "--strict") == 2
    assert "--strict: 1 recordings cannot be used; " in capsys.readouterr().err
    assert run(*asked, "--json") == 0
    told, said = capsys.readouterr()
    assert json.loads(told)["recordings"] == 47
    assert "16 recordings are left out: the model knows anger, happiness" in said
    assert "1 recordings cannot be used; " in said
    assert "00-neutral-0.npy" in said


def test_a_card_beside_the_model_is_said_to_be_the_runs(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = labelled(tmp_path / "corpus")
    (model / "MODEL_CARD.md").write_text("# Model card")
    asked, line = ("--model", model, "--corpus", "manifest", "--root", manifest), "still has the run's temperature"
    for more, said in (((), True), (("--json",), True), (("--out", tmp_path / "elsewhere/x.safetensors"), False)):
        assert run(*asked, *more) == 0
        told, error = capsys.readouterr()
        assert (line in error, "MODEL_CARD" in told) == (said, False)
