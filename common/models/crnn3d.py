"""Convolutions over an image of the levels, their Δ and their ΔΔ, then a BiLSTM and self-attention.

The three orders are the image's colours (Chen, He, Yang, Zhang, IEEE SPL 2018), as are several analysis windows; time
and bands are its sides. A row of joined frames is taken apart, and the first convolution joins them again by its step.
What it finds goes on beside the row itself: from the image alone little data is learnt from slowly (``LOG.md``).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from common.config import kinds
from common.config.settings import Config, FeatureConfig
from common.features.extractor import names
from common.models.bilstm import BiLSTM
from common.models.bilstm_attention import AttentiveStatistics
from common.models.frame_layers import UtteranceNorm
from common.models.model import EmotionModel
from common.models.self_attention import SelfAttention

CHANNELS = 16  # of each convolution
BANDS = 3  # that a convolution sees at a time
_ORDERS = ("", "delta_", "delta2_")


class ConvolutionalRecurrent(EmotionModel):
    """The classifier sees what the frames pool to after image, BiLSTM and self-attention."""

    kind = kinds.CRNN3D

    def make_reader(self, features: int, config: Config) -> int:
        """Make all layers, of the sizes that the settings name."""
        model = config.model
        self.stack, self.planes = planes(features, config.features)
        colours, bands = self.planes.shape
        first, second = self._convolution(colours, model.kernel, self.stack), self._convolution(CHANNELS, model.kernel)
        self.convolutions = nn.ModuleList([first, second])
        self.norms = nn.ModuleList(UtteranceNorm(CHANNELS) for _ in self.convolutions)
        self.projection = nn.Linear(CHANNELS * _halved(_halved(bands)) + features, model.projection)
        self.norm = nn.LayerNorm(model.projection)
        self.lstm = BiLSTM(model.projection, model.hidden, layers=model.layers, dropout=model.dropout)
        self.attention = SelfAttention(2 * model.hidden, model.heads)
        self.pool = AttentiveStatistics(2 * model.hidden, model.attention, centred=True)
        return 4 * model.hidden

    @staticmethod
    def _convolution(inputs: int, kernel: int, step: int = 1) -> nn.Conv2d:
        return nn.Conv2d(inputs, CHANNELS, (kernel, BANDS), (step, 1), (kernel // 2, BANDS // 2))

    def read(self, batch: Tensor, lengths: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """What the frames pool to, ``(batch, 4 hidden)``."""
        image = batch.reshape(*batch.shape[:2], self.stack, -1)[..., self.planes]
        hidden = ~mask.repeat_interleave(self.stack, dim=1)
        seen = image.flatten(1, 2).transpose(1, 2)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            seen = seen.masked_fill(hidden[:, None, :, None], 0.0)
            seen, hidden = _strongest(torch.relu(norm(convolution(seen), mask))), ~mask
        beside = torch.cat([seen.transpose(1, 2).flatten(2), batch], dim=2)
        frames = self.dropout(torch.relu(self.norm(self.projection(beside))))
        heard = self.lstm(frames, lengths)
        return (self.pool(heard + self.attention(heard, mask), mask)[0],)


def planes(features: int, layout: FeatureConfig) -> tuple[int, Tensor]:
    """How many frames a row joins, and a frame's columns of levels ``(colours, bands)``: a colour an order and window.

    Of a site's own matrices, whose columns have no names, all are the bands of one colour.
    """
    single = names(replace(layout, stack=1))
    if len(single) * layout.stack != features:
        return 1, torch.arange(features)[None]
    found = [
        [single.index(f"{order}log_mel_{band}@{window}") for band in range(layout.log_mel)]
        for order in _ORDERS
        for window in layout.windows
    ]
    return layout.stack, torch.tensor(found)


def _strongest(found: Tensor) -> Tensor:
    """The larger of each two neighbouring bands, none of which is below 0; faster than torch's pooling of two."""
    even = nn.functional.pad(found, (0, found.shape[3] % 2))
    return torch.maximum(even[..., 0::2], even[..., 1::2])


def _halved(bands: int) -> int:
    return (bands + 1) // 2
