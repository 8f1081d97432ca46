from __future__ import annotations

import pytest

from simulations.audits.attacks.intervals import clopper_pearson, student


def test_all_right_and_all_wrong_have_closed_forms() -> None:
    low, high = clopper_pearson(10, 10)
    assert low == pytest.approx(0.025 ** (1 / 10))
    assert high == 1.0
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 1 - 0.025 ** (1 / 10)))


def test_a_tabled_interval() -> None:
    """15 of 20, from the tables of Clopper and Pearson."""
    assert clopper_pearson(15, 20) == pytest.approx((0.5090, 0.9134), abs=1e-4)


def test_students_interval_stays_in_range() -> None:
    assert student(0.5, 0.01, 4, 0.0, 1.0) == pytest.approx((0.5 - 0.27764, 0.5 + 0.27764), abs=1e-5)  # t(4) is 2.7764
    assert student(0.9, 0.01, 4, 0.0, 1.0)[1] == 1.0
