"""Layers over the frames of padded utterances that never see the padding, nor another utterance of the batch.

Each hides the padding before it reads, so what stands there may be anything. Nothing is kept of a batch: where sites
differ, a batch's statistics are of one site and of no use at another (Hsieh et al., ICML 2020), and in a private run
they would mix recordings. Arrays are ``(batch, channels, frames)``, or ``(batch, channels, frames, bands)``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MOST_GROUPS = 8


class ChannelScale(nn.Module):
    """A factor and a summand a channel.

    Args:
        channels: the size of an array's second dimension.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, found: Tensor) -> Tensor:
        """Scale ``(batch, channels, …)``."""
        shape = (-1, *[1] * (found.ndim - 2))
        return found * self.weight.view(shape) + self.bias.view(shape)


class UtteranceNorm(nn.Module):
    """Group normalisation (Wu & He, ECCV 2018) over an utterance's own frames: what it measures has no padding in it.

    Args:
        channels: in groups of the same size, ``MOST_GROUPS`` at most.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.groups = math.gcd(channels, MOST_GROUPS)
        self.scale = ChannelScale(channels)

    def forward(self, found: Tensor, mask: Tensor) -> Tensor:
        """Normalise ``(batch, channels, frames, …)`` under ``mask (batch, frames)``, True where a frame is speech."""
        with torch.autocast(found.device.type, enabled=False):  # a deviation of 16 bits has no digits
            centred = found.float() - self._mean(found.float(), mask)
            normal: Tensor = self.scale(centred * (self._mean(centred.square(), mask) + 1e-5).rsqrt())
        return normal

    def _mean(self, found: Tensor, mask: Tensor) -> Tensor:
        """Each group's mean, at each of its channels: ``(batch, channels, 1, …)``."""
        by_frame = found.flatten(3).mean(3) if found.ndim > 3 else found
        by_channel = (by_frame * over_frames(mask / mask.sum(1, keepdim=True), by_frame)).sum(2)
        grouped = by_channel.view(len(found), self.groups, -1)
        mean = grouped.mean(2, keepdim=True).expand_as(grouped).flatten(1)
        return mean[(..., *[None] * (found.ndim - 2))]


class FrameConvolution(nn.Module):
    """A convolution over time that makes as many frames as there are.

    Args:
        inputs: channels that come in.
        channels: that come out.
        kernel: frames that it sees at a time, odd.
    """

    def __init__(self, inputs: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.over_time = nn.Conv1d(inputs, channels, kernel, padding=kernel // 2)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """``(batch, channels, frames)`` of ``(batch, inputs, frames)`` under ``mask (batch, frames)``."""
        found: Tensor = self.over_time(frames.masked_fill(~over_frames(mask, frames), 0.0))
        return found


class Depthwise(nn.Conv1d):
    """A convolution of each channel alone.

    It has a class of its own: Opacus's gradients by sample of a ``Conv1d`` with groups take memory for all pairs of
    channels.

    Args:
        channels: in and out.
        kernel: frames that it sees at a time, odd.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels)


class SeparableConvolution(nn.Module):
    """A convolution of each channel over time, then one that mixes the channels of a frame (Chollet, CVPR 2017).

    Args:
        inputs: channels that come in.
        channels: that come out.
        kernel: frames that it sees at a time, odd.
    """

    def __init__(self, inputs: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.over_time = Depthwise(inputs, kernel)
        self.over_channels = nn.Conv1d(inputs, channels, 1)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """``(batch, channels, frames)`` of ``(batch, inputs, frames)`` under ``mask (batch, frames)``."""
        found: Tensor = self.over_channels(self.over_time(frames.masked_fill(~over_frames(mask, frames), 0.0)))
        return found


def over_frames(mask: Tensor, found: Tensor) -> Tensor:
    """A mask ``(batch, frames)`` as it is multiplied with ``(batch, channels, frames)`` or ``(…, frames, bands)``."""
    return mask.view(len(mask), 1, mask.shape[1], *[1] * (found.ndim - 3))
