"""The parts that the encoders' layers share, by the names of their weights."""

from __future__ import annotations

import torch
from torch.nn import functional

from common.encoders.weights_file import WeightsFile

EPSILON = 1e-5  # of a layer norm, torch's default


def linear(x: torch.Tensor, weights: WeightsFile, name: str) -> torch.Tensor:
    """A linear layer, with its bias where it has one; ``(…, inputs)`` to ``(…, outputs)``."""
    return functional.linear(x, weights[f"{name}.weight"], weights.found(f"{name}.bias"))


def normed(x: torch.Tensor, weights: WeightsFile, name: str, epsilon: float = EPSILON) -> torch.Tensor:
    """A layer norm over the last axis."""
    return functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], epsilon)


def by_head(x: torch.Tensor, heads: int) -> torch.Tensor:
    """``(frames, width)`` to ``(heads, frames, width / heads)``."""
    return x.view(len(x), heads, -1).transpose(0, 1)


def attended(
    x: torch.Tensor, weights: WeightsFile, name: str, heads: int, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Self-attention over all frames ``(frames, width)``; a bias ``(heads, frames, frames)`` is added to its scores."""
    query, key, value = (by_head(linear(x, weights, f"{name}.{part}_proj"), heads)[None] for part in "qkv")
    mask = None if bias is None else bias[None]
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)[0]
    return linear(mixed.transpose(0, 1).reshape(x.shape), weights, f"{name}.out_proj")


def linear_shapes(name: str, inputs: int, outputs: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    """The shapes of a linear layer's weights."""
    return {f"{name}.weight": (outputs, inputs)} | ({f"{name}.bias": (outputs,)} if bias else {})


def norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a layer norm's weights."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
