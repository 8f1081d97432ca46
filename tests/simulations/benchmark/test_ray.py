"""The same lines from a Ray cluster on this machine as from worker processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.simulations import tiny

PROGRAM = str(Path(sys.executable).parent / "fedser")
SAME = ("trial", "config", "test", "pooled_uar", "local_uar", "epsilon")


def lines(out: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(found) == len({line["trial"] for line in found}) == 4
    return {line["trial"]: {name: line[name] for name in SAME} for line in found}


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_lines(tmp_path: Path) -> None:
    manifest = tiny.write(tmp_path / "corpus")
    settings = "[model]\nprojection = 8\nhidden = 6\nattention = 4\n[augment]\ncopies = 0\n"
    (tmp_path / "small.toml").write_text(settings)
    command = [PROGRAM, "benchmark", "--corpus", "manifest", "--root", str(manifest), "--held-out", "kfold:2"]
    command += ["--config", str(tmp_path / "small.toml"), "--sites", "2", "--rounds", "2", "--conditions", "inf,site:8"]
    command += ["--insecure-seed", "--workers", "2"]
    environment = os.environ | {"FEDSER_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    for engine in ("ray", "process"):
        own = [*command, "--engine", engine, "--out", str(tmp_path / engine)]
        done = subprocess.run(own, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr
    assert lines(tmp_path / "ray") == lines(tmp_path / "process")


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
