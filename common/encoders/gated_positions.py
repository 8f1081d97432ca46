"""WavLM's attention: a bias by how far apart two frames are, which each frame opens or closes.

Source: Chen et al., WavLM: large-scale self-supervised pre-training for full stack speech processing, 2022.
"""

from __future__ import annotations

import math

import torch

from common.encoders.hub_config import HubConfig
from common.encoders.transformer_layers import by_head, linear, linear_shapes
from common.encoders.weights_file import Shapes, WeightsFile

_EMBEDDING = "encoder.layers.0.attention.rel_attn_embed.weight"  # the first layer's serves all
_GATES = 8  # numbers a frame and head: two gates, each the sum of four


class GatedPositions:
    """The bias.

    Args:
        config: the encoder's settings.
        weights: of the encoder.
        layers: how many it has.
        width: of a frame.
        heads: of its attention.

    Raises:
        UsageError: a setting is none.
    """

    def __init__(self, config: HubConfig, weights: WeightsFile, layers: int, width: int, heads: int) -> None:
        self._weights, self._heads = weights, heads
        self._buckets = config.whole("num_buckets", 4, 1 << 14, 320)
        self._farthest = config.whole("max_bucket_distance", self._buckets // 4 + 1, 1 << 20, 800)
        shapes: dict[str, tuple[int, ...]] = {_EMBEDDING: (self._buckets, heads)}
        for number in range(layers):
            name = f"encoder.layers.{number}.attention"
            shapes |= {f"{name}.gru_rel_pos_const": (1, heads, 1, 1)}
            shapes |= linear_shapes(f"{name}.gru_rel_pos_linear", width // heads, _GATES)
        self.shapes: Shapes = shapes

    def by_distance(self, frames: int) -> torch.Tensor:
        """The bias without gates, ``(heads, frames, frames)``."""
        place = torch.arange(frames)
        return self._weights[_EMBEDDING][self._bucket(place[None] - place[:, None])].permute(2, 0, 1)

    def gated(self, by_distance: torch.Tensor, x: torch.Tensor, name: str) -> torch.Tensor:
        """The bias of a layer, as its frames ``(frames, width)`` open it."""
        gates = linear(by_head(x, self._heads), self._weights, f"{name}.gru_rel_pos_linear")
        opens, resets = gates.view(self._heads, len(x), 2, _GATES // 2).sum(-1).sigmoid().chunk(2, dim=-1)
        return (opens * (resets * self._weights[f"{name}.gru_rel_pos_const"][0] - 1.0) + 2.0) * by_distance

    def _bucket(self, distance: torch.Tensor) -> torch.Tensor:
        """Near frames have a bucket each, far ones share them by the logarithm; half are for the frames to come."""
        half = self._buckets // 2
        exact = half // 2
        far = distance.abs()
        steps = torch.log(far.clamp_min(1).float() / exact) / math.log(self._farthest / exact) * (half - exact)
        shared = (exact + steps).long().clamp_max(half - 1)
        return torch.where(far < exact, far, shared) + (distance > 0) * half
