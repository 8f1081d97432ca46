"""The depthwise separable convolution: ``cnn1d`` with a third of its weights, or fewer."""

from __future__ import annotations

from common.config import kinds
from common.models.cnn1d import Convolutional
from common.models.frame_layers import SeparableConvolution


class SeparableConvolutional(Convolutional):
    """Each convolution over time and channels is one over time and one over channels; all else is ``cnn1d``'s."""

    kind = kinds.DSCNN
    convolution = SeparableConvolution
