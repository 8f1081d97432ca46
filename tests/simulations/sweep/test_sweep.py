"""A sweep through the program: its lines, going on after a kill, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.cli import main
from common.processes.subreaper import descendants
from tests.simulations import tiny
from tests.simulations.sweep import example_benchmark

PROGRAM = str(Path(sys.executable).parent / "fedser")
SMALL = "[model]\nprojection = 8\nhidden = 6\nattention = 4\n[federation]\nrounds = 2\n[data]\nsites = 2\n"
PRIVATE = '{"privacy": {"unit": "site"}, "command": "x", "summary": {"uar": {"mean": 0.5, "ci95": null}}}'
KEYS = {
    "trial", "config", "fold", "seed", "strategy", "unit", "target_epsilon", "epsilon", "delta", "test", "pooled_uar",
    "local_uar", "audit", "seconds", "commit",
}  # fmt: skip
CORPUS = ["--corpus", "manifest", "--root", "corpus/manifest.csv", "--config", "small.toml"]
Fedser = Callable[..., "Done"]


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny.write(tmp_path / "corpus")
    (tmp_path / "small.toml").write_text(SMALL + "[augment]\ncopies = 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def fedser(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fedser:
    def run(*arguments: str) -> Done:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["fedser", *arguments])
        code = main.run(list(arguments))
        return Done(code, *capsys.readouterr())

    return run


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


@pytest.fixture
def sweep(fedser: Fedser, monkeypatch: pytest.MonkeyPatch) -> Fedser:
    """A sweep without its page, which takes seconds to draw."""
    monkeypatch.setattr("simulations.sweep.launch.write_page", lambda _, out: out / "report.html")

    def run(*more: str) -> Done:
        return fedser("benchmark", *CORPUS, "--workers", "0", *more)

    return run


def test_every_combination_is_a_line_with_the_contracts_keys(here: Path, sweep: Fedser) -> None:
    conditions = ["--conditions", "inf,site:8", "--insecure-seed"]
    more = ["--held-out", "kfold:4:0", "--strategies", "fedavg,fedprox", "--sites", "2,3", "--seeds", "0,1"]
    done = sweep(*conditions, *more, "--no-baselines", "--rounds", "1", "--out", "out")
    assert done.returncode == 0, done.stderr
    lines = rows(here / "out")
    assert len(lines) == len({line["trial"] for line in lines}) == 2 * 2 * 2 * 2
    for line in lines:
        assert set(line) - {"details"} == KEYS
        assert set(line["test"]) == {"wa", "uar", "macro_f1", "recall", "stranger"}
        assert set(line["test"]["stranger"]) == {"0", "2", "8", "all"}
        assert line["test"]["stranger"]["all"]["uar"] == line["test"]["uar"]
        assert (line["unit"] is None) == (line["epsilon"] is None) == (line["delta"] is None)
        assert line["config"]["data.sites"] == line["details"]["sites"]
        if line["unit"]:
            assert 0 < line["epsilon"] <= line["target_epsilon"] == 8.0
    assert {(line["strategy"], line["seed"], line["details"]["sites"]) for line in lines} == {
        (strategy, seed, sites) for strategy in ("fedavg", "fedprox") for seed in (0, 1) for sites in ("2", "3")
    }


def test_baselines_live_in_the_row_and_are_null_for_the_unit_site(here: Path, sweep: Fedser) -> None:
    done = sweep("--conditions", "inf,utterance:8,site:8", "--held-out", "kfold:4:0", "--rounds", "1", "--out", "out")
    assert done.returncode == 0, done.stderr
    by_unit = {line["unit"]: line for line in rows(here / "out")}
    assert by_unit["site"]["pooled_uar"] is by_unit["site"]["local_uar"] is None
    for unit in (None, "utterance"):
        assert 0 <= by_unit[unit]["pooled_uar"] <= 1
        assert 0 <= by_unit[unit]["local_uar"] <= 1
    details = by_unit["utterance"]["details"]
    assert details["speakers"] == ["00", "02"] or len(details["speakers"]) == 2
    assert np.sum(details["by_speaker"], axis=(1, 2)).tolist() == [8, 8]
    assert np.shape(details["local"]) == (2, 2, 4, 4)
    assert np.shape(details["pooled"]) == (2, 4, 4)
    assert details["strangers"]["all"] == details["by_speaker"]
    assert details["pooled_strangers"]["all"] == details["pooled"]
    assert by_unit["site"]["details"]["pooled_strangers"] is None
    assert details["units"] == {"site-0": 24, "site-1": 24}
    assert set(details["privacy"]) == {"site-0", "site-1"}
    ledgers = sorted(
        path.relative_to(here / "out").parts[0] for path in (here / "out").rglob("*.jsonl") if "ledger" in str(path)
    )
    assert set(ledgers) == {"trials", "baselines"}


def test_going_on_trains_nothing_twice_and_other_settings_are_refused(
    here: Path, sweep: Fedser, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["--conditions", "inf", "--held-out", "kfold:4", "--no-baselines", "--rounds", "1", "--out", "out"]
    assert sweep(*command).returncode == 0
    whole = (here / "out/results.jsonl").read_text()
    lines = whole.splitlines(keepends=True)
    (here / "out/results.jsonl").write_text("".join(lines[:2]) + lines[2][:30])  # killed while it wrote the third
    trained = []
    monkeypatch.setattr("simulations.sweep.trials.parts.run_in_process", lambda *a, **k: trained.append(a))
    assert sweep(*command).returncode == 0
    assert trained == []  # the third was finished, if not written
    assert {line["trial"] for line in rows(here / "out")} == {json.loads(line)["trial"] for line in lines}
    other = sweep(*command, "--rounds", "2")
    assert other.returncode == 2
    assert "was begun with other settings (federation.rounds: federation.rounds was 1, is now 2)" in other.stderr


def test_a_folder_that_is_somebody_elses_stays_as_it_was(here: Path, sweep: Fedser) -> None:
    (here / "out").mkdir()
    (here / "out/results.jsonl").write_text("not ours, and no newline at the end")
    done = sweep("--conditions", "inf", "--held-out", "kfold:4:0", "--out", "out")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "exists and holds no benchmark" in done.stderr
    assert [path.name for path in (here / "out").iterdir()] == ["results.jsonl"]
    assert (here / "out/results.jsonl").read_text() == "not ours, and no newline at the end"


def test_other_settings_are_refused_before_the_features_are_extracted(
    here: Path, sweep: Fedser, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["--conditions", "inf", "--held-out", "kfold:4:0", "--no-baselines", "--rounds", "1", "--out", "out"]
    assert sweep(*command).returncode == 0
    cut = (here / "out/results.jsonl").read_text() + '{"trial": "cut'
    (here / "out/results.jsonl").write_text(cut)
    monkeypatch.setattr(
        "simulations.sweep.trials.runner.prepare_all", lambda *_, **__: pytest.fail("features are extracted")
    )
    other = sweep(*command, "--rounds", "2")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "federation.rounds was 1, is now 2" in other.stderr
    assert (here / "out/results.jsonl").read_text() == cut


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "--conditions is missing"),
        (["--conditions", "inf,word:8"], "--conditions has 'word:8'"),
        (["--conditions", "inf", "--seeds", "a"], "--seeds is 'a'"),
        (["--conditions", "inf", "--seeds", "1,1"], "--seeds is '1,1'"),
        (["--conditions", "inf", "--workers", "many"], "--workers is 'many'"),
        (["--conditions", "inf", "--strategies", "best"], "expected one of fedavg"),
        (["--conditions", "site:8", "--strategies", "krum"], "--strategy krum needs every update"),
        (["--conditions", "utterance:8", "--validation", "one"], "sets no speaker aside"),
        (["--conditions", "utterance:8", "--delta", "0.01"], "--delta 0.01 is too large"),
        (["--conditions", "inf", "--preset", "nothing"], "expected one of casia"),
        (["--conditions", "inf", "--sites", "99"], "99 sites need at least 99"),
        (["--conditions", "inf,inf:encoder"], "--conditions has inf:encoder, and no encoder is named; give --encoder"),
    ],
)
def test_a_wrong_option_is_one_line_before_any_work(here: Path, sweep: Fedser, more: list[str], words: str) -> None:
    done = sweep(*more, "--held-out", "kfold:4:0", "--out", "out")
    assert done.returncode in (1, 2)
    assert words in " ".join(done.stderr.split())
    assert done.stderr.count("\n") == 1
    assert not (here / "out").exists()


def test_without_out_it_says_so(sweep: Fedser) -> None:
    assert "--out is missing" in sweep("--conditions", "inf").stderr


def test_two_benchmarks_are_told_apart_for_a_check_in_ci(here: Path, fedser: Fedser) -> None:
    example_benchmark.write(here / "before", skill={"inf": 0.8, "utterance:8": 0.6})
    example_benchmark.write(here / "after", skill={"inf": 0.8, "utterance:8": 0.3})
    same = fedser("benchmark", "compare", "before", "before")
    assert (same.returncode, same.stderr) == (0, "")
    worse = fedser("benchmark", "compare", "before", "after", "--json")
    assert worse.returncode == 1
    assert worse.stderr.strip() == "fedser: error: after is worse than before: utterance, ε = 8"
    assert [own["worse"] for own in json.loads(worse.stdout)["conditions"]] == [False, True]
    assert fedser("benchmark", "compare", "before", "after", "--tolerance", "0.6").returncode == 0
    assert "holds no benchmark" in fedser("benchmark", "compare", "before", "corpus").stderr


def test_a_check_in_ci_fails_where_trials_are_missing_unless_that_is_allowed(here: Path, fedser: Fedser) -> None:
    example_benchmark.write(here / "before", skill={"inf": 0.8, "utterance:8": 0.6})
    example_benchmark.write(here / "after", skill={"inf": 0.8})
    lacking = fedser("benchmark", "compare", "before", "after")
    assert (lacking.returncode, lacking.stderr.count("\n")) == (1, 1)
    assert "after lacks what before has (utterance, ε = 8: all of it)" in lacking.stderr
    assert "only in before: utterance, ε = 8: all of it" in lacking.stdout
    assert "how much another training would differ" in lacking.stdout
    assert fedser("benchmark", "compare", "before", "after", "--allow-missing").returncode == 0


def test_reports_are_drawn_again_and_joined(here: Path, fedser: Fedser, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, Path]] = []

    def draw(every: list[object], out: Path) -> Path:
        drawn.append((len(every), out))
        return out / "report.html"

    monkeypatch.setattr("simulations.sweep.page.assembly.write_page", draw)
    for name in ("one", "two"):
        example_benchmark.write(here / name, skill={"inf": 0.8})
    assert fedser("report", "one").returncode == 0
    assert fedser("report", "one", "two", "--out", "both").returncode == 0
    assert drawn == [(1, Path("one")), (2, Path("both"))]
    assert "--out is missing" in fedser("report", "one", "two").stderr
    assert "holds no benchmark" in fedser("report", "corpus").stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "expected the folder of a run of fedser simulate"),
        (PRIVATE, "is of a private run"),
    ],
)
def test_a_reference_must_be_a_run_without_privacy(here: Path, sweep: Fedser, content: str, words: str) -> None:
    (here / "result.json").write_text(content)
    done = sweep("--conditions", "inf", "--reference", "result.json", "--out", "out")
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.slow
def test_a_kill_loses_no_trial_repeats_none_and_leaves_no_process(here: Path) -> None:
    command = [PROGRAM, "benchmark", *CORPUS, "--held-out", "kfold:4", "--rounds", "8"]
    command += ["--conditions", "inf,utterance:8", "--workers", "2", "--out", str(here / "out")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    kills = 0
    for wanted in (1, 4, 100):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        while process.poll() is None:
            if (here / "out/results.jsonl").exists() and len(rows_so_far(here / "out")) >= wanted:
                break
            time.sleep(0.05)
        left = descendants(process.pid)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        deadline = time.monotonic() + 5
        while any(alive(pid) for pid in left) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not [pid for pid in left if alive(pid)]
    assert kills == 2
    assert process.returncode == 0
    lines = rows(here / "out")
    assert len(lines) == len({line["trial"] for line in lines}) == 8
    for line in lines:
        folder = here / "out" / "trials"
        assert line["details"]["privacy"] == {} or all(
            site["steps"] == 8 * 8 for site in line["details"]["privacy"].values()
        ), folder


def rows_so_far(out: Path) -> list[str]:
    return (out / "results.jsonl").read_text().splitlines()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
