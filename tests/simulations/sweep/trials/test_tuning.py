from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from common.config.settings import Config
from common.data.resident import listing
from common.errors import UsageError
from simulations.sweep.launch import SweepStart, start, sweep_of
from simulations.sweep.trials.conditions import parse
from simulations.sweep.trials.trial import Sweep, trials
from simulations.sweep.trials.tuning import candidates, factors, unvalidated, without_test, without_validation
from tests.simulations import tiny


def wish(manifest: Path, out: Path, **more: Any) -> SweepStart:
    settings = {**tiny.SMALL, "data.root": str(manifest), "data.sites": "2", "federation.rounds": 1}
    own: dict[str, Any] = {"conditions": "inf,site:8", "tune": 3} | more
    settings |= own.pop("settings", {})
    return SweepStart(
        settings=settings,
        strategies=None,
        seeds=None,
        preset=None,
        baselines=False,
        workers="0",
        out=out,
        command="fedser benchmark",
        **own,
    )


def test_the_first_candidate_is_the_recipe_and_all_conditions_try_the_same(tmp_path: Path) -> None:
    assert factors(1) == [(1.0, 1.0)]
    several = factors(50)
    assert len(several) == 50
    assert several[:5] == factors(5)
    assert all(1 / 8 <= rate <= 8 and 0.1 <= clip <= 10 for rate, clip in several)
    manifest = tiny.write(tmp_path / "corpus")
    given = {**tiny.SMALL, "data.root": str(manifest)}
    given.pop("training.batch_size")
    sweep = Sweep(given=given, conditions=parse("inf,utterance:8"), strategies=["fedavg"], sites=["2"], seeds=[0])
    plain, private = trials(sweep, listing(Config().with_values(given).data), [])
    ours, theirs = candidates(plain, 4), candidates(private, 4)
    assert [own["training.learning_rate"] for own in ours] == [own["training.learning_rate"] for own in theirs]
    for own, other in zip(ours, theirs, strict=True):
        assert own["training.clip_norm"] / 5.0 == pytest.approx(other["privacy.max_grad_norm"])


def test_validation_speakers_are_scored_by_candidates_and_no_test_speaker_is_near(tmp_path: Path) -> None:
    manifest = tiny.write(tmp_path / "corpus", speakers=12)
    sweep = sweep_of(wish(manifest, tmp_path, settings={"data.validation": "one"}), None)
    found = trials(sweep, listing(sweep.config(sweep.conditions[0], "fedavg", "2", 0).data), [])
    for trial in found:
        plan = trial.plan
        assert len(plan.validation_speakers) == 2
        candidate, final = without_test(plan), without_validation(plan)
        assert candidate.test_speakers == plan.validation_speakers
        assert candidate.train_speakers == final.train_speakers == plan.train_speakers
        assert not set(candidate.test_speakers) & {*plan.train_speakers, *plan.test_speakers}
        assert final.test_speakers == plan.test_speakers
        assert final.validation_speakers == []


@pytest.mark.parametrize("settings", [{}, {"data.validation": "none"}])
def test_without_validation_speakers_it_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--tune chooses settings on validation speakers, and there are none"):
        sweep_of(wish(tmp_path / "m.csv", tmp_path, settings=settings), None)


def test_a_fold_whose_sites_are_too_small_to_set_anybody_aside_is_refused_before_any_work(tmp_path: Path) -> None:
    manifest = tiny.write(tmp_path / "corpus", speakers=8)  # two are held out, three are left at each site
    own = wish(manifest, tmp_path / "out", settings={"data.validation": "one"})
    with pytest.raises(UsageError, match=r"fold kfold:4:0 with --sites 2 has none.* has 4 speakers or more.* has 3;"):
        start(own)
    assert not (tmp_path / "out").exists()


def test_where_only_some_sites_set_speakers_aside_a_warning_names_the_others(tmp_path: Path) -> None:
    manifest = tiny.write(tmp_path / "corpus", speakers=9)  # seven are left: four at one site, three at the other
    sweep = sweep_of(wish(manifest, tmp_path, settings={"data.validation": "one", "data.held_out": "kfold:4:1"}), None)
    found = trials(sweep, listing(sweep.config(sweep.conditions[0], "fedavg", "2", 0).data), [])
    [lacking] = [site.name for site in found[0].plan.sites if not site.validation]
    told = unvalidated(found) or ""
    assert told.startswith("--tune: fold kfold:4:1 with --sites 2 has validation speakers at some sites only")
    assert f"not at {lacking} (fewer than 4 speakers there)" in told
    manifest = tiny.write(tmp_path / "larger", speakers=12)
    sweep = sweep_of(wish(manifest, tmp_path, settings={"data.validation": "one"}), None)
    assert unvalidated(trials(sweep, listing(sweep.config(sweep.conditions[0], "fedavg", "2", 0).data), [])) is None


def test_strategies_share_baselines_until_each_has_chosen_its_own_settings(tmp_path: Path) -> None:
    manifest = tiny.write(tmp_path / "corpus")
    sweep = Sweep(
        given={**tiny.SMALL, "data.root": str(manifest)},
        conditions=parse("inf"),
        strategies=["fedavg", "fedprox"],
        sites=["2"],
        seeds=[0],
    )
    found = trials(sweep, listing(Config().with_values(sweep.given).data), [])
    assert len({trial.baseline_place for trial in found}) == 1
    chosen = [dataclasses.replace(trial, tried=[{"uar": 0.5}]) for trial in found]
    assert len({trial.baseline_place for trial in chosen}) == 2


def test_the_best_candidate_is_trained_and_the_line_says_which_were_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("simulations.sweep.launch.write_page", lambda _, out: out / "report.html")
    manifest = tiny.write(tmp_path / "corpus", speakers=12)
    own = wish(manifest, tmp_path / "out", settings={"data.validation": "one"})
    start(own)
    lines = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    for line in lines:
        tried = line["details"]["tuning"]
        assert len(tried) == 3
        best = max(tried, key=lambda one: one["uar"])
        assert line["config"]["training.learning_rate"] == best["training.learning_rate"]
    laid_out = [json.loads(path.read_text()) for path in (tmp_path / "out/trials").glob("*/run.json")]
    chosen = sorted(line["config"]["training.learning_rate"] for line in lines)
    assert sorted(own["training.learning_rate"] for own in laid_out) == chosen
    assert start(own)["trials"] == 2  # nothing is left to do
