from __future__ import annotations

from pathlib import Path

import pytest

from simulations.benchmarks.sweep import run


@pytest.mark.slow
def test_the_figures_are_those_of_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    told = run(trials=4, rounds=1, utterances=80, workers=2)
    assert list(told) == ["trials", "workers", "wall_s", "bare_s", "ratio"]
    assert (told["trials"], told["workers"]) == (4, 2)
    assert 0 < told["bare_s"] / 2 < told["wall_s"]
    assert told["ratio"] == pytest.approx(told["wall_s"] / (told["bare_s"] / 2))
