"""The BiLSTM-attention model: projected frames, a BiLSTM, attentive statistics pooling, a linear classifier."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from common.config import ModelConfig
from common.lstm import BiLSTM


class AttentiveStatistics(nn.Module):
    """The mean and the deviation over time, weighted by attention (Okabe, Koshinaka, Shinoda, Interspeech 2018).

    Args:
        features: of a frame.
        attention: units of the attention's hidden layer.
    """

    def __init__(self, features: int, attention: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, attention)
        self.score = nn.Linear(attention, 1)

    def forward(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pool ``(batch, frames, features)`` under ``mask (batch, frames)``, True where a frame is speech.

        Returns:
            ``(batch, 2 features)`` and the attention's weights ``(batch, frames)``, 0 in the padding.
        """
        scores = self.score(torch.tanh(self.hidden(frames)))[:, :, 0]
        weights = torch.softmax(scores.float().masked_fill(~mask, -torch.inf), dim=1)
        with torch.autocast(frames.device.type, enabled=False):  # in 16 bits the difference of squares has no digits
            frames = frames.float()
            mean = torch.einsum("bt,btf->bf", weights, frames)
            square = torch.einsum("bt,btf->bf", weights, frames.square())
        deviation = (square - mean.square()).clamp_min(1e-6).sqrt()
        return torch.cat([mean, deviation], dim=1), weights


class EmotionModel(nn.Module):
    """Features of an utterance to one logit a class.

    Args:
        features: of a frame, as ``common.features.dimension`` counts them.
        classes: how many emotions.
        config: sizes and dropout.
        lstm: makes the ``BiLSTM``, or a layer with its parameters.
    """

    def __init__(
        self, features: int, classes: int, config: ModelConfig, *, lstm: Callable[..., nn.Module] = BiLSTM
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(features, config.projection)
        self.norm = nn.LayerNorm(config.projection)
        self.lstm = lstm(config.projection, config.hidden, layers=config.layers, dropout=config.dropout)
        self.pool = AttentiveStatistics(2 * config.hidden, config.attention)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(4 * config.hidden, classes)

    def forward(self, batch: Tensor, lengths: Tensor) -> Tensor:
        """Logits ``(batch, classes)`` of a padded batch ``(batch, frames, features)`` with ``lengths (batch,)``."""
        mask = torch.arange(batch.shape[1], device=batch.device) < lengths[:, None]
        frames = self.dropout(torch.relu(self.norm(self.projection(batch))))
        pooled, _ = self.pool(self.lstm(frames, lengths), mask)
        logits: Tensor = self.classifier(self.dropout(pooled))
        return logits
