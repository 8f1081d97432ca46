"""Intervals and tests that take the speakers, not the utterances, as the sample, paired across conditions.

A federation's counts are ``(models, speakers, classes, classes)`` for each fold: of each test speaker under each model,
a model a seed. The figure is the mean over folds and models, as in ``common.learning.metrics``.

The intervals are a cluster bootstrap: test speakers are resampled with all their recordings. The draws depend on the
numbers of speakers alone, so that two conditions with the same folds are resampled alike, and the interval of their
difference is paired. The p-values are of a randomisation test: were two conditions the same, then which of a speaker's
two counts came from which would be a coin's toss (Pitman 1937; by speaker as in Good 2005, section 3.7). Several are
corrected by Holm (1979). How much another training would differ is not in either; the seeds are shown apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from common.learning.metrics import (
    FIGURES,
    MIN_SPEAKERS,
    Confusion,
    percentile_interval,
    replicates,
    resampled,
    resamples,
)
from common.seeds import numpy_generator

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]
ENUMERATED = 13  # speakers up to which every one of the 2^n tosses is tried
TOSSES = 9999


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure.

    Attributes:
        mean: over folds and models.
        ci95: its 95 % interval; None below 5 speakers.
    """

    mean: float
    ci95: Interval | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A figure less another's, on the same speakers.

    Attributes:
        mean: of the first less the second.
        ci95: its 95 % interval; None below 5 speakers.
        p: the chance of so large a difference, either way, where there is none; not corrected.
    """

    mean: float
    ci95: Interval | None
    p: float


def estimate(folds: Sequence[Confusion], figure: str = "uar") -> Estimate:
    """The mean of the folds' figures, and its interval; the same as ``common.learning.metrics.summarise`` gives.

    Args:
        folds: each ``(models, speakers, classes, classes)``.
        figure: ``uar``, ``wa`` or ``macro_f1``.
    """
    return Estimate(mean=point(folds, figure), ci95=percentile_interval(replicates(folds, figure)))


def point(folds: Sequence[Confusion], figure: str = "uar") -> float:
    """The mean of the folds' figures; of a fold, the mean over its models."""
    return float(np.mean([np.nanmean(FIGURES[figure](fold.sum(axis=1))) for fold in folds]))


def difference(first: Sequence[Confusion], second: Sequence[Confusion], figure: str = "uar") -> Difference:
    """A figure of the first less the second.

    Args:
        first: for each fold ``(models, speakers, classes, classes)``.
        second: of the same folds, speakers and number of models.
        figure: as in ``estimate``.
    """
    mean = point(first, figure) - point(second, figure)
    one, other = replicates(first, figure), replicates(second, figure)
    interval = None if one is None or other is None else percentile_interval(one - other)
    return Difference(mean=mean, ci95=interval, p=_randomised(first, second, FIGURES[figure], mean))


def change(before: Confusion, after: Confusion) -> Estimate:
    """What a group of speakers loses in UAR: that of all its recordings before less that after.

    Args:
        before: ``(models, speakers, classes, classes)``.
        after: of the same speakers and number of models.
    """
    mean = point([before]) - point([after])
    one, other = replicates([before], "uar"), replicates([after], "uar")
    return Estimate(mean=mean, ci95=None if one is None or other is None else percentile_interval(one - other))


def contrast(first: tuple[Confusion, Confusion], second: tuple[Confusion, Confusion], comparisons: int = 1) -> Estimate:
    """How much more UAR one group of speakers loses than another: ``change`` of the first less that of the second.

    The speakers of both are resampled in one draw, each with all that was before and after.

    Args:
        first: the counts of a group before and after, as ``change`` takes them.
        second: of a group of other speakers.
        comparisons: from which this one is chosen; the interval is as much wider (Bonferroni).
    """
    mean = change(*first).mean - change(*second).mean
    sizes = [first[0].shape[1], second[0].shape[1]]
    if min(sizes) < 2 or sum(sizes) < MIN_SPEAKERS:
        return Estimate(mean=mean, ci95=None)
    lost = []
    for times, (before, after) in zip(resamples(sizes), (first, second), strict=True):
        lost.append(resampled(times, before, "uar") - resampled(times, after, "uar"))
    return Estimate(mean=mean, ci95=percentile_interval(lost[0] - lost[1], 0.05 / comparisons))


def holm(values: Mapping[Any, float]) -> dict[Any, float]:
    """P-values corrected for their number: the chance that any of them is so small stays below the level."""
    corrected: dict[Any, float] = {}
    largest = 0.0
    for rank, key in enumerate(sorted(values, key=lambda key: values[key])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[key]))
        corrected[key] = largest
    return {key: corrected[key] for key in values}


def _randomised(
    first: Sequence[Confusion], second: Sequence[Confusion], score: Callable[[Confusion], Floats], found: float
) -> float:
    """The share of tosses, each speaker's counts exchanged or not, with a difference as large as that found."""
    sizes = [fold.shape[1] for fold in first]
    tosses, exact = _tosses(sum(sizes))
    total = np.zeros(len(tosses))
    for toss, one, other in zip(np.split(tosses, np.cumsum(sizes)[:-1], axis=1), first, second, strict=True):
        moved = np.einsum("rs,mscd->rmcd", toss, other - one)
        a, b = one.sum(axis=1) + moved, other.sum(axis=1) - moved
        total += np.nanmean(score(a) - score(b), axis=1)
    reached = int(np.sum(np.abs(total / len(first)) >= abs(found) - 1e-12))
    return reached / len(tosses) if exact else (1 + reached) / (1 + len(tosses))


def least_p(speakers: int) -> float:
    """The smallest p-value that so many speakers can show: that of the tosses which exchange nobody, or everybody."""
    return 2 / 2**speakers if speakers <= ENUMERATED else 1 / (1 + TOSSES)


def _tosses(speakers: int) -> tuple[npt.NDArray[np.int64], bool]:
    """``(tosses, speakers)`` of 0 and 1, and whether these are all that there are."""
    if speakers <= ENUMERATED:
        return np.array(list(itertools.product((0, 1), repeat=speakers))), True
    return numpy_generator("randomisation").integers(0, 2, size=(TOSSES, speakers)), False
