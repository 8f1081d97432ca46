from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import FederationError, UsageError
from common.models.model import EmotionModel
from common.progress import Display
from common.utterance import Utterance
from simulations.audits.attributes import attack, audit, genders
from simulations.audits.audited_run import AuditedRun, open_run
from simulations.audits.single_site_updates import Update, updates_of
from tests.simulations import tiny


def sent(run: AuditedRun, speakers: list[str], model: EmotionModel, count: int = 1, workers: int = 0) -> list[Update]:
    with Display() as display:
        scaling = run.scaling(run.recordings(0, display))
    weights = model.state_dict()
    return updates_of(run, speakers, weights, scaling, count=count, workers=workers, on_reply=lambda _: None)


def test_gender_planted_in_the_features_is_told(tmp_path: Path, federate: Callable[..., Path]) -> None:
    """Women's frames lie higher in one feature, which normalising by pooled sums leaves there."""
    manifest = tiny.write(tmp_path, speakers=16)
    for path in tmp_path.glob("*.npy"):
        frames = np.load(path)
        frames[:, 5] += 4.0 * (int(path.name[:2]) % 2)
        np.save(path, frames)
    folder = federate("planted", started=True, **{"data.root": str(manifest), "data.normalise": "global"})
    with Display() as display:
        outcome = audit(open_run(folder, None), updates=2, trained=False, workers=0, display=display)
    told = json.loads(outcome.write().read_text())
    assert told["inference"]["updates"] == 32
    assert told["inference"]["speakers"] == 16
    assert told["inference"]["uar"] > 0.9
    assert told["inference"]["uar_ci95"][0] > told["inference"]["chance"] == 0.5
    assert "it leaks" in told["meaning"]
    assert told["model"] == "initial"


def test_the_final_model_s_updates_are_others(plain: Path) -> None:
    run = open_run(plain, None)
    with Display() as display:
        assert audit(run, updates=1, trained=True, workers=0, display=display).details["model"] == "final"
    initial, final = run.initial_model(tiny.FEATURES), run.final_model().model
    one, other = (sent(run, ["03"], model)[0].change["projection.weight"] for model in (initial, final))
    assert not torch.allclose(one, other, rtol=0.1)


def test_an_update_is_what_the_site_s_training_changed(plain: Path) -> None:
    run = open_run(plain, None)
    updates = sent(run, ["03", "06"], run.initial_model(tiny.FEATURES), count=2)
    assert [update.speaker for update in updates] == ["03", "06", "03", "06"]
    assert set(updates[0].change) == {"projection.weight", "projection.bias"}
    assert all(0 < float(update.change["projection.weight"].abs().max()) < 0.1 for update in updates)
    first, again = updates[0].change["projection.weight"], updates[2].change["projection.weight"]
    assert not torch.equal(first, again)  # of another round
    over = sent(run, ["03", "06"], run.initial_model(tiny.FEATURES), count=2, workers=2)
    for one, other in zip(updates, over, strict=True):
        assert torch.equal(one.change["projection.bias"], other.change["projection.bias"])


def test_a_private_site_s_update_is_noised(private: Path, tmp_path: Path) -> None:
    shutil.copytree(private, tmp_path / "run")
    settings = json.loads((private / "run.json").read_text())
    (tmp_path / "run/run.json").write_text(json.dumps({**settings, "privacy.insecure_seed": False}))
    run = open_run(tmp_path / "run", None)
    one, other = (sent(run, ["03"], run.initial_model(tiny.FEATURES))[0].change for _ in range(2))
    assert not torch.equal(one["projection.weight"], other["projection.weight"])
    with Display() as display:
        meaning = audit(run, updates=1, trained=False, workers=0, display=display).json()["meaning"]
    assert "The run protects recordings" in meaning


def test_a_linear_model_s_only_layer_is_its_first(federate: Callable[..., Path]) -> None:
    run = open_run(federate("linear", **{"model.hidden": 0, "model.statistics": "means", "federation.rounds": 1}), None)
    change = sent(run, ["03"], run.initial_model(tiny.FEATURES))[0].change
    assert set(change) == {"classifier.weight", "classifier.bias"}


def test_a_site_that_fails_ends_the_audit(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.app.train", None)
    run = open_run(plain, None)
    with pytest.raises(FederationError, match="the site of speaker 03 sent no update"):
        sent(run, ["03"], run.initial_model(tiny.FEATURES))


def test_each_speaker_is_a_target_once() -> None:
    """Updates that point to the gender: all are told right, however the halves fall."""
    gender = {f"{i:02}": ("male", "female")[i % 2] for i in range(12)}
    signs = {"male": -1.0, "female": 1.0}
    updates = [
        Update(speaker=s, change={"projection.weight": torch.tensor([signs[g], 0.1 * i])})
        for i, (s, g) in enumerate(gender.items())
        for _ in range(2)
    ]
    result = attack(updates, gender, seed=0)
    assert (result.updates, result.speakers, result.uar) == (24, 12, 1.0)


def test_a_corpus_without_two_genders_is_refused() -> None:
    def utterances(*known: str | None) -> list[Utterance]:
        return [
            Utterance(path=Path(str(i)), emotion="anger", speaker=str(i), corpus="x", gender=gender)
            for i, gender in enumerate(known)
        ]

    assert genders(utterances("male", "female", None, "female", "male")) == {
        "0": "male",
        "1": "female",
        "3": "female",
        "4": "male",
    }
    for known in ((None, None), ("female",) * 5, ("female", "female", "female", "male")):
        with pytest.raises(UsageError, match="expected two or more of each; a manifest tells it in its column gender"):
            genders(utterances(*known))


def test_more_updates_than_rounds_are_refused(plain: Path) -> None:
    with Display() as display, pytest.raises(UsageError, match="--updates is 3, expected 1 to 2"):
        audit(open_run(plain, None), updates=3, trained=False, workers=0, display=display)
