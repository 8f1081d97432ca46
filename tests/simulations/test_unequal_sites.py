from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.simulations import tiny
from tests.simulations.job.test_simulate import job, run


def unequal(folder: Path) -> Path:
    """Four sites of one speaker; s0's has forty times the others' recordings. Speaker 04 is nobody's."""
    path, more = tiny.write(folder / "small", speakers=5), tiny.write(folder / "large", speakers=1, each=80, seed=1)
    with more.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        for row in rows:
            writer.writerow([str(more.parent / row["path"]), row["emotion"], "00", "m", "s0", "train"])
    return path


def test_a_site_with_most_of_the_recordings_is_not_refused_for_going_far(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own: dict[str, Any] = {"data__sites": "column", "data__held_out": "speaker:04", "federation__rounds": 3}
    own["data__outside_root"] = True
    result = run(job(unequal(tmp_path), tmp_path / "out", **own))
    assert "refused" not in caplog.text
    for entry in result["folds"][0]["rounds"]:
        assert {name: site["examples"] for name, site in entry["sites"].items()} == {
            "s0": 328,
            "s1": 8,
            "s2": 8,
            "s3": 8,
        }
