from __future__ import annotations

import pytest

from common.errors import UsageError
from simulations.speed import mask_cost


def test_a_row_for_each_number_of_sites() -> None:
    three, five = mask_cost.run(repeats=1, sites=(3, 5), words=1000)
    assert (three["sites"], five["sites"]) == (3, 5)
    for row in (three, five):
        assert row["site_ms"] >= row["mask_ms"] > 0
        assert row["first_ms"] > 0 < row["server_ms"]
    assert 4.0 < three["kb"] < five["kb"] < 5.0


def test_a_round_is_measured_at_least() -> None:
    with pytest.raises(UsageError, match="repeats is 0, expected 1 to 1000"):
        mask_cost.run(repeats=0)
