"""The BiLSTM-attention model: projected frames, a BiLSTM, attentive statistics pooling, a linear classifier."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from common.config.settings import FeatureConfig, ModelConfig
from common.learning.bilstm import BiLSTM
from common.learning.contours import Contours


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


class FrameStatistics(nn.Module):
    """The mean and the deviation over time of every feature, on a common scale: nothing in it is trained.

    For features that were scaled to mean 0 and deviation 1 over many recordings. The constants bring an utterance's
    means and deviations to about mean 0 and deviation 1 over recordings; each utterance's vector then has length 1, so
    that none has a larger gradient than another, which is good where gradients are clipped.

    Args:
        features: of a frame.
        made: whether batches hold what ``of`` made of each utterance, ``(batch, 1, width)``, in place of frames.
    """

    def __init__(self, features: int, *, made: bool = False) -> None:
        super().__init__()
        self.made = made
        self.width: int = 2 * features

    def of(self, utterance: Tensor) -> Tensor:
        """``(1, 2 features)`` of ``(frames, features)``: once for all epochs, for nothing in it is trained."""
        return self._measured(utterance[None], torch.ones(1, len(utterance), dtype=torch.bool))

    def forward(self, batch: Tensor, mask: Tensor) -> Tensor:
        """``(batch, 2 features)`` of ``(batch, frames, features)`` under ``mask (batch, frames)``."""
        return batch[:, 0] if self.made else self._measured(batch, mask)

    @staticmethod
    def _measured(batch: Tensor, mask: Tensor) -> Tensor:
        weights = (mask / mask.sum(1, keepdim=True))[:, :, None]
        mean = (batch * weights).sum(1)
        deviation = ((batch - mean[:, None]).square() * weights).sum(1).sqrt()
        both = torch.cat([2.0 * mean, 4.0 * (deviation - 0.85)], dim=1).clamp(-5.0, 5.0)
        return nn.functional.normalize(both, dim=1)


class EmotionModel(nn.Module):
    """Features of an utterance to one logit a class.

    The classifier sees what the BiLSTM's frames pool to, and statistics of the frames themselves where they are asked
    for; with ``hidden`` 0 these alone, a linear model, which is what little data and much noise can still train.

    Args:
        features: of a frame, as ``common.features.extractor.dimension`` counts them.
        classes: how many emotions.
        config: sizes and dropout.
        lstm: makes the ``BiLSTM``, or a layer with its parameters.
        layout: what the features are, for the contours.
        made: whether batches hold the statistics that ``statistics.of`` made, in place of frames.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        config: ModelConfig,
        *,
        lstm: Callable[..., nn.Module] = BiLSTM,
        layout: FeatureConfig | None = None,
        made: bool = False,
    ) -> None:
        super().__init__()
        self.statistics: FrameStatistics | Contours | None = None
        if config.statistics == "means":
            self.statistics = FrameStatistics(features, made=made)
        elif config.statistics == "contours":
            if layout is None:
                raise ValueError("a model of contours needs the features' layout")
            self.statistics = Contours(features, layout, made=made)
        self.sequential = config.hidden > 0
        if self.sequential:
            self.projection = nn.Linear(features, config.projection)
            self.norm = nn.LayerNorm(config.projection)
            self.lstm = lstm(config.projection, config.hidden, layers=config.layers, dropout=config.dropout)
            self.pool = AttentiveStatistics(2 * config.hidden, config.attention)
        self.dropout = nn.Dropout(config.dropout)
        beside = self.statistics.width if self.statistics is not None else 0
        self.classifier = nn.Linear(4 * config.hidden + beside, classes)

    def forward(self, batch: Tensor, lengths: Tensor) -> Tensor:
        """Logits ``(batch, classes)`` of a padded batch ``(batch, frames, features)`` with ``lengths (batch,)``."""
        mask = torch.arange(batch.shape[1], device=batch.device) < lengths[:, None]
        pooled = []
        if self.sequential:
            frames = self.dropout(torch.relu(self.norm(self.projection(batch))))
            pooled.append(self.pool(self.lstm(frames, lengths), mask)[0])
        if self.statistics is not None:
            pooled.append(self.statistics(batch, mask))
        logits: Tensor = self.classifier(self.dropout(torch.cat(pooled, dim=1)))
        return logits
