"""Whole runs that learn a teacher's answers beside the labels."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from client.deployed import open_deployed
from common.cli import main
from common.config.settings import Config, flatten
from common.config.units import UNITS
from common.errors import FederationError, UsageError
from common.privacy.recipe import private_settings
from server.federation.runs.run_planning import configured
from simulations.audits.audited_run import open_run
from simulations.engine.output import RUN_SETTINGS
from tests.client.deployment import deal, node, run_deployed
from tests.common.examples import tone
from tests.simulations import tiny
from tests.simulations.job.test_simulate import job, run, same

LINEAR = {"model__kind": "linear", "model__statistics": "means"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, and a teacher of two folds of it."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSER_CACHE", str(folder / "cache"))
        tiny.write(folder / "corpus", each=1)
        run(job(folder / "corpus/manifest.csv", folder / "teacher", data__held_out="kfold:2"))
    return folder


@pytest.fixture(autouse=True)
def _cache(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(made / "cache"))


def student(
    made: Path, out: Path, manifest: Path | None = None, *, baselines: bool = False, pages: bool = False, **more: Any
) -> Any:
    own = {"data__held_out": "kfold:2:1", "training__teacher": str(made / "teacher"), **more}
    return run(job(manifest or made / "corpus/manifest.csv", out, baselines=baselines, **own), pages=pages)


def relabelled(made: Path, folder: Path) -> Path:
    """The same recordings under each other's labels, every speaker with all of them."""
    shutil.copytree(made / "corpus", folder)
    path = folder / "manifest.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    after = dict(zip(tiny.CLASSES, (*tiny.CLASSES[1:], tiny.CLASSES[0]), strict=True))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "emotion": after[row["emotion"]]} for row in rows)
    return path


@pytest.mark.parametrize("validation", ["none", "one"])
def test_a_teacher_without_weight_changes_nothing(validation: str, made: Path, tmp_path: Path) -> None:
    own: dict[str, Any] = {"data__validation": validation, "data__sites": "1"}  # one chooses the round of four
    with_one = student(made, tmp_path / "with", training__teacher_weight=0.0, **own)
    run(job(made / "corpus/manifest.csv", tmp_path / "without", data__held_out="kfold:2:1", **own))
    assert same(tmp_path / "with", tmp_path / "without")
    assert bool(with_one["folds"][0]["refit"]) is (validation == "one")
    student(made, tmp_path / "weighed", **own)
    assert not same(tmp_path / "weighed", tmp_path / "without")


@pytest.mark.parametrize(
    ("kind", "normalise"),
    [
        pytest.param({}, "speaker", id="bilstm-speaker"),
        pytest.param(LINEAR, "running", id="linear-running"),
        pytest.param({}, "running", id="bilstm-running", marks=pytest.mark.slow),
        pytest.param(LINEAR, "speaker", id="linear-speaker", marks=pytest.mark.slow),
    ],
)
def test_by_the_teacher_alone_no_label_counts(kind: dict[str, Any], normalise: str, made: Path, tmp_path: Path) -> None:
    """The student may be of another kind, and normalised otherwise; class weights are of labels too."""
    own = {**kind, "data__normalise": normalise, "training__teacher_weight": 1.0, "data__validation": "none"}
    other = relabelled(made, tmp_path / "other")
    student(made, tmp_path / "right", **own)
    student(made, tmp_path / "wrong", other, **own)
    assert same(tmp_path / "right", tmp_path / "wrong")


def test_each_fold_has_its_own_folds_model_as_its_teacher(made: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {"data__held_out": "kfold:2", "federation__rounds": 1}
    result = student(made, tmp_path / "out", baselines=True, pages=True, **more)
    known = json.loads((made / "teacher/result.json").read_text())["folds"]
    for own, taught in zip(result["folds"], known, strict=True):
        model = made / "teacher/folds" / own["fold"].replace(":", "-") / "model.safetensors"
        assert own["taught_by"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
        trained = sorted({*taught["train_speakers"], *taught["validation_speakers"]})
        assert own["taught_by"]["speakers"] == {"manifest": trained}
        assert own["taught_by"]["heard"] == []
    assert "a\nteacher, a model of another run" in (tmp_path / "out/report.html").read_text()
    assert "the answers of a teacher" in (tmp_path / "out/MODEL_CARD.md").read_text()


def test_a_teacher_hears_sounds_with_its_own_features(tmp_path: Path) -> None:
    rows = []
    for number, speaker in enumerate("abcd"):
        for label, emotion in enumerate(("anger", "neutral")):
            path = tone(tmp_path / f"corpus/{speaker}-{emotion}.wav", hz=150 + 100 * label, seed=number)
            rows.append([path.name, emotion, speaker])
    manifest = tmp_path / "corpus/manifest.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "emotion", "speaker"], *rows])
    own: dict[str, Any] = {"data__held_out": "kfold:2:0", "augment__copies": 1, "data__validation": "none"}
    run(job(manifest, tmp_path / "teacher", features__mfcc=5, features__hop=20, features__deltas=0, **own))
    own["training__teacher"] = str(tmp_path / "teacher")
    assert student(tmp_path, tmp_path / "out", manifest, **own)["folds"][0]["taught_by"]


def test_a_run_whose_teacher_was_changed_does_not_go_on(made: Path, tmp_path: Path) -> None:
    teacher, out = tmp_path / "teacher", tmp_path / "out"
    shutil.copytree(made / "teacher", teacher)
    own = job(made / "corpus/manifest.csv", out, data__held_out="kfold:2:1", training__teacher=str(teacher))
    run(own)
    (out / "folds/kfold-2-1/fold.json").unlink()
    run(own)
    (out / "folds/kfold-2-1/fold.json").unlink()
    shutil.copyfile(teacher / "folds/kfold-2-0/model.safetensors", teacher / "folds/kfold-2-1/model.safetensors")
    with pytest.raises(FederationError, match="is another teacher than when the run was started"):
        run(own)


def no_run(folder: Path) -> dict[str, Any]:
    return {"training__teacher": str(folder / "corpus")}


def another_fold(folder: Path) -> dict[str, Any]:
    return {"data__held_out": "kfold:4:1"}


def other_classes(folder: Path) -> dict[str, Any]:
    return {"data__classes": "anger,neutral"}


def unfinished(folder: Path) -> dict[str, Any]:
    (folder / "teacher/folds/kfold-2-1/fold.json").unlink()
    return {}


def of_counts(folder: Path) -> dict[str, Any]:
    path = folder / "teacher/folds/kfold-2-1/fold.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"train_speakers": {"site-0": 4}}))
    return {}


def of_a_heard_start(folder: Path) -> dict[str, Any]:
    path = folder / "teacher/folds/kfold-2-1/fold.json"
    before = {"sha256": "", "private": False, "speakers": {"manifest": ["03"]}, "heard": None}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started_from": before}))
    return {}


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (no_run, "has no finished fold kfold:2:1, expected a run over the same folds"),
        (another_fold, "has no finished fold kfold:4:1, expected a run over the same folds"),
        (unfinished, "has no finished fold kfold:2:1, expected a run over the same folds"),
        (other_classes, "tells anger happiness neutral sadness apart, the run anger neutral"),
        (of_counts, "fold kfold:2:1: whom it was trained on is not known by name"),
        (of_a_heard_start, "fold kfold:2:1: it was trained on 03, on whom this run is tested"),
    ],
)
def test_a_teacher_that_might_tell_of_the_tested_is_refused(fault: Any, line: str, made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(made, folder)
    more = fault(folder)
    with pytest.raises(UsageError, match=line) as caught:
        student(folder, tmp_path / "out", **more)
    assert "\n" not in str(caught.value)


def test_a_fold_of_the_same_name_over_other_people_is_refused(made: Path, tmp_path: Path) -> None:
    more = tiny.write(tmp_path / "more", speakers=10)  # its kfold:2:1 tests 04, who is in that of eight's training
    with pytest.raises(UsageError, match="fold kfold:2:1: it was trained on 00, 04, on whom this run is tested"):
        student(made, tmp_path / "out", more)


def test_the_command_refuses_before_a_folder_is_made(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["simulate", "--corpus", "manifest", "--root", str(made / "corpus/manifest.csv"), "--held-out", "kfold:3"]
    assert main.run([*command, "--teacher", str(made / "teacher"), "--out", str(tmp_path / "out")]) == 2
    assert "has no finished fold kfold:3:0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("unit", list(UNITS))
def test_no_private_run_has_a_teacher(unit: str) -> None:
    given = {"privacy.epsilon": 8.0, "privacy.unit": unit, "training.teacher": "runs/x"}
    with pytest.raises(UsageError, match=f"--teacher runs/x has learnt from other {unit}s' recordings"):
        private_settings(given)


def test_no_deployment_has_a_teacher(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "--teacher is for simulations alone, a site is sent no teacher"
    own = {"training.teacher": "runs/x", "data.classes": list(tiny.CLASSES)}
    with pytest.raises(UsageError, match=line):
        configured({**own, "data.classes": "anger,neutral"})
    deal(tiny.write(tmp_path / "corpus", speakers=8), tmp_path)
    config = Config().with_values({**tiny.SMALL, "data.held_out": "", **own})
    with pytest.raises(UsageError, match=line):
        open_deployed(flatten(config), node(tmp_path, "s1"))
    with pytest.raises(UsageError, match=line):
        run_deployed(tmp_path, config, monkeypatch)


def test_an_audit_of_a_run_with_a_teacher_is_refused(made: Path, tmp_path: Path) -> None:
    student(made, tmp_path / "out")
    config = tiny.config(made / "corpus/manifest.csv", training__teacher=str(made / "teacher"))
    own = dict(zip(RUN_SETTINGS, ("inprocess", False, "", None), strict=True))
    (tmp_path / "out/run.json").write_text(json.dumps({**flatten(config), **own}))
    with pytest.raises(UsageError, match="has a teacher, which an audit would ask as well"):
        open_run(tmp_path / "out", None)
    plain = dataclasses.replace(config, training=dataclasses.replace(config.training, teacher=""))
    (tmp_path / "out/run.json").write_text(json.dumps({**flatten(plain), **own}))
    assert open_run(tmp_path / "out", None)
