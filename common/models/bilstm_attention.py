"""The models of LSTMs with attention: projected frames, LSTM, attentive statistics pooling, a linear classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.config import kinds
from common.config.settings import Config
from common.models.bilstm import BiLSTM
from common.models.model import EmotionModel


class AttentiveStatistics(nn.Module):
    """The mean and the deviation over time, weighted by attention (Okabe, Koshinaka, Shinoda, Interspeech 2018).

    Args:
        features: of a frame.
        attention: units of the attention's hidden layer.
        centred: whether the deviation is measured after the mean is taken off, which keeps its digits where attention
            is on one frame alone; the BiLSTM's is not, so that its models stay what they are to the last bit.
    """

    def __init__(self, features: int, attention: int, *, centred: bool = False) -> None:
        super().__init__()
        self.centred = centred
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
            rest = frames - mean[:, None] if self.centred else frames
            square = torch.einsum("bt,btf->bf", weights, rest.square())
        variance = square if self.centred else square - mean.square()
        deviation = variance.clamp_min(1e-6).sqrt()
        return torch.cat([mean, deviation], dim=1), weights


class AttentiveBiLSTM(EmotionModel):
    """The classifier sees what the BiLSTM's frames pool to, and statistics of the frames where they are asked for."""

    kind = kinds.BILSTM
    directions = 2

    def make_reader(self, features: int, config: Config) -> int:
        """Make projection, BiLSTM and pooling, of the sizes that the settings name."""
        model = config.model
        self.projection = nn.Linear(features, model.projection)
        self.norm = nn.LayerNorm(model.projection)
        self.lstm = BiLSTM(
            model.projection,
            model.hidden,
            layers=model.layers,
            dropout=model.dropout,
            bidirectional=self.directions > 1,
        )
        width = self.directions * model.hidden
        self.pool = AttentiveStatistics(width, model.attention)
        return 2 * width

    def read(self, batch: Tensor, lengths: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """What the frames pool to, ``(batch, 2 directions hidden)``."""
        frames = self.dropout(torch.relu(self.norm(self.projection(batch))))
        return (self.pool(self.lstm(frames, lengths), mask)[0],)


class AttentiveLSTM(AttentiveBiLSTM):
    """The same without the direction that reads backwards: a frame, once heard, is never looked at again."""

    kind = kinds.LSTM
    directions = 1
