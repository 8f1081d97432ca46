from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FederationError
from common.secure.long_numbers import DIGITS, MOST, digits_of, numbers_of
from common.secure.round_words import MOST_COUNT

NUMBERS = st.floats(-MOST, MOST, allow_nan=False)


@given(st.lists(st.lists(st.integers(-(2**70), 2**70), min_size=2, max_size=2), min_size=1, max_size=50))
def test_sums_of_digits_are_digits_of_the_sum_exactly(sites: list[list[int]]) -> None:
    told = [digits_of([float(number) for number in own]) for own in sites]
    assert all(len(own) == 2 * DIGITS and own.max() <= MOST_COUNT for own in told)
    expected = [float(sum(int(float(own[place])) for own in sites)) for place in range(2)]
    assert numbers_of(np.sum(told, axis=0)) == pytest.approx(expected, rel=1e-15)


@given(NUMBERS)
def test_a_number_is_told_to_a_billionth(number: float) -> None:
    [found] = numbers_of(digits_of([number]))
    assert abs(found - number) <= max(2.0**-31, abs(number) * 2**-52)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 2 * MOST])
def test_what_is_no_number_of_the_range_is_refused(number: float) -> None:
    with pytest.raises(FederationError, match="not finite, or larger than"):
        digits_of([1.0, number])
