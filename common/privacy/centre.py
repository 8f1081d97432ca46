"""The centre of a model's contours, found privately: DP-SGD on half the squared distance to each unit's figures.

Guarantee: that of ``common.privacy.mechanism``. A unit's gradient is the way from its figures to the centre, clipped to
``NORM``; sample, noise multiplier and the ledger's count are those of every other step.
"""

from __future__ import annotations

import torch

from common.data.dataset import SpeechDataset
from common.learning.centring import contours_of, figures, freeze_all_but_centre
from common.learning.model import EmotionModel
from common.learning.training import device
from common.privacy.accounting.accountants import Spend
from common.privacy.dp_sgd import units_of
from common.privacy.mechanism import PrivateOptimizer
from common.privacy.stream import SecretStream

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
    model.to(device())
    units = units_of(data, spend.unit)
    own = figures(model, data)
    means = torch.stack([own[unit].mean(0) for unit in units])  # of an empty unit NaN, which adds nothing
    centre = contours_of(model).centre
    with freeze_all_but_centre(model):
        optimizer = PrivateOptimizer(
            torch.optim.SGD([centre], 1.0),
            noise_multiplier=spend.noise_multiplier,
            max_grad_norm=NORM,
            expected_batch_size=spend.sample_rate * (len(units) - planted),
            stream=stream,
        )
        for step in range((turn - 1) * spend.steps, turn * spend.steps):
            optimizer.param_groups[0]["lr"] = (step + 1) ** -0.5
            drawn = stream.sample(len(units), spend.sample_rate)
            centre.grad_sample = centre.detach() - means[drawn]  # type: ignore[attr-defined]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
