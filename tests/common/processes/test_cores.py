from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.processes.cores import usable_cores

ALLOWED = len(os.sched_getaffinity(0))


def groups(folder: Path, own: str, files: dict[str, str]) -> dict[str, Path]:
    (folder / "own").write_text(own)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return {"root": folder, "own": folder / "own"}


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        pytest.param("0::/\n", {"cpu.max": "50000 100000\n"}, 1, id="half a core is one"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, ALLOWED, id="no quota"),
        pytest.param("0::/a/b\n", {"a/cpu.max": "100000 100000\n", "a/b/cpu.max": "max 100000\n"}, 1, id="above it"),
        pytest.param("0::/docker/1f\n", {"cpu.max": "100000 100000\n"}, 1, id="a container's own mount"),
        pytest.param(
            "3:cpuset:/x\n2:cpu,cpuacct:/job\n",
            {"cpu,cpuacct/job/cpu.cfs_quota_us": "100000\n", "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n"},
            1,
            id="version 1",
        ),
        pytest.param("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, ALLOWED, id="-1"),
        pytest.param("0::/\n", {"cpu.max": "900000000 100000\n"}, ALLOWED, id="more than there are"),
        pytest.param("no such thing\n", {}, ALLOWED, id="another system"),
    ],
)
def test_a_quota_counts_like_the_cores_that_it_pays_for(
    tmp_path: Path, own: str, files: dict[str, str], cores: int
) -> None:
    assert usable_cores(**groups(tmp_path, own, files)) == cores


@pytest.mark.slow
def test_cores_that_the_scheduler_does_not_give_are_not_counted() -> None:
    first = min(os.sched_getaffinity(0))
    script = (
        f"import os; os.sched_setaffinity(0, [{first}])\n"
        "from common.processes.cores import usable_cores\n"
        "from simulations.job.start import workers_of\n"
        "print(usable_cores(), workers_of(None))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1", "1"]


def test_nothing_else_counts_the_machine_s_cores() -> None:
    root = Path(__file__).parents[3]
    rings = ("common", "client", "recogniser", "server", "simulations")
    ours = [path for ring in rings for path in (root / ring).rglob("*.py")]
    assert [path.name for path in ours if "cpu_count" in path.read_text(encoding="utf-8")] == ["cores.py"]
