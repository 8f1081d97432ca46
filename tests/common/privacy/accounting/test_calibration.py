import math

import pytest
from opacus.accountants.utils import get_noise_multiplier

from common.errors import BudgetSpent, UsageError
from common.privacy.accounting.accountants import Filter, Spend, epsilon_prv, epsilon_rdp
from common.privacy.accounting.calibration import calibrate, signal_to_noise

DELTA = 1e-5


def spend(sample_rate: float, noise: float, steps: int) -> Spend:
    return Spend(unit="speaker", sample_rate=sample_rate, noise_multiplier=noise, steps=steps)


@pytest.mark.parametrize(
    ("epsilon", "rate", "steps"),
    [
        (8, 0.05, 1000), (1, 0.05, 300), (8, 0.01, 50), (8, 0.5, 100), (1, 1, 30),
        pytest.param(4, 0.01, 500, marks=pytest.mark.slow), pytest.param(0.3, 0.2, 100, marks=pytest.mark.slow),
    ],
)  # fmt: skip
@pytest.mark.parametrize("accountant", ["prv", "rdp"])
def test_the_target_is_met_and_nearly_used(epsilon: float, rate: float, steps: int, accountant: str) -> None:
    noise = calibrate(epsilon, DELTA, rate, steps, accountant)
    account = epsilon_prv if accountant == "prv" else epsilon_rdp
    assert 0.995 * epsilon < account([spend(rate, noise, steps)], DELTA) <= epsilon
    assert account([spend(rate, noise * 0.99, steps)], DELTA) > epsilon


def test_the_noise_is_what_opacus_finds() -> None:
    theirs = get_noise_multiplier(
        target_epsilon=8, target_delta=DELTA, sample_rate=0.05, steps=1000, accountant="rdp", epsilon_tolerance=0.001
    )
    assert calibrate(8, DELTA, 0.05, 1000, "rdp") == pytest.approx(theirs, rel=1e-3)


def test_prv_needs_less_noise_than_rdp() -> None:
    assert calibrate(8, DELTA, 0.05, 1000) < 0.97 * calibrate(8, DELTA, 0.05, 1000, "rdp")


@pytest.mark.parametrize(("rate", "steps"), [(0.05, 300), (0.01, 1000), (1.0, 10)])
def test_with_steps_spent_before_the_union_keeps_to_the_budget(rate: float, steps: int) -> None:
    spent = [spend(0.05, 1.5, 500)]
    noise = calibrate(8, DELTA, rate, steps, "rdp", spent)
    union = [*spent, spend(rate, noise, steps)]
    assert noise > calibrate(8, DELTA, rate, steps, "rdp")
    assert epsilon_rdp(union, DELTA) <= Filter(8, DELTA).epsilon(union) <= 8
    assert Filter(8, DELTA).epsilon(union) > 0.995 * 8


def test_a_spent_budget_ends_it() -> None:
    with pytest.raises(BudgetSpent, match="spent"):
        calibrate(2, DELTA, 0.05, 10, "rdp", [spend(0.05, 1.0, 1000)])


def test_a_target_that_no_noise_meets_is_refused() -> None:
    with pytest.raises(UsageError, match="no noise"):
        calibrate(1e-3, DELTA, 0.01, 100, "rdp")  # below what the conversion of the largest order adds


def test_no_target_and_no_steps_need_no_noise() -> None:
    assert calibrate(math.inf, DELTA, 0.05, 1000) == 0.0
    assert calibrate(1.0, DELTA, 0.05, 0) == 0.0


def test_a_target_that_little_noise_meets_gets_the_least() -> None:
    assert calibrate(1e6, DELTA, 1.0, 1) == 0.01


@pytest.mark.parametrize("bad", [{"epsilon": 0.0}, {"epsilon": -1.0}, {"delta": 1.0}, {"sample_rate": 2.0}])
def test_impossible_arguments_are_refused(bad: dict[str, float]) -> None:
    given = {"epsilon": 1.0, "delta": DELTA, "sample_rate": 0.1} | bad
    with pytest.raises(UsageError):
        calibrate(given["epsilon"], given["delta"], given["sample_rate"], 10)


def test_prv_takes_no_steps_spent_before() -> None:
    with pytest.raises(UsageError, match="rdp"):
        calibrate(1.0, DELTA, 0.1, 10, "prv", [spend(0.1, 5.0, 1)])


def test_signal_to_noise_is_the_ratio_of_norms() -> None:
    # 0.5 * 8 units of norm C, against noise of 2 C in each of 100 parameters
    assert signal_to_noise(2.0, 0.5, 8, 100) == pytest.approx(4 / 20)
