"""The benchmark of a private step, on a shape small enough to run in a test."""

from __future__ import annotations

import pytest
import torch

from common.errors import UsageError
from simulations.speed import dp_step

KEYS = {
    "hidden",
    "layers",
    "plain_ms",
    "ours_ms",
    "opacus_hooks_ms",
    "opacus_ghost_ms",
    "ratio_plain",
    "speedup_opacus",
    "peak_mb",
}


def test_each_shape_has_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(dp_step, "FRAMES", 12)
    monkeypatch.setattr(dp_step, "_peak_apart", lambda hidden, layers: float(hidden * layers))
    report = dp_step.run(repeats=1, shapes=[(4, 1), (8, 2)])
    assert torch.get_num_threads() == before
    assert [(row["hidden"], row["layers"], row["peak_mb"]) for row in report] == [(4, 1, 4.0), (8, 2, 16.0)]
    for row in report:
        assert set(row) == KEYS
        assert row["ratio_plain"] == pytest.approx(row["ours_ms"] / row["plain_ms"], rel=0.1)
        fastest = min(row["opacus_hooks_ms"], row["opacus_ghost_ms"])
        assert row["speedup_opacus"] == pytest.approx(fastest / row["ours_ms"], rel=0.1)


@pytest.mark.slow
def test_the_peak_grows_with_the_batch_alone() -> None:
    peak = dp_step._peak_apart(64, 1)
    # Of 32 recordings at 300 frames: the gates that are kept and their derivatives, 20 MB each.
    assert peak is None or 40 < peak < 200


def test_no_repeats_are_refused() -> None:
    with pytest.raises(UsageError):
        dp_step.run(repeats=0)
