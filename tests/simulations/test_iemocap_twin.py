"""Every way to listen, to scale and to learn, on made-up speech in IEMOCAP's layout with a session held out.

Nothing is learnt here that is worth a figure: rounds are few. What is looked at is who is heard, and by whom.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from common.cli import main
from common.data.strangers import AFTER
from common.encoders.opening import describe_encoder
from simulations import run
from simulations.synthesis.corpus import synthesize
from tests.common.encoders.hub_folders import whisper
from tests.simulations.job.test_simulate import same

pytestmark = pytest.mark.slow
HELD_OUT = ("Ses03F", "Ses03M")
OTHERS = [f"Ses0{session}{letter}" for session in (1, 2, 4, 5) for letter in "FM"]
NAME = re.compile(r"(?P<session>Ses\d\d)(?P<markers>[FM])_impro01_(?P<speaks>[FM])\d{3}")
CODES = {"ang": "anger", "exc": "happiness", "hap": "happiness", "neu": "neutral", "sad": "sadness"}
CLASSES = sorted(set(CODES.values()))
SMALL: dict[str, Any] = {
    "features.hop": 40,
    "model.projection": 8,
    "model.hidden": 8,
    "model.attention": 4,
    "model.heads": 2,
    "augment.copies": 0,
    "data.validation": "none",
    "training.learning_rate": 5e-3,
    "federation.rounds": 1,
}
NOISY = {"augment.copies": 1, "augment.noise": [0.0, 25.0], "augment.noise_kinds": ["pink", "babble", "room"]}
FRAMES = {"encoder.pool": "frames"}
KINDS = ("transformer", "cnn1d", "dscnn", "crnn3d", "linear")
PRIVATE = {"privacy.epsilon": 50.0, "privacy.delta": 1e-3, "privacy.sample_rate": 0.5, "encoder.components": 8}

Fedser = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Five sessions of two dialogues, twelve recordings of each speaker; an encoder; and a run with it."""
    if "simulate" not in {own.name for own in main.app.registered_commands}:
        main.join_rings()
    folder = tmp_path_factory.mktemp("twin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSER_CACHE", str(folder / "cache"))
        synthesize(folder / "corpus", layout="iemocap", speakers=10, utterances=120, workers=0)
        whisper(folder / "encoder")
        trained(folder, folder / "encoded", encoder=folder / "encoder")
        yield folder


@pytest.fixture(scope="module")
def public(made: Path) -> Path:
    """The scaling of other made-up people."""
    others, own = made / "others", ("--encoder", made / "encoder", "--components", 8)
    synthesize(others, layout="iemocap", speakers=4, utterances=32, seed=5, workers=0)
    command = ("corpus", "scaling", made / "public", "--corpus", "iemocap", "--root", others, *own)
    assert main.run([*map(str, command)]) == 0
    return made / "public"


@pytest.fixture
def fedser(capsys: pytest.CaptureFixture[str]) -> Fedser:
    """A command's lines of JSON."""

    def told(*arguments: object) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert main.run([*map(str, arguments)]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return told


def trained(made: Path, out: Path, settings: dict[str, Any] | None = None, **flags: Any) -> dict[str, Any]:
    """The fold of a run in which session 3 is held out, and each other session is a site."""
    root, own = flags.pop("root", made / "corpus"), settings or {}
    linear = "encoder" in flags and own.get("encoder.pool") != "frames"
    own = {name: value for name, value in SMALL.items() if not (linear and name.startswith("model."))} | own
    usual: dict[str, Any] = {"corpus": "iemocap", "held_out": "session:3", "sites": "session"}
    run(**usual, **flags, root=root, settings=own, workers=0, progress=False, out=out)
    return fold_of(out)


def fold_of(out: Path) -> dict[str, Any]:
    [path] = out.rglob("fold.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def emotions(made: Path) -> dict[str, str]:
    """Each recording's emotion, as the label files have it."""
    files = (made / "corpus").rglob("EmoEvaluation/*.txt")
    return {name: CODES[code] for path in files for name, code in re.findall(r"\]\t(\w+)\t(\w+)\t", path.read_text())}


def recordings_of(made: Path, speaker: str) -> list[Path]:
    """Those that the last letter says to be a speaker's, whoever wears the markers."""
    found = [(NAME.fullmatch(path.stem), path) for path in (made / "corpus").rglob("*.wav")]
    own = {path: match["markers"] for match, path in found if match and match["session"] + match["speaks"] == speaker}
    assert sorted(own.values()) == ["F"] * 10 + ["M"] * 2
    return sorted(own)


def confusion(made: Path, lines: Iterable[dict[str, Any]]) -> list[list[int]]:
    """Of what ``fedser predict --json`` printed."""
    counts, truth = np.zeros((4, 4), dtype=int), emotions(made)
    for line in lines:
        shares = line["probabilities"]
        said = max(shares, key=shares.__getitem__)
        counts[CLASSES.index(truth[Path(line["path"]).stem]), CLASSES.index(said)] += 1
    found: list[list[int]] = counts.tolist()
    return found


def check(made: Path, out: Path, fedser: Fedser, *encoder: object) -> None:
    """Session 3 was heard by nobody, and the model takes each of its recordings for what the run says."""
    fold = fold_of(out)
    assert (fold["train_speakers"], fold["validation_speakers"]) == (OTHERS, [])
    assert tuple(fold["test_speakers"]) == HELD_OUT
    assert set(fold["rounds"][0]["sites"]) == {"1", "2", "4", "5"}
    figures = fold["test"]["stranger"]
    assert list(figures) == list(AFTER)
    assert all(0 <= own["uar"] <= 1 for own in figures.values())
    assert figures["all"]["uar"] == fold["test"]["uar"]
    for speaker, counts in zip(HELD_OUT, fold["strangers"]["0"], strict=True):
        lines = fedser("predict", "--model", out, "--json", *encoder, *recordings_of(made, speaker))
        assert confusion(made, lines) == counts


def test_running_in_noise(made: Path, tmp_path: Path, fedser: Fedser) -> None:
    fold = trained(made, tmp_path / "run", NOISY, normalise="running", score_noise=True)
    check(made, tmp_path / "run", fedser)
    noise = fold["test"]["noise"]
    assert list(noise) == ["pink", "babble", "room"]
    assert {tuple(levels) for levels in noise.values()} == {("clean", "20", "10", "5", "0")}
    assert noise["pink"]["clean"]["uar"] == fold["test"]["stranger"]["0"]["uar"]
    assert all(0 <= own["uar"] <= 1 for levels in noise.values() for own in levels.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind(kind: str, made: Path, tmp_path: Path, fedser: Fedser) -> None:
    own = {"model.statistics": "means"} if kind == "linear" else {}
    trained(made, tmp_path / "run", own, model_kind=kind)
    check(made, tmp_path / "run", fedser)


@pytest.mark.parametrize("own", [{}, FRAMES, {"encoder.beside": True}], ids=["statistics", "frames", "beside"])
def test_with_an_encoder(own: dict[str, Any], made: Path, tmp_path: Path, fedser: Fedser) -> None:
    out = tmp_path / "run" if own else made / "encoded"
    if own:
        trained(made, out, own, encoder=made / "encoder")
    check(made, out, fedser, "--encoder", made / "encoder")
    told = json.loads((out / "result.json").read_text())
    assert told["encoder"]["sha256"] == describe_encoder(made / "encoder").sha256
    assert told["config"]["model.kind"] == ("bilstm" if own == FRAMES else "linear")


def test_sounds_of_the_session_that_is_held_out_change_no_weight(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "corpus", tmp_path / "corpus")
    for path in (tmp_path / "corpus/Session3").rglob("*.wav"):
        sound, rate = soundfile.read(path)
        soundfile.write(path, sound[::-1] ** 3, rate)
    fold = trained(made, tmp_path / "run", root=tmp_path / "corpus", encoder=made / "encoder")
    assert same(made / "encoded", tmp_path / "run")
    assert fold["test"]["loss"] != fold_of(made / "encoded")["test"]["loss"]


@pytest.mark.parametrize("flag", ["initial", "teacher"])
def test_from_a_model(flag: str, made: Path, tmp_path: Path, fedser: Fedser) -> None:
    encoder: dict[str, Any] = {"encoder": made / "encoder"} if flag == "initial" else {}
    fold = trained(made, tmp_path / "run", **{flag: made / "encoded", **encoder})
    check(made, tmp_path / "run", fedser, *(["--encoder", made / "encoder"] if encoder else []))
    origin = fold["started_from" if flag == "initial" else "taught_by"]
    assert (origin["speakers"], origin["heard"]) == ({"iemocap": OTHERS}, [])


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
def test_in_private(unit: str, made: Path, public: Path, tmp_path: Path, fedser: Fedser) -> None:
    own = {**PRIVATE, "privacy.unit": unit, "data.public": str(public)}
    fold = trained(made, tmp_path / "run", own, encoder=made / "encoder")
    assert tuple(fold["test_speakers"]) == HELD_OUT
    told = json.loads((tmp_path / "run/result.json").read_text())
    assert (told["config"]["model.kind"], told["config"]["encoder.components"]) == ("linear", 8)
    assert set(fold["privacy"]["sites"]) == {"1", "2", "4", "5"}
    files = recordings_of(made, HELD_OUT[1])
    lines = fedser("predict", "--model", tmp_path / "run", "--json", "--encoder", made / "encoder", *files)
    assert confusion(made, lines) == fold["strangers"]["0"][1]


def test_a_speaker_of_two_dialogues_is_one(made: Path, tmp_path: Path, fedser: Fedser) -> None:
    model = ("predict", "--model", made / "encoded", "--encoder", made / "encoder", "--json")
    files = recordings_of(made, "Ses03M")
    together = fedser(*model, "--together", *files)
    assert confusion(made, together) == fold_of(made / "encoded")["strangers"]["all"][1]
    turns = fedser(*model, "--profile", tmp_path / "profile.json", *files)
    assert [line["heard_rows"] for line in turns] == list(range(12))  # a row a recording
    assert turns[0]["probabilities"] == fedser(*model, files[0])[0]["probabilities"]


def test_its_confidence_is_fitted_to_the_session_that_was_held_out(made: Path, tmp_path: Path, fedser: Fedser) -> None:
    own = ("--encoder", made / "encoder", "--json")
    corpus = ("--corpus", "iemocap", "--root", made / "corpus/Session3")
    [told] = fedser("calibrate", "--model", made / "encoded", *corpus, *own, "--out", tmp_path / "fitted")
    assert (told["recordings"], told["speakers"], told["synthetic"]) == (24, 2, True)
    files = recordings_of(made, "Ses03F")
    before, after = (fedser("predict", "--model", m, *own, *files) for m in (made / "encoded", tmp_path / "fitted"))
    assert confusion(made, before) == confusion(made, after)
    assert before[0]["probabilities"] != after[0]["probabilities"]
