"""``fedser predict`` beside the figures that a run prints for strangers: the same files, the same labels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.cli import main
from common.learning import metrics, saved_model
from simulations import load_model, run
from tests.simulations import tiny

PROGRAM = Path(sys.executable).with_name("fedser")

Predict = Callable[..., list[dict[str, Any]]]


def emotion(path: str) -> str:
    return Path(path).stem.split("-")[1]


def uar(lines: Iterable[dict[str, Any]], classes: list[str], truth: Callable[[str], str] = emotion) -> float:
    """Of what ``fedser predict --json`` printed."""
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for line in lines:
        shares = line["probabilities"]
        confusion[classes.index(truth(line["path"])), classes.index(max(shares, key=shares.__getitem__))] += 1
    return float(metrics.uar(confusion))


def corpus(folder: Path) -> Path:
    """Matrices of speakers who stand far from each other, so that it matters what was heard of them."""
    manifest = tiny.write(folder, each=3)
    for path in folder.glob("*.npy"):
        apart = np.random.default_rng(int(path.name[:2])).normal(scale=3.0, size=tiny.FEATURES)
        np.save(path, np.load(path) + apart.astype(np.float32))
    return manifest


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs on the same matrices."""
    folder = tmp_path_factory.mktemp("strangers")
    manifest = corpus(folder / "corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSER_CACHE", str(folder / "cache"))
        common = {**tiny.SMALL, "data.root": str(manifest), "data.validation": "none", "federation.rounds": 5}
        common["training.batch_size"] = 4  # twice the steps: far enough that it matters what was heard
        for mode in ("running", "speaker"):
            settings = {**common, "data.normalise": mode}
            run(settings=settings, workers=0, progress=False, out=folder / mode)
    return {name: folder / name for name in ("corpus", "running", "speaker")}


@pytest.fixture
def predict(capsys: pytest.CaptureFixture[str]) -> Predict:
    def told(model: Path, *arguments: object) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert main.run(["predict", "--model", str(model), "--json", *map(str, arguments)]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return told


def files(folder: Path, held_out: Iterable[str]) -> list[list[Path]]:
    return [sorted(folder.glob(f"{speaker}-*.npy")) for speaker in held_out]


def fold(model: Path) -> dict[str, Any]:
    [only] = json.loads((model / "result.json").read_text())["folds"]
    found: dict[str, Any] = only
    return found


def held_out(model: Path) -> list[str]:
    speakers: list[str] = fold(model)["test_speakers"]
    return speakers


@pytest.mark.parametrize("mode", ["running", "speaker"])
def test_alone_it_reaches_what_the_run_printed_for_a_strangers_first(
    made: dict[str, Path], predict: Predict, mode: str
) -> None:
    stranger = fold(made[mode])["test"]["stranger"]
    every = [path for own in files(made["corpus"], held_out(made[mode])) for path in own]
    assert len(every) == 24
    lines = predict(made[mode], *every)
    assert uar(lines, list(tiny.CLASSES)) == pytest.approx(stranger["0"]["uar"], abs=1e-9)
    assert all(set(line) == {"path", "probabilities", "synthetic"} for line in lines)


@pytest.mark.parametrize("mode", ["running", "speaker"])
def test_together_it_reaches_what_the_run_printed_once_all_is_heard(
    made: dict[str, Path], predict: Predict, mode: str
) -> None:
    test = fold(made[mode])["test"]
    each = [predict(made[mode], "--together", *own) for own in files(made["corpus"], held_out(made[mode]))]
    reached = uar([line for lines in each for line in lines], list(tiny.CLASSES))
    assert reached == pytest.approx(test["stranger"]["all"]["uar"], abs=1e-9)
    assert reached == pytest.approx(test["uar"], abs=1e-9)
    assert abs(test["stranger"]["0"]["uar"] - reached) > 0.1  # or the two tests would show nothing


def test_a_profile_is_heard_the_next_time(made: dict[str, Path], predict: Predict, tmp_path: Path) -> None:
    [own, _] = files(made["corpus"], held_out(made["running"]))
    profile = tmp_path / "profile.json"
    model = made["running"]
    first = predict(model, "--profile", profile, own[0])
    assert first[0] == {**predict(model, own[0])[0], "heard_rows": 0}
    rest = predict(model, "--profile", profile, *own[1:])
    rows = [len(np.load(path)) for path in own]
    assert [line["heard_rows"] for line in rest] == list(np.cumsum(rows)[:-1])
    assert profile.stat().st_mode & 0o777 == 0o600
    kept = json.loads(profile.read_text())
    every = np.concatenate([np.load(path) for path in own]).astype(np.float64)
    assert kept["frames"] == sum(rows)
    np.testing.assert_allclose(kept["total"], every.sum(0), rtol=1e-12)
    np.testing.assert_allclose(kept["square"], np.square(every).sum(0), rtol=1e-12)
    again = predict(model, "--together", "--profile", profile, own[0])
    assert again[0]["heard_rows"] == sum(rows) + rows[0]


@pytest.mark.parametrize("together", [[], ["--together"]])
def test_where_a_file_cannot_be_used_a_profile_hears_none_of_them(
    made: dict[str, Path], tmp_path: Path, together: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever gives the others again would have them heard twice."""
    [[first, second, *_], _] = files(made["corpus"], held_out(made["running"]))
    profile, missing = tmp_path / "p.json", tmp_path / "none.npy"
    command = ["predict", "--model", str(made["running"]), *together, "--profile", str(profile)]
    nothing = f"nothing is added to {profile}: leave them out, and give the others again"
    line = f"fedser: error: 1 of 2 recordings cannot be used; {nothing}"
    assert main.run([*command, str(first), str(missing)]) == 1
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 1  # the other is labelled
    assert told.err.splitlines() == [f"fedser: error: {missing}: no such file or directory", line]
    assert not profile.exists()
    assert main.run([*command, str(first)]) == 0
    before = profile.read_bytes()
    assert main.run([*command, str(missing), str(second)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == line
    assert profile.read_bytes() == before


def test_the_api_gives_what_the_command_gives(made: dict[str, Path], predict: Predict, tmp_path: Path) -> None:
    [own, _] = files(made["corpus"], held_out(made["running"]))
    model = load_model(made["running"])
    told = [line["probabilities"] for line in predict(made["running"], "--together", *own)]
    assert model.together(own) == told
    turns = [line["probabilities"] for line in predict(made["running"], "--profile", tmp_path / "a", *own)]
    assert [model.predict(path, profile=tmp_path / "b") for path in own] == turns
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_wrong_is_one_line(
    made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [[path, *_], _] = files(made["corpus"], held_out(made["running"]))

    def told(mode: str, *arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        code = main.run(["predict", "--model", str(models[mode]), *map(str, arguments)])
        [line] = capsys.readouterr().err.splitlines()
        return code, line

    models = {**made, "global": tmp_path / "model.safetensors"}
    running = saved_model.load(made["running"])
    arrays = {name: tensor.numpy() for name, tensor in running.model.state_dict().items()}
    config = running.config.with_values({"data.normalise": "global"})
    saved_model.save(models["global"], arrays, running.scaling.arrays(), config, running.classes)
    monkeypatch.chdir(tmp_path)
    unchanged = "--together changes nothing: the model was trained with --normalise global, and does not adapt to a"
    assert told("global", "--together", path) == (0, f"fedser: {unchanged} speaker")
    refused = (
        "fedser: error: --profile p: the model was trained with --normalise {}, and keeps nothing of a speaker; "
        "expected one that was trained with --normalise running"
    )
    for mode in ("global", "speaker"):
        assert told(mode, "--profile", "p", path) == (2, refused.format(mode))
    Path("p").write_text("{")
    broken = "not a profile that fedser wrote, or broken; put a copy back, or delete it to begin anew"
    assert told("running", "--profile", "p", path) == (2, f"fedser: error: --profile p: {broken}")
    code, line = told("running", "--profile", f"{path}/p", path)
    assert (code, line) == (2, f"fedser: error: --profile {path}/p cannot be read: not a directory")


@pytest.mark.slow
def test_each_recording_in_a_process_of_its_own_reaches_what_the_run_printed(tmp_path: Path) -> None:
    """Sounds, from a made-up corpus to the probabilities, as who downloads the model has it."""
    environment = {**os.environ, "FEDSER_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}

    def fedser(*arguments: object) -> str:
        command = [str(PROGRAM), *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return str(done.stdout)

    root, model = tmp_path / "made", tmp_path / "run"
    fedser("corpus", "synthesize", root, "--layout", "manifest", "--speakers", 4, "--utterances", 32)
    shown = fedser(
        "simulate", "--corpus", "manifest", "--root", root / "manifest.csv", "--held-out", "kfold:4:0", "--sites", 2,
        "--normalise", "running", "--rounds", 6, "--workers", 0, "--out", model, "--json",
    )  # fmt: skip
    [only], listed = json.loads(shown)["folds"], (root / "manifest.csv").read_text().splitlines()
    header, *rows = (line.split(",") for line in listed)
    turns = [dict(zip(header, row, strict=True)) for row in rows]
    labels = {str(root / turn["path"]): turn["emotion"] for turn in turns if turn["speaker"] in only["test_speakers"]}
    assert len(labels) == 8
    classes, stranger = sorted(set(labels.values())), only["test"]["stranger"]
    alone = [json.loads(fedser("predict", "--model", model, "--json", path)) for path in labels]
    assert uar(alone, classes, labels.__getitem__) == pytest.approx(stranger["0"]["uar"], abs=1e-9)
    lines = fedser("predict", "--model", model, "--json", "--together", *labels).splitlines()
    together = [json.loads(line) for line in lines]
    assert uar(together, classes, labels.__getitem__) == pytest.approx(stranger["all"]["uar"], abs=1e-9)
    assert alone[0]["probabilities"] != pytest.approx(together[0]["probabilities"], abs=1e-3)
