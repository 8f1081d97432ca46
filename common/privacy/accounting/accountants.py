"""What noisy steps cost: the accountants, and the filter that keeps a budget.

Guarantee. Let the unit be a recording, a speaker or a site, and let neighbouring datasets differ in one unit: its place
stays, and in one of them its contribution is nothing (zero-out adjacency). Then everything that the steps release is
(ε, δ)-differentially private for that unit. The formulas are those for adding and removing one; but how many units
there are is public and q, sigma and the steps follow from it, so it is not hidden whether a unit is there, only what it
contributes.

Assumed of each step: every unit is drawn by itself with probability q (Poisson sampling; q = 1 takes all), its
contribution is clipped to an L2 norm C, and Gaussian noise of deviation sigma C is added to the sum; q, sigma and the
number of steps follow from public numbers. ``Filter`` alone lets them follow from earlier outputs too.

Public, beside the noisy sums: the spends; how many units, speakers and held-out speakers and recordings each site has;
its name, which where the site is the unit says who takes part; a digest of how its labels become classes; the heads of
its ledger and its audit log, with their numbers of lines; that its budget is spent. Whoever compares two runs sees that
somebody joined or left in between; nothing here hides that.

Units within units (``Spend.toward``). When one recording of a speaker goes, the speaker's clipped mean moves, by at
most 2 C, and does not vanish: steps that hide speakers tell of a recording what steps of noise sigma / 2 tell. At q = 1
that is exact. Below, it is taken for the Poisson sample of that: for one step no pair of neighbours tells more (by
advanced joint convexity, Balle, Barthe, Gaboardi 2018), and for sums of steps the tests compare it with the farthest
pair.

Two accountants, both upper bounds. RDP adds Rényi divergences (Mironov, Talwar, Zhang 2019) and overstates ε by some
8-10 %; PRV adds the losses themselves (Gopi, Lee, Wutschitz 2021), as long as rounding leaves their sum exact enough:
up to a million steps, and fewer where δ is very small. The third one in use, which takes the sum for
Gaussian (GDP), is not here: it is an approximation and can understate ε.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt
from opacus.accountants.analysis.rdp import compute_rdp

from common.config.units import UNITS
from common.privacy.accounting import prv
from common.validate import in_range, positive

Array = npt.NDArray[np.float64]
Parts = tuple[tuple[float, float, int], ...]  # (q, sigma, steps), each q and sigma once

ORDERS: tuple[float, ...] = (
    *(1 + tenth / 10 for tenth in range(1, 100)),
    *(float(order) for order in (*range(11, 65), 80, 96, 128, 192, 256, 384, 512, 768, 1024)),
)
_ALPHA: Array = np.array(ORDERS)
_POINTS = 2**22  # of a discretised loss at most: 32 MB an array
_LEAST_ERROR = 1e-6  # of PRV's ε
_LEAST_DELTA = 1e-10  # below, rounding in the Fourier transform would tell
_MOST_STEPS = 10**6  # of PRV
_ROUNDING = 1e-16  # that a step adds to δ's error in the Fourier transform; up to 2e-17 were measured
_MOST_EPSILON = 1e4  # of PRV; such losses fit on no mesh
_LEAST_RATE = 1e-100  # smaller rates are taken for this one, which costs no less, and overflows nothing
_LEAST_SIGMA = 0.02  # below, a moment of fractional order would take millions of points


@dataclass(frozen=True, kw_only=True)
class Spend:
    """Noisy steps that are alike.

    Attributes:
        unit: whose contribution they hide: ``utterance``, ``speaker`` or ``site``.
        sample_rate: q, each unit's chance to be drawn in a step.
        noise_multiplier: sigma, the noise's deviation over the clipping norm; 0 for no privacy.
        steps: how many.
    """

    unit: str
    sample_rate: float
    noise_multiplier: float
    steps: int

    def __post_init__(self) -> None:
        positive("sample_rate", self.sample_rate)
        in_range("sample_rate", self.sample_rate, 0, 1)
        in_range("noise_multiplier", self.noise_multiplier, 0, 1e9)
        in_range("steps", self.steps, 0, 10**9)

    def toward(self, unit: str) -> Self:
        """What these steps tell of a unit, as steps of that unit; without noise where nothing bounds it.

        That is the case of a coarser unit than theirs: a speaker has any number of recordings.

        Args:
            unit: whose budget they count in.
        """
        if unit == self.unit:
            return self
        moves = UNITS[self.unit].moves(unit)
        return replace(self, unit=unit, noise_multiplier=self.noise_multiplier / moves if moves else 0.0)


def rdp(spends: Iterable[Spend]) -> Array:
    """The Rényi divergence of all ``spends`` at each of ``ORDERS``, by Mironov, Talwar, Zhang 2019 (section 3.3)."""
    return _rdp((spend.sample_rate, spend.noise_multiplier, spend.steps) for spend in _real(spends))


def epsilon_rdp(spends: Iterable[Spend], delta: float) -> float:
    """The ε of all ``spends`` together at ``delta``: an upper bound, by Rényi divergences.

    Unit, adjacency and assumptions are the module's; the conversion is Balle et al. 2020 (theorem 21).

    Returns:
        0 for no steps, inf where there was no noise.
    """
    real = _real(spends)
    return _least(rdp(real), delta) if real else 0.0


def epsilon_prv(spends: Iterable[Spend], delta: float) -> float:
    """The ε of all ``spends`` together at ``delta``: a tight upper bound, by the losses' distribution.

    Unit, adjacency and assumptions are the module's; the method is Gopi, Lee, Wutschitz 2021, through Opacus. Steps
    with q = 1, and a single step, have an exact formula (Balle and Wang 2018). Else the sum is computed to an error of
    min(0.01, 0.002 ε), which is part of what is returned. The error is larger only above ε ≈ 50 and below ε ≈ 0.001,
    where so fine a mesh would not fit in memory. Rounding grows with the steps: what it may move δ by is taken from δ.
    Where Rényi divergences give less than PRV with its errors, or where PRV cannot be computed (δ below 1e-10, above a
    million steps or ε ≈ 10⁴, rounding above a hundredth of δ), the result is that of ``epsilon_rdp``.

    Returns:
        0 for no steps, inf where there was no noise.
    """
    merged: Counter[tuple[float, float]] = Counter()
    for spend in _real(spends):
        merged[spend.sample_rate, spend.noise_multiplier] += spend.steps
    if any(sigma == 0 for _, sigma in merged):
        return math.inf
    whole = sum(steps / sigma**2 for (q, sigma), steps in merged.items() if q == 1)
    parts = [(q, sigma, steps) for (q, sigma), steps in sorted(merged.items()) if q < 1]
    if whole:  # k Gaussian steps are one with more signal, exactly
        parts.append((1.0, whole**-0.5, 1))
    return _epsilon_prv(tuple(parts), delta) if parts else 0.0


@dataclass(frozen=True)
class Filter:
    """Stops before a budget is passed: a Rényi filter (Feldman and Zrnic 2021; Lécuyer 2021).

    Guarantee: all admitted spends together are (budget, δ)-differentially private, for each ``unit`` and the module's
    adjacency and assumptions, even where each spend's q, sigma and steps, and whether there is one, are chosen after a
    look at all earlier outputs. That holds because the sum of Rényi divergences at one order, *fixed before the first
    output*, stays below what ``budget`` converts to at that order. Where none is given it is the order at which the
    first spend, alone, could go on longest: nothing was released before it, so it tells of nobody. A budget that
    changes later keeps that ``order``. While q and sigma stay the same this admits
    exactly what ``epsilon_rdp`` allows; otherwise it can be stricter, never laxer. To take whichever order is best in
    the end would let the outputs choose the order: the proof does not cover that without a smaller δ (and filters on
    whole privacy profiles fail so, unless the mechanisms are totally ordered: Regehr et al. 2026, arXiv:2602.15815).

    Attributes:
        budget: ε in sum, over all spends on the same people; fixed beforehand.
        delta: of (ε, δ).
        unit: whose budget it is: other units' spends count as ``Spend.toward`` has them; empty where all are of one.
        order: one of ``ORDERS``; None for the first spend's.
    """

    budget: float
    delta: float
    unit: str = ""
    order: float | None = None

    def admits(self, spent: Sequence[Spend], wanted: Spend) -> bool:
        """Whether ``wanted`` still fits after ``spent``, which is in the order in which it was spent."""
        return self.epsilon([*spent, wanted]) <= self.budget

    def epsilon(self, spends: Sequence[Spend]) -> float:
        """The ε of ``spends`` at the filter's order, at least that of ``epsilon_rdp``; 0 for no steps."""
        real = self._counted(spends)
        if not real:
            return 0.0
        order = ORDERS.index(self.order_of(real))
        return max(0.0, float(_at_orders(rdp(real), self.delta)[order]))

    def order_of(self, spends: Sequence[Spend]) -> float:
        """The order that holds for ``spends``, of which there is one at least."""
        if self.order is not None:
            return self.order
        first = self._counted(spends)[0]
        left = self.budget - _at_orders(np.zeros(len(ORDERS)), self.delta)
        return ORDERS[int(np.argmax(left / np.maximum(rdp([first]) / first.steps, 1e-300)))]

    def _counted(self, spends: Iterable[Spend]) -> list[Spend]:
        real = _real(spends)
        return [spend.toward(self.unit) for spend in real] if self.unit else real


def _real(spends: Iterable[Spend]) -> list[Spend]:
    return [spend for spend in spends if spend.steps]


def _rdp(parts: Iterable[tuple[float, float, int]]) -> Array:
    total: Array = np.zeros(len(ORDERS))
    for q, sigma, steps in parts:
        total = total + steps * _rdp_of_step(q, sigma)
    return total


def _least(divergence: Array, delta: float) -> float:
    return max(0.0, float(_at_orders(divergence, delta).min()))


@lru_cache(maxsize=4096)
def _rdp_of_step(sample_rate: float, noise_multiplier: float) -> Array:
    rate = max(sample_rate, _LEAST_RATE)
    result = np.array([_rdp_at(order, rate, noise_multiplier) for order in ORDERS])
    result.setflags(write=False)
    return result


def _rdp_at(order: float, q: float, sigma: float) -> float:
    """Opacus's, but for fractional orders: its series takes seconds for a large sigma and q near 0.5."""
    if order.is_integer() or q == 1 or sigma == 0:
        return max(0.0, float(compute_rdp(q=q, noise_multiplier=sigma, steps=1, orders=order)))
    if sigma < _LEAST_SIGMA:
        return _between(order, q, sigma)
    return max(0.0, prv.log_moment(order, q, sigma) / (order - 1))  # rounding makes some of 1e-15 negative


def _between(order: float, q: float, sigma: float) -> float:
    """A bound from the whole orders beside this one: the logarithm of the moment is convex, and 0 at 1."""
    below = math.floor(order)
    low = (below - 1) * _rdp_at(float(below), q, sigma) if below > 1 else 0.0
    high = below * _rdp_at(float(below + 1), q, sigma)
    return (low + (order - below) * (high - low)) / (order - 1)


def _at_orders(divergence: Array, delta: float) -> Array:
    """The ε at ``delta`` that a Rényi divergence at each order stands for."""
    return np.asarray(divergence + np.log1p(-1 / _ALPHA) - (math.log(delta) + np.log(_ALPHA)) / (_ALPHA - 1))


@lru_cache(maxsize=1024)
def _epsilon_prv(parts: Parts, delta: float) -> float:
    if len(parts) == 1 and parts[0][2] == 1:
        return prv.epsilon_of_one(delta, max(parts[0][0], _LEAST_RATE), parts[0][1])
    by_rdp = _least(_rdp(parts), delta)
    if by_rdp == 0.0 or by_rdp > _MOST_EPSILON or not _fits(sum(part[2] for part in parts), delta):
        return by_rdp
    coarse, error = _with_error(parts, delta, by_rdp / 50)
    if coarse == math.inf:
        return by_rdp
    at_least = max(0.0, coarse - 2 * error)
    fine, _ = _with_error(parts, delta, max(_LEAST_ERROR, min(0.01, 0.002 * at_least)))
    return min(fine, by_rdp)


def _fits(steps: int, delta: float) -> bool:
    """Whether rounding leaves enough of ``delta``."""
    return delta >= _LEAST_DELTA and steps <= _MOST_STEPS and steps * _ROUNDING <= delta / 100


def _with_error(parts: Parts, delta: float, wanted: float) -> tuple[float, float]:
    """ε with its error added, and the error: ``wanted``, or the least that fits in memory (Gopi et al. 2021)."""
    parts = tuple((max(q, _LEAST_RATE), sigma, steps) for q, sigma, steps in parts)
    delta_error = delta / 1000
    steps = sum(part[2] for part in parts)
    reach = max(
        _reach(parts, delta_error / 8),
        *(_reach([(q, sigma, 1)], delta_error / (16 * steps)) for q, sigma, _ in parts),
    )
    spread = math.sqrt(steps / 2 * math.log(12 / delta_error))
    mesh = max(wanted / spread, 2 * (reach + wanted) / _POINTS)
    error = mesh * spread
    moved = delta_error + steps * _ROUNDING
    epsilon = prv.epsilon_of_sum(parts, delta, reach=reach + error, mesh=mesh, delta_error=moved)
    return epsilon + error, error


def _reach(parts: Iterable[tuple[float, float, int]], chance: float) -> float:
    """A bound that the loss passes with at most this ``chance``, above and, negative, below (Chernoff).

    At an order a with divergence D, E[exp((a - 1) Y)] = exp((a - 1) D) bounds it above. Below, E[exp(-a Y)] takes the
    divergence in the other direction, which is no larger (Mironov, Talwar, Zhang 2019).
    """
    return float((_rdp(parts) - math.log(chance) / (_ALPHA - 1)).min())
