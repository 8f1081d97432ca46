"""A lower bound on ε from one training run (Steinke, Nasr, Jagielski, NeurIPS 2023, arXiv 2305.08846).

Each of m canaries is included with probability 1/2, by its own coin. The auditor, who sees the output and one score a
canary, guesses of some whether they were included and abstains from the rest. If training is (ε, δ)-differentially
private (neighbours differ in one unit, which contributes or does not, a canary being one unit), the number of correct
guesses is hardly more than that of ε-randomised response; more of them than that refute the claim.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from common.errors import UsageError
from common.validate import in_range
from simulations.audits.attacks.intervals import LEVEL

GUESSED = 0.3
_HIGHEST = 64.0  # no number of canaries that fits into a run tells of a larger ε


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What one run shows of ε.

    Attributes:
        epsilon: the run is not (epsilon, delta)-private for any smaller ε, with this confidence; 0 says nothing. The
            interval is one-sided: up to infinity.
        delta: of (ε, δ).
        confidence: 0.95.
        canaries: how many coins were thrown.
        guesses: of how many canaries the auditor guessed.
        correct: how many of these guesses were right.
    """

    epsilon: float
    delta: float
    confidence: float
    canaries: int
    guesses: int
    correct: int


def epsilon_lower_bound(
    scores: npt.ArrayLike, included: npt.ArrayLike, delta: float, guesses: int | None = None
) -> Bound:
    """The largest ε that these guesses refute at 95 % confidence.

    The guesses are that the highest-scored half of them were included, and the lowest-scored half not. Their number
    must be fixed before the run. The default, 3 in 10 of the canaries, does well over the whole range: in simulated
    Gaussian mechanisms with 200 to 1000 canaries its bound is at worst a fifth or so below the best number's, from
    ε = 1 to ε = 17. (Guessing all gives half as much; the best number found afterwards would be no bound at 95 %.)

    Args:
        scores: ``(m,)``, higher for canaries that look included. Ties are broken by place, which says nothing of the
            coins.
        included: ``(m,)`` booleans, the coins, each thrown with probability 1/2.
        delta: the claim's δ.
        guesses: how many canaries to guess, an even number; None for 3 in 10.

    Raises:
        UsageError: shapes that don't match, a score that is not a number, or a number of guesses that can't be made.
    """
    values, coins = np.asarray(scores, dtype=np.float64), np.asarray(included, dtype=bool)
    if values.ndim != 1 or values.shape != coins.shape or np.isnan(values).any():
        raise UsageError(f"scores {values.shape} and included {coins.shape}, expected one number and one coin a canary")
    in_range("delta", delta, 0.0, 1.0)
    m = len(values)
    number = 2 * max(1, round(GUESSED * m / 2)) if guesses is None else guesses
    if number % 2 or not 2 <= number <= m:
        raise UsageError(f"{number} guesses of {m} canaries, expected an even number from 2 to {m}")
    order = np.argsort(-values, kind="stable")
    half = number // 2
    correct = int(coins[order[:half]].sum() + (~coins[order[-half:]]).sum())
    return Bound(
        epsilon=_refuted(m, number, correct, delta),
        delta=delta,
        confidence=LEVEL,
        canaries=m,
        guesses=number,
        correct=correct,
    )


def p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """The most that the chance of so many correct guesses can be under (ε, δ)-privacy (their Theorem 5.2, Appendix D).

    With W ~ Binomial(guesses, e^ε / (1 + e^ε)) it is ``P[W ≥ v] + 2 m δ max_i P[v > W ≥ v - i] / i``, at most 1.

    Args:
        canaries: m, all whose coins were thrown.
        guesses: r.
        correct: v.
        epsilon: claimed.
        delta: claimed.
    """
    probability = 1 / (1 + np.exp(-epsilon))
    tail = float(stats.binom.sf(correct - 1, guesses, probability))
    if not correct or not delta:
        return min(1.0, tail)
    below = np.cumsum(stats.binom.pmf(np.arange(correct - 1, -1, -1), guesses, probability))
    return min(1.0, tail + 2 * canaries * delta * float((below / np.arange(1, correct + 1)).max()))


def _refuted(canaries: int, guesses: int, correct: int, delta: float) -> float:
    """Bisection for the largest ε whose p-value is below 5 %; it grows with ε."""
    low, high = 0.0, _HIGHEST
    if p_value(canaries, guesses, correct, 0.0, delta) >= 1 - LEVEL:
        return 0.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        refuted = p_value(canaries, guesses, correct, middle, delta) < 1 - LEVEL
        low, high = (middle, high) if refuted else (low, middle)
    return low
