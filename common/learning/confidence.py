"""How sure a model is, and how often it is then right: the temperature that makes the one the other, and its error.

The logits are divided by one number, the temperature, which changes how sure the model is of a label and never the
label (Guo, Pleiss, Sun & Weinberger 2017, On calibration of modern neural networks). A site tells sums that add up: its
loss at each of some fixed temperatures, and counts of how sure the model was where it was right and where it was wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from common.data.dataset import SpeechDataset
from common.learning.training import answers
from common.protocol import BINS, TEMPERATURES

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
SHARES = (0.1, 0.2, 0.3)  # of the recordings, those that the model is least sure of
_MIDDLES = (np.arange(BINS) + 0.5) / BINS
_ROUNDING = 1e-9  # the share of a loss by which equal ones may differ


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """Of some recordings, how sure a model is of each, its largest probability, and whether it is right.

    Attributes:
        recordings: how many.
        losses: ``(TEMPERATURES,)``, the summed cross-entropy at each temperature.
        right: ``(BINS,)``, of the recordings that it is right about how many lie in each of the equal bins of how sure
            it is, at temperature 1.
        wrong: of the others, likewise.
        sure: ``(BINS,)``, how sure it is of those in each bin, in sum; by default each bin's middle stands for it.
        clipped: ``(TEMPERATURES,)``, at which of them the loss of some of the recordings was larger than is believed.
    """

    recordings: int
    losses: Floats
    right: Floats
    wrong: Floats
    sure: Floats | None = None
    clipped: Flags = field(default_factory=lambda: np.zeros(len(TEMPERATURES), dtype=np.bool_))

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor) -> Self:
        """That of ``logits (recordings, classes)`` for recordings of the ``labels (recordings,)``."""
        logits = logits.double()
        confidence, taken = torch.softmax(logits, dim=1).max(dim=1)
        place = (confidence * BINS).long().clamp_max(BINS - 1)
        correct = taken == labels
        return cls(
            recordings=len(labels),
            losses=np.array([float(_loss(logits, labels, temperature)) for temperature in TEMPERATURES]),
            right=torch.bincount(place[correct], minlength=BINS).double().numpy(),
            wrong=torch.bincount(place[~correct], minlength=BINS).double().numpy(),
            sure=torch.bincount(place, weights=confidence, minlength=BINS).numpy(),
        )

    def weighing(self, part: float) -> Confidence:
        """The same as if each recording were so much of one."""
        sure = None if self.sure is None else self.sure * part
        return replace(self, losses=self.losses * part, right=self.right * part, wrong=self.wrong * part, sure=sure)

    def temperature(self) -> float:
        """The temperature of the smallest loss, within those that there are; of equal ones the nearest to 1.

        Of a parabola through the smallest of the losses and its neighbours, over the temperature's logarithm, unless
        one of them is clipped, which bends it; by the losses at the ends of the range nothing beyond it is known.
        """
        smallest = np.flatnonzero(np.isclose(self.losses, self.losses.min(), rtol=_ROUNDING, atol=0))
        first, last = int(smallest[0]), int(smallest[-1])
        if first < last:  # between them the loss is no larger, for it is convex in the temperature's inverse
            return min(max(TEMPERATURES[first], 1.0), TEMPERATURES[last])
        around = slice(first - 1, first + 2)
        if first in (0, len(TEMPERATURES) - 1) or self.clipped[around].any():
            return TEMPERATURES[first]
        before, at, after = self.losses[around]
        step = math.log(TEMPERATURES[1] / TEMPERATURES[0])
        return float(TEMPERATURES[first] * math.exp(step * (before - after) / (2 * (before - 2 * at + after))))

    def error(self) -> float:
        """The expected calibration error: how far, on average, the share that is right is from how sure the model is.

        Where a bin's middle stands for how sure it is, that is off by at most half a bin.
        """
        count = self.right + self.wrong
        sure = count * _MIDDLES if self.sure is None else self.sure
        return float(np.abs(self.right - sure).sum() / count.sum())

    def unsure(self) -> dict[str, float]:
        """By each of ``SHARES`` how sure the model is, at temperature 1, at most of so many that it is least sure of.

        Within a bin they are taken to lie evenly.
        """
        count = self.right + self.wrong
        until = np.cumsum(count)
        found = {}
        for share in SHARES:
            place = int(np.searchsorted(until, share * until[-1]))  # of the first bin by whose end there are as many
            within = 1 - (until[place] - share * until[-1]) / count[place]
            found[f"{share:g}"] = float((place + within) / BINS)
        return found


def pooled(parts: Iterable[Confidence]) -> Confidence:
    """That of all recordings together, of one part at least."""
    each = list(parts)
    return Confidence(
        recordings=sum(part.recordings for part in each),
        losses=np.sum([part.losses for part in each], axis=0),
        right=np.sum([part.right for part in each], axis=0),
        wrong=np.sum([part.wrong for part in each], axis=0),
        clipped=np.any([part.clipped for part in each], axis=0),
    )


def _loss(logits: Tensor, labels: Tensor, temperature: float) -> Tensor:
    return nn.functional.cross_entropy(logits / temperature, labels, reduction="sum")


def outputs(model: nn.Module, data: SpeechDataset, where: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """What a model makes of recordings: the logits ``(recordings, classes)`` and their labels, on the CPU.

    Args:
        model: maps ``(batch, frames, features)`` and lengths to logits.
        data: in any order.
        where: the device; a GPU where there is one by default.
    """
    said = [(logits.cpu(), batch.labels) for batch, logits in answers(model, data, where)]
    logits, labels = zip(*said, strict=True)
    return torch.cat(logits), torch.cat(labels)
