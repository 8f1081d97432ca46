"""What all kinds of models share: logits of what a kind reads out of the frames, and of the frames' statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from common.config.kinds import Kind
from common.config.settings import Config
from common.models.contours import Contours
from common.models.encoder_rows import LayerMix, RowMean
from common.models.hashed_words import HashedWords


class FrameStatistics(nn.Module):
    """The mean and the deviation over time of every feature, on a common scale: nothing in it is trained.

    For features that were scaled to mean 0 and deviation 1 over many recordings. The constants bring an utterance's
    means and deviations to about mean 0 and deviation 1 over recordings; each utterance's vector then has length 1, so
    that none has a larger gradient than another, which is good where gradients are clipped.

    Args:
        features: of a frame.
        precomputed: whether batches hold what ``of`` made of each utterance, ``(batch, 1, width)``, in place of frames.
    """

    def __init__(self, features: int, *, precomputed: bool = False) -> None:
        super().__init__()
        self.precomputed = precomputed
        self.width: int = 2 * features

    def of(self, utterance: Tensor) -> Tensor:
        """``(1, 2 features)`` of ``(frames, features)``: once for all epochs, for nothing in it is trained."""
        return self._measured(utterance[None], torch.ones(1, len(utterance), dtype=torch.bool))

    def forward(self, batch: Tensor, mask: Tensor) -> Tensor:
        """``(batch, 2 features)`` of ``(batch, frames, features)`` under ``mask (batch, frames)``."""
        return batch[:, 0] if self.precomputed else self._measured(batch, mask)

    @staticmethod
    def _measured(batch: Tensor, mask: Tensor) -> Tensor:
        weights = (mask / mask.sum(1, keepdim=True))[:, :, None]
        mean = (batch * weights).sum(1)
        deviation = ((batch - mean[:, None]).square() * weights).sum(1).sqrt()
        both = torch.cat([2.0 * mean, 4.0 * (deviation - 0.85)], dim=1).clamp(-5.0, 5.0)
        return nn.functional.normalize(both, dim=1)


Statistics = FrameStatistics | Contours | RowMean


class EmotionModel(nn.Module):
    """Features of an utterance to one logit a class; a kind of model says what its classifier sees of the frames.

    The classifier sees what the kind reads out of the frames, and statistics of the frames themselves where
    ``model.statistics`` asks for them. Layers are made in this order: statistics, the kind's own, the classifier; the
    seed's random numbers go to them in turn, so that another order would give other weights. What is said has a linear
    model of its own, whose logits are added.

    Args:
        features: of a frame, as ``common.features.extractor.dimension`` counts them.
        classes: how many emotions.
        config: of the run: sizes and dropout, and what the features are.
        precomputed: whether batches hold the statistics that ``statistics.of`` made, in place of frames.

    Attributes:
        kind: what may be known of it without it, which arrays tell what among it.
        mix: of an encoder's layers, where each has a weight; None elsewhere.
        statistics: of the frames; None where there are none.
        words: of what is said; None where the words don't count.
    """

    kind: ClassVar[Kind]
    mix: LayerMix | None
    statistics: Statistics | None
    words: HashedWords | None

    def __init__(self, features: int, classes: int, config: Config, *, precomputed: bool = False) -> None:
        super().__init__()
        self.mix = _mix(features, config)
        features = features if self.mix is None else self.mix.width
        self.statistics = _statistics(features, config, precomputed)
        beside = self.statistics.width if self.statistics is not None else 0
        read = self.make_reader(features, config)
        self.dropout = nn.Dropout(config.model.dropout)
        self.classifier = nn.Linear(read + beside, classes)
        self.words = HashedWords(classes, config.text) if config.text.buckets else None

    def make_reader(self, features: int, config: Config) -> int:  # noqa: ARG002 - for those that have layers
        """Make the kind's own layers, if it has any.

        Args:
            features: of a frame.
            config: of the run.

        Returns:
            How many numbers ``read`` makes of an utterance.
        """
        return 0

    def read(self, batch: Tensor, lengths: Tensor, mask: Tensor) -> Sequence[Tensor]:  # noqa: ARG002 - likewise
        """What the kind's own layers make of the frames, each part ``(batch, …)``; without layers there is no part.

        Args:
            batch: ``(batch, frames, features)``, padded.
            lengths: ``(batch,)``.
            mask: ``(batch, frames)``, True where a frame is speech.
        """
        return ()

    def forward(self, batch: Tensor, lengths: Tensor, texts: Sequence[str | None] | None = None) -> Tensor:
        """Logits ``(batch, classes)`` of a padded batch ``(batch, frames, features)`` with ``lengths (batch,)``.

        Where ``texts`` says what is said in each, and the words count, theirs are added.
        """
        mask = torch.arange(batch.shape[1], device=batch.device) < lengths[:, None]
        batch = batch if self.mix is None else self.mix(batch)
        seen = [*self.read(batch, lengths, mask)]
        if self.statistics is not None:
            seen.append(self.statistics(batch, mask))
        logits: Tensor = self.classifier(self.dropout(torch.cat(seen, dim=1)))
        return logits if self.words is None or texts is None else logits + self.words(texts)


def _mix(features: int, config: Config) -> LayerMix | None:
    encoder = config.features.encoder
    if not encoder.mixed:
        return None
    return LayerMix(encoder.mixed, features, features - encoder.mixed * encoder.width * (2 if encoder.pooled else 1))


def _statistics(features: int, config: Config, precomputed: bool) -> Statistics | None:
    if config.model.statistics == "rows":
        return RowMean(features, precomputed=precomputed)
    if config.model.statistics == "means":
        return FrameStatistics(features, precomputed=precomputed)
    if config.model.statistics == "contours":
        return Contours(features, config.features, precomputed=precomputed)
    return None
