"""How often each class comes at a site, as a prior on the logits: no training at all.

A model that was trained with every class worth the same takes each for as likely as the others. Where a site's own mix
is another, the most probable class is that of the largest product of the model's probability and the site's share
(Saerens, Latinne & Decaestecker 2002, Adjusting the outputs of a classifier to new a priori probabilities). The share's
logarithm lies in the bias of the last layer, so that whatever reads the model's file has it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from common.learning.saved_model import Arrays

BIAS = "classifier.bias"  # of every kind of model, the last thing that is added to the logits
_UNSEEN = 1.0  # recordings that each class is counted for beside those that there are


def log_prior(labels: Tensor, classes: int) -> Tensor:
    """The logarithm of each class's share among ``labels (recordings,)``, ``(classes,)``, one of each counted more.

    So that a class of which the site has none yet stays possible (Laplace's rule).
    """
    counts = torch.bincount(labels, minlength=classes).float() + _UNSEEN
    return torch.log(counts / counts.sum())


def with_prior(arrays: Arrays, prior: Tensor, temperature: float) -> Arrays:
    """A model's arrays with a prior ``(classes,)`` in them.

    Args:
        arrays: of the model.
        prior: as of ``log_prior``.
        temperature: by which the model's logits are divided: the prior is on the probabilities that come out then.
    """
    bias = torch.from_numpy(arrays[BIAS].copy())
    return {**arrays, BIAS: (bias + temperature * prior).numpy()}
