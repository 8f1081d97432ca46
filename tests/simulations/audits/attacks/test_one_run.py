from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from common.errors import UsageError
from common.learning.metrics import Floats
from simulations.audits.attacks.membership_inference import Bools
from simulations.audits.attacks.one_run import epsilon_lower_bound, p_value


def test_all_right_has_a_closed_form() -> None:
    """q^r = 0.05 with q = e^ε / (1 + e^ε): for 200 of 200, ε = 4.2."""
    coins = np.arange(200) < 100
    bound = epsilon_lower_bound(coins * 1.0, coins, 0.0, guesses=200)
    q = 0.05 ** (1 / 200)
    assert bound.epsilon == pytest.approx(math.log(q / (1 - q)), abs=1e-5)
    assert (bound.correct, bound.guesses, bound.canaries) == (200, 200, 200)
    json.dumps(dataclasses.asdict(bound), allow_nan=False)


def test_the_p_value_without_delta_is_the_binomial_tail() -> None:
    q = math.e / (1 + math.e)
    by_hand = sum(math.comb(10, k) * q**k * (1 - q) ** (10 - k) for k in range(8, 11))
    assert p_value(50, 10, 8, 1.0, 0.0) == pytest.approx(by_hand)
    assert p_value(50, 10, 0, 1.0, 0.0) == 1.0


def test_the_p_value_with_delta_by_hand() -> None:
    """Three guesses, two right, ε = 0: P[W ≥ 2] = 1/2, and max(P[W = 1], P[W ≤ 1] / 2) = max(3/8, 1/4)."""
    assert p_value(5, 3, 2, 0.0, 0.01) == pytest.approx(0.5 + 2 * 5 * 0.01 * 3 / 8)
    assert p_value(5, 3, 2, 0.0, 0.9) == 1.0


def test_delta_lowers_the_bound() -> None:
    coins = np.arange(1000) < 500
    bounds = [epsilon_lower_bound(coins * 1.0, coins, delta).epsilon for delta in (0.0, 1e-5, 1e-3)]
    assert bounds[0] > bounds[1] > bounds[2]


def randomised_response(m: int, epsilon: float, rng: np.random.Generator) -> tuple[Floats, Bools]:
    coins = rng.random(m) < 0.5
    truthful = rng.random(m) < 1 / (1 + math.exp(-epsilon))
    return np.where(truthful, coins, ~coins) * 1.0, coins


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
def test_the_bound_holds_in_95_runs_of_100(epsilon: float) -> None:
    rng = np.random.default_rng(7)
    runs = [epsilon_lower_bound(*randomised_response(300, epsilon, rng), 0.0).epsilon for _ in range(200)]
    assert sum(bound > epsilon for bound in runs) <= 18  # 10 expected at most; more than 18 has a chance of 1 %


def test_the_bound_is_near_the_truth_with_many_canaries() -> None:
    rng = np.random.default_rng(8)
    assert 1.9 < epsilon_lower_bound(*randomised_response(50_000, 2.0, rng), 1e-9).epsilon < 2.0


def test_noise_alone_says_nothing() -> None:
    rng = np.random.default_rng(9)
    assert epsilon_lower_bound(rng.normal(size=400), rng.random(400) < 0.5, 1e-5).epsilon < 0.3


def test_a_mechanism_without_noise_is_caught_with_200_canaries() -> None:
    """At its claim of ε = 2, with the number of guesses that is set beforehand: 60."""
    rng = np.random.default_rng(10)
    coins = rng.random(200) < 0.5
    bound = epsilon_lower_bound(coins + rng.normal(0, 0.01, 200), coins, 1e-5)
    assert bound.epsilon > 2.5
    assert (bound.guesses, bound.correct) == (60, 60)


def test_ties_do_not_look_at_the_coins() -> None:
    coins = np.random.default_rng(11).random(400) < 0.5
    bound = epsilon_lower_bound(np.zeros(400), coins, 0.0, guesses=400)
    assert bound.correct == int(coins[:200].sum() + (~coins[200:]).sum())


def test_what_cannot_be_audited_is_refused() -> None:
    with pytest.raises(UsageError, match="even number from 2 to 4"):
        epsilon_lower_bound([1, 2, 3, 4], [True, False, True, False], 0.0, guesses=3)
    with pytest.raises(UsageError, match="even number from 2 to 1"):
        epsilon_lower_bound([1], [True], 0.0)
    with pytest.raises(UsageError, match="one coin a canary"):
        epsilon_lower_bound([1, 2], [True], 0.0)
    with pytest.raises(UsageError, match="one number"):
        epsilon_lower_bound([1, math.nan], [True, False], 0.0)
    with pytest.raises(UsageError, match="delta is 2"):
        epsilon_lower_bound([1, 2], [True, False], 2.0)
