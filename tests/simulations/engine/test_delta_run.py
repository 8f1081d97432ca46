"""Whole private runs: each unit, the ledger under kills and budgets, and what must not leave."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import client.private_round
from common.config.settings import flatten
from common.errors import FederationError, LedgerError, UsageError
from common.learning import saved_model
from common.privacy.accounting.accountants import Spend, epsilon_prv, epsilon_rdp
from common.privacy.ledger.account import Ledger
from common.privacy.recipe import private_settings
from common.storage.chained_file import Chain
from simulations.job.simulate import Job
from tests.simulations import tiny
from tests.simulations.job.test_simulate import job, manifest, run, same, stop_after, weights

__all__ = ["manifest"]  # the fixture
ROOT = Path(__file__).parents[3]
SITE = {
    "epsilon",
    "epsilon_total",
    "epsilon_rdp",
    "delta",
    "noise_multiplier",
    "steps",
    "sample_rate",
    "budget",
    "budget_unit",
    "stopped",
}


def private(manifest: Path, out: Path, *, ledger: Path | None = None, workers: int = 0, **more: object) -> Job:
    """A job with the private recipe for its settings."""
    asked = {"privacy.epsilon": 8.0, **{name.replace("__", "."): value for name, value in more.items()}}
    if "privacy.noise_multiplier" in asked:
        asked.pop("privacy.epsilon")
    small = {**tiny.SMALL, "data.sites": "3", "training.local_epochs": 1}
    small.pop("training.batch_size")
    settings = private_settings({**small, **asked})
    own = job(manifest, out, **{name.replace(".", "__"): value for name, value in settings.items()})
    return dataclasses.replace(own, ledger=ledger, workers=workers)


def spent(folder: Path, unit: str = "utterance") -> dict[str, list[Spend]]:
    return {path.stem: Ledger(path).spends(unit) for path in sorted(folder.rglob("*.jsonl"))}


def test_an_utterance_private_run_tells_its_epsilon_and_nothing_else_of_the_recordings(
    manifest: Path, tmp_path: Path
) -> None:
    whole = run(private(manifest, tmp_path / "out", workers=2), pages=True)
    [fold] = whole["folds"]
    assert set(fold["privacy"]) == {"unit", "target_epsilon", "max_grad_norm", "accountant", "insecure_seed", "sites"}
    assert fold["privacy"]["unit"] == "utterance"
    assert fold["privacy"]["accountant"] == "prv"
    assert set(fold["privacy"]["sites"]) == {"site-0", "site-1", "site-2"}
    most = max(own["epsilon"] for own in fold["privacy"]["sites"].values())
    assert whole["privacy"] == {**fold["privacy"], "all": {"epsilon": most, "delta": 1e-5, "models": 1}}
    for site, own in fold["privacy"]["sites"].items():
        assert set(own) == SITE
        assert 7.9 < own["epsilon"] <= 8.0 <= own["epsilon_rdp"] == own["epsilon_total"]
        [*steps] = spent(tmp_path / "out" / "ledger")[site]
        assert sum(spend.steps for spend in steps) == own["steps"] == 2 * round(1 / own["sample_rate"])
        assert own["epsilon"] == epsilon_prv(steps, own["delta"])
        assert own["budget"] is None
        assert own["stopped"] is False
    assert fold["validation_speakers"] == []
    for entry in fold["rounds"]:
        assert entry["validation"] is None
        for own in entry["sites"].values():
            assert own["examples"] == 16
            assert own["loss"] is own["uar"] is own["seconds"] is None
    assert whole["config"]["data.normalise"] == "utterance"
    assert whole["config"]["training.class_weights"] == "none"
    assert whole["transductive"] is False
    page = (tmp_path / "out" / "report.html").read_text()
    assert "with differential privacy" in page
    assert "site-2" in page
    json.loads((tmp_path / "out" / "result.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.slow
def test_two_private_runs_differ_for_the_noise_is_not_of_the_seed(manifest: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(private(manifest, tmp_path / name))
    assert not same(tmp_path / "a", tmp_path / "b")


def test_with_an_insecure_seed_they_are_the_same_and_say_so(manifest: Path, tmp_path: Path) -> None:
    for name, workers in (("a", 0), ("b", 2)):
        own = private(manifest, tmp_path / name, privacy__insecure_seed=True, workers=workers)
        assert run(own, pages=not workers)["privacy"]["insecure_seed"] is True
    assert "Not private" in (tmp_path / "a/report.html").read_text()
    assert "NOT private" in (tmp_path / "a/MODEL_CARD.md").read_text()
    assert same(tmp_path / "a", tmp_path / "b")


def test_an_infinite_epsilon_is_a_run_without_privacy(manifest: Path, tmp_path: Path) -> None:
    run(job(manifest, tmp_path / "plain"))
    settings = private_settings({**tiny.SMALL, "privacy.epsilon": "inf", "privacy.unit": "speaker"})
    whole = run(job(manifest, tmp_path / "inf", **{k.replace(".", "__"): v for k, v in settings.items()}))
    assert whole["privacy"] is None
    assert same(tmp_path / "plain", tmp_path / "inf")
    assert not (tmp_path / "inf" / "ledger").exists()


def test_features_may_be_scaled_by_a_public_model(manifest: Path, tmp_path: Path) -> None:
    run(job(manifest, tmp_path / "public", data__normalise="global", federation__rounds=1))
    more: dict[str, Any] = {"data__normalise": "public", "data__public": str(tmp_path / "public")}
    whole = run(private(manifest, tmp_path / "out", **more, model__hidden=0, model__statistics="means"))
    assert whole["privacy"]["unit"] == "utterance"
    ours, public = saved_model.load(tmp_path / "out"), saved_model.load(tmp_path / "public")
    assert ours.scaling.mean.tolist() == public.scaling.mean.tolist() != [0.0] * tiny.FEATURES
    assert ours.config.data.public == ""
    assert set(ours.model.state_dict()) == {"classifier.weight", "classifier.bias"}
    other = tiny.write(tmp_path / "other")
    for path in other.parent.glob("*.npy"):
        np.save(path, np.load(path)[:, :4])
    with pytest.raises(FederationError, match="has 6 features a frame, the sites have 4"):
        run(private(other, tmp_path / "narrow", **more))


@pytest.mark.parametrize("unit", ["utterance", "speaker", pytest.param("site", marks=pytest.mark.slow)])
def test_a_model_of_contours_finds_its_centre_first(manifest: Path, tmp_path: Path, unit: str) -> None:
    more: dict[str, Any] = {"model__hidden": 0, "model__statistics": "contours", "federation__rounds": 10}
    run(
        private(
            manifest, tmp_path / "out", **more, privacy__unit=unit, privacy__epsilon=20.0, data__normalise="utterance"
        )
    )
    state = saved_model.load(tmp_path / "out").model.state_dict()
    assert state["classifier.weight"].shape[1] == len(state["statistics.centre"])
    initial = 0.75 * (state["statistics.centre"].new_tensor([0.0] * 15 + [1.0] * 6 + [0.0] * 25))
    moved = float((state["statistics.centre"] - initial).norm())
    assert moved == 0 if unit == "speaker" else 0.1 < moved < 10
    spends = spent(tmp_path / "out" / "ledger", unit)
    assert len({tuple(own) for own in spends.values()}) == 1  # every round counts, whatever it trains


def test_a_speaker_counts_once(manifest: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = run(private(manifest, tmp_path / "out", privacy__unit="speaker"))
    [fold] = whole["folds"]
    assert fold["privacy"]["unit"] == "speaker"
    for own in fold["privacy"]["sites"].values():
        assert own["sample_rate"] == 1.0
        assert 7.9 < own["epsilon"] <= 8.0
    assert caplog.text.count("the noise drowns the signal: if all 2 speakers agreed") == 3  # once a site
    assert fold["rounds"][0]["sites"]["site-0"]["examples"] == 2  # speakers: how many recordings is not told


def test_the_server_hides_a_site(manifest: Path, tmp_path: Path) -> None:
    whole = run(private(manifest, tmp_path / "out", privacy__unit="site", federation__rounds=3))
    [fold] = whole["folds"]
    assert set(fold["privacy"]["sites"]) == {"federation"}
    own = fold["privacy"]["sites"]["federation"]
    assert own["steps"] == 3
    assert own["sample_rate"] == 1.0
    assert 7.9 < own["epsilon"] <= 8.0
    assert list(spent(tmp_path / "out" / "ledger")) == ["federation"]
    assert all(site["loss"] is None for entry in fold["rounds"] for site in entry["sites"].values())
    assert entry_examples(fold) == {16}


def entry_examples(fold: dict[str, Any]) -> set[int]:
    return {site["examples"] for entry in fold["rounds"] for site in entry["sites"].values()}


@pytest.mark.parametrize("unit", [pytest.param("utterance", marks=pytest.mark.slow), "site"])
def test_a_resumed_run_spends_nothing_twice(
    manifest: Path, tmp_path: Path, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    more: dict[str, Any] = {"privacy__unit": unit, "federation__rounds": 4, "privacy__insecure_seed": True}
    run(private(manifest, tmp_path / "whole", **more))
    halves = private(manifest, tmp_path / "halves", **more)
    stop_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(halves)
    monkeypatch.undo()
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    result = run(halves)
    assert same(tmp_path / "whole", tmp_path / "halves")
    planned = spent(tmp_path / "whole" / "ledger", unit)
    assert spent(tmp_path / "halves" / "ledger", unit) == planned
    for site, own in result["privacy"]["sites"].items():
        assert own["steps"] == sum(spend.steps for spend in planned[site])
        assert own["epsilon"] <= 8.0


def test_a_round_that_is_asked_for_again_gets_the_same_answer(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server loses the last round's checkpoint after the sites have answered: no new noise, no new ε."""
    own = private(manifest, tmp_path / "out", federation__rounds=3, privacy__average=0.0)
    folder = tmp_path / "out" / "folds" / "kfold-4-0"
    stop_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(own)
    before = shutil.copy(folder / "checkpoint.safetensors", tmp_path / "early")
    monkeypatch.undo()
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    run(own)
    first = weights(tmp_path / "out")
    shutil.copy(before, folder / "checkpoint.safetensors")
    (folder / "fold.json").unlink()
    whole = run(own)
    assert all(np.array_equal(first[name], value) for name, value in weights(tmp_path / "out").items())
    assert all(site["steps"] == 12 for site in whole["privacy"]["sites"].values())


@pytest.mark.slow
def test_a_killed_run_loses_no_step_and_counts_none_that_released_nothing(manifest: Path, tmp_path: Path) -> None:
    out, ledger = tmp_path / "out", tmp_path / "ledgers"
    command = [sys.executable, "-m", "common.cli.main", "simulate", "--corpus", "manifest", "--root", str(manifest)]
    command += [
        "--held-out",
        "kfold:4:0",
        "--sites",
        "3",
        "--rounds",
        "40",
        "--local-epochs",
        "1",
        "--epsilon",
        "8",
        "--ledger",
        str(ledger),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*command, "--out", str(out)], cwd=ROOT, env=environment, start_new_session=True)
    events = out / "events.jsonl"
    deadline = time.monotonic() + 120
    while not events.exists() or len(events.read_text().splitlines()) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    stored = {path.stem: kinds(path).count("store") for path in ledger.glob("*.jsonl")}
    assert set(stored) == {"site-0", "site-1", "site-2"}
    assert all(number >= 3 for number in stored.values())
    resumed = [sys.executable, "-m", "common.cli.main", "simulate", "--resume", str(out), "--json"]
    ended = subprocess.run(resumed, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    for site, own in json.loads(ended.stdout)["privacy"]["sites"].items():
        assert own["steps"] == 80
        assert own["epsilon"] <= 8.0
        found = kinds(ledger / f"{site}.jsonl")
        assert found.count("store") == 40
        assert found.count("reserve") == 40 + found.count("void")


def kinds(path: Path) -> list[str]:
    return [entry["kind"] for entry in Chain(path).read()]


def test_three_runs_on_the_same_people_compose(manifest: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledgers"
    for number, noise in enumerate((2.0, 2.0, 3.0)):
        whole = run(private(manifest, tmp_path / str(number), ledger=ledger, privacy__noise_multiplier=noise))
    for site, spends in spent(ledger).items():
        own = whole["privacy"]["sites"][site]
        steps = own["steps"]
        union = [
            Spend(unit="utterance", sample_rate=own["sample_rate"], noise_multiplier=noise, steps=number)
            for noise, number in ((2.0, 2 * steps), (3.0, steps))
        ]
        assert own["epsilon_total"] == pytest.approx(epsilon_rdp(union, 1e-5), rel=1e-9)
        assert epsilon_prv(spends, 1e-5) == pytest.approx(epsilon_prv(union, 1e-5), rel=1e-9)
        assert own["epsilon"] < own["epsilon_rdp"] < own["epsilon_total"]


def test_a_site_stops_before_the_step_that_would_pass_its_budget(manifest: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledgers"
    noisy: dict[str, Any] = {"ledger": ledger, "privacy__noise_multiplier": 2.0, "federation__rounds": 4}
    run(private(manifest, tmp_path / "first", **noisy))
    for path in ledger.iterdir():  # the others are new
        if path.name.startswith(("site-1", "site-2")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    [first] = [spends for site, spends in spent(ledger).items() if site == "site-0"]
    rate = first[0].sample_rate
    budget = epsilon_rdp([Spend(unit="utterance", sample_rate=rate, noise_multiplier=2.0, steps=22)], 1e-5)
    whole = run(private(manifest, tmp_path / "second", **noisy, privacy__budget=budget * (1 + 1e-6)))
    sites = whole["privacy"]["sites"]
    assert sites["site-0"]["steps"] == 6  # one round and a half: 16 of the 22 were spent before
    assert sites["site-0"]["stopped"] is True
    assert sites["site-0"]["epsilon_total"] <= budget * (1 + 1e-6)
    assert sites["site-1"]["stopped"] is False
    assert sites["site-1"]["steps"] == 16
    rounds = [set(entry["sites"]) for entry in whole["folds"][0]["rounds"]]
    assert rounds == [{"site-0", "site-1", "site-2"}] * 2 + [{"site-1", "site-2"}] * 2


def test_the_others_go_on_where_one_site_has_nothing_left(manifest: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledgers"
    run(private(manifest, tmp_path / "first", ledger=ledger))
    for path in ledger.iterdir():  # the others are new
        if path.name.startswith(("site-1", "site-2")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    whole = run(private(manifest, tmp_path / "second", ledger=ledger, privacy__epsilon=3.0, privacy__budget=4.0))
    sites = whole["privacy"]["sites"]
    assert set(sites["site-0"]) == SITE
    assert (sites["site-0"]["steps"], sites["site-0"]["stopped"]) == (0, True)
    assert sites["site-0"]["epsilon"] == 0.0
    assert sites["site-0"]["epsilon_total"] > 8.0
    assert sites["site-1"]["steps"] == 8
    assert [set(entry["sites"]) for entry in whole["folds"][0]["rounds"]] == [{"site-1", "site-2"}] * 2


@pytest.mark.slow
def test_noise_is_calibrated_to_what_is_left_of_a_budget(manifest: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledgers"
    run(private(manifest, tmp_path / "a", ledger=ledger, privacy__epsilon=4.0))
    whole = run(private(manifest, tmp_path / "b", ledger=ledger, privacy__epsilon=4.0, privacy__budget=6.0))
    for own in whole["privacy"]["sites"].values():
        assert own["stopped"] is False
        assert 5.9 < own["epsilon_total"] <= 6.0
        assert own["epsilon"] < 4.0


@pytest.mark.slow
def test_a_run_on_a_spent_budget_ends_with_one_clear_line(manifest: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledgers"
    run(private(manifest, tmp_path / "a", ledger=ledger))
    for unit in ("utterance",):
        with pytest.raises(FederationError, match="every site's privacy budget is spent"):
            run(private(manifest, tmp_path / unit, ledger=ledger, privacy__budget=4.0, privacy__unit=unit))


def test_a_ledger_that_was_put_back_or_edited_fails_closed(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = private(manifest, tmp_path / "out", federation__rounds=4, federation__min_sites=3)
    stop_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(own)
    monkeypatch.undo()
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "out" / "ledger" / "kfold-4-0" / "site-1.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]))
    shutil.rmtree(path.with_name("site-1.jsonl.replies"))
    with pytest.raises(FederationError, match="site-1"):
        run(own)
    assert "not the newest copy" in caplog.text
    edited = re.sub(r'("steps": ?)4', r"\g<1>1", "".join(lines), count=1)
    assert edited != "".join(lines)
    path.write_text(edited)
    with pytest.raises((FederationError, LedgerError), match="site-1"):
        run(own)


def test_no_text_of_a_ledgers_error_reaches_the_server(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Ledger:
        raise LedgerError("/data/patient_0042.jsonl was edited")

    monkeypatch.setattr(client.private_round, "Ledger", broken)
    with pytest.raises(FederationError) as caught:
        run(private(manifest, tmp_path / "out"))
    assert "patient" not in str(caught.value)


@pytest.mark.parametrize(("unit", "delta", "baselines"), [("utterance", 7e-3, False), ("utterance", 3e-3, True)])
def test_a_large_delta_is_refused_before_any_work(
    manifest: Path, tmp_path: Path, unit: str, delta: float, baselines: bool
) -> None:
    """16 recordings a site, 48 in all: at most 1/160 and, for the pooled model, 1/480."""
    own = private(manifest, tmp_path / "out", privacy__unit=unit, privacy__delta=delta)
    with pytest.raises(UsageError, match="--delta"):
        run(dataclasses.replace(own, baselines=baselines))
    assert not (tmp_path / "out" / "folds").exists()


def test_flags_of_a_private_run_survive_the_run_config(manifest: Path, tmp_path: Path) -> None:
    own = private(manifest, tmp_path / "out")
    assert type(own.config)().with_values(flatten(own.config)) == own.config
