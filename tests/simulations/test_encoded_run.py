"""Whole runs with a public encoder in front of the model: small random ones, on a few made-up sounds."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from common.cli import main
from common.learning import saved_model
from common.privacy.recipe import private_settings
from simulations import load_model, run
from tests.common.encoders.hub_folders import whisper

CLASSES, RATE = ("anger", "neutral"), 16000
SMALL: dict[str, Any] = {
    "data.corpus": "manifest",
    "data.held_out": "kfold:2:0",
    "data.sites": "2",
    "data.validation": "none",
    "federation.rounds": 10,
    "training.batch_size": 4,
}


def write_corpus(folder: Path) -> Path:
    """Eight speakers' tones: those in anger rise and are loud."""
    folder.mkdir()
    path, rng = folder / "manifest.csv", np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "emotion", "speaker"])
        for speaker in range(8):
            for number in range(6):
                angry, time = number % 2, np.arange(RATE // 4) / RATE
                tone = np.sin(2 * np.pi * (150 + 20 * speaker + 900 * angry * time) * time)
                sound = (0.05 + 0.4 * angry) * tone + 0.01 * rng.standard_normal(len(time))
                name = f"{speaker}-{number}.wav"
                soundfile.write(folder / name, sound, RATE, subtype="FLOAT")
                writer.writerow([name, CLASSES[1 - angry], f"s{speaker}"])
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoded")
    write_corpus(folder / "corpus")
    whisper(folder / "encoder")
    return folder


@pytest.fixture(autouse=True)
def cache(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(made / "cache"))


def trained(made: Path, out: Path, *, workers: int = 0, encoder: Path | None = None, **more: Any) -> dict[str, Any]:
    settings = {**SMALL, "data.root": str(made / "corpus/manifest.csv"), **more}
    place = str(encoder or made / "encoder")
    run(settings=settings | {"encoder.path": place}, workers=workers, progress=False, out=out)
    told: dict[str, Any] = json.loads((out / "result.json").read_text())
    return told


@pytest.fixture(scope="module")
def whole(made: Path) -> Path:
    """A run that all may read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSER_CACHE", str(made / "cache"))
        trained(made, made / "run")
    return made / "run"


def labels(model: Path, files: list[Path], *more: object) -> list[str]:
    recogniser = load_model(model, encoder=more[0]) if more else load_model(model)  # type: ignore[arg-type]
    shares = [recogniser.predict(path) for path in files]
    return [max(share, key=share.__getitem__) for share in shares]


def test_a_run_says_what_stood_in_front_and_predict_gives_its_first_figure(made: Path, whole: Path) -> None:
    told = json.loads((whole / "result.json").read_text())
    config = told["config"]
    assert config["encoder.sha256"]
    assert (config["encoder.layer"], config["model.kind"], config["model.statistics"]) == ("2", "linear", "rows")
    assert told["encoder"] == {
        "sha256": config["encoder.sha256"],
        "heard_corpus": None,
        **dict.fromkeys(("name", "licence", "trained_on")),
    }
    for page in ("MODEL_CARD.md", "report.html"):
        assert "In front of it stands a frozen public encoder (one that" in (whole / page).read_text()
    fold = told["folds"][0]
    assert fold["test"]["uar"] >= 0.8
    files = [path for path in sorted((made / "corpus").glob("*.wav")) if f"s{path.name[0]}" in fold["test_speakers"]]
    found = labels(whole, files, made / "encoder")
    truth = ["anger" if int(path.stem[-1]) % 2 else "neutral" for path in files]
    recalls = [np.mean([f == c for f, t in zip(found, truth, strict=True) if t == c]) for c in CLASSES]
    assert np.mean(recalls) == pytest.approx(fold["test"]["stranger"]["0"]["uar"])


def test_the_result_is_the_same_whatever_the_workers(made: Path, whole: Path, tmp_path: Path) -> None:
    told = trained(made, tmp_path / "two", workers=2)
    assert told["folds"][0]["test"] == json.loads((whole / "result.json").read_text())["folds"][0]["test"]
    assert (tmp_path / "two/model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "more",
    [
        {"encoder.layer": "weighted"},
        {"encoder.pool": "frames", "model.projection": 8, "model.hidden": 4, "model.attention": 4},
        {"encoder.beside": True},
    ],
    ids=["weighted", "frames", "beside"],
)
@pytest.mark.slow
def test_other_ways_to_listen(made: Path, tmp_path: Path, more: dict[str, Any]) -> None:
    told = trained(made, tmp_path / "run", **more)
    assert told["folds"][0]["test"]["uar"] >= 0.6
    load_model(tmp_path / "run", encoder=made / "encoder").predict(made / "corpus/0-0.wav")


@pytest.mark.parametrize("unit", ["utterance", pytest.param("speaker", marks=pytest.mark.slow)])
def test_a_private_run_is_scaled_by_public_speech(made: Path, tmp_path: Path, unit: str) -> None:
    root = str(made / "corpus/manifest.csv")
    arguments = ["--corpus", "manifest", "--root", root, "--encoder", str(made / "encoder"), "--components", "8"]
    assert main.run(["corpus", "scaling", str(tmp_path / "public"), *arguments]) == 0
    own: dict[str, Any] = {
        "privacy.epsilon": 1e4,
        "privacy.delta": 1e-3,
        "privacy.unit": unit,
        "privacy.sample_rate": 1.0,
    }
    own |= {"encoder.components": 8, "data.public": str(tmp_path / "public")}
    told = trained(made, tmp_path / "run", **own)
    saved = saved_model.load(tmp_path / "run")
    assert saved.scaling.components is not None
    assert saved.scaling.components.shape[0] == 8
    assert saved.model.classifier.in_features == 8
    assert told["config"]["data.normalise"] == ("public" if unit == "utterance" else "speaker")
    assert told["folds"][0]["privacy"]["sites"]


def test_a_narrow_encoder_has_no_more_components_than_numbers(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"encoder.path": str(made / "encoder"), "privacy.epsilon": 8.0}
    assert private_settings(asked)["encoder.components"] == 2 * 32
    if "simulate" not in {own.name for own in main.app.registered_commands}:
        main.join_rings()
    root, encoder = str(made / "corpus/manifest.csv"), str(made / "encoder")
    command = ["corpus", "scaling", str(tmp_path / "public"), "--corpus", "manifest", "--root", root]
    assert main.run([*command, "--encoder", encoder]) == 2
    line = "encoder.components is 64, 48 public recordings of 64 numbers each have 47 at most"
    assert capsys.readouterr().err.splitlines()[-1] == f"fedser: error: {line}"
    assert main.run([*command, "--encoder", encoder, "--components", "65"]) == 2


@pytest.mark.parametrize("asked", [4, 0])
def test_a_public_model_with_other_components_is_a_wrong_option(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: int
) -> None:
    root, public = str(made / "corpus/manifest.csv"), str(tmp_path / "public")
    own = ["--corpus", "manifest", "--root", root, "--encoder", str(made / "encoder")]
    assert main.run(["corpus", "scaling", public, *own, "--components", "8"]) == 0
    chosen = {**SMALL, "privacy.epsilon": 1e4, "privacy.delta": 1e-3, "data.normalise": "public"}
    settings = tmp_path / "few.toml"
    settings.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in chosen.items()))
    with settings.open("a") as file:
        file.write(f"\nencoder.components = {asked}\n")
    capsys.readouterr()
    command = ["simulate", *own, "--public", public, "--config", str(settings), "--workers", "0"]
    assert main.run([*command, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    line = f"--public {public} has 8 components, the run asks for {asked} (encoder.components)"
    assert said.splitlines()[-1] == f"fedser: error: {line}"
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"encoder.layer": "weighted"}, "--encoder-layer is weighted"),
        ({"encoder.beside": True}, "--encoder-beside"),
        ({"encoder.pool": "frames"}, "--encoder-pool is frames"),
        ({"data.normalise": "running", "encoder.components": 0}, "--normalise running would tell"),
        ({"data.normalise": "utterance"}, "data.normalise is utterance, expected public"),
    ],
)
def test_a_private_run_refuses_what_nobody_has_judged(
    made: Path, tmp_path: Path, more: dict[str, Any], line: str
) -> None:
    with pytest.raises(Exception, match=line):
        trained(made, tmp_path / "run", **{"privacy.epsilon": 8.0, **more})


def test_a_small_model_learns_from_one_with_an_encoder(made: Path, whole: Path, tmp_path: Path) -> None:
    own = {**SMALL, "data.root": str(made / "corpus/manifest.csv"), "federation.rounds": 1, "model.hidden": 4}
    given = {**own, "training.teacher": str(whole)}
    run(settings=given, workers=0, progress=False, out=tmp_path / "student")
    told = json.loads((tmp_path / "student/result.json").read_text())
    assert told["folds"][0]["taught_by"]["sha256"]
    assert not told["config"]["encoder.sha256"]


def test_no_model_hears_through_another_encoder(
    made: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = whisper(tmp_path / "other", positions=750)[0]
    for given, line in (([], "name it: --encoder"), (["--encoder", str(other)], "the model was trained with")):
        file = str(made / "corpus/0-0.wav")
        assert main.run(["predict", "--model", str(whole), *given, file]) == 2
        told = capsys.readouterr().err
        assert line in told
        assert "Traceback" not in told


@pytest.mark.parametrize("other", ["weights", "settings"])
def test_a_run_goes_on_with_no_other_encoder(
    made: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    """It may have been replaced at its place meanwhile."""
    out, place = tmp_path / "run", tmp_path / "encoder"
    shutil.copytree(whole, out)
    shutil.copytree(made / "encoder", place)
    started = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**started, "encoder.path": str(place)}))
    assert main.run(["simulate", "--resume", str(out)]) == 0
    before = (out / "result.json").read_bytes()
    shutil.rmtree(place)
    if other == "weights":
        whisper(place, positions=750)
    else:
        shutil.copytree(made / "encoder", place)
        said = json.loads((place / "config.json").read_text())
        (place / "config.json").write_text(json.dumps({**said, "encoder_attention_heads": 1}))
    capsys.readouterr()
    assert main.run(["simulate", "--resume", str(out)]) == 2
    line = capsys.readouterr().err.splitlines()
    told = "SHA-256" if other == "weights" else "weights"
    assert line[-1].startswith(f"fedser: error: --encoder {place}: its {told}")
    assert "the run's is" in line[-1]
    assert len(line) == 1
    assert (out / "result.json").read_bytes() == before
