"""What a run's folder says of all its models, whatever trained them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.data.resident import listing
from common.privacy.accounting.accountants import Spend, epsilon_prv
from server.records.fold_record import read_fold
from simulations.engine.all_models import held, told_together
from tests.simulations.engine.test_delta_run import manifest, private
from tests.simulations.job.test_simulate import run

__all__ = ["manifest"]  # the fixture


def by_hand(folder: Path, speaker: str) -> list[Spend]:
    """A person's steps, from each training's plan and record."""
    found = []
    for file in sorted(folder.rglob("fold.json")):
        plan, account = json.loads(file.with_name("plan.json").read_text()), read_fold(file).privacy
        assert account is not None
        for site in plan["sites"]:
            if speaker in site["train"]:
                own = account.sites.get(site["name"]) or account.sites["federation"]
                assert own.sample_rate is not None
                assert own.noise_multiplier is not None
                assert own.steps is not None
                rate, noise = own.sample_rate, own.noise_multiplier
                found.append(Spend(unit=account.unit, sample_rate=rate, noise_multiplier=noise, steps=own.steps))
    return found


@pytest.mark.parametrize(
    ("unit", "baselines", "models"),
    [pytest.param("utterance", False, 1, marks=pytest.mark.slow), ("speaker", True, 3), ("site", False, 1)],
)
def test_a_run_says_what_its_folds_and_baselines_tell_together(
    manifest: Path, tmp_path: Path, unit: str, baselines: bool, models: int
) -> None:
    """Two folds: each of eight people is in the data of one, of its pooled model and of a site's own."""
    own = private(manifest, tmp_path / "out", privacy__unit=unit, data__held_out="kfold:2", federation__rounds=1)
    whole = run(replace(own, baselines=baselines), pages=True)
    together = whole["privacy"]["all"]
    most = max(epsilon_prv(by_hand(tmp_path / "out", f"{who:02}"), 1e-5) for who in range(8))
    assert together == {"epsilon": pytest.approx(most, rel=1e-12), "delta": 1e-5, "models": models}
    single = max(site["epsilon"] for fold in whole["folds"] for site in fold["privacy"]["sites"].values())
    assert together["epsilon"] == pytest.approx(single) if models == 1 else together["epsilon"] > 1.5 * single
    assert all("all" not in fold["privacy"] for fold in whole["folds"])
    words = f"in the data of {models} models"
    for page in ("report.html", "MODEL_CARD.md"):
        assert (words in (tmp_path / "out" / page).read_text()) == (models > 1)


def test_baselines_that_come_later_count(manifest: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {"data__held_out": "kfold:4", "federation__rounds": 1, "privacy__unit": "speaker"}
    own = private(manifest, tmp_path / "out", **more)
    first = run(own)["privacy"]["all"]
    later = run(replace(own, baselines=True))["privacy"]["all"]
    assert (first["models"], later["models"]) == (3, 9)
    assert later["epsilon"] > first["epsilon"] > 8.0
    utterances = listing(own.config.data).utterances
    assert len(held(own.out, utterances)) == 4 * (1 + 1 + 3)
    assert told_together(own.out, utterances, 1e-5).epsilon == later["epsilon"]
