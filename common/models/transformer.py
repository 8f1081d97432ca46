"""The Transformer: projected frames with their places, blocks of self-attention, attentive statistics pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.config import kinds
from common.config.settings import Config
from common.models.bilstm_attention import AttentiveStatistics
from common.models.model import EmotionModel
from common.models.self_attention import AttentionBlock, positions


class Transformer(EmotionModel):
    """The classifier sees what the frames pool to after they have looked at each other."""

    kind = kinds.TRANSFORMER

    def make_reader(self, features: int, config: Config) -> int:
        """Make projection, blocks and pooling, of the sizes that the settings name."""
        model = config.model
        self.projection = nn.Linear(features, model.projection)
        self.norm = nn.LayerNorm(model.projection)
        self.blocks = nn.ModuleList(
            AttentionBlock(model.projection, model.heads, model.hidden, model.dropout) for _ in range(model.layers)
        )
        self.last = nn.LayerNorm(model.projection)
        self.pool = AttentiveStatistics(model.projection, model.attention, centred=True)
        return 2 * model.projection

    def read(self, batch: Tensor, lengths: Tensor, mask: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002 - the mask says it
        """What the frames pool to, ``(batch, 2 projection)``."""
        frames = torch.relu(self.norm(self.projection(batch)))
        frames = self.dropout(frames + positions(frames.shape[1], frames.shape[2], frames))
        for block in self.blocks:
            frames = block(frames, mask)
        return (self.pool(self.last(frames), mask)[0],)
