"""The linear model: statistics of an utterance to logits, which is what little data and much noise can still train."""

from __future__ import annotations

from common.config import kinds
from common.models.model import EmotionModel


class LinearModel(EmotionModel):
    """The classifier sees nothing but the statistics: there are no layers that read the frames."""

    kind = kinds.LINEAR
