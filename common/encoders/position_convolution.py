"""How wav2vec 2.0, HuBERT and WavLM tell positions: a wide grouped convolution over the frames, its weights normed."""

from __future__ import annotations

import torch
from torch.nn import functional

from common.encoders.weights_file import Shapes, WeightsFile

_NAME = "encoder.pos_conv_embed.conv"
# Length and direction of the kernels, as torch names them: since 2.0, before, and multiplied already.
_NORMED = (("parametrizations.weight.original0", "parametrizations.weight.original1"), ("weight_g", "weight_v"))


class PositionConvolution:
    """The convolution.

    Args:
        weights: of the encoder.
        width: of a frame.
        kernel: frames.
        groups: of features, each by itself.

    Raises:
        UsageError: the weights are missing or don't fit.
    """

    def __init__(self, weights: WeightsFile, width: int, kernel: int, groups: int) -> None:
        self._weights, self._kernel, self._groups = weights, kernel, groups
        self._normed = next((pair for pair in _NORMED if weights.has(f"{_NAME}.{pair[1]}")), None)
        shape = (width, width // groups, kernel)
        shapes: dict[str, tuple[int, ...]] = {f"{_NAME}.bias": (width,)}
        if self._normed is None:
            shapes[f"{_NAME}.weight"] = shape
        else:
            length, direction = self._normed
            shapes |= {f"{_NAME}.{length}": (1, 1, kernel), f"{_NAME}.{direction}": shape}
        self.shapes: Shapes = shapes
        self._made: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """What is added to frames ``(frames, width)``."""
        if self._made is None:
            self._made = self._kernels()
        made = functional.conv1d(
            x.T[None], self._made, self._weights[f"{_NAME}.bias"], padding=self._kernel // 2, groups=self._groups
        )
        return functional.gelu(made[0, :, : len(x)].T)  # an even kernel gives one frame too many, at the end

    def _kernels(self) -> torch.Tensor:
        if self._normed is None:
            return self._weights[f"{_NAME}.weight"]
        length, direction = (self._weights[f"{_NAME}.{part}"] for part in self._normed)
        scale: torch.Tensor = length / torch.linalg.vector_norm(direction, dim=(0, 1), keepdim=True)
        return direction * scale
