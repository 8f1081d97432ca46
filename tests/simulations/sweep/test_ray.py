"""The same lines from a Ray cluster on this machine as from worker processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from common.processes.subreaper import descendants
from tests.simulations import tiny
from tests.simulations.sweep.test_sweep import alive

PROGRAM = str(Path(sys.executable).parent / "fedser")
SMALL = "[model]\nprojection = 8\nhidden = 6\nattention = 4\n[augment]\ncopies = 0\n"
SAME = ("trial", "config", "test", "pooled_uar", "local_uar", "epsilon")


def lines(out: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(found) == len({line["trial"] for line in found}) == 4
    return {line["trial"]: {name: line[name] for name in SAME} for line in found}


def sweep(folder: Path, held_out: str, *more: str) -> list[str]:
    manifest = tiny.write(folder / "corpus")
    (folder / "small.toml").write_text(SMALL)
    command = [PROGRAM, "benchmark", "--corpus", "manifest", "--root", str(manifest), "--held-out", held_out]
    return [*command, "--config", str(folder / "small.toml"), "--sites", "2", "--workers", "2", *more]


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_lines(tmp_path: Path) -> None:
    command = sweep(tmp_path, "kfold:2", "--rounds", "2", "--conditions", "inf,site:8", "--insecure-seed")
    environment = os.environ | {"FEDSER_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    for engine in ("ray", "process"):
        own = [*command, "--engine", engine, "--out", str(tmp_path / engine)]
        done = subprocess.run(own, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
    assert lines(tmp_path / "ray") == lines(tmp_path / "process")


@pytest.mark.slow
def test_a_kill_leaves_no_process_and_the_same_command_goes_on(tmp_path: Path) -> None:
    command = sweep(tmp_path, "kfold:4", "--rounds", "20", "--conditions", "inf", "--no-baselines")
    command += ["--engine", "ray", "--out", str(tmp_path / "out")]
    environment = os.environ | {"FEDSER_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    results = tmp_path / "out" / "results.jsonl"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    while process.poll() is None and not (results.exists() and results.read_text()):
        time.sleep(0.05)
    started = descendants(process.pid)
    assert len(started) > 3
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in started) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [Path(f"/proc/{pid}/cmdline").read_text() for pid in started if alive(pid)]
    before = results.read_text()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert results.read_text().startswith(before)
    assert len(lines(tmp_path / "out")) == 4


@pytest.mark.slow
def test_no_cluster_at_an_address_is_one_line(tmp_path: Path) -> None:
    manifest = tiny.write(tmp_path / "corpus")
    command = [PROGRAM, "benchmark", "--corpus", "manifest", "--root", str(manifest), "--held-out", "kfold:2"]
    command += ["--sites", "2", "--rounds", "1", "--conditions", "inf", "--no-baselines"]
    command += ["--out", str(tmp_path / "out"), "--engine", "ray", "--address", "127.0.0.1:1"]
    environment = os.environ | {"FEDSER_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 2
    assert "--address 127.0.0.1:1: nothing answers" in done.stderr
    assert "Traceback" not in done.stderr
