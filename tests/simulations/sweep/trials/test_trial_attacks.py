"""Attacks on a sweep's trials: the same as ``fedser audit`` makes, with shared shadows."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from common.config.settings import Config
from common.data.resident import listing
from common.features.cache import FeatureCache
from simulations.audits.audited_run import open_run
from simulations.audits.membership import audit as audit_membership
from simulations.sweep.trials import trial_attacks
from simulations.sweep.trials.conditions import parse
from simulations.sweep.trials.parts import lay_out, parts_of
from simulations.sweep.trials.schedule import carry_out, joined
from simulations.sweep.trials.trial import Sweep, Trial, folder_of, trials
from simulations.sweep.trials.trial_attacks import Attack
from simulations.sweep.workers.processes import Processes
from tests.simulations import tiny


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trial], FeatureCache]:
    root = tmp_path_factory.mktemp("attacks")
    manifest = tiny.write(root / "corpus", speakers=12)
    given = {**tiny.SMALL, "data.root": str(manifest), "privacy.insecure_seed": True, "data.held_out": "kfold:4"}
    given.pop("training.batch_size")
    sweep = Sweep(
        given=given, conditions=parse("inf,utterance:8,site:8"), strategies=["fedavg"], sites=["2"], seeds=[0]
    )
    selection = listing(Config().with_values(given).data)
    return root / "out", trials(sweep, selection, []), FeatureCache(root / "cache")


def carried_out(found: list[Any]) -> None:
    errors = [str(outcome.error) for outcome in carry_out(joined(found), Processes(0)) if outcome.error]
    assert errors == []


def test_one_fold_is_attacked_under_every_condition_with_the_shadows_of_the_least_private(
    world: tuple[Path, list[Trial], FeatureCache],
) -> None:
    _, every, _ = world
    chosen = trial_attacks.attacked(every)
    assert [(trial.condition.name, trial.plan.fold) for trial in chosen] == [
        ("inf", "kfold:4:0"),
        ("utterance:8", "kfold:4:0"),
        ("site:8", "kfold:4:0"),
    ]
    assert trial_attacks.least_private(chosen).condition.epsilon == math.inf
    assert trial_attacks.least_private(chosen[1:]).condition.name == "utterance:8"


@pytest.mark.slow
def test_shadows_are_trained_once_and_each_condition_has_its_own_target(
    world: tuple[Path, list[Trial], FeatureCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, every, cache = world
    monkeypatch.setattr(trial_attacks, "CANARIES", 50)
    chosen = trial_attacks.attacked(every)
    shared = trial_attacks.least_private(chosen)
    own = [Attack(out=out, trial=trial, shared=shared, shadows=2) for trial in chosen]
    parts = joined([part for attack in own for part in trial_attacks.parts_of(attack, cache)])
    names = [part.name for part in parts]
    assert sum(name.startswith("shadow") for name in names) == 4
    assert sum(name.startswith("target") for name in names) == 6
    assert sum(name.startswith("canaries") for name in names) == 1
    assert sum(name.startswith("gender") for name in names) == 2
    for trial in chosen:
        lay_out(out, trial, "fedser benchmark")
    carried_out([part for trial in chosen for part in parts_of(out, trial, cache, with_baselines=False)] + parts)
    told = {attack.trial.condition.name: trial_attacks.read_findings(attack) for attack in own}
    for found in told.values():
        for level in ("recordings", "speakers"):
            assert 0 <= found["membership"][level]["likelihood_ratio"]["auc"] <= 1
        assert found["shadows_of"] == "inf"
    assert told["inf"]["canaries"] is told["site:8"]["canaries"] is told["site:8"]["gender"] is None
    assert told["utterance:8"]["canaries"]["epsilon"] <= told["utterance:8"]["canaries"]["claimed_epsilon"] <= 8
    assert 0 <= told["utterance:8"]["gender"]["uar"] <= 1
    json.dumps(told, allow_nan=False)


def test_they_find_what_fedser_audit_finds(
    world: tuple[Path, list[Trial], FeatureCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the trial without privacy the target and the shadows are those of a run of its own."""
    from common.progress import Display

    out, every, cache = world
    trial = trial_attacks.attacked(every)[0]
    attack = Attack(out=out, trial=trial, shared=trial, shadows=2)
    lay_out(out, trial, "fedser benchmark")
    carried_out([*parts_of(out, trial, cache, with_baselines=False), *trial_attacks.parts_of(attack, cache)])
    monkeypatch.setenv("FEDSER_CACHE", str(cache.directory))
    run = open_run(folder_of(out, trial), None)
    assert dataclasses.asdict(run.config) == dataclasses.asdict(trial.config)
    with Display() as display:
        outcome = audit_membership(run, shadows=2, workers=0, display=display)
    found = trial_attacks.read_findings(attack)["membership"]
    assert json.loads(json.dumps(outcome.details["recordings"])) == found["recordings"]
