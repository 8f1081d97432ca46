from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulations import tiny

PROGRAM = str(Path(sys.executable).parent / "fedser")
SMALL = "[model]\nprojection = 8\nhidden = 6\nattention = 4\n[federation]\nrounds = 2\n[data]\nsites = 2\n"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    tiny.write(tmp_path / "corpus")
    (tmp_path / "small.toml").write_text(SMALL)
    return tmp_path


def fedser(here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FEDSER_CACHE": str(here / "cache"), "COLUMNS": "200"}
    return subprocess.run([PROGRAM, *arguments], cwd=here, env=environment, capture_output=True, text=True, timeout=120)


def simulate(here: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return fedser(
        here,
        "simulate",
        "--corpus",
        "manifest",
        "--root",
        "corpus/manifest.csv",
        "--config",
        "small.toml",
        "--held-out",
        "kfold:4:0",
        "--workers",
        "1",
        *more,
    )


def test_json_goes_to_standard_output_and_nothing_else(here: Path) -> None:
    done = simulate(here, "--out", "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((here / "out/result.json").read_text())
    assert json.loads(done.stdout)["command"].startswith("fedser simulate --corpus manifest")


def test_flags_go_before_the_file_and_the_file_before_the_defaults(here: Path) -> None:
    done = simulate(here, "--out", "out", "--rounds", "1", "--json")
    config = json.loads(done.stdout)["config"]
    assert config["federation.rounds"] == 1
    assert config["model.hidden"] == 6
    assert config["training.optimizer"] == "adamw"


def test_a_finished_run_is_refused_overwritten_and_resumed(here: Path) -> None:
    assert simulate(here, "--out", "out").returncode == 0
    again = simulate(here, "--out", "out")
    assert again.returncode == 2
    assert again.stderr.strip() == (
        "fedser: error: --out out exists; go on with it by --resume out, or replace it by --overwrite"
    )
    before = (here / "out/model.safetensors").read_bytes()
    assert fedser(here, "simulate", "--resume", "out").returncode == 0
    assert (here / "out/model.safetensors").read_bytes() == before
    assert simulate(here, "--out", "out", "--overwrite").returncode == 0
    other = fedser(here, "simulate", "--resume", "out", "--seed", "5")
    assert other.returncode == 2
    assert "goes on with the settings that the run was started with" in other.stderr


def test_a_folder_that_is_no_run_is_never_deleted(here: Path) -> None:
    done = simulate(here, "--out", "corpus", "--overwrite")
    assert done.returncode == 2
    assert "was not made by fedser simulate" in done.stderr
    assert (here / "corpus/manifest.csv").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--strategy", "fedavgg"], "expected one of fedavg"),
        (["--held-out", "kfold:1"], "expected kfold:K or kfold:K:I with K of at least 2"),
        (["--sites", "many"], "expected session, speaker, column, a number, or dirichlet:N:ALPHA"),
        (["--validation", "2"], "expected a share between 0 and 1, one, or none"),
        (["--normalise", "both"], "expected one of speaker, utterance, global"),
        (["--fraction", "1.5"], "federation.fraction is 1.5, expected 1e-09 to 1.0"),
        (["--rounds", "0"], "federation.rounds is 0, expected 1 to"),
        (["--engine", "spark"], "--engine is 'spark', expected one of inprocess, flower"),
        (["--workers", "-1"], "--workers is -1, expected 0 to"),
        (["--classes", "anger"], "expected at least 2 classes"),
        (["--nonsense"], "No such option '--nonsense'"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(here: Path, more: list[str], words: str) -> None:
    done = simulate(here, "--out", "out", *more)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--sites", "9"], "9 sites need at least 9 training speakers, there are 6"),
        (["--held-out", "session:1"], "held-out session '1' does not exist"),
        (["--held-out", "kfold:99"], "kfold:99 needs at least 99 speakers, there are 8"),
        (["--root", "nowhere"], "nowhere"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_one_line_and_exit_code_1(here: Path, more: list[str], words: str) -> None:
    done = simulate(here, "--out", "out", *more)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (here / "out").exists()


def test_an_unknown_setting_names_the_nearest(here: Path) -> None:
    (here / "small.toml").write_text("[training]\nbatchsize = 3\n")
    done = simulate(here, "--out", "out")
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "fedser: error: unknown setting 'training.batchsize'; did you mean training.batch_size?"
    )


def test_a_broken_recording_is_named_skipped_and_counted_and_strict_makes_it_fatal(here: Path) -> None:
    (here / "corpus/03-anger-0.npy").write_bytes(b"broken")
    done = simulate(here, "--out", "out", "--json")
    assert done.returncode == 0
    assert "03-anger-0.npy: not readable as a .npy array of numbers; skipped" in done.stderr.replace("\n", "")
    corpus = json.loads(done.stdout)["corpus"]
    assert (corpus["utterances"], corpus["skipped"]) == (63, 1)
    strict = simulate(here, "--out", "strict", "--strict")
    assert strict.returncode == 1
    assert "--strict: 1 recordings cannot be used" in strict.stderr


def test_predict_prints_probabilities(here: Path) -> None:
    assert simulate(here, "--out", "out").returncode == 0
    done = fedser(here, "predict", "--model", "out", "corpus/00-anger-0.npy", "corpus/00-neutral-0.npy", "--json")
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["path"] for line in lines] == ["corpus/00-anger-0.npy", "corpus/00-neutral-0.npy"]
    for line in lines:
        assert sum(line["probabilities"].values()) == pytest.approx(1)
        assert set(line["probabilities"]) == set(tiny.CLASSES)
    bad = fedser(here, "predict", "--model", "out", "small.toml", "corpus/00-anger-0.npy")
    assert bad.returncode == 1
    assert "small.toml" in bad.stderr
    assert "anger" in bad.stdout
    none = fedser(here, "predict", "--model", "corpus", "corpus/00-anger-0.npy")
    assert none.returncode == 2
    assert "expected the folder of a finished run" in none.stderr


def test_synthesize_and_simulate_say_that_it_is_synthetic(here: Path) -> None:
    made = fedser(here, "corpus", "synthesize", "made", "--layout", "ravdess", "--speakers", "4", "--utterances", "64")
    assert made.returncode == 0, made.stderr
    done = fedser(
        here,
        "simulate",
        "--corpus",
        "ravdess",
        "--root",
        "made",
        "--config",
        "small.toml",
        "--rounds",
        "1",
        "--held-out",
        "kfold:2:0",
        "--out",
        "out",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["corpus"]["synthetic"] is True
    for name in ("report.html", "MODEL_CARD.md"):
        assert "ynthetic" in (here / "out" / name).read_text()
