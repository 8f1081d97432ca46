"""What wav2vec 2.0, HuBERT and WavLM begin with: convolutions over the samples, each in larger steps."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch.nn import functional

from common.encoders.hub_config import HubConfig
from common.encoders.public_encoder import SAMPLING_RATE
from common.encoders.transformer_layers import norm_shapes
from common.encoders.weights_file import Shapes, WeightsFile
from common.errors import UsageError

_NAME = "feature_extractor.conv_layers"
_CHANNELS, _KERNELS, _STRIDES = (512,) * 7, (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # as published
_HOPS = (80, 3200)  # samples, 5 and 200 ms
_MOST_VALUES = 1 << 23  # that one convolution gives for a second, 32 MB; the published ones give 1.6 million


@dataclass(frozen=True, kw_only=True)
class WaveformFeatures:
    """The convolutions.

    Attributes:
        channels: of each.
        kernels: of each, in values of the one before.
        strides: of each, likewise.
        by_layer: each is followed by a layer norm over its channels; otherwise the first by a norm of each channel over
            time, the others by none.
        biased: they have biases.
    """

    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    by_layer: bool
    biased: bool

    @classmethod
    def of(cls, config: HubConfig) -> WaveformFeatures:
        """Those that an encoder's settings describe.

        Raises:
            UsageError: they describe none.
        """
        config.word("feat_extract_activation", ("gelu",), "gelu")
        features = cls(
            channels=config.wholes("conv_dim", 1, 1 << 13, _CHANNELS),
            kernels=config.wholes("conv_kernel", 1, 1 << 10, _KERNELS),
            strides=config.wholes("conv_stride", 1, 1 << 10, _STRIDES),
            by_layer=config.word("feat_extract_norm", ("group", "layer"), "group") == "layer",
            biased=config.flag("conv_bias", False),
        )
        if not len(features.channels) == len(features.kernels) == len(features.strides):
            raise UsageError(f"{config.path}: conv_dim, conv_kernel and conv_stride are not equally long")
        if not _HOPS[0] <= features.hop <= _HOPS[1] or features.field > 10 * _HOPS[1]:
            raise UsageError(f"{config.path}: conv_stride makes a frame of {features.hop} samples, expected 320")
        if features.largest > _MOST_VALUES:
            raise UsageError(f"{config.path}: conv_dim and conv_stride take too much memory, expected those published")
        return features

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(self.strides)

    @property
    def field(self) -> int:
        """Samples that a frame is made of."""
        samples = 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            samples = (samples - 1) * stride + kernel
        return samples

    @property
    def largest(self) -> float:
        """The most values that a convolution gives for a second of sound."""
        steps: Iterable[int] = accumulate(self.strides, operator.mul)
        return max(channels * SAMPLING_RATE / step for channels, step in zip(self.channels, steps, strict=True))

    @property
    def shapes(self) -> Shapes:
        """Of the weights, by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        inputs = (1, *self.channels)
        for number, (channels, kernel) in enumerate(zip(self.channels, self.kernels, strict=True)):
            name = f"{_NAME}.{number}"
            shapes[f"{name}.conv.weight"] = (channels, inputs[number], kernel)
            if self.biased:
                shapes[f"{name}.conv.bias"] = (channels,)
            if self.by_layer or number == 0:
                shapes |= norm_shapes(f"{name}.layer_norm", channels)
        return shapes

    def frames(self, signal: torch.Tensor, weights: WeightsFile) -> torch.Tensor:
        """``(samples,)`` to ``(frames, channels)``: a frame every ``hop`` samples of which all ``field`` are there."""
        x = signal[None, None]
        for number, stride in enumerate(self.strides):
            name = f"{_NAME}.{number}"
            bias = weights[f"{name}.conv.bias"] if self.biased else None
            x = functional.conv1d(x, weights[f"{name}.conv.weight"], bias, stride=stride)
            x = functional.gelu(self._normed(x, weights, f"{name}.layer_norm", number))
        return x[0].T

    def _normed(self, x: torch.Tensor, weights: WeightsFile, name: str, number: int) -> torch.Tensor:
        if self.by_layer:
            normed = functional.layer_norm(x.mT, (x.shape[1],), weights[f"{name}.weight"], weights[f"{name}.bias"])
            return normed.mT
        if number == 0:
            return torch.group_norm(x, x.shape[1], weights[f"{name}.weight"], weights[f"{name}.bias"])
        return x
