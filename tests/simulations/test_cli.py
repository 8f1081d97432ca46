from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.cli import main
from tests.simulations import tiny

pytestmark = pytest.mark.usefixtures("undrawn")

SMALL = "[model]\nprojection = 8\nhidden = 6\nattention = 4\n[federation]\nrounds = 2\n[data]\nsites = 2\n"


Fedser = Callable[..., "Done"]


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny.write(tmp_path / "corpus")
    (tmp_path / "small.toml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def fedser(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fedser:
    """The program, in this process: starting another takes seconds to import torch and Flower."""

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["fedser", *arguments])
        code = main.run(list(arguments))
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def simulate(fedser: Fedser) -> Fedser:
    def run(*more: str) -> Done:
        corpus = ["--corpus", "manifest", "--root", "corpus/manifest.csv", "--config", "small.toml"]
        return fedser("simulate", *corpus, "--held-out", "kfold:4:0", "--workers", "0", *more)

    return run


def test_json_goes_to_standard_output_and_nothing_else(here: Path, fedser: Fedser, simulate: Fedser) -> None:
    done = simulate("--out", "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((here / "out/result.json").read_text())
    assert json.loads(done.stdout)["command"].startswith("fedser simulate --corpus manifest")


def test_flags_go_before_the_file_and_the_file_before_the_defaults(
    here: Path, fedser: Fedser, simulate: Fedser
) -> None:
    done = simulate("--out", "out", "--rounds", "1", "--json")
    config = json.loads(done.stdout)["config"]
    assert config["federation.rounds"] == 1
    assert config["model.hidden"] == 6
    assert config["training.optimizer"] == "adamw"


def test_a_finished_run_is_refused_overwritten_and_resumed(here: Path, fedser: Fedser, simulate: Fedser) -> None:
    assert simulate("--out", "out").returncode == 0
    again = simulate("--out", "out")
    assert again.returncode == 2
    assert again.stderr.strip() == (
        "fedser: error: --out out exists; go on with it by --resume out, or replace it by --overwrite"
    )
    before = (here / "out/model.safetensors").read_bytes()
    assert fedser("simulate", "--resume", "out").returncode == 0
    assert (here / "out/model.safetensors").read_bytes() == before
    assert simulate("--out", "out", "--overwrite").returncode == 0
    other = fedser("simulate", "--resume", "out", "--seed", "5")
    assert other.returncode == 2
    assert "goes on with the settings that the run was started with" in other.stderr


def test_a_folder_that_is_no_run_is_never_deleted(here: Path, fedser: Fedser, simulate: Fedser) -> None:
    done = simulate("--out", "corpus", "--overwrite")
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
        (["--normalise", "both"], "expected one of running, speaker, utterance, global"),
        (["--fraction", "1.5"], "federation.fraction is 1.5, expected 1e-09 to 1.0"),
        (["--rounds", "0"], "federation.rounds is 0, expected 1 to"),
        (["--min-sites", "3"], "--min-sites is 3, fold kfold:4:0 has 2 sites"),
        (["--folds", "x.jsonl"], "--folds and --held-out both say who is held out; give one"),
        (["--engine", "spark"], "--engine is 'spark', expected one of inprocess, flower"),
        (["--workers", "-1"], "--workers is -1, expected 0 to"),
        (["--classes", "anger"], "expected at least 2 classes"),
        (["--nonsense"], "No such option '--nonsense'"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(
    here: Path, fedser: Fedser, simulate: Fedser, more: list[str], words: str
) -> None:
    done = simulate("--out", "out", *more)
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
def test_a_corpus_that_cannot_be_used_is_one_line_and_exit_code_1(
    here: Path, fedser: Fedser, simulate: Fedser, more: list[str], words: str
) -> None:
    done = simulate("--out", "out", *more)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (here / "out").exists()


def test_an_unknown_setting_names_the_nearest(here: Path, fedser: Fedser, simulate: Fedser) -> None:
    (here / "small.toml").write_text("[training]\nbatchsize = 3\n")
    done = simulate("--out", "out")
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "fedser: error: unknown setting 'training.batchsize'; did you mean training.batch_size?"
    )


def test_a_broken_recording_is_named_skipped_and_counted_and_strict_makes_it_fatal(
    here: Path, fedser: Fedser, simulate: Fedser
) -> None:
    (here / "corpus/03-anger-0.npy").write_bytes(b"broken")
    done = simulate("--out", "out", "--json")
    assert done.returncode == 0
    assert "03-anger-0.npy: not readable as a .npy array of numbers; skipped" in done.stderr.replace("\n", "")
    corpus = json.loads(done.stdout)["corpus"]
    assert (corpus["utterances"], corpus["skipped"]) == (63, 1)
    strict = simulate("--out", "strict", "--strict")
    assert strict.returncode == 1
    assert "--strict: 1 problem, unreadable: " in strict.stderr
    assert "03-anger-0.npy" in strict.stderr


def test_all_or_one_held_out_speaker_broken_says_so(here: Path, fedser: Fedser, simulate: Fedser) -> None:
    for path in (here / "corpus").glob("03-*.npy"):
        path.write_bytes(b"broken")
    one = simulate("--out", "out", "--held-out", "speaker:03")
    assert one.returncode == 1
    assert "held-out speaker '03': none of its 8 recordings can be used" in one.stderr
    for path in (here / "corpus").glob("*.npy"):
        path.write_bytes(b"broken")
    every = simulate("--out", "every", "--held-out", "speaker:03")
    assert every.returncode == 1
    assert "none of its recordings can be used (64 skipped; the first is " in every.stderr


def test_predict_prints_probabilities(here: Path, fedser: Fedser, simulate: Fedser) -> None:
    assert simulate("--out", "out").returncode == 0
    done = fedser("predict", "--model", "out", "corpus/00-anger-0.npy", "corpus/00-neutral-0.npy", "--json")
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["path"] for line in lines] == ["corpus/00-anger-0.npy", "corpus/00-neutral-0.npy"]
    for line in lines:
        assert sum(line["probabilities"].values()) == pytest.approx(1)
        assert set(line["probabilities"]) == set(tiny.CLASSES)
    bad = fedser("predict", "--model", "out", "small.toml", "corpus/00-anger-0.npy")
    assert bad.returncode == 1
    assert "small.toml" in bad.stderr
    assert "anger" in bad.stdout
    none = fedser("predict", "--model", "corpus", "corpus/00-anger-0.npy")
    assert none.returncode == 2
    assert "expected the folder of a finished run" in none.stderr


def test_synthesize_and_simulate_say_that_it_is_synthetic(here: Path, fedser: Fedser, simulate: Fedser) -> None:
    made = fedser("corpus", "synthesize", "made", "--layout", "ravdess", "--speakers", "4", "--utterances", "64")
    assert made.returncode == 0, made.stderr
    done = fedser(
        "simulate",
        "--corpus",
        "ravdess",
        "--root",
        "made",
        "--config",
        "small.toml",
        "--rounds",
        "1",
        "--workers",
        "0",
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
    told = fedser("predict", "--model", "out", str(next((here / "made").rglob("*.wav"))), "--json")
    assert json.loads(told.stdout)["synthetic"] is True
    assert "synthetic" in told.stderr


@pytest.mark.slow
def test_every_command_of_the_contract_is_there(fedser: Fedser) -> None:
    for command in (
        ["simulate"],
        ["predict"],
        ["corpus", "check"],
        ["corpus", "synthesize"],
        ["bench", "features"],
        ["bench", "engine"],
    ):
        told = fedser(*command, "--help")
        assert told.returncode == 0
        assert "Example: fedser" in told.stdout
