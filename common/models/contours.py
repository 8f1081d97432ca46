"""What the features of an utterance do together over time, whatever their level and their scale.

Where each utterance is normalised by itself, its means and deviations are 0 and 1 and say nothing. These figures are
the same whatever is added to a feature or multiplied with it, and few, so that a linear model of them bears the noise
of private training (``LOG.md``, "The private recipe").
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from common.config.settings import FeatureConfig
from common.features.extractor import names

CEPSTRA = 7  # the first ones, which carry the spectrum's envelope
COSINES = 4
_LIKENESS = 0.75  # about how much a frame and the next one correlate, so that the centre hasn't far to go
_TYPICAL = math.log(300)  # of an utterance's frames
_LEVELS = ("mfcc", "log_mel")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a frame are looked at.

    Attributes:
        stack: how many frames a row joins.
        statics: those that are no derivatives.
        contours: the few of them whose pairs and courses are looked at.
    """

    stack: int
    statics: tuple[int, ...]
    contours: tuple[int, ...]

    @classmethod
    def of(cls, features: int, layout: FeatureConfig) -> Self:
        """Of frames with so many features; of a site's own matrices, whose columns have no names, the first ones."""
        single = names(replace(layout, stack=1))
        if len(single) * layout.stack != features:
            return cls(stack=1, statics=tuple(range(features)), contours=tuple(range(min(features, 2 * CEPSTRA))))
        statics = [i for i, name in enumerate(single) if not name.startswith("delta")]
        levels = [i for i in statics if single[i].startswith(_LEVELS)]
        others = [i for i in statics if i not in levels]
        return cls(stack=layout.stack, statics=tuple(statics), contours=(*levels[:CEPSTRA], *others))


class Contours(nn.Module):
    """Correlations of contours, each contour's lag-1 autocorrelation and course, and the length.

    Each utterance's figures, less a centre, are brought to length 1, so that no gradient is much larger than another.
    The centre is found in the first rounds, in which nothing else is trained, and rests then:
    ``common.learning.centring``.

    Args:
        features: of a frame.
        layout: what they are.
        precomputed: whether batches hold what ``of`` made of each utterance, ``(batch, 1, width)``, in place of frames.
    """

    def __init__(self, features: int, layout: FeatureConfig, *, precomputed: bool = False) -> None:
        super().__init__()
        self.columns = Columns.of(features, layout)
        self.precomputed = precomputed
        contours, statics = len(self.columns.contours), len(self.columns.statics)
        self.pairs = torch.triu_indices(contours, contours, offset=1)
        self.width: int = self.pairs.shape[1] + statics + COSINES * contours + 1
        centre = torch.zeros(self.width)
        centre[self.pairs.shape[1] :][:statics] = _LIKENESS
        self.centre = nn.Parameter(centre, requires_grad=False)

    def of(self, utterance: Tensor) -> Tensor:
        """``(1, width)`` of ``(frames, features)``: once for all epochs, for nothing in it is trained."""
        return self._measured(utterance[None], torch.ones(1, len(utterance), dtype=torch.bool))

    def figures(self, batch: Tensor, mask: Tensor) -> Tensor:
        """``(batch, width)`` of ``(batch, frames, features)`` under ``mask (batch, frames)``."""
        return batch[:, 0] if self.precomputed else self._measured(batch, mask)

    def _measured(self, batch: Tensor, mask: Tensor) -> Tensor:
        with torch.autocast(batch.device.type, enabled=False):  # correlations of 16 bits have no digits
            return self._correlated(batch, mask)

    def _correlated(self, batch: Tensor, mask: Tensor) -> Tensor:
        stack, (size, rows, _) = self.columns.stack, batch.shape
        frames = batch.float().reshape(size, rows * stack, -1)[:, :, list(self.columns.statics)]
        real = mask.repeat_interleave(stack, dim=1)[:, :, None].to(frames.dtype)
        count = real.sum(1)
        frames = (frames - (frames * real).sum(1, keepdim=True) / count[:, None]) * real
        deviation = (frames.square().sum(1) / count).sqrt().clamp_min(1e-5)
        frames = frames / deviation[:, None]
        chosen = frames[:, :, [self.columns.statics.index(i) for i in self.columns.contours]]
        together = chosen.transpose(1, 2) @ chosen / count[:, :, None]
        autocorrelation = (frames[:, 1:] * frames[:, :-1]).sum(1) / (count - 1).clamp_min(1)
        length = (count.log() - _TYPICAL).clamp(-2.0, 2.0)
        return torch.cat([together[:, *self.pairs], autocorrelation, *_courses(chosen, count), length], dim=1)

    def forward(self, batch: Tensor, mask: Tensor) -> Tensor:
        """``(batch, width)`` figures about the centre, each row of length 1."""
        return nn.functional.normalize(self.figures(batch, mask) - self.centre, dim=1)


def _courses(frames: Tensor, count: Tensor) -> Iterable[Tensor]:
    """How far each contour goes with a cosine over the utterance: with one that falls, one that falls and rises, …"""
    time = (torch.arange(frames.shape[1], device=frames.device) + 0.5) / count
    for j in range(1, COSINES + 1):
        yield (frames * torch.cos(math.pi * j * time)[:, :, None]).sum(1) / count
