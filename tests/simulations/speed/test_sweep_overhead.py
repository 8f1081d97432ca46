from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from server.records.fold_record import FoldRecord, Round, SiteRound
from simulations.speed import sweep_overhead
from simulations.speed.sweep_overhead import run
from simulations.sweep.trials.runner import SweepJob
from tests.server.reporting.test_run_record import a_fold


@pytest.mark.slow
def test_the_figures_are_those_of_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    told = run(trials=4, rounds=1, utterances=80, workers=2)
    assert list(told) == ["trials", "workers", "wall_s", "bare_s", "ratio", "alone_s"]
    assert (told["trials"], told["workers"]) == (4, 2)
    assert 0 < told["bare_s"] / 2 < told["wall_s"]
    assert told["ratio"] == pytest.approx(told["wall_s"] / (told["bare_s"] / 2))


def test_training_is_timed_in_the_workers_and_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the busy workers take ten times as long."""
    jobs: list[SweepJob] = []

    def carry_out(job: SweepJob, _: Any) -> None:
        jobs.append(job)
        for seed in job.sweep.seeds:
            for fold in range(sweep_overhead.FOLDS):
                folder = job.out / f"{seed}-{fold}"
                folder.mkdir(parents=True)
                (folder / "fold.json").touch()

    def result(folder: Path) -> FoldRecord:
        fold = int(folder.name[-1])
        seconds = (1.0 + fold) * (1 if folder.is_relative_to(jobs[0].out) else 10)
        site = SiteRound(examples=1, loss=None, uar=None, seconds=seconds)
        entry = Round(round=1, seconds=seconds, validation=None, sites={"a": site, "b": site})
        return dataclasses.replace(a_fold(), rounds=(entry,))

    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sweep_overhead, "synthesize", lambda *_, **__: tmp_path)
    monkeypatch.setattr(sweep_overhead, "listing", lambda *_: type("Selection", (), {"utterances": []}))
    monkeypatch.setattr(sweep_overhead, "extract_all", lambda *_, **__: None)
    monkeypatch.setattr(sweep_overhead, "benchmark", carry_out)
    monkeypatch.setattr(sweep_overhead, "read_result", result)
    monkeypatch.setattr("simulations.sweep.trials.results.read", lambda out: list(out.rglob("fold.json")))
    told = run(trials=64, workers=2)
    assert [(job.workers, len(job.sweep.seeds)) for job in jobs] == [(0, 1), (2, 16)]
    assert jobs[0].out != jobs[1].out
    assert (told["trials"], told["bare_s"], told["alone_s"]) == (64, 10 * 320, 320)
    assert told["ratio"] == pytest.approx(told["wall_s"] / (told["bare_s"] / 2))
