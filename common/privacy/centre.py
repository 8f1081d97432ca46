"""The centre of a model's contours, found privately: DP-SGD on half the squared distance to each unit's figures.

Guarantee: that of ``common.privacy.mechanism``. A unit's gradient is the way from its figures to the centre, clipped to
``NORM``; sample, noise multiplier and the ledger's count are those of every other step. A unit whose figures cannot be
computed adds nothing, and the others what they add without it.
"""

from __future__ import annotations

import logging
import math

import torch

from common.data.dataset import SpeechDataset
from common.learning.centring import centred, figures, freeze_all_but_centre
from common.learning.training import device
from common.models.model import EmotionModel
from common.privacy.accounting.accountants import Spend
from common.privacy.dp_sgd import units_of
from common.privacy.mechanism import PrivateOptimizer
from common.privacy.stream import SecretStream

log = logging.getLogger("fedser.privacy")
NORM = 1.0  # of a clipped way; recordings' figures, mostly correlations, lie about 2 from their centre


def centre_privately(
    model: EmotionModel,
    data: SpeechDataset,
    spend: Spend,
    *,
    turn: int,
    stream: SecretStream,
    planted: int,
) -> None:
    """Move the model's centre, and nothing else, in ``spend.steps`` noisy steps.

    The k-th step of the run has the rate 1/√k: the first ones get near, the later ones average the noise away.

    Args:
        model: of contours; trained in place.
        data: the site's training recordings.
        spend: what was reserved for it.
        turn: the round, from 1.
        stream: of secret random numbers.
        planted: how many units at the data's end an audit put in.
    """
    means = unit_means(model, data, spend)
    centre = centred(model).centre
    with freeze_all_but_centre(model):
        optimizer = PrivateOptimizer(
            torch.optim.SGD([centre], 1.0),
            noise_multiplier=spend.noise_multiplier,
            max_grad_norm=NORM,
            expected_batch_size=spend.sample_rate * (len(means) - planted),
            stream=stream,
        )
        for step in range((turn - 1) * spend.steps, turn * spend.steps):
            optimizer.param_groups[0]["lr"] = rate_of(step)
            drawn = stream.sample(len(means), spend.sample_rate)
            centre.grad_sample = centre.detach() - means[drawn]  # type: ignore[attr-defined]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


def rate_of(step: int) -> float:
    """The learning rate of a run's step, from 0."""
    return 1.0 / math.sqrt(step + 1)


def unit_means(model: EmotionModel, data: SpeechDataset, spend: Spend) -> torch.Tensor:
    """The mean of each unit's figures, ``(units, width)``; of an empty unit NaN, which adds nothing."""
    model.to(device())
    own = _figures(model, data)
    return torch.stack([own[unit].mean(0) for unit in units_of(data, spend.unit)])


def _figures(model: EmotionModel, data: SpeechDataset) -> torch.Tensor:
    """Each recording's figures ``(recordings, width)``; NaN of one whose figures are missing or can't be computed."""
    try:
        return figures(model, data)
    except Exception:
        log.debug("the recordings' figures could not be computed together", exc_info=True)
    alone = [_figures_alone(model, data.part(torch.tensor([place]))) for place in range(len(data))]
    return torch.cat(alone)


def _figures_alone(model: EmotionModel, one: SpeechDataset) -> torch.Tensor:
    try:
        return figures(model, one)
    except Exception:
        log.warning("a recording's figures could not be computed; it adds nothing")
        centre = centred(model).centre
        return torch.full_like(centre, torch.nan)[None]
