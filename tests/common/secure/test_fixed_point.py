from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.secure.fixed_point import MOST, STEP, mean_of, words_of


def test_words_by_hand() -> None:
    update = np.array([1.0, -1.0, 0.0, 2 * STEP, 3 * STEP])
    found = words_of(update, 1, 2)
    assert found.tolist() == [2**28, 2**32 - 2**28, 0, 1, 2]  # 1.5 steps and 0.5 go to the even number
    assert words_of(np.array([STEP, -STEP]), 1, 2).tolist() == [0, 0]
    assert found.dtype == np.uint32


def test_the_largest_entries_of_all_sites_fit() -> None:
    for sign in (1, -1):
        total = sum((words_of(np.full(2, sign * MOST), 1, 3) for _ in range(3)), start=np.zeros(2, np.uint32))
        np.testing.assert_allclose(mean_of(total, 3, 3), sign * MOST, rtol=1e-8)


@given(
    st.lists(st.tuples(st.floats(-MOST, MOST), st.integers(1, 10**6), st.booleans()), min_size=3, max_size=50).filter(
        lambda sites: any(there for *_, there in sites)
    )
)
def test_a_mean_is_off_by_half_a_step_a_site(sites: list[tuple[float, int, bool]]) -> None:
    total = sum(weight for _, weight, _ in sites)
    there = [(value, weight) for value, weight, in_it in sites if in_it]
    words = sum((words_of(np.array([value]), weight, total) for value, weight in there), start=np.zeros(1, np.uint32))
    weight = sum(weight for _, weight in there)
    exact = sum(value * weight for value, weight in there) / weight
    within = (len(there) / 2 * STEP + 1e-12) * total / weight
    assert mean_of(words, weight, total)[0] == pytest.approx(exact, rel=1e-12, abs=within)
