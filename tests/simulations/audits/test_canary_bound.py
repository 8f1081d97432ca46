from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from common.errors import UsageError
from common.privacy import mechanism
from common.privacy.mechanism import PrivateOptimizer
from simulations.audits.audited_run import open_run
from simulations.audits.canary_bound import audit, read
from tests.simulations.audits.settings import PRIVATE


def bare_sum(self: PrivateOptimizer) -> None:
    for parameter in self.params:
        parameter.grad = parameter.summed_grad


def unclipped(rows: Sequence[Tensor], max_grad_norm: float) -> Tensor:
    return torch.ones(len(rows[0]))


def test_an_honest_run_is_not_refuted(private: Path) -> None:
    outcome = audit(open_run(private, None))
    bound, claimed = outcome.details["bound"], outcome.details["claimed_epsilon"]
    assert bound["canaries"] == 400
    assert outcome.details["sites"] == 2
    assert 1 < claimed <= 2
    assert bound["epsilon"] <= claimed < outcome.details["largest_bound"]
    assert outcome.refuted is None
    assert f"The ledgers claim {claimed:.2f}, which this does not contradict." in outcome.json()["meaning"]


@pytest.mark.parametrize("broken", ["noise", "clipping"])
def test_a_mechanism_broken_on_purpose_is_caught(
    broken: str, federate: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger goes on claiming ε = 1.9; 100 canaries at each of two sites show that it is not so."""
    if broken == "noise":
        monkeypatch.setattr(PrivateOptimizer, "add_noise", bare_sum)
    else:
        monkeypatch.setattr(mechanism, "clip_factors", unclipped)
    outcome = audit(open_run(federate(f"no-{broken}", **PRIVATE, **{"privacy.canaries": 100}), None))
    assert outcome.details["bound"]["canaries"] == 200
    assert outcome.details["claimed_epsilon"] <= 2
    assert outcome.details["refuted"]
    assert str(outcome.refuted).startswith("the audit refutes the claim: the ledgers say ε = 1.86, the canaries show")


def test_the_unit_of_speakers_can_be_audited_too(federate: Callable[..., Path]) -> None:
    more = {**PRIVATE, "privacy.unit": "speaker", "privacy.canaries": 50, "federation.rounds": 1}
    outcome = audit(open_run(federate("speakers", **more), None))
    assert outcome.details["bound"]["canaries"] == 100
    assert not outcome.details["refuted"]


@pytest.mark.slow
def test_recordings_as_canaries(federate: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Remembered where the noise is off; in the honest run they show less than what the ledgers claim."""
    more = {**PRIVATE, "privacy.canaries": 12, "privacy.canary_kind": "recordings"}
    honest = audit(open_run(federate("recordings", **more), None))
    assert (honest.details["kind"], honest.details["bound"]["canaries"]) == ("recordings", 24)
    assert not honest.details["refuted"]
    assert "recordings under wrong labels" in str(honest.json()["meaning"])
    monkeypatch.setattr(PrivateOptimizer, "add_noise", bare_sum)
    memory = {"privacy.sample_rate": 1.0, "training.optimizer": "adamw", "model.dropout": 0.0, "data.sites": "1"}
    longer = {"federation.rounds": 30, "training.local_epochs": 10, "training.learning_rate": 0.02}
    bare = federate("bare-recordings", **{**more, **memory, **longer, "privacy.canaries": 24})
    planted = read(sorted(bare.rglob("*.canaries.json")))
    drawn, left = planted.scores[planted.included], planted.scores[~planted.included]
    assert (drawn[:, None] > left).mean() > 0.75


def test_scores_are_summed_over_rounds_and_sites_are_joined(tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    one.write_text(json.dumps({"included": [True, False], "rounds": {"1": [1.0, 2.0], "2": [0.5, -3.0]}}))
    other.write_text(json.dumps({"included": [False], "rounds": {"2": [7.0]}}))
    planted = read([one, other])
    assert planted.scores.tolist() == [1.5, -1.0, 7.0]
    assert planted.included.tolist() == [True, False, False]
    assert planted.sites == 2
    assert planted.scores.dtype == np.float64
    other.write_text("[]")
    with pytest.raises(UsageError, match=r"other\.json holds no canaries' scores"):
        read([one, other])


def test_a_run_that_cannot_be_audited_says_why(plain: Path, private: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no canaries; put some into a new run with"):
        audit(open_run(plain, None))
    copy = tmp_path / "run"
    shutil.copytree(private, copy)
    (copy / "folds/kfold-4-0/fold.json").unlink()
    with pytest.raises(UsageError, match="is not finished, and claims no ε yet"):
        audit(open_run(copy, None))
    settings = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**settings, "privacy.unit": "site"}))
    with pytest.raises(UsageError, match="the server adds the noise"):
        audit(open_run(copy, None))
    (copy / "run.json").write_text(json.dumps({**settings, "ledger": str(copy / "ledger")}))
    plan = json.loads((copy / "folds/kfold-4-0/plan.json").read_text())
    (copy / "folds/other").mkdir()
    (copy / "folds/other/plan.json").write_text(json.dumps({**plan, "fold": "other"}))
    with pytest.raises(UsageError, match="share the ledger"):
        audit(open_run(copy, None))
