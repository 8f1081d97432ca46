"""A simulation's personal models: who judges, what is kept out, what is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.simulations import tiny
from tests.simulations.job.test_simulate import job, run


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    return tiny.write(tmp_path / "corpus", speakers=16, each=3, test=(0, 1))


def personal(manifest: Path, out: Path, **more: Any) -> dict[str, Any]:
    own = job(manifest, out, data__held_out="split", data__sites="column", **more)
    return run(dataclasses.replace(own, personal=True), pages=False)


def test_x(manifest: Path, tmp_path: Path) -> None:
    whole = personal(manifest, tmp_path / "run")
    print(whole["folds"][0]["personal"])
    assert 0
