"""Whole runs that start from a model that is there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message

from common import protocol
from common.cli import main
from common.config.settings import Config
from common.errors import UsageError
from common.privacy.recipe import private_settings
from server.records.starting_model import FILE, keep_initial, origin
from simulations.audits.audited_run import open_run
from tests.client import deployment
from tests.client.deployment import SITES, deal, node, run_deployed
from tests.simulations import tiny
from tests.simulations.job.test_simulate import job, run, same, weights

STILL: dict[str, Any] = {"training__learning_rate": 1e-30, "training__weight_decay": 0.0}  # steps too short for float32


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A year's recordings, and the next year's, of the same eight speakers; and a model of the first, without two."""
    folder = tmp_path_factory.mktemp("years")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSER_CACHE", str(folder / "cache"))
        tiny.write(folder / "first", each=1)
        tiny.write(folder / "second", each=1, seed=1)
        run(job(folder / "first/manifest.csv", folder / "model"))
    return folder


@pytest.fixture(autouse=True)
def _cache(corpora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(corpora / "cache"))


def start(corpora: Path, out: Path, *, pages: bool = False, **more: Any) -> dict[str, Any]:
    """A run on the second year's recordings that starts from the first year's model."""
    own: dict[str, Any] = {"federation__initial": str(corpora / "model"), **more}
    return run(job(corpora / "second/manifest.csv", out, **own), pages=pages)


def fedser(arguments: list[str]) -> int:
    return main.run(arguments)


def equal_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return all(np.array_equal(first[name], second[name]) for name in first | second)


@pytest.mark.parametrize(
    ("normalise", "validation"),  # one with a refit, which starts from it too
    [
        ("running", "one"),
        ("global", "none"),
        pytest.param("running", "none", marks=pytest.mark.slow),
        pytest.param("global", "one", marks=pytest.mark.slow),
    ],
)
def test_it_starts_with_the_models_weights_and_its_scaling(
    normalise: str, validation: str, corpora: Path, tmp_path: Path
) -> None:
    model = corpora / "model"
    if normalise == "global":
        model = tmp_path / "model"
        run(job(corpora / "first/manifest.csv", model, data__normalise=normalise))
    own: dict[str, Any] = {"data__normalise": normalise, "federation__initial": str(model)}
    own |= {"data__validation": validation, "data__sites": "1"}  # of six, so that one can choose the round
    result = start(corpora, tmp_path / "out", **own, **STILL)
    assert bool(result["folds"][0].get("refit")) is (validation == "one")
    assert equal_weights(tmp_path / "out", model)
    moved = start(corpora, tmp_path / "moved", **own)  # and it does train
    assert moved["folds"][0]["test"]["loss"] != result["folds"][0]["test"]["loss"]
    before, after = weights(model), weights(tmp_path / "moved")
    assert all(np.array_equal(before[name], after[name]) == name.startswith("scaling.") for name in before)


def test_a_new_federation_has_another_scaling(corpora: Path, tmp_path: Path) -> None:
    run(job(corpora / "second/manifest.csv", tmp_path / "out"))
    own, other = weights(tmp_path / "out"), weights(corpora / "model")
    assert not np.array_equal(own["scaling.mean"], other["scaling.mean"])


@pytest.mark.parametrize(
    ("fold", "heard"),
    [("kfold:4:0", [[]]), ("kfold:4:1", [["02", "03"]]), ("kfold:2", [["04", "05"], ["02", "03", "06", "07"]])],
)
def test_the_record_says_which_model_it_was_and_whom_of_the_tested_it_knows(
    fold: str, heard: list[list[str]], corpora: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = corpora / "model"
    with caplog.at_level(logging.WARNING, logger="fedser"):
        result = start(corpora, tmp_path / "out", pages=True, data__held_out=fold, federation__rounds=1)
    known = json.loads((model / "result.json").read_text())["folds"][0]
    trained = {*known["train_speakers"], *known["validation_speakers"]}
    for own in result["folds"]:
        told = own["started_from"]
        assert told["sha256"] == hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()
        assert told["private"] is False
        assert told["speakers"] == {"manifest": sorted(trained)}
        assert told["heard"] == sorted(trained & set(own["test_speakers"]))
        line = f"fold {own['fold']}: --initial was trained on"
        assert any(line in text for text in caplog.messages) is bool(told["heard"])
    assert [own["started_from"]["heard"] for own in result["folds"]] == heard
    page, card = ((tmp_path / "out" / name).read_text() for name in ("report.html", "MODEL_CARD.md"))
    for text in (page, card):
        assert f"Started from the model of another run (SHA-256 {told['sha256']})." in text
        assert ("NOT held out" in text) is any(own["started_from"]["heard"] for own in result["folds"])


def test_who_made_a_model_is_who_made_those_before_it_too(corpora: Path, tmp_path: Path) -> None:
    start(corpora, tmp_path / "second", data__held_out="kfold:4:1")
    third = start(corpora, tmp_path / "third", federation__initial=str(tmp_path / "second"))
    speakers = [f"{number:02}" for number in range(8)]
    assert third["folds"][0]["started_from"]["speakers"] == {"manifest": speakers}
    assert third["folds"][0]["started_from"]["heard"] == third["folds"][0]["test_speakers"]


def test_a_private_run_hides_nothing_of_the_models_before_it(corpora: Path, tmp_path: Path) -> None:
    """Its model is private for who trained in it; who made the one that it started from is as well known as before."""
    given = {"privacy.noise_multiplier": 2.0, "data.validation": "none", "federation.rounds": 1}
    private = {name.replace(".", "__"): value for name, value in private_settings(given).items()}
    run(job(corpora / "first/manifest.csv", tmp_path / "open", **{**private, "privacy__noise_multiplier": 0.0}))
    start(corpora, tmp_path / "first", federation__initial=str(tmp_path / "open"), **private)
    run(job(corpora / "first/manifest.csv", tmp_path / "alone", **private))
    assert origin(tmp_path / "alone").private
    assert not origin(tmp_path / "open").private
    assert not origin(tmp_path / "first").private


def test_of_a_model_without_its_run_nobody_is_known(corpora: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    shutil.copyfile(corpora / "model/model.safetensors", alone)
    result = start(corpora, tmp_path / "out", pages=True, federation__initial=str(alone))
    told = result["folds"][0]["started_from"]
    assert (told["speakers"], told["heard"]) == (None, None)
    assert "it is not known whether the score is held out" in (tmp_path / "out/report.html").read_text()


def test_a_folds_own_model_is_known_as_the_runs_is(corpora: Path) -> None:
    [fold] = (corpora / "model/folds").iterdir()
    assert origin(fold) == origin(corpora / "model") == origin(corpora / "model/model.safetensors")


def test_a_run_goes_on_from_the_model_that_it_started_from(corpora: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    shutil.copyfile(corpora / "model/model.safetensors", model)
    out = tmp_path / "out"
    own = job(corpora / "second/manifest.csv", out, federation__initial=str(model))
    first = run(own)
    before = tmp_path / "before"
    shutil.copytree(out, before)
    for path in (out / "folds").iterdir():
        shutil.rmtree(path)
    model.unlink()  # next year's is there by now, or none
    again = run(own)
    assert same(out, before)
    assert again["folds"][0]["started_from"] == first["folds"][0]["started_from"]
    assert again["config"]["federation.initial"] == str(model)


def test_an_audit_knows_what_the_run_started_from(corpora: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["simulate", "--corpus", "manifest", "--root", str(corpora / "second/manifest.csv"), "--out", str(out)]
    settings = tmp_path / "small.toml"
    settings.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in tiny.SMALL.items()))
    command += ["--config", str(settings), "--initial", str(corpora / "model"), "--workers", "0", "--rounds", "1"]
    assert fedser(command) == 0
    audited = open_run(out, None)
    assert audited.config.federation.initial == str(out / FILE)
    before = weights(corpora / "model")
    own = audited.initial_model(tiny.FEATURES).state_dict()
    assert all(np.array_equal(before[f"model.{name}"], value.numpy()) for name, value in own.items())
    assert np.array_equal(audited.scaling([]).mean.numpy(), before["scaling.mean"])


@pytest.mark.parametrize("made", ["private", "open"])
def test_a_private_run_claims_nothing_of_the_model_that_it_starts_from(
    made: str, corpora: Path, tmp_path: Path
) -> None:
    chosen = {"privacy.noise_multiplier": 2.0, "federation.rounds": 10, "data.validation": "none"}
    given = {name.replace(".", "__"): value for name, value in private_settings(chosen).items()}
    first = given if made == "private" else {**given, "privacy__noise_multiplier": 0.0, "federation__rounds": 2}
    ledger = tmp_path / "ledgers"
    before = job(corpora / "first/manifest.csv", tmp_path / "model", **first)
    run(dataclasses.replace(before, ledger=ledger))
    given["federation__initial"] = str(tmp_path / "model")
    own = job(corpora / "second/manifest.csv", tmp_path / "out", **given)
    result = run(dataclasses.replace(own, ledger=ledger), pages=True)
    for spent in result["privacy"]["sites"].values():  # the first run's steps are beside these, if it had any
        assert (spent["epsilon_total"] > 1.2 * spent["epsilon"]) is (made == "private")
    assert result["folds"][0]["started_from"]["private"] is (made == "private")
    page, card = ((tmp_path / "out" / name).read_text() for name in ("report.html", "MODEL_CARD.md"))
    for text in (page, card):
        assert "taken as public: ε is of this run" in text
        assert ("a model before it, was trained without privacy, also on 6 of the speakers who train here" in text) is (
            made == "open"
        )
    centre = "model.statistics.centre"
    assert np.array_equal(weights(tmp_path / "out")[centre], weights(tmp_path / "model")[centre])


def test_overwriting_the_model_that_is_named_is_refused(
    corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(corpora / "model", model)
    command = ["simulate", "--corpus", "manifest", "--root", str(corpora / "second/manifest.csv"), "--out", str(model)]
    (model / "run.json").write_text("{}")
    assert fedser([*command, "--initial", str(model), "--overwrite"]) == 2
    assert f"--overwrite would delete {model}, which --initial names" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["missing", "other"])
def test_what_cannot_be_started_from_is_refused_before_anything_is_made(
    fault: str, corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "none" if fault == "missing" else corpora / "model"
    command = ["simulate", "--corpus", "manifest", "--root", str(corpora / "second/manifest.csv")]
    assert fedser([*command, "--out", str(tmp_path / "out"), "--initial", str(model)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert ("there is no such file" if fault == "missing" else "model.projection 8, the run has 128") in said
    assert not (tmp_path / "out").exists()


def test_recordings_of_another_width_are_refused(corpora: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shutil.copytree(corpora / "second", tmp_path / "wide")
    for path in (tmp_path / "wide").glob("*.npy"):
        np.save(path, rng.normal(size=(4, tiny.FEATURES + 1)).astype(np.float32))
    own = job(tmp_path / "wide/manifest.csv", tmp_path / "out", federation__initial=str(corpora / "model"))
    with pytest.raises(Exception, match=f"has {tiny.FEATURES} features a frame, the sites have {tiny.FEATURES + 1}"):
        run(own)


def test_a_simulation_of_another_class_is_refused(corpora: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the model has classes anger happiness neutral sadness, the run has anger"):
        start(corpora, tmp_path / "out", data__classes="anger,neutral,sadness")


def test_a_deployment_starts_from_a_simulations_model(
    corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No site is asked for the sums of its features."""
    deal(tiny.write(tmp_path / "corpus", speakers=12, test=(0, 1), seed=1), tmp_path)
    own: dict[str, Any] = {name.replace("__", "."): value for name, value in STILL.items()}
    own |= {
        "data.held_out": "",
        "data.classes": list(tiny.CLASSES),
        "federation.initial": "runs/one/initial.safetensors",
    }
    home = tmp_path / "home/runs/one"
    home.mkdir(parents=True)
    keep_initial(Config().with_values({"federation.initial": str(corpora / "model")}), home)
    gated = deployment.gated
    monkeypatch.setattr(deployment, "client", lambda: without_sums(gated()))
    nodes = [node(tmp_path, site, **{protocol.NODE_TEST_SPEAKERS: True}) for site in SITES]
    fold = run_deployed(tmp_path, Config().with_values({**tiny.SMALL, **own}), monkeypatch, nodes=nodes)
    assert equal_weights(home, corpora / "model")
    told = fold["started_from"]
    assert told["sha256"] == hashlib.sha256((corpora / "model/model.safetensors").read_bytes()).hexdigest()
    assert told["heard"] is None  # the sites name nobody


def without_sums(answer: Any) -> Any:
    def called(message: Message, context: Context) -> Message:
        assert message.metadata.message_type != protocol.STATISTICS
        reply: Message = answer(message, context)
        return reply

    return called
