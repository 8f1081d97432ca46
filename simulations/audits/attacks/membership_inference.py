"""Membership inference: was this recording, or this speaker, in the training data?

Threat model: the attacker has the final model and the very features of the recordings in question, sees their logits,
and, for the likelihood ratio, can train shadow models on data like the target's. The server, a site, or whoever gets
the model is in that place.

Choose non-members with care: for recordings, take recordings of the *training* speakers that were left out, else the
attack measures whether a speaker was known; for speakers, take speakers of the same corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import UsageError
from common.learning.metrics import MIN_SPEAKERS
from simulations.audits.attacks.intervals import Interval, clopper_pearson, student

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
_OWN_DEVIATION = 64  # shadow models on a side from which an example has a deviation of its own (Carlini et al. 2022)


@dataclass(frozen=True, kw_only=True)
class Membership:
    """How well scores tell members from non-members.

    Attributes:
        members: how many scores of members.
        non_members: how many of non-members.
        auc: the chance that a member scores above a non-member, ties half; 0.5 tells nothing.
        auc_ci95: None below 5 groups on a side.
        tpr_at_1_percent: the share of members found where at most 1 % of non-members are accused; None below 100
            non-members, who can't tell such a rate.
        tpr_at_1_percent_ci95: of that share; it takes the scores as independent and the threshold as given.
        tpr_at_01_percent: at 0.1 %; None below 1000 non-members.
        tpr_at_01_percent_ci95: likewise.
    """

    members: int
    non_members: int
    auc: float
    auc_ci95: Interval | None
    tpr_at_1_percent: float | None
    tpr_at_1_percent_ci95: Interval | None
    tpr_at_01_percent: float | None
    tpr_at_01_percent_ci95: Interval | None


def roc(
    members: npt.ArrayLike,
    non_members: npt.ArrayLike,
    member_groups: Sequence[str] | None = None,
    non_member_groups: Sequence[str] | None = None,
) -> Membership:
    """The success of an attack that gave these scores, higher for likelier members.

    Args:
        members: ``(M,)`` scores.
        non_members: ``(N,)`` scores.
        member_groups: the speaker of each member. Scores of a speaker belong together, whichever side they are on.
        non_member_groups: likewise. Without both, every score is taken as independent.

    Raises:
        UsageError: a side is empty, a score is not a number, or groups don't match the scores.
    """
    inside, outside = _checked("members", members), _checked("non_members", non_members)
    if member_groups is None or non_member_groups is None:
        groups = np.arange(len(inside) + len(outside))
    elif (len(member_groups), len(non_member_groups)) == (len(inside), len(outside)):
        groups = np.unique([*member_groups, *non_member_groups], return_inverse=True)[1]
    else:
        raise UsageError("each score needs its group: give a speaker for each member and each non-member")
    auc, interval = _auc(inside, outside, groups[: len(inside)], groups[len(inside) :])
    one, tenth = _tpr(inside, outside, 100), _tpr(inside, outside, 1000)
    return Membership(
        members=len(inside),
        non_members=len(outside),
        auc=auc,
        auc_ci95=interval,
        tpr_at_1_percent=one[0],
        tpr_at_1_percent_ci95=one[1],
        tpr_at_01_percent=tenth[0],
        tpr_at_01_percent_ci95=tenth[1],
    )


def confidences(logits: npt.ArrayLike, labels: npt.ArrayLike) -> Floats:
    """log(p / (1 - p)) of the true class's probability p, which is nearly Gaussian over models (Carlini et al. 2022).

    Args:
        logits: ``(…, classes)``.
        labels: ``(…,)``, the true classes.
    """
    values, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels)[..., None]
    right = np.take_along_axis(values, truth, axis=-1)[..., 0]
    others = np.where(np.arange(values.shape[-1]) == truth, -np.inf, values)
    result: Floats = right - np.logaddexp.reduce(others, axis=-1)
    return result


def loss_threshold(logits: npt.ArrayLike, labels: npt.ArrayLike) -> Floats:
    """Scores of the simplest attack: minus the cross-entropy (Yeom et al., CSF 2018). Shapes as in ``confidences``."""
    result: Floats = -np.logaddexp(0.0, -confidences(logits, labels))
    return result


def likelihood_ratio(target: npt.ArrayLike, shadow: npt.ArrayLike, shadow_member: npt.ArrayLike) -> Floats:
    """Scores of LiRA, the likelihood-ratio attack (Carlini, Chien, Nasr, Song, Terzis, Tramèr, S&P 2022).

    An example's confidences under shadow models that saw it, and under those that didn't, are each taken as Gaussian;
    the score is the log-ratio of the two densities at the target model's confidence. Deviations are pooled over
    examples below 64 models on a side. An example that no shadow model saw (or every one) takes its missing mean from
    the other examples' mean difference. Where no example has both sides, this is the offline attack: how far the
    confidence lies above what models say that never saw the example, in deviations.

    Args:
        target: ``(N,)`` confidences under the audited model.
        shadow: ``(S, N)`` confidences under each shadow model.
        shadow_member: ``(S, N)``, True where the shadow model was trained on the example.

    Returns:
        ``(N,)``, higher for likelier members.

    Raises:
        UsageError: shapes that don't match, a value that is not finite, or no shadow model without an example.
    """
    values, told = np.asarray(target, dtype=np.float64), np.asarray(shadow, dtype=np.float64)
    inside = np.asarray(shadow_member, dtype=bool)
    if told.ndim != 2 or inside.shape != told.shape or values.shape != told.shape[1:]:
        raise UsageError(f"target {values.shape}, shadow {told.shape} and shadow_member {inside.shape} don't match")
    if not (np.isfinite(values).all() and np.isfinite(told).all()):
        raise UsageError("a confidence is not finite: an attack can't be scored on a model that diverged")
    mean_in, mean_out = _means(told, inside), _means(told, ~inside)
    shifts = (mean_in - mean_out)[np.isfinite(mean_in - mean_out)]
    if not len(shifts):
        if np.isnan(mean_out).any():
            raise UsageError("an example is in every shadow model: train some models without it")
        offline: Floats = (values - mean_out) / _deviation(told, ~inside, mean_out)
        return offline
    mean_in = np.where(np.isnan(mean_in), mean_out + shifts.mean(), mean_in)
    mean_out = np.where(np.isnan(mean_out), mean_in - shifts.mean(), mean_out)
    dev_in, dev_out = _deviation(told, inside, mean_in), _deviation(told, ~inside, mean_out)
    far_in, far_out = (values - mean_in) / dev_in, (values - mean_out) / dev_out
    result: Floats = np.log(dev_out / dev_in) + (far_out**2 - far_in**2) / 2
    return result


def by_speaker(scores: npt.ArrayLike, speakers: Sequence[str]) -> tuple[list[str], Floats]:
    """The mean over each speaker's recordings, for the question whether the *speaker* was in the training data.

    Confidences may be averaged first and then given to ``likelihood_ratio``, or an attack's scores at the end.

    Args:
        scores: ``(…, recordings)``.
        speakers: of each recording.

    Returns:
        The speakers in order, and ``(…, speakers)``.
    """
    names, place = np.unique(list(speakers), return_inverse=True)
    share = (place[:, None] == np.arange(len(names))) / np.bincount(place)
    result: Floats = np.asarray(scores, dtype=np.float64) @ share
    return [str(name) for name in names], result


def _checked(name: str, scores: npt.ArrayLike) -> Floats:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not len(values) or np.isnan(values).any():
        raise UsageError(f"{name} has the shape {values.shape}, expected one score or more, each a number")
    return values


def _auc(inside: Floats, outside: Floats, inside_groups: Any, outside_groups: Any) -> tuple[float, Interval | None]:
    """The AUC, and its interval for scores in groups (Obuchowski 1997), DeLong's where every score is a group.

    Student's t in the place of the normal quantile makes up for few groups. Where every pair is in the right order, or
    none is, the variance is 0 and says nothing: then each group of the side with fewer counts as one trial.
    """
    above = np.sort(outside)
    wins = (np.searchsorted(above, inside, "left") + np.searchsorted(above, inside, "right")) / (2 * len(outside))
    below = np.sort(inside)
    losses = (np.searchsorted(below, outside, "left") + np.searchsorted(below, outside, "right")) / (2 * len(inside))
    auc = float(wins.mean())
    groups = 1 + int(max(inside_groups.max(), outside_groups.max()))
    first, second = len(np.unique(inside_groups)), len(np.unique(outside_groups))
    fewer = min(first, second)
    if fewer < MIN_SPEAKERS:
        return auc, None
    ours = np.bincount(inside_groups, wins - auc, groups) / len(inside)
    theirs = np.bincount(outside_groups, (1 - losses) - auc, groups) / len(outside)
    together = 2 * groups / (groups - 1) * float(ours @ theirs)
    variance = _variance(ours, first) + _variance(theirs, second) + together
    if variance <= 0:
        return auc, clopper_pearson(auc * fewer, fewer)
    return auc, student(auc, variance, groups - 1, 0.0, 1.0)


def _variance(sums: Floats, groups: int) -> float:
    """One side's part of the AUC's variance, from its groups' summed deviations over the side's size."""
    return groups / (groups - 1) * float(sums @ sums)


def _tpr(inside: Floats, outside: Floats, one_in: int) -> tuple[float | None, Interval | None]:
    """The share of members above the lowest threshold that at most one in so many non-members passes."""
    if len(outside) < one_in:
        return None, None
    threshold = np.sort(outside)[::-1][len(outside) // one_in]
    found = int((inside > threshold).sum())
    return found / len(inside), clopper_pearson(found, len(inside))


def _means(values: Floats, which: Bools) -> Floats:
    """``(N,)``, the mean over those shadow models; NaN where there is none."""
    count = which.sum(0)
    total = np.where(which, values, 0.0).sum(0)
    result: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return result


def _deviation(values: Floats, which: Bools, mean: Floats) -> Floats:
    """``(N,)``: the example's own deviation over those shadow models where they are many, else all examples' pooled."""
    count = which.sum(0)
    squares = np.where(which, (values - np.nan_to_num(mean)) ** 2, 0.0).sum(0)
    freedom = int(np.maximum(count - 1, 0).sum())
    pooled = squares[count > 1].sum() / freedom if freedom else 1.0
    own = np.where(count >= _OWN_DEVIATION, squares / np.maximum(count - 1, 1), pooled)
    result: Floats = np.sqrt(np.maximum(own, 1e-12))
    return result
