"""Whole runs whose model adapts to a speaker, and what a run tells of strangers in every mode."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.holding import Holding
from client.site import Site
from common import protocol
from common.cli import main
from common.config.settings import Config
from common.data.resident import listing
from common.data.strangers import AFTER
from common.errors import UsageError
from common.features.cache import FeatureCache
from common.learning.metrics import Confusion
from server.records.fold_record import FoldRecord
from server.records.scores import Scores
from simulations import run as run_in_python
from simulations.engine.fold import run_in_process
from simulations.engine.planning import plans
from tests.common.examples import random_recordings
from tests.simulations import tiny
from tests.simulations.job.test_simulate import job, run, same

FIGURES = ("uar", "wa", "macro_f1")
LINE = (
    "--normalise running would tell of other {0}s' recordings in a run that is private for each {0}; use {1} or public"
)


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    return tiny.write(tmp_path / "corpus")


def federated(folder: Path, config: Config) -> FoldRecord:
    """The first fold of a run, without its report."""
    plan = plans(config, listing(config.data), [])[0]
    return run_in_process(config, plan, folder, folder / "events.jsonl", FeatureCache(folder / "cache"), workers=0)


def single_rows(folder: Path) -> Path:
    """Eight speakers' 384 matrices of one row, each speaker some three deviations off the others; four classes."""
    rng, path = np.random.default_rng(0), folder / "manifest.csv"
    folder.mkdir()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "emotion", "speaker"])
        for speaker in range(8):
            voice = 3 * rng.normal(size=tiny.FEATURES)
            for label, emotion in enumerate(tiny.CLASSES * 12):
                told = voice + rng.normal(size=(1, tiny.FEATURES)) + 6 * np.eye(4, tiny.FEATURES)[label % 4]
                np.save(folder / f"{speaker}-{label}.npy", told.astype(np.float32))
                writer.writerow([f"{speaker}-{label}.npy", emotion, str(speaker)])
    return path


def scores(record: FoldRecord) -> Scores:
    assert record.test is not None
    return record.test


def uar_after(record: FoldRecord, heard: str) -> float:
    figures = (scores(record).stranger or {})[heard]
    assert figures is not None
    return figures.uar


def together(record: FoldRecord, heard: str) -> Confusion:
    counts = (record.strangers or {})[heard]
    assert counts is not None
    summed: Confusion = np.sum(np.array(counts, dtype=np.int64), axis=0)
    return summed


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_with_all_heard_matrices_of_one_row_are_told_as_by_speaker(seed: int, tmp_path: Path) -> None:
    """The prior is worth three of their rows; were it worth nine seconds' 300, a speaker's 48 would say little."""
    manifest, found = single_rows(tmp_path / "corpus"), {}
    for mode in ("running", "speaker"):
        config = tiny.config(
            manifest,
            seed=seed,
            data__normalise=mode,
            data__held_out="kfold:2:0",
            data__validation="none",
            model__dropout=0.0,
            augment__time_masks=0,
            augment__feature_masks=0,
            training__batch_size=16,
            training__learning_rate=0.01,
            federation__rounds=6,
        )
        found[mode] = federated(tmp_path / mode, config)
    running, speaker = found["running"], found["speaker"]
    assert scores(running).uar == uar_after(running, "all") == pytest.approx(scores(speaker).uar, abs=0.01)
    assert uar_after(running, "0") < uar_after(running, "2") < uar_after(running, "8") < scores(running).uar
    assert scores(running).uar > 0.95


@pytest.mark.parametrize("mode", ["running", "speaker", "utterance", "global"])
def test_a_run_tells_what_it_reaches_on_strangers(mode: str, manifest: Path, tmp_path: Path) -> None:
    adapts = mode in ("running", "speaker")
    whole = run(job(manifest, tmp_path / "out", data__normalise=mode, baselines=adapts, federation__rounds=1))
    assert whole == json.loads((tmp_path / "out/result.json").read_text())
    assert whole["transductive"] is adapts
    missing = ["2", "8"] if mode == "speaker" else []
    own, summary = whole["folds"][0]["test"], whole["summary"]
    for figures in (own["stranger"], summary["stranger"], *([summary["pooled_stranger"]] if adapts else [])):
        assert list(figures) == list(AFTER) == ["0", "2", "8", "all"]
        assert [name for name, each in figures.items() if each is None] == missing
        assert all(list(each) == list(FIGURES) for each in figures.values() if each)
    assert own["stranger"]["all"] == {name: own[name] for name in FIGURES}
    assert summary["stranger"]["all"] == {name: summary[name] for name in FIGURES}
    for name, each in own["stranger"].items():
        if each is not None:
            told = summary["stranger"][name]
            assert [list(told[figure]) for figure in FIGURES] == [["mean", "sd", "ci95"]] * 3
            assert {figure: told[figure]["mean"] for figure in FIGURES} == pytest.approx(each)
    if adapts:
        assert summary["pooled_stranger"]["all"]["uar"] == summary["pooled_uar"]
        assert list(whole["folds"][0]["baselines"]["pooled"]["test"]["stranger"]) == list(AFTER)
    else:
        assert summary["pooled_stranger"] is None
        assert all(each == own["stranger"]["all"] for each in own["stranger"].values())


def test_the_same_seed_gives_the_same_run_over_processes(manifest: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"data__normalise": "running", "augment__crop": 0.5, "federation__rounds": 1}
    jobs = {name: job(manifest, tmp_path / name, workers=int(name), **settings) for name in ("0", "2")}
    one, other = (run(own) for own in jobs.values())
    assert same(tmp_path / "0", tmp_path / "2")
    assert one["folds"][0]["test"] == other["folds"][0]["test"]
    assert one["summary"] == other["summary"]
    run(job(manifest, tmp_path / "whole", **settings | {"augment__crop": 0.0}))
    assert not same(tmp_path / "0", tmp_path / "whole")


def test_dealt_another_way_a_stranger_s_draws_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that learns nothing, scored by the sites that hold the speakers, and by the coordinator."""
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    manifest = tiny.write(tmp_path / "corpus", each=6, test=(4, 5, 6))
    still: dict[str, object] = {"training__learning_rate": 1e-30, "data__validation": "none", "federation__rounds": 1}
    still |= {"model__kind": "linear", "model__statistics": "means"}  # whose first weights tell one row from another
    found = []
    for sites in ("column", "2", "3"):
        config = tiny.config(manifest, data__normalise="running", data__held_out="", data__sites=sites, **still)
        found.append(federated(tmp_path / sites, config))
    assert [len(own.rounds[0].sites) for own in found] == [4, 2, 3]
    assert {tuple(own.strangers or ()) for own in found} == {tuple(AFTER)}
    for heard in AFTER:
        one, *others = (together(own, heard) for own in found)
        assert one.sum() == 72 * (protocol.DRAWS if heard in ("2", "8") else 1), heard
        assert np.count_nonzero(one.sum(axis=0)) > 2  # what the model takes them for
        for other in others:
            assert other.tolist() == one.tolist(), heard


@pytest.mark.parametrize(
    ("unit", "instead"),
    [("utterance", "utterance"), ("speaker", "utterance, speaker"), ("site", "utterance, speaker")],
)
def test_a_private_run_does_not_adapt(
    unit: str, instead: str, tmp_path: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was heard of the others would come in; refused by the command, in Python and at a site."""
    line = LINE.format(unit, instead)
    asked = ["simulate", "--corpus", "manifest", "--root", str(manifest), "--out", str(tmp_path / "out")]
    assert main.run([*asked, "--epsilon", "8", "--privacy-unit", unit, "--normalise", "running"]) == 2
    assert capsys.readouterr().err.splitlines() == [f"fedser: error: {line}"]
    with pytest.raises(UsageError) as told:
        run_in_python(
            corpus="manifest",
            root=manifest,
            epsilon=8,
            privacy_unit=unit,
            normalise="running",
            out=tmp_path / "out",
            progress=False,
        )
    assert str(told.value) == line
    config = tiny.config(manifest, privacy__epsilon=8.0, privacy__unit=unit, data__normalise="running")
    with pytest.raises(UsageError) as told:
        Site(config, _holding(tmp_path))
    assert str(told.value) == line
    assert not (tmp_path / "out").exists()


def _holding(folder: Path) -> Holding:
    own = random_recordings(speakers=2, each=3, features=tiny.FEATURES, classes=tiny.CLASSES)
    return Holding(
        name="a", classes=tiny.CLASSES, train=own, validation=[], test=[], ledger=folder / "ledger", state=folder / "s"
    )
