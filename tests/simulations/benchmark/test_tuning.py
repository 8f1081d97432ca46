from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.config import Config
from common.errors import UsageError
from common.holdings import listing
from simulations.benchmark.conditions import parse
from simulations.benchmark.start import Start, start, sweep_of
from simulations.benchmark.trials import Sweep, trials
from simulations.benchmark.tuning import candidates, factors, without_test, without_validation
from tests.simulations import tiny


def wish(manifest: Path, out: Path, **more: Any) -> Start:
    settings = {**tiny.SMALL, "data.root": str(manifest), "data.sites": "2", "federation.rounds": 1}
    own: dict[str, Any] = {"conditions": "inf,site:8", "tune": 3} | more
    settings |= own.pop("settings", {})
    return Start(
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


def test_the_best_candidate_is_trained_and_the_line_says_which_were_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("simulations.benchmark.start.write_page", lambda _, out: out / "report.html")
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
    assert start(own)["trials"] == 2  # nothing is left to do
