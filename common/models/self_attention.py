"""Self-attention over frames, and the block of a Transformer that is made of it.

``nn.MultiheadAttention`` keeps its weights where no gradient by sample reaches them; these are linear layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Multi-head attention of each frame to all of its utterance (Vaswani et al., NeurIPS 2017).

    Args:
        width: of a frame, a multiple of ``heads``.
        heads: that look separately.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """``(batch, frames, width)`` of the same under ``mask (batch, frames)``, True where a frame is speech."""
        parts = self.inputs(frames).unflatten(2, (3, self.heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        found: Tensor = self.output(seen.transpose(1, 2).flatten(2))
        return found


class AttentionBlock(nn.Module):
    """Self-attention and a layer of its own for each frame, each added to what came in; norms come first, which trains
    without a warm-up (Xiong et al., ICML 2020).

    Args:
        width: of a frame.
        heads: of the attention.
        hidden: units of each frame's own layer.
        dropout: of what is added.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.before_attention, self.before_layer = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.inner, self.outer = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """``(batch, frames, width)`` of the same under ``mask (batch, frames)``."""
        frames = frames + self.dropout(self.attention(self.before_attention(frames), mask))
        own = self.outer(torch.relu(self.inner(self.before_layer(frames))))
        added: Tensor = frames + self.dropout(own)
        return added


def positions(frames: int, width: int, like: Tensor) -> Tensor:
    """Where each frame is, ``(frames, width)``: sines and cosines of growing periods, on the device of ``like``."""
    place = torch.arange(frames, device=like.device)[:, None]
    rate = 10_000.0 ** (-torch.arange(0, width, 2, device=like.device) / width)
    return torch.stack([torch.sin(place * rate), torch.cos(place * rate)], dim=2).flatten(1)[:, :width]
