"""Gradients by sample of the layers over frames, for Opacus, which has none of the one and dear ones of the other.

Opacus's own are exact for all other layers that the models have: linear ones, ``nn.LayerNorm``, and convolutions that
are not depthwise; a BiLSTM's are in ``private_lstm``.

Guarantee: none by itself. A sample's row is the gradient of its own loss, a sum over its frames; the padding adds
nothing to it, for its input is zero where a weight meets it, and what a bias adds there gets no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from opacus.grad_sample import register_grad_sampler
from torch import Tensor, nn

from common.models.frame_layers import ChannelScale, Depthwise


@register_grad_sampler(ChannelScale)  # type: ignore[untyped-decorator]
def scale_rows(layer: ChannelScale, activations: Sequence[Tensor], deltas: Tensor) -> dict[nn.Parameter, Tensor]:
    """For each parameter ``(batch, channels)``, of deltas ``(batch, channels, …)``."""
    return {layer.weight: (activations[0] * deltas).flatten(2).sum(2), layer.bias: deltas.flatten(2).sum(2)}


@register_grad_sampler(Depthwise)  # type: ignore[untyped-decorator]
def depthwise_rows(layer: Depthwise, activations: Sequence[Tensor], deltas: Tensor) -> dict[nn.Parameter, Tensor]:
    """For the weights ``(batch, channels, 1, kernel)``, for the bias ``(batch, channels)``."""
    [kernel], frames = layer.kernel_size, deltas.shape[2]
    padded = nn.functional.pad(activations[0], (kernel // 2, kernel // 2))
    by_tap = [(padded[:, :, tap : tap + frames] * deltas).sum(2) for tap in range(kernel)]
    own = dict(layer.named_parameters())
    return {own["weight"]: torch.stack(by_tap, dim=2)[:, :, None], own["bias"]: deltas.sum(2)}
