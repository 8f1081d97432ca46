"""A simulation's personal models: what is kept out, who is scored, what is told."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.personal.personal_model import FINE_TUNED, GLOBAL, PRIOR
from common.config.settings import Config
from common.data.resident import listed_of, listing
from common.errors import UsageError
from common.learning.before_refit import FILE, load_before_refit
from common.privacy.recipe import private_settings
from common.splits import plan as plans
from server.run import checkpoint
from simulations.engine.planning import plans as planned
from simulations.job.start import Start, job_of
from tests.simulations import tiny
from tests.simulations.job.test_simulate import job, run

LINEAR = {"model__kind": "linear", "model__hidden": 0, "model__statistics": "means"}
UNMASKED = {"augment__time_masks": 0, "augment__feature_masks": 0}


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    return tiny.write(tmp_path / "corpus", speakers=24, each=2, test=(0, 5))


def personal(manifest: Path, out: Path, **more: Any) -> dict[str, Any]:
    own = job(manifest, out, data__held_out="split", data__sites="column", **more)
    return run(dataclasses.replace(own, personal=True))


def test_each_sites_own_model_is_scored_on_its_own_held_out_people_and_on_what_was_kept_out(
    manifest: Path, tmp_path: Path
) -> None:
    whole = personal(manifest, tmp_path / "run", **LINEAR, **UNMASKED)
    [fold] = whole["folds"]
    plan = plans.read(tmp_path / "run/folds/split/plan.json")
    assert list(fold["personal"]) == ["s0", "s1", "s2", "s3"]
    for site in plan.sites:
        own = fold["personal"][site.name]
        assert own["chosen"] in (GLOBAL, PRIOR, FINE_TUNED, "both")
        assert (own["judges"], own["seen"]) == ("8 recordings of 1 speaker for validation", False)
        assert own["validation"]["personal"]["wa"] >= own["validation"]["global"]["wa"]
        assert (own["unheard_speakers"] is not None) == (site.name in ("s0", "s1"))
        assert own["new_recordings"]["global"]["count"] == len(site.train)  # a fifth of eight recordings each
        assert own["new_recordings"].keys() == {"global", "personal"}
    counts = [
        own["unheard_speakers"]["global"]["count"] for own in fold["personal"].values() if own["unheard_speakers"]
    ]
    assert counts == [8, 8]
    assert len(plan.kept_out) == sum(len(site.train) for site in plan.sites)
    before = load_before_refit(tmp_path / "run")
    assert before is not None
    best = checkpoint.load(tmp_path / "run/folds/split/checkpoint.safetensors").best
    assert all(np.array_equal(own.numpy(), best[name]) for name, own in before.model.state_dict().items())
    assert (tmp_path / "run" / FILE).exists()
    kept = json.loads((tmp_path / "run/folds/split/personal.json").read_text())
    assert kept == fold["personal"]


def test_what_is_kept_out_trains_nobody_and_a_run_without_has_all(manifest: Path) -> None:
    config = tiny.config(manifest, data__held_out="kfold:4", data__sites="3")
    selection = listing(config.data)
    for plain, own in zip(planned(config, selection, []), planned(config, selection, [], personal=True), strict=True):
        assert (plain.skipped, plain.kept_out) == ((), ())
        assert dataclasses.replace(own, skipped=(), kept_out=()) == plain
        whole, left = (
            {u.name for site in one.sites for u in listed_of(config, one, {*site.train, *site.validation, *site.test})}
            for one in (plain, own)
        )
        assert left == whole - {*own.kept_out}
        assert len(whole - left) == len(own.kept_out) == len(own.train_speakers)
        others = {u.name for u in listed_of(config, plain, {*plain.validation_speakers, *plain.test_speakers})}
        assert not others & {*own.kept_out}


def test_a_private_runs_sites_may_have_their_own(manifest: Path, tmp_path: Path) -> None:
    given = {"privacy.unit": "utterance", "privacy.epsilon": 8.0, "privacy.delta": 1e-3, "federation.rounds": 2}
    split = {"data.root": str(manifest), "data.held_out": "split", "data.sites": "column"}
    own = job(manifest, tmp_path / "run")
    config = Config().with_values({**tiny.SMALL, **private_settings(given), **split})
    whole = run(dataclasses.replace(own, config=config, personal=True))
    assert whole["privacy"]["unit"] == "utterance"
    for site in whole["folds"][0]["personal"].values():
        assert site["seen"]
        assert "who trained it too, for nobody was set aside" in site["judges"]


def test_a_run_that_kept_nothing_out_cannot_have_them_later(manifest: Path, tmp_path: Path) -> None:
    job(manifest, tmp_path / "run")
    about = {"engine": "inprocess", "baselines": False, "command": "fedser x", "ledger": None}
    (tmp_path / "run/run.json").write_text(json.dumps({**about, "data.root": str(manifest)}))
    given: dict[str, Any] = {"flags": {}, "out": None, "overwrite": False, "engine": None, "workers": 0}
    wish = Start(**given, resume=tmp_path / "run", baselines=False, command="fedser x", personal=True)
    with pytest.raises(UsageError, match="was started without --personal, and trained on all recordings"):
        job_of(wish)
