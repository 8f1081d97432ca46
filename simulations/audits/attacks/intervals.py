"""Confidence intervals of shares and of means."""

from __future__ import annotations

from scipy import stats

LEVEL = 0.95

Interval = tuple[float, float]


def clopper_pearson(hits: float, trials: int) -> Interval:
    """The exact 95 % interval of a binomial proportion (Clopper & Pearson, Biometrika 1934).

    Args:
        hits: how many of ``trials`` were right. It may be a sum of shares, where a trial can be partly right: such a
            sum varies less than a count, so the interval is on the wide side.
        trials: at least 1.
    """
    tail = (1 - LEVEL) / 2
    low = float(stats.beta.ppf(tail, hits, trials - hits + 1)) if hits > 0 else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, trials - hits)) if hits < trials else 1.0
    return low, high


def student(estimate: float, variance: float, freedom: int, low: float, high: float) -> Interval:
    """The 95 % interval of an estimate whose variance was itself estimated, by Student's t.

    Args:
        estimate: the middle.
        variance: of the estimate.
        freedom: degrees of freedom, one less than the independent groups.
        low: the least that the estimated figure can be.
        high: the most.
    """
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * variance**0.5
    return max(low, estimate - reach), min(high, estimate + reach)
