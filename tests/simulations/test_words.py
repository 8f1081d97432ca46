"""Whole runs in which the words count beside the sound: on matrices of noise, and on the made-up IEMOCAP."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.cli import main
from common.config.sections import STRATEGIES
from common.curation.selection import open_corpus
from common.data.preparation import prepare
from common.errors import UsageError
from common.features.cache import FeatureCache
from common.learning import saved_model
from common.progress import Display
from simulations import load_model, run
from simulations.synthesis.corpus import synthesize
from tests.simulations import tiny

SAID = {"anger": "get out", "happiness": "how lovely", "neutral": "well then", "sadness": "oh no"}
LINEAR = {"model.kind": "linear", "model.statistics": "means"}
WORDS: dict[str, Any] = {"text.buckets": 512, "text.weight": 10.0}


def write_manifest(folder: Path) -> Path:
    """Matrices of noise; in three of four, what is said tells the emotion, in the others nobody wrote it down."""
    rows = list(csv.DictReader(tiny.write(folder).read_text().splitlines()))
    rng = np.random.default_rng(0)
    for place, row in enumerate(rows):
        np.save(folder / row["path"], rng.normal(size=(4, tiny.FEATURES)).astype(np.float32))
        row["text"] = SAID[row["emotion"]] if place % 4 else ""
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def trained(manifest: Path, out: Path, **more: Any) -> dict[str, Any]:
    own = {name.replace("__", "."): value for name, value in more.items()}
    settings = {**tiny.SMALL, **LINEAR, "data.root": str(manifest), "federation.rounds": 8, **own}
    run(settings=settings, workers=0, progress=False, out=out)
    told: dict[str, Any] = json.loads((out / "result.json").read_text())
    return told


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_manifest(tmp_path_factory.mktemp("words") / "corpus")


@pytest.fixture(scope="module")
def model(manifest: Path) -> Path:
    """A run whose model heard the words."""
    out = manifest.parents[1] / "run"
    trained(manifest, out, **WORDS)
    return out


def test_a_run_that_hears_the_words_knows_more_and_predict_gives_its_first_figure(
    manifest: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = trained(manifest, tmp_path / "silent")["folds"][0]["test"]
    fold = json.loads((model / "result.json").read_text())["folds"][0]
    assert silent["uar"] < 0.5 < 0.7 < fold["test"]["uar"]
    assert "beside a linear model of what is said" in (model / "MODEL_CARD.md").read_text()
    rows = [r for r in csv.DictReader(manifest.read_text().splitlines()) if r["speaker"] in fold["test_speakers"]]
    given = [argument for row in rows for argument in ("--text", row["text"])]
    files = [str(manifest.parent / row["path"]) for row in rows]
    assert main.run(["predict", "--model", str(model), "--json", *given, *files]) == 0
    told = [json.loads(line)["probabilities"] for line in capsys.readouterr().out.splitlines()]
    right: dict[str, list[bool]] = {name: [] for name in tiny.CLASSES}
    for row, shares in zip(rows, told, strict=True):
        right[row["emotion"]].append(max(shares, key=shares.__getitem__) == row["emotion"])
    assert np.mean([np.mean(own) for own in right.values()]) == pytest.approx(fold["test"]["stranger"]["0"]["uar"])
    recogniser = load_model(model)
    assert recogniser.predict(files[1], text=rows[1]["text"]) == pytest.approx(told[1])
    assert recogniser.together(files[:2], texts=["", "oh no"])[0] == recogniser.together(files[:2])[0]
    assert recogniser.predict(files[0]) == pytest.approx(told[0])  # nobody wrote it down
    assert recogniser.predict(files[1]) != pytest.approx(told[1])


def test_texts_that_the_model_cannot_take_are_one_line(
    manifest: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(manifest, tmp_path / "silent", federation__rounds=1)
    file = str(next(manifest.parent.glob("*.npy")))
    for path, given, line in (
        (tmp_path / "silent", ["--text", "oh"], "--text: the model hears no words"),
        (model, ["--text", "oh", "--text", "no"], "--text is given 2 times for 1 recordings"),
    ):
        assert main.run(["predict", "--model", str(path), *given, file]) == 2
        assert line in capsys.readouterr().err


def test_where_the_words_do_not_count_they_change_no_weight(manifest: Path, tmp_path: Path) -> None:
    without = tmp_path / "corpus"
    write_manifest(without)
    rows = [line.rpartition(",")[0] for line in (without / "manifest.csv").read_text().splitlines()]
    (without / "manifest.csv").write_text("\n".join(rows) + "\n")
    for name, path in (("with", manifest), ("without", without / "manifest.csv")):
        trained(path, tmp_path / name, federation__rounds=1)
    one, two = (saved_model.load(tmp_path / name).model.state_dict() for name in ("with", "without"))
    assert one.keys() == two.keys()
    assert "words.weight" not in one
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_corpus_without_words_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = tiny.config(tiny.write(tmp_path), text__buckets=64)
    prepare(config, open_corpus(config.data), FeatureCache(tmp_path), Display(silent=True), workers=0)
    assert "text.buckets is 64, and of no recording is it known what is said" in caplog.text


@pytest.mark.parametrize("unit", ["utterance", "speaker", "site"])
def test_a_private_run_refuses_the_words(manifest: Path, tmp_path: Path, unit: str) -> None:
    with pytest.raises(UsageError, match=r"text\.buckets 512: a private run hears no words"):
        trained(manifest, tmp_path / "run", **WORDS, privacy__epsilon=8.0, privacy__unit=unit)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_learns_the_words(manifest: Path, tmp_path: Path, strategy: str) -> None:
    trained(manifest, tmp_path / "run", **WORDS, federation__strategy=strategy, data__sites="4", federation__rounds=2)
    words = saved_model.load(tmp_path / "run").model.words
    assert words is not None
    assert float(words.weight.detach().abs().max()) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bilstm", "cnn1d"])
def test_other_kinds_hear_the_words_too(manifest: Path, tmp_path: Path, kind: str) -> None:
    more = {"model.kind": kind, "model.statistics": "none"}
    assert trained(manifest, tmp_path / "run", **WORDS, **more)["folds"][0]["test"]["uar"] > 0.7


@pytest.mark.slow
def test_the_made_up_iemocap_is_better_told_by_its_transcripts(tmp_path: Path) -> None:
    synthesize(tmp_path / "corpus", layout="iemocap", speakers=4, utterances=120)
    own = {"data.corpus": "synthetic", "data.root": str(tmp_path / "corpus"), "data.held_out": "session:2"}
    off = dict.fromkeys(("features.energy", "features.pitch", "features.spectral"), False) | {"features.mfcc": 0}
    uar = [
        trained(tmp_path, tmp_path / name, **own, **off, **words, data__validation="none")["folds"][0]["test"]["uar"]
        for name, words in (("silent", {}), ("heard", {**WORDS, "text.buckets": 4096}))
    ]
    assert uar[1] > uar[0] + 0.15
