from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import chi2

from common.errors import UsageError
from common.privacy.shared.discrete_gaussian import _decided, discrete_gaussian, throw_coins
from common.privacy.stream import SecretStream


def exact_probabilities(variance: int, most: int) -> list[Fraction]:
    """Of -most to most, in fractions of 2^200: the tail beyond is below that."""
    weights = [_exp(Fraction(x * x, 2 * variance)) for x in range(-most, most + 1)]
    return [weight / sum(weights) for weight in weights]


def _exp(gamma: Fraction) -> Fraction:
    """exp(-gamma) as the 2^k-th power of a series at a small gamma."""
    halvings = max(0, math.ceil(gamma).bit_length())
    small, term, total = _cut(gamma / 2**halvings), Fraction(1), Fraction(1)
    for k in range(1, 40):
        term = _cut(term * -small / k)
        total += term
    for _ in range(halvings):
        total = _cut(total * total)
    return total


def _cut(value: Fraction) -> Fraction:
    return Fraction(round(value * 2**200), 2**200)


def chi_square(observed: list[int], expected: list[float]) -> float:
    """The p-value of counts, those that expect fewer than ten put together with their neighbours."""
    merged: list[list[float]] = [[0.0, 0.0]]
    for count, own in zip(observed, expected, strict=True):
        merged[-1][0] += count
        merged[-1][1] += own
        if merged[-1][1] >= 10:
            merged.append([0.0, 0.0])
    last = merged.pop()
    merged[-1] = [a + b for a, b in zip(merged[-1], last, strict=True)]
    distance = sum((count - own) ** 2 / own for count, own in merged)
    return float(chi2.sf(distance, len(merged) - 1))


@pytest.mark.parametrize("variance", [1, 2, 7, 100])
def test_the_sampler_agrees_with_exact_probabilities(variance: int) -> None:
    count, most = 200_000, 12 * math.isqrt(variance) + 12
    drawn = discrete_gaussian(SecretStream(variance), variance, count)
    observed = np.bincount(drawn + most, minlength=2 * most + 1)
    expected = [float(share * count) for share in exact_probabilities(variance, most)]
    assert chi_square(observed.tolist(), expected) > 1e-4
    assert chi_square(np.roll(observed, 1).tolist(), expected) < 1e-4  # the test would see numbers that are off by one


@pytest.mark.parametrize("variance", [16**2, 10**9, 2**84])
def test_the_deviation_is_right_within_two_per_cent(variance: int) -> None:
    drawn = discrete_gaussian(SecretStream(1), variance, 50_000) / math.sqrt(variance)
    assert float(drawn.std()) == pytest.approx(1.0, rel=0.02)
    assert abs(float(drawn.mean())) < 5 / math.sqrt(50_000)
    assert float((drawn**4).mean()) == pytest.approx(3.0, rel=0.1)


def test_a_coin_that_floating_point_cannot_decide_is_decided_exactly() -> None:
    half = Fraction(70, 101)  # near ln 2 = 0.6931…: exp(-70/101) = 0.50003…
    bits = math.floor(math.exp(-half) * 2**53)
    stream = SecretStream(3)
    assert _decided(stream, bits - 2, half)
    assert not _decided(stream, bits + 2, half)
    assert {_decided(stream, 0, Fraction(0)), _decided(stream, 2**53 - 1, Fraction(0))} == {True}
    assert not _decided(stream, 0, Fraction(10**4))  # exp(-10,000) is below any number that R then is


def test_coins_ask_for_exact_numbers_only_where_they_are_in_doubt() -> None:
    def never(place: int) -> Fraction:
        raise AssertionError(place)

    exponents = np.full(100_000, 0.5)
    assert throw_coins(SecretStream(5), exponents, never).mean() == pytest.approx(math.exp(-0.5), abs=0.01)
    assert throw_coins(SecretStream(5), np.zeros(1), lambda _: Fraction(0)).tolist() == [True]


@pytest.mark.parametrize("variance", [0, -1, 2**84 + 1])
def test_a_variance_out_of_range_is_refused(variance: int) -> None:
    with pytest.raises(UsageError, match="expected 1 to 2\\^84"):
        discrete_gaussian(SecretStream(1), variance, 3)
