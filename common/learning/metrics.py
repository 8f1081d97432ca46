"""Scores from confusion counts, which sites may send and which add up: UAR, WA, macro-F1, recall.

``confusion[i, j]`` counts the utterances of class i that were taken for class j. Classes without an utterance are left
out of UAR and macro-F1; their recall is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from common.seeds import numpy_generator

Confusion = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
RESAMPLES = 2000
MIN_SPEAKERS = 5  # fewer say nothing about other speakers


def recalls(confusion: Confusion) -> Floats:
    """Recall of each class, ``(…, classes)``; NaN for a class without utterances."""
    return _ratio(_hits(confusion), confusion.sum(axis=-1))


def uar(confusion: Confusion) -> Floats:
    """Unweighted average recall: the mean of the classes' recalls; NaN without utterances."""
    return _known_mean(recalls(confusion))


def wa(confusion: Confusion) -> Floats:
    """Weighted accuracy: the share of utterances that were recognised; NaN without utterances."""
    return _ratio(_hits(confusion).sum(axis=-1), confusion.sum(axis=(-2, -1)))


def macro_f1(confusion: Confusion) -> Floats:
    """The mean of the classes' F1, of classes that have utterances; NaN without utterances."""
    support, taken = confusion.sum(axis=-1), confusion.sum(axis=-2)
    f1 = 2 * _hits(confusion) / np.maximum(support + taken, 1)
    return _known_mean(np.where(support > 0, f1, np.nan))


FIGURES: dict[str, Callable[[Confusion], Floats]] = {"uar": uar, "wa": wa, "macro_f1": macro_f1}


def _hits(confusion: Confusion) -> Confusion:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _known_mean(values: Floats) -> Floats:
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1))


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    result: Floats = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return result


def scores(confusion: Confusion, classes: Sequence[str], loss: float | None) -> dict[str, Any]:
    """The ``test`` entry of ``result.json``: the figures, recall by class, the counts and the mean loss."""
    by_class = zip(classes, recalls(confusion).tolist(), strict=True)
    return {
        **{name: float(figure(confusion)) for name, figure in FIGURES.items()},
        "recall": {name: None if np.isnan(value) else value for name, value in by_class},
        "confusion": confusion.tolist(),
        "loss": loss,
    }


def summarise(folds: Sequence[Confusion], figure: str) -> dict[str, Any]:
    """The mean of the folds' figures, its standard deviation and a 95 % interval for that mean.

    The interval is a cluster bootstrap: the test speakers of all folds are resampled together, each with its own fold's
    confusion counts; folds that draw none are left out. It under-covers below 20 speakers, and the variance over seeds
    isn't in it.

    Args:
        folds: for each fold ``(models, speakers, classes, classes)``: the counts of each test speaker under each of its
            models, one for the federated, as many as there are sites for the local ones, whose figures are averaged.
        figure: ``uar``, ``wa`` or ``macro_f1``.

    Returns:
        ``mean``, ``sd`` (ddof 1; None for one fold) and ``ci95`` (None below 5 speakers).
    """
    values = [float(np.mean(FIGURES[figure](fold.sum(axis=1)))) for fold in folds]
    ends = percentile_interval(replicates(folds, figure))
    return {
        "mean": float(np.mean(values)),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "ci95": list(ends) if ends else None,
    }


def replicates(folds: Sequence[Confusion], figure: str) -> Floats | None:
    """The mean over folds of a figure in each resample of the speakers, ``(RESAMPLES,)``; None below 5 speakers.

    Args:
        folds: as ``summarise`` takes them.
        figure: likewise.
    """
    sizes = [fold.shape[1] for fold in folds]
    if sum(sizes) < MIN_SPEAKERS:
        return None
    drawn = zip(resamples(sizes), folds, strict=True)
    # A column a fold; NaN where a fold drew none of its speakers.
    return _known_mean(np.stack([resampled(times, fold, figure) for times, fold in drawn], axis=1))


def resampled(times: npt.NDArray[np.int64], counts: Confusion, figure: str) -> Floats:
    """The figure in each resample, the mean over models.

    Args:
        times: ``(RESAMPLES, speakers)``, how often each speaker is in each resample.
        counts: ``(models, speakers, classes, classes)``.
        figure: ``uar``, ``wa`` or ``macro_f1``.
    """
    mean: Floats = FIGURES[figure](np.einsum("rs,mscd->rmcd", times, counts)).mean(axis=1)
    return mean


def resamples(sizes: Sequence[int]) -> list[npt.NDArray[np.int64]]:
    """For each fold, or group, how often each of its speakers is in each resample, ``(RESAMPLES, speakers)``.

    The draws depend on the numbers of speakers alone: what is of the same speakers is resampled alike.
    """
    total = sum(sizes)
    drawn = numpy_generator("bootstrap").multinomial(total, [1 / total] * total, size=RESAMPLES)
    return np.split(drawn, np.cumsum(sizes)[:-1], axis=1)


def percentile_interval(values: Floats | None, outside: float = 0.05) -> tuple[float, float] | None:
    """What holds all resamples' values but the given share, half of it on either side; None of None."""
    if values is None:
        return None
    low, high = np.nanpercentile(values, [50 * outside, 100 - 50 * outside])
    return float(low), float(high)
