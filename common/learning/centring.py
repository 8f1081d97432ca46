"""The first rounds of a model of contours, which find the centre of its figures; the others train the rest.

So do those of a model of an encoder's rows that public speech scales, and that lie elsewhere than it.

A federation doesn't know where its recordings' figures lie, and a public guess is far off (``LOG.md``). So the sites
first move the model's centre towards their own mean: a private site by clipped, noisy steps that the ledger counts
like any others.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from common.config.kinds import CENTRE
from common.config.settings import Config
from common.data.dataset import SpeechDataset
from common.learning.training import Trained, device
from common.models.contours import Contours
from common.models.encoder_rows import RowMean
from common.models.model import EmotionModel


def centring(model: EmotionModel, turn: int, config: Config) -> bool:
    """Whether a round, counted from 1 in its pass, finds the centre: the first tenth do.

    Where sites hide speakers none does: they are so few that noise would carry the centre farther off than it is. Nor
    where the run starts from a model: its weights are for the centre that it has.
    """
    return isinstance(model.statistics, Contours | RowMean) and _early(turn, config)


def moved(names: Iterable[str], turn: int, config: Config) -> list[str]:
    """Those of a model's arrays that a round trains: the centre alone, or all but it; all where there is none."""
    everything = list(names)
    return [name for name in everything if (name == CENTRE) == (CENTRE in everything and _early(turn, config))]


def _early(turn: int, config: Config) -> bool:
    few = config.privacy.at_sites and not config.privacy.protects.single
    here = config.model.statistics == "rows" and config.data.normalise != "public"  # the sites' own figures scale them
    found = few or here or config.federation.initial
    return turn <= config.federation.rounds // 10 and not found


def centred(model: EmotionModel) -> Contours | RowMean:
    """The part of the model that has the centre.

    Raises:
        TypeError: it has none.
    """
    if not isinstance(model.statistics, Contours | RowMean):
        raise TypeError("the model has no contours and no rows, and so no centre")
    return model.statistics


@contextmanager
def freeze_all_but_centre(model: EmotionModel) -> Iterator[None]:
    """Freeze all parameters but the model's centre within the block."""
    before = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.requires_grad_(False)
    centred(model).centre.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, trained in before.items():
            parameter.requires_grad_(trained)


@torch.no_grad()
def figures(model: EmotionModel, data: SpeechDataset) -> Tensor:
    """Each recording's figures ``(recordings, width)``, of the original, before the centre is taken off.

    Of a recording without a version they are NaN.
    """
    own, where = centred(model), next(model.parameters()).device
    found = torch.full((len(data), own.width), torch.nan, device=where)
    for batch in data.in_order():
        step = batch.to(where)
        mask = torch.arange(step.features.shape[1], device=where) < step.lengths[:, None]
        found[step.index] = own.figures(step.features, mask)
    return found


@torch.no_grad()
def find_centre(model: EmotionModel, data: SpeechDataset) -> Trained:
    """Set the centre to the mean of the recordings' figures; the loss is half the mean squared distance to it before.

    Args:
        model: trained in place.
        data: the training recordings, of which the originals count.
    """
    began = time.perf_counter()
    model.to(device())
    own, centre = figures(model, data), centred(model).centre
    loss = float((own - centre).square().sum(1).mean()) / 2
    centre.copy_(own.mean(0))
    return Trained(examples=len(data), loss=loss, seconds=time.perf_counter() - began)
