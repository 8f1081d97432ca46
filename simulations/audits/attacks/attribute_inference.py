"""Attribute inference: a speaker's gender from one update (Feng et al. 2021, arXiv 2112.13416, fed-ser-leakage).

Threat model: the server, or whoever sees a site's update, knows the model that was sent out and what came back, and
knows that the site is one speaker (a phone, ``--sites speaker``). From other speakers, whose gender it knows, it makes
shadow updates the same way, and trains a classifier from update to gender. The first layer's change is attacked: there
the attack succeeds most often, for that layer's gradient is a sum of outer products with the features themselves.

Shadow speakers must not be among the targets, else the attack measures how well a speaker is known again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from common.errors import UsageError
from simulations.audits.attacks.intervals import Interval, clopper_pearson

_PENALTY = 1e-3  # of a squared weight, beside the mean cross-entropy


@dataclass(frozen=True, kw_only=True)
class AttributeInference:
    """How well an attribute is told from updates.

    Attributes:
        updates: how many were attacked.
        speakers: whose they were.
        uar: the mean of the classes' recalls; a class's recall is the mean over its speakers of the share of the
            speaker's updates that were told right.
        uar_ci95: of ``uar``. Speakers are independent, updates of one speaker are not.
        chance: the UAR of guessing, one over the classes.
    """

    updates: int
    speakers: int
    uar: float
    uar_ci95: Interval
    chance: float


def first_layer(updates: Sequence[Mapping[str, Any]], prefix: str) -> Tensor:
    """The updates' first layer, each at unit length: how much data a site has changes only the length.

    Args:
        updates: name to array, weights that came back minus weights that were sent (or a gradient), of one model.
        prefix: of the layer's names, as ``common.config.kinds`` tells it.

    Returns:
        ``(updates, weights)``, float64.

    Raises:
        UsageError: no update, no such layer, or an update that is not finite.
    """
    names = [name for name in updates[0] if name.startswith(prefix)] if updates else []
    if not names:
        raise UsageError(f"no update has a layer {prefix}*; the first is to be attacked")
    rows = [torch.cat([torch.as_tensor(u[name]).double().flatten() for name in names]) for u in updates]
    table = torch.stack(rows)
    if not table.isfinite().all():
        raise UsageError("an update is not finite: a federation that diverged can't be attacked")
    return nn.functional.normalize(table, dim=1)


def classify(shadow: Tensor, labels: Sequence[str], target: Tensor) -> list[str]:
    """Tell the targets' class by logistic regression on the shadow updates.

    Each class weighs the same. There are many more weights than updates, so the regression sees the standardised
    weights by their coordinates in the span of the shadow updates, where the penalised optimum lies.

    Args:
        shadow: ``(shadow updates, weights)``.
        labels: the class of each.
        target: ``(targets, weights)``.

    Returns:
        The likeliest class of each target.

    Raises:
        UsageError: fewer than two classes, or shapes that don't match.
    """
    names = sorted(set(labels))
    if len(names) < 2 or len(labels) != len(shadow) or shadow.shape[1:] != target.shape[1:]:
        raise UsageError(
            f"{len(labels)} labels of {len(names)} classes for {len(shadow)} shadow updates, expected one each and two "
            "classes or more"
        )
    mean, deviation = shadow.mean(0), shadow.std(0).clamp_min(1e-12)
    known, unknown = ((rows - mean) / deviation / shadow.shape[1] ** 0.5 for rows in (shadow, target))
    _, _, axes = torch.linalg.svd(known, full_matrices=False)
    strength = (2 if len(names) == 2 else 1) / (_PENALTY * len(labels))  # two classes share one penalised direction
    fit = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000, tol=1e-6)
    fit.fit((known @ axes.T).numpy(), list(labels))
    return [str(name) for name in fit.predict((unknown @ axes.T).numpy())]


def success(truth: Sequence[str], told: Sequence[str], speakers: Sequence[str]) -> AttributeInference:
    """The UAR of what was told, and its interval.

    Each class's recall has an exact interval, a speaker being a trial, and the two are joined as variances are (MOVER;
    Zou, Huang & Zhang, Statistics in Medicine 2009). Unlike a bootstrap's, the interval has a width even where all were
    told right.

    Args:
        truth: the class of each update's speaker.
        told: the class that the attack told.
        speakers: of each update.

    Raises:
        UsageError: fewer than two classes among the targets, or lengths that differ.
    """
    classes = sorted(set(truth))
    if len(classes) < 2 or not len(truth) == len(told) == len(speakers):
        raise UsageError(f"targets of {len(classes)} classes, expected two or more, each update with its speaker")
    shares = [_shares(truth, told, speakers, name) for name in classes]
    recalls = np.array([share.mean() for share in shares])
    ends = np.array([clopper_pearson(float(share.sum()), len(share)) for share in shares])
    below, above = np.sqrt(((ends - recalls[:, None]) ** 2).sum(0)) / len(classes)
    uar = float(recalls.mean())
    return AttributeInference(
        updates=len(truth),
        speakers=sum(map(len, shares)),
        uar=uar,
        uar_ci95=(max(0.0, float(uar - below)), min(1.0, float(uar + above))),
        chance=1 / len(classes),
    )


def _shares(truth: Sequence[str], told: Sequence[str], speakers: Sequence[str], name: str) -> npt.NDArray[np.float64]:
    """For each speaker of a class, the share of the updates that were told right."""
    right: dict[str, list[bool]] = {}
    for true, guess, speaker in zip(truth, told, speakers, strict=True):
        if true == name:
            right.setdefault(speaker, []).append(guess == true)
    return np.array([np.mean(each) for each in right.values()])
