"""The privacy loss of the subsampled Gaussian mechanism as a random variable, and what its sum over steps costs.

The loss of a step is ``Y = log((1 - q) + q exp((2 x - 1) / (2 s²)))``, where x is drawn from N(1, s²) with probability
q, else from N(0, s²): the log of how much likelier the step's noisy sum is with what the unit contributes. Steps add
their losses, and ``δ(ε) = E[max(0, 1 - exp(ε - Y))]`` (Gopi, Lee, Wutschitz 2021, "Numerical composition of
differential privacy"). This is the direction of emptying a unit's place. Filling one is taken to cost no more (it is
proved for one step and for q = 1); the tests compare with an accountant that takes the larger of both.

Unit: whatever is sampled and clipped. Adjacency: one contributes, or nothing does in its place. Assumed: Poisson
sampling at rate q, Gaussian noise of s (the noise multiplier) times the clipping norm on the sum, fixed beforehand.
Public: q, s, the number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from opacus.accountants.analysis.prv import Domain, compose_heterogeneous, discretize
from scipy.fft import next_fast_len
from scipy.optimize import brentq
from scipy.signal import lfilter
from scipy.special import log_ndtr, logsumexp, ndtr

Array = npt.NDArray[np.float64]
_DEVIATIONS = 9.0  # beyond so many, a Gaussian has less than 1e-18 of its mass


@dataclass(frozen=True, kw_only=True)
class StepLoss:
    """The loss of one step, given that it lies within ``[-reach, reach]``, as Opacus's ``discretize`` takes it.

    Opacus's own class overflows for losses above 709, cannot take q = 1, and integrates the mean some 100 times slower.

    Attributes:
        sample_rate: q.
        noise_multiplier: of the noise.
        reach: the bound.
    """

    sample_rate: float
    noise_multiplier: float
    reach: float

    def cdf(self, losses: Array) -> Array:
        """The chance of at most these ``losses``."""
        low, high = self._cdf(np.array([-self.reach, self.reach]))
        inside: Array = self._cdf(np.clip(losses, -self.reach, self.reach))
        return np.asarray((inside - low) / (high - low))

    def mean(self) -> float:
        """The mean, by the trapezoid rule over x: exponentially exact for a smooth integrand (Trefethen 2014)."""
        q, sigma = self.sample_rate, self.noise_multiplier
        low, high = _outcome(np.array([-self.reach, self.reach]), q, sigma)
        x = np.arange(max(low, -_DEVIATIONS * sigma), min(high, 1 + _DEVIATIONS * sigma), _step(sigma))
        density = (1 - q) * np.exp(-((x / sigma) ** 2) / 2) + q * np.exp(-(((x - 1) / sigma) ** 2) / 2)
        return float(density @ _loss(x, q, sigma) / density.sum())

    def _cdf(self, losses: Array) -> Array:
        q, sigma = self.sample_rate, self.noise_multiplier
        x = _outcome(losses, q, sigma)
        return np.asarray((1 - q) * ndtr(x / sigma) + q * ndtr((x - 1) / sigma))


def log_moment(order: float, sample_rate: float, noise_multiplier: float) -> float:
    """Log E[exp(order Y)] where x is drawn from N(0, s²): ``order - 1`` times the Rényi divergence of that order.

    By the trapezoid rule, like the mean; the source is Mironov, Talwar, Zhang 2019 (section 3.3).
    """
    sigma, step = noise_multiplier, _step(noise_multiplier)
    x = np.arange(-_DEVIATIONS * sigma, order + _DEVIATIONS * sigma, step)
    exponents = order * _loss(x, sample_rate, sigma) - (x / sigma) ** 2 / 2
    return float(logsumexp(exponents)) + math.log(step / (sigma * math.sqrt(2 * math.pi)))


def epsilon_of_one(delta: float, sample_rate: float, noise_multiplier: float) -> float:
    """The ε of one step at ``delta``, exact to 1e-9, rounded up.

    For q = 1, k steps are one with the noise divided by √k, so this is any number of them. The formula is Balle and
    Wang 2018 under amplification by subsampling (Balle, Barthe, Gaboardi 2018).
    """
    if _delta_of_one(0.0, sample_rate, noise_multiplier) <= delta:
        return 0.0
    # of the unsampled mechanism, whose loss is Gaussian with this mean and deviation: its tail is lighter than δ here
    high = 1 / (2 * noise_multiplier**2) + math.sqrt(2 * math.log(2 / delta)) / noise_multiplier
    root = brentq(lambda e: _delta_of_one(e, sample_rate, noise_multiplier) - delta, 0.0, high, xtol=1e-13, rtol=1e-11)
    return float(root) * (1 + 1e-9)


def epsilon_of_sum(
    parts: Sequence[tuple[float, float, int]], delta: float, *, reach: float, mesh: float, delta_error: float
) -> float:
    """The ε at ``delta`` of the sum of discretised losses, by Fourier transform.

    Args:
        parts: (q, noise multiplier, steps) of steps that are alike.
        delta: of (ε, δ).
        reach: losses are cut off there, each step's and the sum's.
        mesh: distance of two losses.
        delta_error: what discretising and cutting off may move δ by; it is taken from ``delta``.

    Returns:
        ε without the error of the mesh, which the caller adds; inf where ``reach`` does not reach that far, or where
        doubles are too coarse for a loss.
    """
    half = next_fast_len(math.ceil(reach / mesh) + 2, real=True)
    domain = Domain(t_min=-(half - 1) * mesh, t_max=half * mesh, size=2 * half)  # even, and 0 is in the middle
    losses = [StepLoss(sample_rate=q, noise_multiplier=sigma, reach=reach) for q, sigma, _ in parts]
    try:
        discrete = [discretize(loss, domain) for loss in losses]
    except RuntimeError:  # its means differ
        return math.inf
    total = compose_heterogeneous(discrete, [steps for _, _, steps in parts])
    return _read(total, delta - delta_error)


def _read(total: Any, delta: float) -> float:
    """The least ε ≥ 0 whose δ(ε) is at most ``delta``."""
    mass: Array = total.pmf[::-1]
    above = np.cumsum(mass)[::-1]  # Σ p_j over t_j ≥ t_i
    # Σ p_j exp(t_i - t_j) over the same: as a recursion, it never overflows
    damped: Array = lfilter([1.0], [1.0, -math.exp(-total.domain.dt)], mass)[::-1]
    larger = np.flatnonzero(above - damped > delta)
    if not len(larger):
        return 0.0
    i = int(larger[-1]) + 1
    if i == len(mass):
        return math.inf
    if not above[i] > delta or not damped[i] > 0:  # rounding; the loss that is next is no less
        return max(0.0, float(total.domain[i]))
    return max(0.0, float(total.domain[i] + math.log((above[i] - delta) / damped[i])))


def _step(sigma: float) -> float:
    """The trapezoid rule's: the density bends within sigma, the loss within its square."""
    return min(sigma, sigma**2) / 2


def _delta_of_one(epsilon: float, sample_rate: float, noise_multiplier: float) -> float:
    x = float(_outcome(np.array([epsilon]), sample_rate, noise_multiplier)[0])
    with_unit, without = log_ndtr((1 - x) / noise_multiplier), log_ndtr(-x / noise_multiplier)
    shrunk = math.exp(float(without) + (2 * x - 1) / (2 * noise_multiplier**2) - float(with_unit))
    return sample_rate * math.exp(float(with_unit)) * (1 - shrunk)


def _loss(x: Array, q: float, sigma: float) -> Array:
    """Y of x, without overflow."""
    ratio = (2 * x - 1) / (2 * sigma**2)
    if q == 1:  # below, what is left of the logarithm's argument would be rounding
        return ratio
    small = np.log1p(q * np.expm1(np.minimum(ratio, 1.0)))
    large = math.log(q) + ratio + np.log1p((1 - q) / q * np.exp(-np.maximum(ratio, 1.0)))
    return np.asarray(np.where(ratio < 1, small, large))


def _outcome(losses: Array, q: float, sigma: float) -> Array:
    """The x of a loss Y, the inverse of ``_loss``; -inf for losses of log(1 - q) and below, which do not occur."""
    if q == 1:
        return np.asarray(losses * sigma**2 + 0.5)
    with np.errstate(divide="ignore"):
        small = np.log(np.maximum(1 + np.expm1(np.minimum(losses, 1.0)) / q, 0.0))
    large = losses - math.log(q) + np.log1p((q - 1) * np.exp(-np.maximum(losses, 1.0)))
    return np.asarray(np.where(losses < 1, small, large) * sigma**2 + 0.5)
