from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.cli import main
from tests.simulations import tiny

SMALL = "[model]\nprojection = 8\nhidden = 6\nattention = 4\n[federation]\nrounds = 1\n[data]\nsites = 2\n"
PRIVATE = ["--noise-multiplier", "2.5", "--insecure-seed"]


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Fedser = Callable[..., Done]


@pytest.fixture
def fedser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fedser:
    tiny.write(tmp_path / "corpus")
    (tmp_path / "small.toml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["fedser", *arguments])
        return Done(main.run(list(arguments)), *capsys.readouterr())

    return run


def simulate(fedser: Fedser, *more: str) -> None:
    corpus = ["--corpus", "manifest", "--root", "corpus/manifest.csv", "--config", "small.toml", "--out", "out"]
    done = fedser("simulate", *corpus, "--held-out", "kfold:4:0", "--workers", "0", *more)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_attack_prints_a_table_and_writes_its_figures(fedser: Fedser, tmp_path: Path) -> None:
    simulate(fedser, *PRIVATE, "--canaries", "50")
    attacks = {
        "canaries": ([], "ε at least"),
        "membership": (["--shadows", "2", "--workers", "0"], "recordings, likelihood ratio: AUC"),
        "attributes": (["--updates", "1", "--workers", "0"], "gender: UAR"),
        "reconstruction": (
            ["--utterances", "2", "--frames", "3", "--steps", "2", "--workers", "0"],
            "correlation, beside random features",
        ),
    }
    for attack, (options, words) in attacks.items():
        done = fedser("audit", attack, "out", *options)
        assert done.returncode == 0, done.stderr
        assert f"{attack}: out, fold kfold:4:0, ε = " in done.stdout
        assert "for each utterance, INSECURE SEED" in done.stdout
        assert words in done.stdout
        assert "95 % interval" in done.stdout
        assert done.stdout.endswith(f"out/audit/{attack}.json: all figures\n")
        kept = json.loads((tmp_path / f"out/audit/{attack}.json").read_text())
        assert (kept["attack"], kept["run"], kept["fold"]) == (attack, "out", "kfold:4:0")


def test_json_and_nothing_else_and_a_refuted_claim_is_exit_code_1(fedser: Fedser, tmp_path: Path) -> None:
    simulate(fedser, *PRIVATE, "--canaries", "100")
    done = fedser("audit", "canaries", "out", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((tmp_path / "out/audit/canaries.json").read_text())
    for file in (tmp_path / "out/ledger").rglob("*.canaries.json"):
        kept = json.loads(file.read_text())
        kept["rounds"] = {"1": [float(coin) for coin in kept["included"]]}
        file.write_text(json.dumps(kept))
    caught = fedser("audit", "canaries", "out", "--json")
    assert caught.returncode == 1
    assert json.loads(caught.stdout)["refuted"] is True
    assert caught.stderr.startswith("fedser: error: the audit refutes the claim: the ledgers say ε = ")
    assert len(caught.stderr.strip().splitlines()) == 1


def test_a_mistake_is_one_line(fedser: Fedser, tmp_path: Path) -> None:
    nowhere = fedser("audit", "membership", "nowhere")
    assert (nowhere.returncode, nowhere.stdout) == (2, "")
    assert nowhere.stderr.strip() == (
        "fedser: error: nowhere is no run of fedser simulate; give the folder that its --out named"
    )
    simulate(fedser)
    bare = fedser("audit", "canaries", "out")
    assert bare.returncode == 2
    assert "out has no canaries; put some into a new run with fedser simulate" in bare.stderr
    fold = fedser("audit", "attributes", "out", "--fold", "kfold:4:1")
    assert "out has no fold kfold:4:1; it has kfold:4:0" in fold.stderr
    few = fedser("audit", "robustness", "out", "--attack", "sign")
    assert (few.returncode, few.stdout) == (2, "")
    assert "the run has 2 sites, expected 3 at least" in few.stderr
    assert not (tmp_path / "out/audit").exists()
