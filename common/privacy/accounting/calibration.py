"""How much noise a target takes, and whether the signal survives it.

Unit, adjacency and assumptions are those of ``common.privacy.accounting.accountants``. Nothing here looks at data: the
noise follows from the target, the sample rate and the number of steps, which are public.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from scipy.optimize import brentq

from common.errors import BudgetSpent, FedserError, UsageError
from common.privacy.accounting.accountants import Filter, Spend, epsilon_prv
from common.validate import in_range, one_of, positive

_LEAST, _MOST = 0.01, 1e6  # noise multipliers that are tried
_AIM = 0.9985  # of the target, so that rounding up stays under it and ends above 0.995 of it
_DIGITS = 5


def calibrate(
    epsilon: float,
    delta: float,
    sample_rate: float,
    steps: int,
    accountant: str = "prv",
    spent: Sequence[Spend] = (),
    *,
    unit: str = "",
    keep: Filter | None = None,
) -> float:
    """The smallest noise multiplier with which ``steps`` steps keep to ``epsilon``, rounded up.

    Their ε ends between 0.995 of the target and the target. Adjacency: one unit contributes, or nothing does in its
    place; assumed: Poisson sampling, Gaussian noise, one noise multiplier for all ``steps``; source of either
    accountant: see there.

    Args:
        epsilon: of (ε, δ), of these steps, or with ``spent`` of all together; inf for no noise.
        delta: of (ε, δ).
        sample_rate: each unit's chance to be drawn in a step.
        steps: how many.
        accountant: ``prv``, or ``rdp``, which keeps to what ``Filter(epsilon, delta)`` admits.
        spent: on the same people before, in its order; for ``rdp``.
        unit: of the steps; by default that of ``spent``.
        keep: of ``rdp``: the filter, where it is of another unit or has an order of its own.

    Raises:
        BudgetSpent: ``spent`` leaves nothing, or too little for any noise.
        UsageError: no noise meets the target, or an argument is out of range.
    """
    one_of("accountant", accountant, ("prv", "rdp"))
    in_range("delta", delta, 1e-300, 0.1)
    if spent and accountant != "rdp":
        raise UsageError("steps spent before are accounted with rdp, expected accountant='rdp'")
    if epsilon == math.inf or steps == 0:
        return 0.0
    positive("epsilon", epsilon)
    unit = unit or (spent[0].unit if spent else "")
    budget = keep or Filter(epsilon, delta)

    def reached(noise: float) -> float:
        wanted = Spend(unit=unit, sample_rate=sample_rate, noise_multiplier=noise, steps=steps)
        return epsilon_prv([wanted], delta) if accountant == "prv" else budget.epsilon([*spent, wanted])

    # at q = 1 a noise this large adds nothing, and costs no time to account
    silent = Spend(unit=unit, sample_rate=1.0, noise_multiplier=1e9, steps=1)
    hopeless = accountant == "rdp" and budget.epsilon([*spent, silent]) > _AIM * epsilon
    noise = None if hopeless else _smallest(reached, epsilon)
    if noise is None:
        raise _unreachable(epsilon, steps, accountant, spent)
    return noise


def signal_to_noise(noise_multiplier: float, sample_rate: float, n: int, parameters: int) -> float:
    """The largest possible norm of a step's summed gradient over the norm of its noise.

    The sum of an expected batch of q n units clipped to C is at most q n C long, where all agree. The noise has a
    deviation of ``noise_multiplier`` C in each of the ``parameters``. Over T steps that all agree the ratio grows √T
    times. n is taken as public.

    Args:
        noise_multiplier: above 0.
        sample_rate: q.
        n: how many units there are.
        parameters: of the model, those that are trained.
    """
    return sample_rate * n / (noise_multiplier * math.sqrt(parameters))


def _smallest(reached: Callable[[float], float], target: float) -> float | None:
    """The smallest noise whose ε is just below ``target``; ``_LEAST`` if that is enough, None if ``_MOST`` is not."""
    aim = _AIM * target
    high = 1.0
    while reached(high) > aim:
        high *= 2
        if high > _MOST:
            return None
    while reached(high / 2) <= aim:
        high /= 2
        if high < _LEAST:
            return _LEAST

    def excess(log_noise: float) -> float:
        return math.log(max(reached(math.exp(log_noise)), 1e-300) / aim)

    noise = _round_up(math.exp(brentq(excess, math.log(high / 2), math.log(high), xtol=1e-4)))
    while reached(noise) > target:
        noise = _round_up(noise * 1.0002)
    return noise


def _round_up(value: float) -> float:
    """To five digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) + 1 - _DIGITS)
    return float(f"{math.ceil(value / unit) * unit:.{_DIGITS}g}")


def _unreachable(epsilon: float, steps: int, accountant: str, spent: Sequence[Spend]) -> FedserError:
    if spent:
        return BudgetSpent(f"a budget of ε = {epsilon:g} is spent: no noise is enough for {steps} more steps")
    return UsageError(f"no noise keeps {steps} steps to ε = {epsilon:g} under {accountant}: take a larger ε or δ")
