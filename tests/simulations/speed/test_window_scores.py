"""Windows of a finished run's held-out recordings, each alone, beside the figures that the run itself has."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from common.cli import main
from common.config.settings import Config, flatten
from common.errors import UsageError
from common.progress import Display
from simulations.engine.output import open_folder
from simulations.job.simulate import Job, train_job
from simulations.speed.window_scores import run
from tests.common.examples import tone
from tests.simulations import tiny

SMALL = {
    **tiny.SMALL,
    "features.mfcc": 4,
    "features.deltas": 0,
    "features.pitch": False,
    "federation.rounds": 1,
    "data.held_out": "kfold:2",
    "data.validation": "none",
}
WINDOWS = {"0.5": 2 * 16, "2": 16, "whole": 16}  # of 44 rows of 30 ms: 17 twice; none of 67, so each as it is


def corpus(folder: Path) -> Path:
    """Four speakers' sixteen tones of 1.3 s, two classes a hundred hertz apart."""
    path = folder / "manifest.csv"
    rows = [(speaker, emotion, take) for speaker in range(4) for emotion in ("anger", "sadness") for take in range(2)]
    names = [
        tone(folder / f"{s}-{e}-{t}.wav", hz=200 + 100 * len(e) + 5 * s, seconds=1.3, seed=t).name for s, e, t in rows
    ]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "emotion", "speaker"])
        writer.writerows((name, own[1], f"s{own[0]}") for name, own in zip(names, rows, strict=True))
    return path


def simulated(out: Path, manifest: Path, **more: object) -> dict[str, Any]:
    own = {name.replace("__", "."): value for name, value in more.items()}
    config = Config().with_values({**SMALL, "data.root": str(manifest), **own})
    job = Job(config=config, out=out, engine="inprocess", workers=0, baselines=False, command="fedser simulate")
    about = {"engine": job.engine, "baselines": job.baselines, "command": job.command, "ledger": job.ledger}
    open_folder(out, {**flatten(config), **about}, resume=False, overwrite=False)
    with Display() as display:
        return train_job(job, display).as_json()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("mode", ["running", "utterance"])
def test_whole_recordings_have_the_run_s_figures_and_windows_their_own(
    mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = simulated(tmp_path / "out", corpus(tmp_path / "tones"), data__normalise=mode)
    with Display() as display:
        told = run(tmp_path / "out", [0.5, 2.0], display)
    for fold, own in zip(whole["folds"], told["folds"], strict=True):
        assert own["fold"] == fold["fold"]
        expected = {name: fold["test"]["stranger"][name]["uar"] for name in ("0", "all")}
        assert own["windows"]["whole"]["uar"] == own["windows"]["2"]["uar"] == expected
    assert {length: sum(own["windows"][length]["count"] for own in told["folds"]) for length in WINDOWS} == WINDOWS
    assert told["summary"]["whole"]["all"] == pytest.approx(whole["summary"]["uar"]["mean"])
    capsys.readouterr()
    assert main.run(["bench", "windows", "--run", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told
    assert main.run(["bench", "windows", "--run", str(tmp_path / "out"), "--seconds", "0.5"]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [["0.5", "32"], ["whole", "16"]]


@pytest.mark.usefixtures("cache")
def test_what_has_no_windows_is_refused_in_a_line(tmp_path: Path) -> None:
    simulated(tmp_path / "out", tiny.write(tmp_path / "corpus"), data__held_out="kfold:4:0")
    with Display() as display:
        for seconds, line in (([0.5], r"a matrix has no clock"), ([0.0], r"--seconds is 0.0, expected 0.01 to 3600")):
            with pytest.raises(UsageError, match=line) as error:
                run(tmp_path / "out", seconds, display)
            assert "\n" not in str(error.value)
        with pytest.raises(UsageError, match="is no run of fedser simulate"):
            run(tmp_path, [0.5], display)
        whole = run(tmp_path / "out", [], display)
    assert list(whole["summary"]) == ["whole"]
    (tmp_path / "out/folds/kfold-4-0/fold.json").unlink()
    with Display() as display, pytest.raises(UsageError, match="is not finished"):
        run(tmp_path / "out", [], display)


def test_lengths_that_are_no_numbers_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["bench", "windows", "--run", str(tmp_path), "--seconds", "short"]) == 2
    assert "--seconds is 'short', expected lengths of windows in seconds, e.g. 0.5,2" in capsys.readouterr().err
