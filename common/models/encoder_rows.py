"""What a model sees of rows that are an utterance each already, and the weights of an encoder's layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_NEAR = 5.0  # deviations: what lies farther off is noise, or another language than the encoder's


class RowMean(nn.Module):
    """The mean of an utterance's rows about a centre, of length 1: of an encoder's statistics, its one row.

    That all have the same length keeps one recording's gradient from being much larger than another's. The centre is
    found in the first rounds where public speech scales the rows, for they lie elsewhere than it
    (``common.learning.centring``); where the sites' own figures scale them it stays 0.

    Args:
        features: of a row.
        precomputed: whether batches hold what ``of`` made of each utterance, ``(batch, 1, width)``, in place of rows.
    """

    def __init__(self, features: int, *, precomputed: bool = False) -> None:
        super().__init__()
        self.precomputed = precomputed
        self.width: int = features
        self.centre = nn.Parameter(torch.zeros(features), requires_grad=False)

    def of(self, utterance: Tensor) -> Tensor:
        """``(1, width)`` of ``(rows, features)``: once for all epochs, for nothing in it is trained."""
        return self._mean(utterance[None], torch.ones(1, len(utterance), dtype=torch.bool))

    def figures(self, batch: Tensor, mask: Tensor) -> Tensor:
        """``(batch, width)`` of ``(batch, rows, features)`` under ``mask (batch, rows)``."""
        return batch[:, 0] if self.precomputed else self._mean(batch, mask)

    @staticmethod
    def _mean(batch: Tensor, mask: Tensor) -> Tensor:
        weights = (mask / mask.sum(1, keepdim=True))[:, :, None]
        return (batch.clamp(-_NEAR, _NEAR) * weights).sum(1)

    def forward(self, batch: Tensor, mask: Tensor) -> Tensor:
        """``(batch, width)`` about the centre, each row of length 1."""
        return nn.functional.normalize(self.figures(batch, mask) - self.centre, dim=1)


class LayerMix(nn.Module):
    """An encoder's layers as one: their rows' mean with a weight each, which is trained (SUPERB, Yang et al. 2021).

    Args:
        layers: how many.
        features: of a row, all layers' one after the other, and what stands beside them.
        beside: of these, how many belong to no layer.
    """

    def __init__(self, layers: int, features: int, beside: int) -> None:
        super().__init__()
        self.layers, self.each = layers, (features - beside) // layers
        self.width: int = self.each + beside
        self.weights = nn.Parameter(torch.zeros(layers))

    def forward(self, batch: Tensor) -> Tensor:
        """``(batch, rows, width)`` of ``(batch, rows, features)``."""
        mixed = self.layers * self.each
        own = batch[:, :, :mixed].reshape(*batch.shape[:2], self.layers, self.each)
        one = (own * torch.softmax(self.weights, 0)[:, None]).sum(2)
        return torch.cat([one, batch[:, :, mixed:]], dim=2)
