"""The one-dimensional convolution: projected frames, residual convolutions over time, attentive statistics pooling."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from common.config import kinds
from common.config.settings import Config
from common.models.bilstm_attention import AttentiveStatistics
from common.models.frame_layers import FrameConvolution, SeparableConvolution, UtteranceNorm
from common.models.model import EmotionModel


class Convolutional(EmotionModel):
    """The classifier sees what the convolutions' frames pool to, and statistics of the frames where they are asked for.

    Attributes:
        convolution: the class of its convolutions.
    """

    kind = kinds.CNN1D
    convolution: ClassVar[type[FrameConvolution | SeparableConvolution]] = FrameConvolution

    def make_reader(self, features: int, config: Config) -> int:
        """Make projection, convolutions and pooling, of the sizes that the settings name."""
        model = config.model
        self.projection = nn.Linear(features, model.projection)
        self.norm = nn.LayerNorm(model.projection)
        widths = [model.projection] + model.layers * [model.hidden]
        self.convolutions = nn.ModuleList(
            self.convolution(before, after, model.kernel) for before, after in pairwise(widths)
        )
        self.norms = nn.ModuleList(UtteranceNorm(width) for width in widths[1:])
        self.pool = AttentiveStatistics(model.hidden, model.attention, centred=True)
        return 2 * model.hidden

    def read(self, batch: Tensor, lengths: Tensor, mask: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002 - the mask says it
        """What the frames pool to, ``(batch, 2 hidden)``."""
        frames = self.dropout(torch.relu(self.norm(self.projection(batch)))).transpose(1, 2)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            found = self.dropout(torch.relu(norm(convolution(frames, mask), mask)))
            frames = frames + found if frames.shape == found.shape else found
        return (self.pool(frames.transpose(1, 2), mask)[0],)
