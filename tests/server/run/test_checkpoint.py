from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import FederationError
from server.run import checkpoint
from server.run.checkpoint import State


def test_a_checkpoint_holds_the_whole_state(tmp_path: Path) -> None:
    state = State(
        round=3,
        arrays={"w": np.arange(6, dtype=np.float32).reshape(2, 3)},
        scaling={"mean": np.zeros(2, np.float32)},
        strategy={"m_t/w": np.ones(3)},
        best={"w": np.ones((2, 3), np.float32)},
        best_round=2,
        history=[{"round": 1, "validation": None}],
    )
    checkpoint.save(state, tmp_path / "c.safetensors")
    again = checkpoint.load(tmp_path / "c.safetensors")
    assert (again.round, again.best_round, again.history) == (3, 2, [{"round": 1, "validation": None}])
    for group in ("arrays", "scaling", "strategy", "best"):
        for name, value in getattr(state, group).items():
            np.testing.assert_array_equal(getattr(again, group)[name], value)
            assert getattr(again, group)[name].dtype == value.dtype


def test_a_broken_checkpoint_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(FederationError, match=r"c\.safetensors is no checkpoint .* start anew with --overwrite"):
        checkpoint.load(path)


def test_a_checkpoint_of_a_version_before_is_called_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.safetensors"
    with monkeypatch.context() as before:
        before.setattr(checkpoint, "_ABOUT", tuple(name for name in checkpoint._ABOUT if name != "kept"))
        checkpoint.save(State(arrays={"w": np.zeros(1, np.float32)}, scaling={}), path)
    with pytest.raises(FederationError, match=r"^\S+c\.safetensors is of another version of fedser.* the run anew$"):
        checkpoint.load(path)
