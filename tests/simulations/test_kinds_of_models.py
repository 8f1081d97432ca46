"""Every kind of model from a run's flag to a file that predicts: on made-up speech, by every strategy, privately."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.cli import main
from common.config.kinds import KINDS
from common.config.settings import STRATEGIES
from simulations import load_model, run
from simulations.synthesis.corpus import synthesize
from tests.common.models.kinds import READERS
from tests.simulations import tiny
from tests.simulations.engine.test_delta_run import private
from tests.simulations.job import test_simulate
from tests.simulations.job.test_simulate import job

NEW = [kind for kind in READERS if kind != "bilstm"]
LONG = ("transformer", "crnn3d", "lstm")  # take seconds


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    return synthesize(folder / "made", layout="manifest", speakers=6, utterances=96, workers=0)


@pytest.fixture(scope="module")
def matrices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("matrices"))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path_factory.getbasetemp() / "cache-of-kinds"))


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] * (k in LONG)) for k in NEW])
def test_it_learns_from_made_up_speech_and_its_file_predicts_as_it_did(
    kind: str, speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"model.projection": 16, "model.hidden": 16, "model.attention": 8, "features.hop": 20}
    own = {**small, "augment.copies": 0, "training.learning_rate": 5e-3, "data.validation": "none"}
    result = run(
        corpus="synthetic",
        root=speech,
        model_kind=kind,
        held_out="kfold:3:0",
        sites=2,
        rounds=6,
        settings=own,
        workers=0,
        progress=False,
        out=tmp_path / "out",
    ).as_json()
    assert result["config"]["model.kind"] == kind
    assert result["summary"]["uar"]["mean"] > 0.35  # chance is 0.25
    assert KINDS[kind].title in (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert KINDS[kind].title in (tmp_path / "out" / "report.html").read_text()
    files = [str(path) for path in sorted((speech / "audio").rglob("*.wav"))[:2]]
    capsys.readouterr()
    assert main.run(["predict", "--model", str(tmp_path / "out"), "--json", *files]) == 0
    told = [json.loads(line)["probabilities"] for line in capsys.readouterr().out.splitlines()]
    listened = [load_model(tmp_path / "out").predict(file) for file in files]
    assert told == [pytest.approx(dict(one), abs=1e-6) for one in listened]


@pytest.mark.parametrize("kind", NEW)
def test_a_private_run_of_it_is_made_and_counted(kind: str, matrices: Path, tmp_path: Path) -> None:
    own = private(matrices, tmp_path / "out", model__kind=kind, model__heads=2, privacy__noise_multiplier=0.5)
    result = test_simulate.run(own)
    assert result["config"]["model.kind"] == kind
    assert 0 < result["privacy"]["all"]["epsilon"] < np.inf


@pytest.mark.parametrize("kind", [kind for kind in NEW if kind not in LONG])  # which are below
def test_a_strategy_that_takes_part_in_each_step_trains_it(kind: str, matrices: Path, tmp_path: Path) -> None:
    assert trained(kind, "scaffold", matrices, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", NEW)
def test_every_strategy_trains_it(kind: str, strategy: str, matrices: Path, tmp_path: Path) -> None:
    assert trained(kind, strategy, matrices, tmp_path)


def trained(kind: str, strategy: str, matrices: Path, out: Path) -> bool:
    """Whether the loss of a run falls."""
    more: dict[str, Any] = {
        "model__kind": kind,
        "model__heads": 2,
        "federation__strategy": strategy,
        "federation__malicious": 0,
    }
    own = job(matrices, out / "out", **more, data__validation="none", data__sites="4", federation__rounds=3)
    rounds = test_simulate.run(own)["folds"][0]["rounds"]
    first, last = (sum(site["loss"] for site in own["sites"].values()) for own in (rounds[0], rounds[-1]))
    return bool(last < first)
