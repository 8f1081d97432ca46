"""A stranger's first recordings in noise: at a run's end, and of a run that is there."""

from __future__ import annotations

import importlib.util
import json
import logging
from pathlib import Path

import pytest

from common.cli import main
from common.errors import UsageError
from common.progress import Display
from simulations.speed.noisy_scores import run
from tests.simulations import tiny
from tests.simulations.speed.test_window_scores import corpus, simulated

LEVELS = ["clean", "20", "10", "5", "0"]


@pytest.mark.slow
def test_a_run_that_is_asked_has_the_figures_that_the_command_gives_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    whole = simulated(tmp_path / "out", corpus(tmp_path / "tones"), data__held_out="kfold:2:0", data__score_noise=True)
    for fold in whole["folds"]:
        noise = fold["test"]["noise"]
        assert {kind: list(own) for kind, own in noise.items()} == dict.fromkeys(("pink", "babble", "room"), LEVELS)
        assert noise["pink"]["clean"] == noise["babble"]["clean"] == fold["test"]["stranger"]["0"]
    [uar] = [fold["test"]["noise"]["babble"]["10"]["uar"] for fold in whole["folds"]]
    assert whole["summary"]["noise"]["babble"]["10"]["uar"] == {"mean": uar, "sd": None, "ci95": None}
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "empty"))
    with Display() as display:
        told = run(tmp_path / "out", 2, display)  # the voices are made in other processes
    assert [own["noise"] for own in told["folds"]] == [fold["test"]["noise"] for fold in whole["folds"]]
    capsys.readouterr()
    assert main.run(["bench", "noise", "--run", str(tmp_path / "out"), "--workers", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told
    assert main.run(["bench", "noise", "--run", str(tmp_path / "out"), "--workers", "0"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split()[3:] == ["clean", "20", "dB", "10", "dB", "5", "dB", "0", "dB"]
    assert [row.split()[0] for row in rows[1:]] == ["pink", "babble", "room"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("noisereduce") is None, reason="the extra denoise is not installed")
def test_what_a_suppressor_would_have_cost_stands_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of tones it takes those that last for noise: what is left is other sound, which the model hears as such."""
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    own = corpus(tmp_path / "tones")
    simulated(tmp_path / "out", own, data__held_out="kfold:2:0", federation__rounds=8)
    with Display() as display:
        told = run(tmp_path / "out", 0, display, suppress=True)
    assert {kind: list(own) for kind, own in told["suppressed"].items()} == {
        kind: list(own) for kind, own in told["summary"].items()
    }
    [fold] = told["folds"]
    assert fold["suppressed"]["pink"]["clean"] == fold["suppressed"]["babble"]["clean"]
    assert fold["suppressed"]["pink"]["clean"]["uar"] < fold["noise"]["pink"]["clean"]["uar"]
    capsys.readouterr()
    assert main.run(["bench", "noise", "--run", str(tmp_path / "out"), "--workers", "0", "--denoise"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.strip().partition("  ")[0] for row in rows] == ["pink", "babble", "room"] + [
        f"{kind}, suppressed" for kind in ("pink", "babble", "room")
    ]


def test_matrices_have_no_such_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    own = tiny.write(tmp_path / "corpus")
    with caplog.at_level(logging.WARNING, "fedser.server"):
        whole = simulated(tmp_path / "out", own, data__held_out="kfold:4:0", data__score_noise=True)
    assert "noise" not in whole["folds"][0]["test"]
    assert "noise" not in whole["summary"]
    with Display() as display, pytest.raises(UsageError, match="are matrices of features, expected sounds") as error:
        run(tmp_path / "out", 0, display)
    assert "\n" not in str(error.value)
