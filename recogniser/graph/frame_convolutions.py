"""Convolutions over an utterance's frames and their norm, as ``common.models.frame_layers`` has them."""

from __future__ import annotations

import math

import numpy as np

from recogniser.graph.layers import Weights, part
from recogniser.graph.node_builder import NodeBuilder, Value, ints, number

MOST_GROUPS = 8
_EPSILON = 1e-5


def frame_convolution(builder: NodeBuilder, frames: Value, mask: Value, own: Weights) -> Value:
    """``FrameConvolution`` or ``SeparableConvolution``, which the weights tell: ``(batch, channels, frames)``.

    Args:
        builder: of the graph.
        frames: ``(batch, inputs, frames)``.
        mask: ``(batch, 1, frames)``.
        own: of the convolution.
    """
    over_time = part(own, "over_time")
    reach = over_time["weight"].shape[2] // 2
    separable = "over_channels.weight" in own
    groups = len(over_time["weight"]) if separable else 1
    seen = builder.op("Where", mask, frames, number(0))
    found = builder.op("Conv", seen, over_time["weight"], over_time["bias"], pads=[reach, reach], group=groups)
    return builder.op("Conv", found, own["over_channels.weight"], own["over_channels.bias"]) if separable else found


def utterance_norm(builder: NodeBuilder, found: Value, shares: Value, own: Weights, *, image: bool = False) -> Value:
    """``UtteranceNorm``.

    Args:
        builder: of the graph.
        found: ``(batch, channels, frames)``; of an image ``(batch, channels, frames, bands)``.
        shares: ``(batch, frames, 1)``, of each frame in a mean over the utterance's.
        own: of the norm.
        image: which of the two ``found`` is.
    """
    scale = part(own, "scale")
    centred = builder.op("Sub", found, _mean(builder, found, shares, len(scale["weight"]), image=image))
    squares = builder.op("Mul", centred, centred)
    variance = _mean(builder, squares, shares, len(scale["weight"]), image=image)
    deviation = builder.op("Sqrt", builder.op("Add", variance, number(_EPSILON)))
    sides = (1, -1, 1, 1) if image else (1, -1, 1)
    factor = builder.op("Div", scale["weight"].reshape(sides), deviation)
    return builder.op("Add", builder.op("Mul", centred, factor), scale["bias"].reshape(sides))


def _mean(builder: NodeBuilder, found: Value, shares: Value, channels: int, *, image: bool) -> Value:
    """Each group's mean, at each of its channels: ``(batch, channels, 1)``, of an image with one side more."""
    by_frame = builder.op("ReduceMean", found, axes=[3], keepdims=0) if image else found
    by_channel = builder.op("MatMul", by_frame, shares)
    groups = math.gcd(channels, MOST_GROUPS)
    each = channels // groups
    among = np.kron(np.eye(groups), np.full((each, each), 1 / each)).astype(np.float32)
    mean = builder.op("MatMul", among, by_channel)
    return builder.op("Unsqueeze", mean, ints(3)) if image else mean
