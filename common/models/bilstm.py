"""An LSTM of one or two directions whose output never depends on padding, at the speed of the fused kernel.

``nn.LSTM`` on packed sequences leaves torch's fused CPU kernel and takes six times as long; on padded ones its backward
direction starts in the padding. Here each direction runs padded, and the backward one over sequences that are reversed
within their own length, so that padding always comes last and is never seen by a valid frame.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BiLSTM(nn.LSTM):
    """``nn.LSTM(batch_first=True)`` with its parameters, over padded batches and lengths.

    Args:
        inputs: features of a frame.
        hidden: units in each direction.
        layers: stacked layers.
        dropout: between layers.
        bidirectional: whether there is a direction that reads backwards; without it a frame knows none behind it.
    """

    def __init__(
        self, inputs: int, hidden: int, *, layers: int = 1, dropout: float = 0.0, bidirectional: bool = True
    ) -> None:
        super().__init__(
            inputs,
            hidden,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )

    def forward(self, batch: Tensor, lengths: Tensor) -> Tensor:  # type: ignore[override]
        """Run each direction.

        Args:
            batch: ``(batch, frames, features)``, padded at the end.
            lengths: ``(batch,)``, each from 1 to ``frames``.

        Returns:
            ``(batch, frames, directions * hidden)``; the caller masks what stands beyond a length.
        """
        reverse = reversal(lengths, batch.shape[1])
        for layer in range(self.num_layers):
            if layer:
                batch = nn.functional.dropout(batch, self.dropout, self.training)
            forward = self._direction(batch, f"l{layer}")
            if not self.bidirectional:
                batch = forward
                continue
            backward = _take(self._direction(_take(batch, reverse), f"l{layer}_reverse"), reverse)
            batch = torch.cat([forward, backward], dim=2)
        return batch

    def _direction(self, batch: Tensor, suffix: str) -> Tensor:
        weights = [getattr(self, f"{name}_{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        state = batch.new_zeros(1, batch.shape[0], self.hidden_size)
        output: Tensor = torch.lstm(batch, (state, state), weights, True, 1, 0.0, self.training, False, True)[0]
        return output


def reversal(lengths: Tensor, frames: int) -> Tensor:
    """Indices ``(batch, frames)`` that reverse each sequence within its length and leave the padding where it is."""
    time = torch.arange(frames, device=lengths.device)
    last = lengths[:, None] - 1
    return torch.where(time <= last, last - time, time)


def _take(batch: Tensor, index: Tensor) -> Tensor:
    return batch.gather(1, index[:, :, None].expand(-1, -1, batch.shape[2]))
