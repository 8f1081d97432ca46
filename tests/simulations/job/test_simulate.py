from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from common.errors import FederationError
from common.learning import saved_model
from common.learning.training import train
from common.progress import Display
from server.run import checkpoint
from simulations.engine.output import open_folder
from simulations.job.simulate import Job, simulate, train_job
from tests.server.federation.coordinator import wait
from tests.server.reporting.test_run_record import KEPT, order_of_keys
from tests.simulations import tiny

ROOT = Path(__file__).parents[3]
METRICS = {"wa", "uar", "macro_f1", "recall", "confusion", "loss", "stranger"}
SINCE = ("stranger", "pooled_stranger", "confusion_first")  # keys that the kept results are older than


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    return tiny.write(tmp_path / "corpus")


def job(manifest: Path, out: Path, *, workers: int = 0, baselines: bool = False, **more: object) -> Job:
    config = tiny.config(manifest, **more)
    open_folder(out, {}, resume=False, overwrite=False)
    return Job(config=config, out=out, engine="inprocess", workers=workers, baselines=baselines, command="fedser x")


def run(own: Job, *, pages: bool = False) -> dict[str, Any]:
    """A run's result; its pages take longer to draw than so small a model to train."""
    with Display() as display:
        return (simulate if pages else train_job)(own, display).as_json()


def weights(out: Path) -> dict[str, Any]:
    return dict(safetensors.numpy.load_file(out / "model.safetensors"))


def same(a: Path, b: Path) -> bool:
    first, second = weights(a), weights(b)
    return set(first) == set(second) and all(np.array_equal(first[name], second[name]) for name in first)


def test_a_run_leaves_what_the_contract_names(manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = run(job(manifest, out, baselines=True, data__held_out="kfold:2"), pages=True)
    kept = json.loads((out / "result.json").read_text())
    assert kept == json.loads(json.dumps(whole))
    before = json.loads((KEPT / "baselines.json").read_text())
    aside = {"environment": 0, "config": 0}  # which grow with what fedser is made of, and with its settings
    assert order_of_keys(_without(SINCE, {**kept, **aside})) == order_of_keys({**before, **aside})
    assert [name for name in kept["config"] if name in before["config"]] == list(before["config"])
    assert kept["schema"] == 1
    assert kept["privacy"] is None
    assert kept["config"]["federation.rounds"] == 2
    assert kept["corpus"] == {
        "name": "manifest",
        "synthetic": False,
        "utterances": 64,
        "skipped": 0,
        "speakers": 8,
        "classes": list(tiny.CLASSES),
    }
    assert [fold["fold"] for fold in kept["folds"]] == ["kfold:2:0", "kfold:2:1"]
    for fold in kept["folds"]:
        assert set(fold["test"]) == METRICS
        assert list(fold["test"]["recall"]) == list(tiny.CLASSES)
        assert np.sum(fold["test"]["confusion"]) == np.sum(fold["confusion_first"]) == 32
        assert set(fold["baselines"]) == {"pooled", "local"}
        assert set(fold["baselines"]["local"]) == {"site-0", "site-1"}
        assert set(fold["baselines"]["pooled"]["test"]) == METRICS
        assert [entry["round"] for entry in fold["rounds"]] == [1, 2]
        for entry in fold["rounds"]:
            assert set(entry["sites"]) == {"site-0", "site-1"}
            assert {"examples", "loss", "uar"} <= set(entry["sites"]["site-0"])
    assert set(kept["summary"]) == {"uar", "wa", "macro_f1", "pooled_uar", "local_uar", "stranger", "pooled_stranger"}
    assert set(kept["summary"]["uar"]) == {"mean", "sd", "ci95"}
    assert set(kept["timing"]) == {"features_s", "training_s", "overhead_s", "total_s"}
    assert kept["environment"]["torch"]
    for name in ("model.safetensors", "MODEL_CARD.md", "events.jsonl", "report.html", "tensorboard"):
        assert (out / name).exists(), name
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert [(e["fold"], e["round"]) for e in events] == [(f"kfold:2:{k}", r) for k in (0, 1) for r in (1, 2)]
    saved = saved_model.load(out)
    assert saved.classes == tiny.CLASSES
    assert str(manifest) not in (out / "model.safetensors").read_bytes().decode("latin-1")


def _without(keys: tuple[str, ...], value: Any) -> Any:
    """JSON without some keys, wherever they are."""
    if isinstance(value, dict):
        return {name: _without(keys, own) for name, own in value.items() if name not in keys}
    return [_without(keys, own) for own in value] if isinstance(value, list) else value


def test_nobody_is_in_both_train_and_test(manifest: Path, tmp_path: Path) -> None:
    whole = run(job(manifest, tmp_path / "out", data__held_out="kfold:4", data__validation="none"))
    for fold in whole["folds"]:
        groups = [set(fold[key]) for key in ("train_speakers", "validation_speakers", "test_speakers")]
        assert set.union(*groups) == {f"{i:02}" for i in range(8)}
        assert sum(map(len, groups)) == 8
        assert fold["rounds"][0]["validation"] is None


def test_the_result_does_not_depend_on_the_number_of_workers(manifest: Path, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    first = run(job(manifest, a, workers=0, data__sites="3"))
    second = run(job(manifest, b, workers=2, data__sites="3"))
    assert same(a, b)
    assert first["folds"][0]["test"] == second["folds"][0]["test"]


def test_another_seed_gives_another_model(manifest: Path, tmp_path: Path) -> None:
    run(job(manifest, tmp_path / "a"))
    run(job(manifest, tmp_path / "b", seed=1))
    assert not same(tmp_path / "a", tmp_path / "b")


def test_it_learns(manifest: Path, tmp_path: Path) -> None:
    whole = run(job(manifest, tmp_path / "out", federation__rounds=15, training__learning_rate=0.02))
    assert whole["summary"]["uar"]["mean"] > 0.9


LATER = ("fedavgm", "fedadam", "fedprox", "fedyogi", "fedmedian", "fedtrimmedavg", "krum")


@pytest.mark.parametrize("strategy", ["scaffold", *(pytest.param(s, marks=pytest.mark.slow) for s in LATER)])
def test_every_strategy_runs_and_resumes_bit_for_bit(
    manifest: Path, tmp_path: Path, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    more: dict[str, Any] = {"federation__strategy": strategy, "data__sites": "4", "federation__rounds": 4}
    assert_resumes(manifest, tmp_path, 2, monkeypatch, more)


def test_validation_speakers_train_once_the_round_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    manifest = tiny.write(tmp_path / "corpus")
    more: dict[str, Any] = {"federation__rounds": 3, "data__sites": "1"}
    fold = run(job(manifest, tmp_path / "again", **more), pages=True)["folds"][0]
    assert [entry["round"] for entry in fold["rounds"]] == [1, 2, 3]
    assert [entry["round"] for entry in fold["refit"]] == [3 + number for number in range(1, fold["chosen_round"] + 1)]
    for part, parts in (("rounds", ("train",)), ("refit", ("train", "validation"))):
        for site in fold["rounds"][0]["sites"]:
            (split,) = (entry for entry in split_of(tmp_path / "again") if entry["name"] == site)
            speakers = sum(len(split[name]) for name in parts)
            assert {entry["sites"][site]["examples"] for entry in fold[part]} == {speakers * 8}
    assert "trained again" in (tmp_path / "again/report.html").read_text()
    own = job(manifest, tmp_path / "once", federation__refit=False, **more)
    once = run(own, pages=True)["folds"][0]
    assert (once["refit"], once["chosen_round"]) == ([], fold["chosen_round"])
    assert [entry["validation"] for entry in once["rounds"]] == [entry["validation"] for entry in fold["rounds"]]
    assert not same(tmp_path / "again", tmp_path / "once")
    assert "trained again" not in (tmp_path / "once/report.html").read_text()


def split_of(out: Path) -> list[dict[str, Any]]:
    (plan,) = out.glob("folds/*/plan.json")
    sites: list[dict[str, Any]] = json.loads(plan.read_text())["sites"]
    return sites


@pytest.mark.parametrize("stop", [pytest.param(3, marks=pytest.mark.slow), 4])
def test_training_again_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    manifest = tiny.write(tmp_path / "corpus")  # six train at one site, so that one can choose the round
    more: dict[str, Any] = {"federation__rounds": 3, "federation__strategy": "fedavgm", "data__sites": "1"}
    assert_resumes(manifest, tmp_path, stop, monkeypatch, more)


def assert_resumes(
    manifest: Path, tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    """A run that was stopped after a round, and went on, ends with the weights of one that never was."""
    run(job(manifest, tmp_path / "whole", **more))
    halves = job(manifest, tmp_path / "halves", **more)
    stop_after(stop, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run(halves)
    monkeypatch.undo()
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    run(halves)
    assert same(tmp_path / "whole", tmp_path / "halves")


def stop_after(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    save = checkpoint.save

    def stopping(state: checkpoint.State, path: Path) -> None:
        save(state, path)
        if state.round == number:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", stopping)


def test_the_test_labels_cannot_change_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same corpus with the held-out speakers' labels turned round: the same weights, another score."""
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    plain = tiny.write(tmp_path / "plain")
    turned = tiny.write(tmp_path / "turned")
    own: dict[str, Any] = {"federation__rounds": 4, "data__sites": "1"}
    held = set(run(job(plain, tmp_path / "a", **own))["folds"][0]["test_speakers"])
    lines = turned.read_text().splitlines()
    back = dict(zip(tiny.CLASSES, reversed(tiny.CLASSES), strict=True))
    rows = [line.split(",") for line in lines[1:]]
    mixed = [[p, back[e] if s in held else e, s, *rest] for p, e, s, *rest in rows]
    turned.write_text("\n".join([lines[0], *(",".join(row) for row in mixed)]))
    other = run(job(turned, tmp_path / "b", **own))
    assert other["folds"][0]["validation_speakers"]
    assert same(tmp_path / "a", tmp_path / "b")
    assert other["summary"]["uar"]["mean"] < 0.3


def test_the_test_fold_is_scored_once(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from server.rounds import held_out

    scored = []
    score = held_out.score

    def noting(*arguments: Any) -> Any:
        scored.append(arguments[2])
        return score(*arguments)

    monkeypatch.setattr(held_out, "score", noting)
    whole = run(job(manifest, tmp_path / "out"))
    assert scored == [tuple(whole["folds"][0]["test_speakers"])]


def test_the_round_with_the_best_validation_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    manifest = tiny.write(tmp_path / "corpus", speakers=16, each=1)
    fold = run(job(manifest, tmp_path / "out", federation__rounds=6))["folds"][0]
    order = [(e["validation"]["uar"], -e["validation"]["loss"], -e["round"]) for e in fold["rounds"]]
    assert fold["chosen_round"] == -max(order)[2]
    for entry in fold["rounds"]:
        assert all(told["uar"] is not None for told in entry["sites"].values())


def test_speakers_that_a_manifest_holds_back_are_scored_at_their_sites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    manifest = tiny.write(tmp_path / "corpus", speakers=8, test=(4, 5))
    at_sites = run(job(manifest, tmp_path / "a", data__held_out="", data__sites="column"))
    plan = json.loads((tmp_path / "a/folds/split/plan.json").read_text())
    assert plan["test"] == []
    assert {site["name"]: site["test"] for site in plan["sites"]} == {"s0": ["04"], "s1": ["05"], "s2": [], "s3": []}
    assert at_sites["folds"][0]["test_speakers"] == ["04", "05"]
    assert np.sum(at_sites["folds"][0]["test"]["confusion"]) == 16


def test_a_site_that_fails_is_named_and_the_round_goes_on(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(model: Any, data: Any, *rest: Any, **more: Any) -> Any:
        if "00" in data.speakers or "02" in data.speakers:
            raise ValueError("secret/path/patient_0042.wav")
        return train(model, data, *rest, **more)

    monkeypatch.setattr("client.app.train", failing)
    whole = run(job(manifest, tmp_path / "out", data__sites="6"))
    sites = [set(entry["sites"]) for entry in whole["folds"][0]["rounds"]]
    assert sites[0] == sites[1]
    assert 4 <= len(sites[0]) < 6
    refusals = [r.getMessage() for r in caplog.records if "update refused" in r.getMessage()]
    assert refusals
    assert not any("patient" in line for line in refusals)


def test_too_few_sites_end_the_run_and_keep_the_checkpoint(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def failing(*rest: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) > 2:
            raise ValueError("broken")
        return train(*rest, **more)

    monkeypatch.setattr("client.app.train", failing)
    with pytest.raises(FederationError, match=r"round 2: 0 of 2 sites sent a sound update, expected at least 1"):
        run(job(manifest, tmp_path / "out"))
    assert checkpoint.load(tmp_path / "out/folds/kfold-4-0/checkpoint.safetensors").round == 1


@pytest.mark.slow
def test_a_run_killed_with_9_leaves_nothing_behind_and_resumes_bit_for_bit(manifest: Path, tmp_path: Path) -> None:
    options = ["--corpus", "manifest", "--root", str(manifest), "--sites", "2", "--held-out", "kfold:4:0"]
    settings = tmp_path / "small.toml"
    settings.write_text(
        "[model]\nprojection = 8\nhidden = 6\nattention = 4\n[training]\nbatch_size = 1\nlocal_epochs = 3\n"
        "[federation]\nrounds = 12\n"
    )
    options += ["--config", str(settings), "--workers", "2"]
    start("whole", *options, tmp_path=tmp_path).wait()
    killed = start("killed", *options, tmp_path=tmp_path)
    events = tmp_path / "killed/events.jsonl"
    deadline = time.monotonic() + 240  # of a machine with other work
    while not events.exists() or len(events.read_text().splitlines()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed/result.json").exists()
    wait(lambda: not any(str(tmp_path / "killed") in arguments(path) for path in Path("/proc").iterdir()), seconds=5)
    resumed = subprocess.run([PROGRAM, "simulate", "--resume", str(tmp_path / "killed")], env=environment(tmp_path))
    assert resumed.returncode == 0
    assert same(tmp_path / "whole", tmp_path / "killed")
    lines = [json.loads(line)["round"] for line in events.read_text().splitlines()]
    assert lines == list(range(1, 13))


PROGRAM = str(Path(sys.executable).parent / "fedser")


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "FEDSER_CACHE": str(tmp_path / "cache")}


def start(name: str, *options: str, tmp_path: Path) -> subprocess.Popen[bytes]:
    command = [PROGRAM, "simulate", *options, "--out", str(tmp_path / name)]
    return subprocess.Popen(command, env=environment(tmp_path), stderr=subprocess.DEVNULL)


def arguments(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def test_settings_are_never_mixed_up() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny.config(Path("x")).seed = 1  # type: ignore[misc]
